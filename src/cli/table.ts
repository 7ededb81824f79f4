/** Tables for people. */

/** Lines of cells, each column as wide as its widest cell. The first row has the headings. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()
  );
  return lines.map((line) => `${line}\n`).join("");
}
