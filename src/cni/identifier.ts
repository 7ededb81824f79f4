import { isAlphanumeric } from "../text.ts";

export const IDENTIFIER_RULE =
  "must start with a letter or digit and go on with letters, digits, '_', '.' and '-'";

/** The form of container ids and network names (libcni's pkg/utils), for the configuration's schema. */
export const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Whether a text has the form of {@linkcode IDENTIFIER}. */
export function isIdentifier(text: string): boolean {
  return text !== "" && [...text].every((char, at) => isAlphanumeric(char) || at > 0 && "_.-".includes(char));
}
