/** The form of container ids and network names (libcni's pkg/utils). */
export const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export const IDENTIFIER_RULE =
  "must start with a letter or digit and go on with letters, digits, '_', '.' and '-'";
