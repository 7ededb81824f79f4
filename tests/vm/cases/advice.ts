// Commands that messages advise, run as they stand there. What the doctor advises is run in doctor.ts.
import { assert, assertEquals } from "../../support/assert.ts";
import { type CommandError, toCommandError } from "../../../src/cli/errors.ts";
import { SyscallError } from "../../../src/sys/errno.ts";
import { assertError, attachment } from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  holdNetns,
  names,
  rdmaNames,
  rdmaToNetns,
  shOk,
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

vmCase("advice: a device in no record comes back by the commands of the error", async () => {
  await addNetns("pod");
  await addNetns("other");
  const { deviceId, rdmaDevice } = vf(0);
  await rdmaToNetns(rdmaDevice, "other");
  const holder = await holdNetns("other");
  const refused = await attachment(deviceId).add();
  assertError(refused, 111, /no record of this plugin names the pod/);
  const [, commands] = /that is there: (.*)$/.exec(`${refused.json!["details"]}`)!;
  await shOk(commands!.replace("PID", `${holder.pid}`).replace("NAME", rdmaDevice));
  assert((await rdmaNames()).includes(rdmaDevice));
  assertEquals(await rdmaNames("other"), []);
});
