// Where tests keep their temporary files.
import { assertEquals, assertMatch } from "../assert.ts";
import { faultOf } from "../temporary_folder.ts";

Deno.test("programs in the folder for temporary files may run, else set TMPDIR", () => {
  const folder = Deno.makeTempDirSync();
  const fault = faultOf(folder);
  Deno.removeSync(folder, { recursive: true });
  assertEquals(fault === undefined || !fault.includes("may not run"), true, `${folder}: ${fault}`);
});

Deno.test("a folder that cannot be used has a fault", () => {
  assertMatch(faultOf("/proc/nonexistent")!, /No such file/);
  assertMatch(faultOf("/sys")!, /GiB are free there/);
});
