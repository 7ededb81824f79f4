// Names that RDMA devices get in a pod, and their old ones that they get back, on a kernel whose names are unique on the
// whole node.
import assert from "node:assert/strict";
import {
  again,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  prevResult,
  readRecord,
  records,
  writeRecord,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  hostRdmaDevices,
  netdevToNetns,
  netnsPath,
  pf,
  plugin,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  setSimParameter,
  sf,
  shOk,
  vf,
  vfs,
  vmCase,
} from "../../rig/vm/guest/harness.ts";

const FILE = "net-container1-net1";
const KEEP = { rdmaDeviceNameConflict: "keep" };

/** An attachment of a function that asks for a name. */
function named(
  deviceId: string,
  rdmaDeviceName: string,
  more: Record<string, unknown> = {},
  call: Parameters<typeof attachment>[1] = {},
) {
  return attachment(deviceId, { config: config({ deviceID: deviceId, rdmaDeviceName, ...more }), ...call });
}

/** A pod whose device of VF 0 is called roce0. */
async function namedPod() {
  await addNetns("pod");
  const function_ = vf(0);
  const one = named(function_.deviceId, "roce0");
  assertResult(await one.add());
  await assertInPod(["roce0"]);
  return { ...function_, ...one };
}

/** Asserts that a function's device is on the host under its own name, and no record is left. */
function assertOnHost(function_: { deviceId: string; rdmaDevice: string }): void {
  assertNothingLeft();
  assert.deepEqual(again(function_).rdmaDevices, [function_.rdmaDevice]);
}

/** All that a call that is refused may not change: devices, their numbers, names and character devices. */
async function nodeState(): Promise<string[]> {
  const uverbs = await shOk("grep -H . /sys/class/infiniband_verbs/uverbs*/ibdev");
  return [JSON.stringify(await rdmaDevices()), uverbs, ...records()];
}

vmCase("names: two VFs of a pod by one template, recorded, checked, and given back", async () => {
  await addNetns("pod");
  const before = await rdmaDevices();
  const pods = [vf(0), vf(1)].map((function_, i) => {
    const call = { ifname: `net${i + 1}` };
    const bare = { prevResult: prevResult({ interfaces: [] }) };
    return { ...function_, ...named(function_.deviceId, "roce_{index}", bare, call) };
  });
  for (const { add } of pods) {
    const added = await add();
    assertResult(added);
    assert.deepEqual(added.json, prevResult({ interfaces: [] }));
  }
  await assertInPod(["roce_0", "roce_1"]);
  const indexes = pods.map(({ rdmaDevice }) => before.find(({ name }) => name === rdmaDevice)!.index);
  assert.deepEqual((await rdmaDevices("pod")).map(({ index }) => index).sort(), [...indexes].sort());
  assert.deepEqual(
    pods.map((_, i) => readRecord(`net-container1-net${i + 1}`)["devices"]),
    pods.map(({ rdmaDevice }, i) => [{ index: indexes[i], hostName: rdmaDevice, podName: `roce_${i}` }]),
  );
  for (const { check } of pods) assertQuiet(await check());
  for (const { add } of pods) assertResult(await add());
  await assertInPod(["roce_0", "roce_1"]);
  for (const { del } of pods) assertQuiet(await del());
  assertNothingLeft();
  assert.deepEqual(await rdmaDevices(), before);
});

vmCase("names: by interface, and of a scalable function", async () => {
  await addNetns("pod");
  const [first, second] = [vf(2), sf(0)];
  const calls = [
    named(first.deviceId, "rdma_{ifname}"),
    named(second.deviceId, "rdma_{ifname}", {}, { ifname: "net2" }),
  ];
  for (const { add } of calls) assertResult(await add());
  await assertInPod(["rdma_net1", "rdma_net2"]);
  for (const { del } of calls) assertQuiet(await del());
  assertOnHost(first);
  assertOnHost(second);
});

