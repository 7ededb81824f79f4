// What the build does to the program's names.
import { assertEquals } from "../support/assert.ts";
import { PROGRAM } from "../support/program.ts";

/** More than the program; before it comes the runtime. */
const TAIL = 1024 * 1024;

Deno.test("what calls load at their start keeps its names, for stack traces; what only commands load does not", () => {
  using file = Deno.openSync(PROGRAM);
  file.seekSync(file.statSync().size - TAIL, Deno.SeekMode.Start);
  const bytes = new Uint8Array(TAIL);
  for (let length = 0; length < TAIL;) length += file.readSync(bytes.subarray(length)) ?? TAIL;
  const text = new TextDecoder("latin1").decode(bytes);
  const has = (name: string) => text.includes(`function ${name}(`);
  assertEquals(["parseEnvironment", "parseConfig", "takeLock"].map(has), [true, true, true]);
  assertEquals(["addValidateCommand", "judgeNetwork", "listVfs"].map(has), [false, false, false]);
});
