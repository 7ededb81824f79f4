// What one ADD touches, as strace sees it.
import { assert, assertEquals } from "../../support/assert.ts";
import {
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  STATE_DIRECTORY,
} from "../../rig/vm/guest/attachment.ts";
import { addPod, vmCase } from "../../rig/vm/guest/harness.ts";

const TRACE = "/run/trace";

vmCase("footprint: ADD and DEL write to state directory and log file alone, and start nothing", async () => {
  const { deviceId } = await addPod();
  const one = attachment(deviceId, {
    config: config({ deviceID: deviceId, logFile: "/run/plugin.log" }),
    wrapper: ["strace", "-f", "-y", "-o", TRACE],
  });
  for (const call of ["add", "del"] as const) {
    const outcome = await one[call]();
    call === "add" ? assertResult(outcome) : assertQuiet(outcome);
    const trace = Deno.readTextFileSync(TRACE).split("\n");
    const calls = (pattern: RegExp) => trace.filter((line) => pattern.test(line));

    assertEquals(calls(/^\d+ +execve\(/).length, 1, "processes");
    assertEquals(calls(/^\d+ +(clone3?|v?fork)\(/), [], "threads and processes");
    assertEquals(calls(/"\/tmp/), [], "paths below /tmp");
    assertEquals(calls(/socket\(/).filter((line) => !/AF_NETLINK/.test(line)), [], "sockets");
    const written = calls(
      /open(at)?\(.*(O_WRONLY|O_RDWR|O_CREAT)|\d+ +(rename|mkdir|unlink|link|symlink|chmod|fchmod|truncate|ftruncate)(at|at2)?\(/,
    )
      .filter((line) => !/= -1 /.test(line) && !/"\/run\/plugin.log"|"\/dev\/null"/.test(line));
    for (const line of written) assert(line.includes(`"${STATE_DIRECTORY}`), line);
    assert(written.length > 0, "the record itself is seen");
  }
  assertNothingLeft();
});
