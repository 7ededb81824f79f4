/**
 * Text in one line, for people: what does not print is escaped as in JSON. That is controls (also ESC and the newline),
 * invisible characters, those that change the order of others, spaces but the plain one, marks that go onto another
 * character, and halves of surrogate pairs. Backslashes stay, since most names in messages are quoted already; so JSON
 * in one line stays the same value.
 */
export function toPrintable(text: string): string {
  if (/^[ -~]*$/.test(text)) return text; // nearly always, and without Unicode's tables
  const unprintable = /[^\p{L}\p{N}\p{P}\p{S} ]|\p{Default_Ignorable_Code_Point}/gu;
  return text.replace(unprintable, (char) => char === "\n" ? "\\n" : char.replace(/[^]/g, escapeUnit));
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
