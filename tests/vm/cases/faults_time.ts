// A runtime that has waited too long ends its call by SIGTERM: whatever it was at, DEL can clean up.
import { assertEquals } from "../../support/assert.ts";
import {
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
  startInMove,
  STATE_DIRECTORY,
} from "../../rig/vm/guest/attachment.ts";
import { addPod, shOk, startBackground, startPlugin, until, vmCase } from "../../rig/vm/guest/harness.ts";

const FILE = "net-container1-net1";
const TRACE = "/run/trace";

for (const command of ["ADD", "DEL"] as const) {
  vmCase(`faults: SIGTERM ends ${command} while it waits for the lock, and nothing has changed`, async () => {
    const { deviceId } = await addPod();
    if (command === "DEL") assertResult(await attachment(deviceId).add());
    const before = records();
    await shOk(`mkdir -p ${STATE_DIRECTORY}`);
    const holder = await startBackground(
      `exec flock --no-fork ${STATE_DIRECTORY} sh -c "echo locked; exec sleep infinity"`,
      "locked",
    );
    Deno.writeTextFileSync(TRACE, "");
    const wrapper = ["strace", "-f", "-o", TRACE, "-e", "trace=flock"];
    const call = await startPlugin({
      command,
      netns: "pod",
      config: config({ deviceID: deviceId }),
      wrapper,
    });
    const waiting = () => /^(\d+) .*EAGAIN/.exec(Deno.readTextFileSync(TRACE))?.[1];
    await until("the call waits for the lock", () => waiting() !== undefined);
    Deno.kill(Number(waiting()), "SIGTERM");
    assertEquals((await call.status).signal, "SIGTERM");
    assertEquals(records(), before);
    holder.kill("SIGKILL");
    await holder.status;
    assertQuiet(await attachment(deviceId).del());
    assertNothingLeft();
  });

  vmCase(`faults: SIGTERM ends ${command} once the device has moved, and DEL leaves nothing`, async () => {
    const { deviceId } = await addPod();
    if (command === "DEL") assertResult(await attachment(deviceId).add());
    const call = await startInMove(command, deviceId);
    call.kill("SIGTERM");
    assertEquals((await call.status).signal, "SIGTERM");
    assertEquals(records(), [FILE]);
    assertQuiet(await attachment(deviceId).del());
    assertNothingLeft();
  });
}
