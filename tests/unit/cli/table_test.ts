// Tables for people.
import fc from "fast-check";
import { formatTable, type Table } from "../../../src/cli/table.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestTerminal } from "../../support/terminal.ts";

interface Item {
  readonly name: string;
  readonly state?: string;
}

const TABLE: Table<Item> = {
  columns: [["NAME", ({ name }) => name], ["STATE", ({ state }) => state]],
  wideColumns: [["LENGTH", ({ name }) => String(name.length)]],
  nothing: "No items found",
};
const ITEMS = [{ name: "a-rather-long-name", state: "fine" }, { name: "short" }];

function print(items: readonly Item[], { columns, isWide = false, isQuiet = false }: {
  columns?: number;
  isWide?: boolean;
  isQuiet?: boolean;
} = {}) {
  const terminal = Object.assign(new TestTerminal(), { columns, isQuiet });
  terminal.print({ text: formatTable(TABLE, items, isWide) });
  return [terminal.stdout, terminal.stderr];
}

Deno.test("a table has a dash for what is not known, and a wide one more columns", () => {
  assertEquals(print(ITEMS), [
    "NAME                STATE\na-rather-long-name  fine\nshort               -\n",
    "",
  ]);
  assertEquals(print(ITEMS, { isWide: true }), [
    "NAME                STATE  LENGTH\na-rather-long-name  fine   18\nshort               -      5\n",
    "",
  ]);
});

Deno.test("nothing is cut on a narrow terminal: its lines wrap", () => {
  for (const isWide of [false, true]) {
    assertEquals(print(ITEMS, { columns: 8, isWide }), print(ITEMS, { isWide }));
  }
});

Deno.test("in the place of an empty table there is a note, unless the command is quiet", () => {
  assertEquals(print([]), ["", "No items found\n"]);
  assertEquals(print([], { isWide: true }), ["", "No items found\n"]);
  assertEquals(print([], { isQuiet: true }), ["", ""]);
});

Deno.test("columns stay aligned when names are escaped", () => {
  const unit = fc.oneof(
    fc.constantFrom("\n", "\x1b", "\u202e", "\ud83d", "😀"),
    fc.string({ unit: "binary", maxLength: 1 }),
  );
  const names = fc.array(fc.string({ unit, maxLength: 12 }), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(names, (names) => {
    const [text = ""] = print(names.map((name) => ({ name, state: "|" })));
    const lines = text.trimEnd().split("\n");
    assertEquals(lines.length, names.length + 1);
    const at = lines[0]!.indexOf("STATE");
    for (const line of lines.slice(1)) assertEquals(line.slice(at - 2), "  |");
  }));
});
