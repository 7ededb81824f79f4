/** Tables for people. */
import { toPrintable } from "../printable.ts";
import type { Line, Remark } from "./terminal.ts";

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

/** Formats a table. A line that is longer than the terminal's wraps there: what is cut off would be missed. */
export function formatTable<T>(
  { columns, wideColumns, nothing }: Table<T>,
  items: readonly T[],
  isWide: boolean,
) {
  return (): (Line | Remark)[] => {
    if (items.length === 0) return [{ note: nothing }];
    const shown = isWide ? [...columns, ...wideColumns] : columns;
    const rows = [
      shown.map(([heading]) => heading),
      ...items.map((item) => shown.map(([, cell]) => cell(item) ?? "-")),
    ];
    return formatRows(rows).map((text) => ({ text }));
  };
}

/** Formats rows of cells as lines, each column as wide as its widest cell is when it is printed. */
function formatRows(cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(toPrintable));
  const [headings = []] = rows;
  const widths = headings.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join(GAP).trimEnd());
}
