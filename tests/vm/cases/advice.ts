// Commands that messages advise, run as they stand there. What the doctor advises is run in doctor.ts.
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { type CommandError, toCommandError } from "../../../src/cli/errors.ts";
import { SyscallError } from "../../../src/sys/errno.ts";
import { assertError, assertResult, attachment } from "../../rig/vm/guest/attachment.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  holdNetns,
  names,
  rdmaNames,
  rdmaToNetns,
  shOk,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const EPROTONOSUPPORT = 93;

vmCase("advice: without an RDMA subsystem all the modules that are named get loaded", async () => {
  const error = toCommandError(new SyscallError("open a netlink socket", EPROTONOSUPPORT)) as CommandError;
  const [, command] = /\((modprobe [^)]*)\)/.exec(error.advice!)!;
  try {
    await shOk(command!.replace("modprobe", 'modprobe --dirname "$MODULES"'));
    const loaded = names("/sys/module");
    assertEquals(["ib_core", "mlx5_ib"].filter((name) => !loaded.includes(name)), []);
  } finally {
    await shOk("rmmod mlx5_ib mlx5_core");
  }
});

vmCase("advice: a device in no record comes back by what doctor says, to whom the error points", async () => {
  await addNetns("pod");
  await addNetns("other");
  const { deviceId, rdmaDevice } = vf(0);
  await rdmaToNetns(rdmaDevice, "other");
  const holder = await holdNetns("other");
  const refused = await attachment(deviceId).add();
  assertError(refused, 111, /no record of this plugin names the pod/);
  assertMatch(`${refused.json!["details"]}`, /"rdma-cni doctor" on the node says where the device is/);
  const { findings } = JSON.parse((await rdmaCni("doctor --json")).stdout);
  const { text, fix } = findings.find(({ level, group }: Record<string, string>) =>
    `${level} ${group}` === "problem devices"
  );
  assertEquals(
    [text, fix],
    [
      `${rdmaDevice} in /run/netns/other, which no record of the plugin mentions: no pod can get it (error 111)`,
      `kill ${holder.pid}; umount /run/netns/other # unless another program put it there; it returns to the host`,
    ],
  );
  await shOk(fix);
  await until("the device is on the host", async () => (await rdmaNames()).includes(rdmaDevice));
  assertResult(await attachment(deviceId).add());
});
