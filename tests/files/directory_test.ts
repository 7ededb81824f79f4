import { SyscallError } from "../../src/sys/errno.ts";
import { openDirectoryBelow } from "../../src/sys/files.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { openFds } from "../support/system_calls.ts";
import { Root } from "./root.ts";

libc(); // opened once for the process: a test would be blamed for the leak

Deno.test("missing directories are made, and what is there is used", () => {
  using root = new Root({ "/a/kept": "text" });
  using directory = openDirectoryBelow(root.path, ["a", "b", "c"], true);
  Deno.writeTextFileSync(`${directory.path}/file`, "new");
  assertEquals([root.read("/a/b/c/file"), root.read("/a/kept")], ["new", "text"]);
  assertEquals(Deno.statSync(`${root.path}/a/b`).mode! & 0o777, 0o755);
});

Deno.test("missing directories are not made unless that is wanted", () => {
  using root = new Root({ "/a/kept": "text" });
  const error = assertThrows(() => openDirectoryBelow(root.path, ["a", "b"], false), SyscallError, "/a/b");
  assertEquals([error.errno, [...Deno.readDirSync(`${root.path}/a`)].length], [2, 1]);
});

Deno.test("the base may be a link, nothing below it", () => {
  using root = new Root({ "/real/a/file": "text" });
  Deno.symlinkSync("real", `${root.path}/base`);
  Deno.symlinkSync("a", `${root.path}/real/link`);
  using directory = openDirectoryBelow(`${root.path}/base`, ["a"], true);
  assertEquals(Deno.readTextFileSync(`${directory.path}/file`), "text");
  for (const names of [["link"], ["link", "b"], ["a", "file"]]) {
    const error = assertThrows(
      () => openDirectoryBelow(`${root.path}/base`, names, true),
      SyscallError,
      "/base/",
    );
    assertEquals(error.errno, 20);
  }
  assertEquals([...Deno.readDirSync(`${root.path}/real/a`)].map(({ name }) => name), ["file"]);
});

Deno.test("a directory that is exchanged for a link while it is open is still the one that was opened", () => {
  using root = new Root({ "/a/b/file": "own", "/elsewhere/file": "foreign" });
  using directory = openDirectoryBelow(root.path, ["a", "b"], true);
  Deno.renameSync(`${root.path}/a/b`, `${root.path}/a/c`);
  Deno.symlinkSync("../elsewhere", `${root.path}/a/b`);
  assertEquals(Deno.readTextFileSync(`${directory.path}/file`), "own");
});

Deno.test("each directory is looked up in the one before it: the whole may be longer than a path can be", () => {
  using root = new Root({});
  using directory = openDirectoryBelow(root.path, Array(20).fill("x".repeat(250)), true);
  Deno.writeTextFileSync(`${directory.path}/file`, "text");
});

Deno.test("no descriptor is left open, whether it succeeds or not", () => {
  using root = new Root({ "/a/file": "" });
  const before = openFds();
  openDirectoryBelow(root.path, ["a", "b"], true)[Symbol.dispose]();
  assertThrows(() => openDirectoryBelow(root.path, ["a", "file", "b"], true), SyscallError);
  assertThrows(() => openDirectoryBelow(`${root.path}/missing`, ["a"], true), SyscallError, "missing");
  assertEquals(openFds(), before);
});
