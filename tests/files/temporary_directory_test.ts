// Where tests keep their temporary files.
import { assertEquals, assertMatch } from "../support/assert.ts";
import { faultOf } from "../support/temporary_directory.ts";

Deno.test("programs in the directory for temporary files may run, else set TMPDIR", () => {
  const directory = Deno.makeTempDirSync();
  const fault = faultOf(directory);
  Deno.removeSync(directory, { recursive: true });
  assertEquals(fault === undefined || !fault.includes("may not run"), true, `${directory}: ${fault}`);
});

Deno.test("a directory that cannot be used has a fault", () => {
  assertMatch(faultOf("/proc/nonexistent")!, /No such file/);
  assertMatch(faultOf("/sys")!, /GiB are free there/);
});