vmCase("names: CNI_ARGS goes before args.cni, and that before the configuration", async () => {
  await addNetns("pod");
  const function_ = vf(0);
  const args = { cni: { rdmaDeviceName: "of_args" } };
  const environment = { CNI_ARGS: "IgnoreUnknown=0;K8S_POD_NAME=a;rdmaDeviceName=of_env_{ifname};Unknown=1" };
  const { deviceId } = function_;
  for (
    const [call, name] of [
      [named(deviceId, "of_config"), "of_config"],
      [named(deviceId, "of_config", { args }), "of_args"],
      [named(deviceId, "of_config", { args }, { environment }), "of_env_net1"],
      [attachment(deviceId, { environment }), "of_env_net1"],
    ] as const
  ) {
    assertResult(await call.add());
    await assertInPod([name]);
    assertQuiet(await call.del());
    assertOnHost(function_);
  }
});

vmCase("names: several devices of a function need {index}", async () => {
  await addNetns("pod");
  setSimParameter("devices_per_function", 2);
  const { deviceId } = vf(0);
  rebind(deviceId);
  const { rdmaDevices } = vfs()[0]!;
  assert.equal(rdmaDevices.length, 2);
  assertError(await named(deviceId, "rdma_{ifname}").add(), 7, /2 RDMA devices.*without \{index\}/);
  assertNothingLeft();
  const one = named(deviceId, "rdma_{ifname}_{index}");
  assertResult(await one.add());
  await assertInPod(["rdma_net1_0", "rdma_net1_1"]);
  assertQuiet(await one.del());
  assert.deepEqual(vfs()[0]!.rdmaDevices, rdmaDevices);
});

vmCase("names: one that no device can have is code 7; the longest there can be is given whole", async () => {
  await addNetns("pod");
  const function_ = vf(0);
  const before = await nodeState();
  for (const name of ["a/b", "..", "a b", "mlx5_%d", "mlx5_{port}", "x".repeat(64)]) {
    assertError(
      await named(function_.deviceId, name).add(),
      7,
      /Cannot name RDMA devices by "rdmaDeviceName"/,
    );
  }
  assert.deepEqual(await nodeState(), before);
  const longest = `${"x".repeat(61)}ä`;
  const one = named(function_.deviceId, longest);
  assertResult(await one.add());
  await assertInPod([longest]);
  assertQuiet(await one.del());
  assertOnHost(function_);
});

