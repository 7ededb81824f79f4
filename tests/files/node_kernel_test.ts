// What commands ask the kernel of the machine that runs the tests.
import { LinuxNodeKernel } from "../../src/kernel/linux.ts";
import { assert } from "../support/assert.ts";

Deno.test("the boot began when the kernel says it did", () => {
  const [, seconds] = /^btime (\d+)$/m.exec(Deno.readTextFileSync("/proc/stat"))!;
  const bootedAtMs = new LinuxNodeKernel().getBootedAtMs();
  assert(Math.abs(bootedAtMs - Number(seconds) * 1000) < 5000, `${bootedAtMs} instead of ${seconds} s`);
});
