import { isAlphanumeric } from "../text.ts";

export const IDENTIFIER_RULE =
  "must start with a letter or digit and go on with letters, digits, '_', '.' and '-'";

/** Whether a text has the form of container ids and network names (libcni's pkg/utils). */
export function isIdentifier(text: string): boolean {
  return text !== "" && [...text].every((char, at) => isAlphanumeric(char) || at > 0 && "_.-".includes(char));
}
