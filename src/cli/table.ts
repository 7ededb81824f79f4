/** Tables for people. */
import { toPrintable } from "../printable.ts";
import type { Line, Remark, Screen } from "./terminal.ts";

/** A column, with its cell for an item; undefined if that is not known. */
export type Column<T> = readonly [heading: string, cell: (item: T) => string | undefined];

/** A kind of table, in which each item has a line. */
export interface Table<T> {
  readonly columns: readonly Column<T>[];
  /** Those that only `-o wide` has. */
  readonly wideColumns: readonly Column<T>[];
  /** The note in place of a table without lines. */
  readonly nothing: string;
}

const GAP = "  ";

/** Formats a table. Unless it is wide, it fits the terminal. */
export function formatTable<T>(table: Table<T>, items: readonly T[], isWide: boolean) {
  const { columns, wideColumns, nothing } = table;
  return (screen: Screen): (Line | Remark)[] => {
    if (items.length === 0) return [{ note: nothing }];
    const shown = isWide ? [...columns, ...wideColumns] : columns;
    const rows = [
      shown.map(([heading]) => heading),
      ...items.map((item) => shown.map(([, cell]) => cell(item) ?? "-")),
    ];
    return formatRows(rows, isWide ? undefined : screen.columns).map((text) => ({ text }));
  };
}

/**
 * Formats rows of cells as lines, each column as wide as its widest cell is when it is printed.
 *
 * @param limit the most characters in a line: the widest columns are cut for it, down to the headings in the first row,
 *   then the lines
 */
export function formatRows(cells: readonly (readonly string[])[], limit = Infinity): string[] {
  const rows = cells.map((row) => row.map(toPrintable));
  const [headings = []] = rows;
  const widths = headings.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  let excess = widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length) - limit;
  const widestFirst = [...widths.entries()].sort(([, a], [, b]) => b - a);
  for (const [column, width] of widestFirst) {
    const cut = Math.min(Math.max(excess, 0), width - headings[column]!.length);
    widths[column]! -= cut;
    excess -= cut;
  }
  const lines = rows.map((row) =>
    row.map((cell, column) => shorten(cell, widths[column]!).padEnd(widths[column]!)).join(GAP).trimEnd()
  );
  return lines.map((line) => shorten(line, limit));
}

function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  return `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, "")}…`; // without half a character
}