vmCase("names: one that is taken is refused, tells who has it, and nothing has changed", async () => {
  for (const netns of ["pod", "other", "stranger"]) await addNetns(netns);
  const function_ = vf(0);
  const { deviceId } = function_;
  const foreign = vf(2);
  const holder = named(vf(1).deviceId, "roce0", {}, {
    netns: "other",
    containerId: "container2",
    ifname: "net7",
  });
  assertResult(await holder.add());
  await rdmaToNetns(foreign.rdmaDevice, "stranger");
  const before = await nodeState();
  const refused = async (name: string, words: RegExp): Promise<CniOutcome> => {
    const added = await named(deviceId, name).add();
    assertError(added, 114, words);
    assert.deepEqual(await nodeState(), before);
    assert.match(added.json!.details!, /EEXIST \(17\)/);
    assert.doesNotMatch(added.stderr, /moved to/);
    return added;
  };
  await refused(vf(3).rdmaDevice, /is taken: RDMA device \d+ has it, in the host's network namespace/);
  await refused(pf().rdmaDevices[0]!, /in the host's network namespace/);
  await refused(
    "roce0",
    /is taken: container "container2" has it as "net7" on network "net", in \/run\/netns\/other/,
  );
  await refused(
    foreign.rdmaDevice,
    /is taken: a device in another network namespace that is in no record has it/,
  );
  await hostRdmaDevices(foreign.rdmaDevice, "stranger");
  assertQuiet(await holder.del());
  assertOnHost(function_);
});

vmCase("names: one that is taken in the same pod", async () => {
  const pod = await namedPod();
  const second = vf(1);
  const added = await named(second.deviceId, "roce0", {}, { ifname: "net2" }).add();
  assertError(added, 114, /container "container1" has it as "net1" on network "net", in \/run\/netns\/pod/);
  await assertInPod(["roce0"]);
  assert.deepEqual(again(second).rdmaDevices, [second.rdmaDevice]);
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("names: of two devices the second's name is taken, so the first gets its own back", async () => {
  await addNetns("pod");
  setSimParameter("devices_per_function", 2);
  const { deviceId } = vf(0);
  rebind(deviceId);
  const { rdmaDevices } = vfs()[0]!;
  const other = vf(1).rdmaDevice;
  await shOk(`rdma dev set ${other} name roce_1`);
  assertError(await named(deviceId, "roce_{index}").add(), 114, /"roce_1" is taken/);
  assert.deepEqual(vfs()[0]!.rdmaDevices, rdmaDevices);
  assert.deepEqual(records(), []);
  await shOk(`rdma dev set roce_1 name ${other}`);
});

vmCase("names: one that is taken is warned of when the device may keep its own", async () => {
  await addNetns("pod");
  const function_ = vf(0);
  const { deviceId, rdmaDevice } = function_;
  const one = named(deviceId, vf(1).rdmaDevice, { ...KEEP, prevResult: prevResult({ interfaces: [] }) });
  const added = await one.add();
  assertResult(added);
  assert.match(
    added.stderr,
    /level="warning".*keeps its name, since the name .* is taken: RDMA device \d+ has it/,
  );
  await assertInPod([rdmaDevice]);
  const [device] = readRecord(FILE)["devices"] as { hostName: string; podName: string }[];
  assert.deepEqual([device!.hostName, device!.podName], [rdmaDevice, rdmaDevice]);
  assertQuiet(await one.check());
  assertQuiet(await one.del());
  assertOnHost(function_);
});

vmCase("names: a move that the kernel refuses gives the old name back", async () => {
  await addNetns("pod");
  setSimParameter("immovable", 1);
  const { deviceId } = vf(0);
  rebind(deviceId);
  const function_ = vf(0);
  assertError(await named(deviceId, "roce0").add(), 120, /cannot take it away/);
  assertOnHost(function_);
});

/** More requests than a call sends. */
const MANY = 30;

/** What a call is started by that kills it as it sends its nth request to the kernel. */
function killAt(n: number): string[] {
  assert.ok(n < MANY);
  return `strace -f -o /dev/null -e trace=sendto -e inject=sendto:error=EIO:signal=KILL:when=${n}`.split(" ");
}

const STRACE_LIMIT_MS = 400_000;

/** Where the function's device is, and under which name. */
async function place({ deviceId }: { deviceId: string }): Promise<string> {
  const [onHost] = again({ deviceId }).rdmaDevices;
  return onHost ? `host ${onHost}` : `pod ${(await rdmaNames("pod")).join()}`;
}

vmCase(
  "names: ADD killed at any request to the kernel, between rename and move too: DEL restores",
  async () => {
    await addNetns("pod");
    const function_ = vf(0);
    const one = named(function_.deviceId, "roce0");
    const seen = new Map<string, number>();
    for (let n = 1;; n++) {
      const added = await one.add({ wrapper: killAt(n) });
      if (added.code === 0) break;
      assert.equal(added.code, 137, added.stderr);
      seen.set(await place(function_), n);
      assertQuiet(await one.del());
      assertOnHost(function_);
    }
    assert.deepEqual([...seen.keys()], [`host ${function_.rdmaDevice}`, "host roce0", "pod roce0"]);
    assertQuiet(await one.del());

    assert.equal((await one.add({ wrapper: killAt(seen.get("host roce0")!) })).code, 137);
    assert.equal(await place(function_), "host roce0");
    assertResult(await one.add());
    await assertInPod(["roce0"]);
    assertQuiet(await one.del());
    assertOnHost(function_);
  },
  STRACE_LIMIT_MS,
);

vmCase("names: DEL killed at any request to the kernel: the next DEL restores", async () => {
  await addNetns("pod");
  const function_ = vf(0);
  const one = named(function_.deviceId, "roce0");
  const seen = new Set<string>();
  for (let n = 1;; n++) {
    assertResult(await one.add());
    const deleted = await one.del({ wrapper: killAt(n) });
    if (deleted.code === 0) break;
    assert.equal(deleted.code, 137, deleted.stderr);
    seen.add(await place(function_));
    assertQuiet(await one.del());
    assertOnHost(function_);
  }
  assert.deepEqual([...seen], ["pod roce0", "host roce0"]);
  assertOnHost(function_);
}, STRACE_LIMIT_MS);

vmCase("names: CHECK tells both names of a device that the pod renamed, DEL restores", async () => {
  await addNetns("pod");
  const function_ = vf(0);
  await netdevToNetns(function_.netdev, "pod", "net1");
  const one = named(function_.deviceId, "roce0", { cniVersion: "1.1.0" });
  assertResult(await one.add());
  assertQuiet(await one.check());
  await shOk(`nsenter --net=${netnsPath("pod")} rdma dev set roce0 name mine`);
  const both = `"roce0" \\(index \\d+, "${function_.rdmaDevice}" on the host\\)`;
  assertError(await one.check(), 113, new RegExp(`${both} is called "mine" by now`));
  assertQuiet(await one.del());
  assert.deepEqual(again(function_).rdmaDevices, [function_.rdmaDevice]);
  assert.deepEqual(records(), []);
});

vmCase(
  "names: the namespace has ended, and the device returned to the host under the pod's name",
  async () => {
    const pod = await namedPod();
    await deleteNetns("pod");
    assert.deepEqual(again(pod).rdmaDevices, ["roce0"]);
    assertQuiet(await pod.del());
    assertOnHost(pod);
  },
);

vmCase("names: the device returned to the host and was renamed there, as udev does", async () => {
  const pod = await namedPod();
  await hostRdmaDevices("roce0", "pod");
  await shOk("rdma dev set roce0 name rocep1s0v0");
  assertQuiet(await pod.del());
  assertOnHost(pod);
});

vmCase("names: GC restores what a pod that is gone has left", async () => {
  const pod = await namedPod();
  await deleteNetns("pod");
  assertQuiet(
    await plugin({
      command: "GC",
      config: { cniVersion: "1.1.0", name: "net", type: "rdma", "cni.dev/valid-attachments": [] },
      environment: { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined },
    }),
  );
  assertOnHost(pod);
});

vmCase(
  "names: a late DEL does not rename a newer pod's device, whose DEL restores the first name",
  async () => {
    const pod = await namedPod();
    await deleteNetns("pod");
    await addNetns("new");
    const newer = named(pod.deviceId, "roce1", {}, { netns: "new", containerId: "container2" });
    assertResult(await newer.add());
    await assertInPod(["roce1"], "new");
    assertQuiet(await pod.del());
    await assertInPod(["roce1"], "new");
    assert.deepEqual(records(), ["net-container2-net1"]);
    assertQuiet(await newer.del());
    assertOnHost(pod);
  },
);

vmCase("names: nor does it rename one that a newer record owns on the host", async () => {
  const pod = await namedPod();
  const record = readRecord(FILE);
  await deleteNetns("pod");
  writeRecord("net-container2-net1", {
    ...record,
    containerID: "container2",
    bootTimeUs: Number(record["bootTimeUs"]) + 1,
  });
  assertQuiet(await pod.del());
  assert.deepEqual(again(pod).rdmaDevices, ["roce0"]);
  assertQuiet(await pod.del({ containerId: "container2" }));
  assertOnHost(pod);
});

vmCase("names: who asks for one pays two requests to the kernel for it, all others none", async () => {
  await addNetns("pod");
  const { deviceId } = sf(0); // which is never bound anew, so that no request is spent on finding its index
  const count = async (one: ReturnType<typeof attachment>) => {
    const traces = ["/run/trace_add", "/run/trace_del"] as const;
    const traced = (trace: string) => ({ wrapper: ["strace", "-f", "-o", trace, "-e", "trace=sendto"] });
    assertResult(await one.add(traced(traces[0])));
    assertQuiet(await one.del(traced(traces[1])));
    return traces.map((trace) =>
      Deno.readTextFileSync(trace).split("\n").filter((line) => line.includes("sendto(")).length
    );
  };
  // The mode; the interface in the pod, which has none; the device; the move; the uverbs device that it has in the pod.
  // DEL: the mode; what the pod has; the move; the device on the host.
  assert.deepEqual(await count(attachment(deviceId)), [5, 4]);
  // What the pod has, and the rename; DEL: the rename.
  assert.deepEqual(await count(named(deviceId, "roce0")), [7, 5]);
});
