// Whether the pod can use its devices: real ports and GID tables, which the kernel fills with the netdev's addresses.
import { assertMatch, assertNotMatch } from "../../support/assert.ts";
import {
  addPod,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  type CompleteFunction,
  config,
  netdevToNetns,
  setSimParameter,
  sh,
  shOk,
  untilGid,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const ADDRESS = "10.0.0.2";
const GID = "0000:0000:0000:0000:0000:ffff:0a00:0002";
const REQUIRED = { requireActive: true };

/** A pod with a virtual function's interface, which has an address, and that function. */
async function podWithAddress(): Promise<CompleteFunction> {
  const one = await addPod();
  await netdevToNetns(one.netdev, "pod", "net1");
  // Without a link-local address, and without the one that QEMU's router would give: both would come some time later.
  await shOk(
    `ip netns exec pod sh -c 'echo 0 >/proc/sys/net/ipv6/conf/net1/accept_ra' &&
     ip -n pod link set net1 addrgenmode none && ip -n pod address add ${ADDRESS}/24 dev net1 &&
     ip -n pod link set net1 up`,
  );
  await untilGid(one.rdmaDevice, GID);
  return one;
}

function withKeys({ deviceId }: CompleteFunction, keys: object = {}) {
  return attachment(deviceId, { config: config({ deviceID: deviceId, ...keys }) });
}

/** The indexes of RoCE v2 entries in a device's GID table, as a sysfs of the pod shows them. */
async function roceV2Indexes(device: string): Promise<string> {
  const ports = `/sys/class/infiniband/${device}/ports/1`;
  const { stdout } = await sh(
    `ip netns exec pod sh -c 'cd ${ports}/gid_attrs/types && grep -lx "RoCE v2" $(seq 0 7)' 2>/dev/null`,
  );
  return stdout.trim().split("\n").join(", ");
}

vmCase("ready: ADD and CHECK tell uverbs device, port state and RoCE v2 GIDs of the device", async () => {
  const one = await podWithAddress();
  const pair = withKeys(one);
  const added = await pair.add();
  assertResult(added);
  const indexes = await roceV2Indexes(one.rdmaDevice);
  assertMatch(indexes, /^\d(, \d)+$/);
  const line = new RegExp(
    `RDMA device ${one.rdmaDevice} \\(index \\d+\\) has /dev/infiniband/uverbs\\d+; ` +
      `port 1: ACTIVE, RoCE v2 GID indexes: ${indexes}"`,
  );
  assertMatch(added.stderr, line);
  assertNotMatch(added.stderr, /level="warning"/);
  const checked = await pair.check();
  assertQuiet(checked);
  assertMatch(checked.stderr, line);
  assertQuiet(await pair.del());
  assertResult(await withKeys(one, REQUIRED).add());
  assertQuiet(await withKeys(one, REQUIRED).check());
  assertQuiet(await withKeys(one, REQUIRED).del());
  assertNothingLeft();
});

vmCase("ready: a port that is down is a warning, with requireActive code 116 and nothing left", async () => {
  const one = await podWithAddress();
  setSimParameter("port_state", 1);
  const words = new RegExp(`port 1 of RDMA device ${one.rdmaDevice} is in state .*1: DOWN.*want .*4: ACTIVE`);
  assertError(await withKeys(one, REQUIRED).add(), 116, words);
  assertNothingLeft();
  const added = await withKeys(one).add();
  assertResult(added);
  assertMatch(added.stderr, /level="warning"/);
  assertMatch(added.stderr, words);
  const checked = await withKeys(one).check();
  assertQuiet(checked);
  assertMatch(checked.stderr, words);
  assertError(await withKeys(one, REQUIRED).check(), 116, words);
  await assertInPod([one.rdmaDevice]);
  assertQuiet(await withKeys(one).del());
  assertNothingLeft();
});

vmCase("ready: where no sysfs can be mounted, ADD is as before, and CHECK says so if it must", async () => {
  const one = await podWithAddress();
  const wrapper = "strace -f --seccomp-bpf -o /dev/null -e trace=fsopen -e inject=fsopen:error=EPERM".split(
    " ",
  );
  assertResult(await withKeys(one, REQUIRED).add({ wrapper }));
  assertQuiet(await withKeys(one).check({ wrapper }));
  assertError(await withKeys(one, REQUIRED).check({ wrapper }), 116, /cannot be read: .*fsopen: EPERM/);
  assertQuiet(await withKeys(one).del());
});
