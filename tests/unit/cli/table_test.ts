// Tables, on terminals of every width.
import fc from "fast-check";
import { formatRows, formatTable, type Table } from "../../../src/cli/table.ts";
import { assert, assertEquals } from "../../support/assert.ts";
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

Deno.test("a table has a dash for what is not known, and is not cut where there is no terminal", () => {
  const text = "NAME                STATE\na-rather-long-name  fine\nshort               -\n";
  assertEquals(print(ITEMS), [text, ""]);
  assertEquals(print(ITEMS, { columns: 25 }), [text, ""]);
});

Deno.test("the longest column is cut for a terminal, down to its heading, and then the lines", () => {
  assertEquals(print(ITEMS, { columns: 16 }), ["NAME       STATE\na-rather…  fine\nshort      -\n", ""]);
  const second = [{ name: "short", state: "which is longer" }];
  assertEquals(print(second, { columns: 15 }), ["NAME   STATE\nshort  which i…\n", ""]);
  assertEquals(print(ITEMS, { columns: 8 }), ["NAME  S…\na-r…  f…\nsho…  -\n", ""]);
});

Deno.test("a wide table has more columns, and is never cut", () => {
  assertEquals(print(ITEMS, { columns: 8, isWide: true }), [
    "NAME                STATE  LENGTH\na-rather-long-name  fine   18\nshort               -      5\n",
    "",
  ]);
});

Deno.test("in the place of an empty table there is a note, unless the command is quiet", () => {
  assertEquals(print([]), ["", "No items found\n"]);
  assertEquals(print([], { isWide: true }), ["", "No items found\n"]);
  assertEquals(print([], { isQuiet: true }), ["", ""]);
});

Deno.test("columns stay aligned, and lines within the terminal, when names are escaped or cut", () => {
  const unit = fc.oneof(
    fc.constantFrom("\n", "\x1b", "\u202e", "\ud83d", "😀"),
    fc.string({ unit: "binary", maxLength: 1 }),
  );
  const names = fc.array(fc.string({ unit, maxLength: 12 }), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(names, fc.integer({ min: 12, max: 60 }), (names, columns) => {
    const [text = ""] = print(names.map((name) => ({ name, state: "|" })), { columns });
    const lines = text.trimEnd().split("\n");
    assertEquals(lines.length, names.length + 1);
    const at = lines[0]!.indexOf("STATE");
    for (const line of lines.slice(1)) {
      assertEquals(line.slice(at - 2), "  |");
      assert(line.length <= columns, line);
    }
  }));
});

Deno.test("no line is longer than the limit, and nothing is cut that fits", () => {
  const rows = fc.integer({ min: 1, max: 6 }).chain((columns) =>
    fc.array(fc.array(fc.stringMatching(/^[a-z]{1,30}$/), { minLength: columns, maxLength: columns }), {
      minLength: 1,
      maxLength: 6,
    })
  );
  fc.assert(fc.property(rows, fc.integer({ min: 1, max: 200 }), (rows, limit) => {
    const [whole, cut] = [formatRows(rows), formatRows(rows, limit)];
    const longest = (lines: readonly string[]) => Math.max(...lines.map((line) => line.length));
    assert(longest(cut) <= limit, cut.join("\n"));
    assertEquals(whole.length, cut.length);
    if (longest(whole) <= limit) assertEquals(cut, whole);
    else assert(cut.join().includes("…"), cut.join("\n"));
  }));
});
