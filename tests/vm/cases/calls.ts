// What calls meet on a real node, beyond the scenarios: namespaces, buses, disks, rights and modules; and what they touch.
import { assert, assertEquals, assertMatch, assertNotMatch } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  assertError,
  assertInPod,
  assertNothingLeft,
  assertOnHost,
  assertQuiet,
  assertResult,
  attachment,
  bind,
  config,
  gc,
  holdNetns,
  INSTALLED_PLUGIN,
  isInMove,
  letKernelLoadModules,
  makeInfiniBand,
  names,
  netnsPath,
  outcome,
  pf,
  plugin,
  prevResult,
  rdmaDevices,
  rdmaToNetns,
  readRecord,
  records,
  reloadRdma,
  setSimParameter,
  sh,
  shOk,
  startBackground,
  STATE_DIRECTORY,
  unbind,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { WITHOUT_LIBMNL } from "../../rig/vm/guest/programs.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";

const WITH_OTHER_KERNELS: CaseFields = { sets: ["plugin", "newest", "oldest"] };
const FILE = "net-container1-net1";

/** A pod that has the device of VF 0. */
async function addedPod() {
  const function_ = await addPod();
  const one = attachment(function_.deviceId);
  assertResult(await one.add());
  await assertInPod([function_.rdmaDevice]);
  return { ...function_, ...one };
}

vmCase("del: the path is no namespace any more", async () => {
  const pod = await addedPod();
  await holdNetns("pod");
  await shOk("umount /run/netns/pod");
  assertQuiet(await pod.del());
  assertOnHost(pod);
}, WITH_OTHER_KERNELS);

vmCase("del: the function has gone from the bus", async () => {
  const pod = await addedPod();
  const sriov = `/sys/bus/pci/devices/${pf().deviceId}/sriov`;
  await shOk(`echo 0 >${sriov}_numvfs`);
  assertQuiet(await pod.del());
  assertEquals(records(), []);
  await shOk(
    `echo 0 >${sriov}_drivers_autoprobe; echo 7 >${sriov}_numvfs; echo 1 >${sriov}_drivers_autoprobe`,
  );
}, WITH_OTHER_KERNELS);

vmCase("del: another function's device with the recorded index, ib_core being reloaded, stays", async () => {
  await reloadRdma();
  const { deviceId, rdmaDevice } = vf(0);
  await shOk(`rdma dev set ${rdmaDevice} name old0`);
  await addNetns("pod");
  const one = attachment(deviceId);
  assertResult(await one.add());
  const [{ index }] = readRecord("net-container1-net1")["devices"] as [{ index: number }];
  try {
    await reloadRdma(() => unbind(deviceId));
    const before = await rdmaDevices();
    assertEquals(before.find((device) => device.index === index)?.name, vf(1).rdmaDevice);
    assertQuiet(await one.del());
    assertEquals([await rdmaDevices(), records()], [before, []]);
  } finally {
    await reloadRdma(() => bind(deviceId)); // before the devices, so that all have their names again
  }
}, WITH_OTHER_KERNELS);

// Disks and rights.

vmCase("refusal: on a full disk, or a read-only one, ADD moves nothing, and DEL restores", async () => {
  await addNetns("pod");
  const [before, after] = [attachment(vf(0).deviceId), attachment(vf(1).deviceId, { ifname: "net2" })];
  await shOk(`mkdir -p ${STATE_DIRECTORY} && mount -t tmpfs -o mode=700,size=64k tmpfs ${STATE_DIRECTORY}`);
  try {
    assertResult(await before.add());
    await shOk(`! dd if=/dev/zero of=${STATE_DIRECTORY}/.filler bs=4k`);
    assertError(
      await after.add(),
      5,
      /Cannot write .*net-container1-net2": ENOSPC \(28\), no space left.*have space left/,
    );
    assertEquals(records(), [".filler", FILE]);
    assertQuiet(await before.del());
    assertEquals(records(), [".filler"]);

    await shOk(`rm ${STATE_DIRECTORY}/.filler`);
    assertResult(await before.add());
    await shOk(`mount -o remount,ro ${STATE_DIRECTORY}`);
    assertError(await after.add(), 5, /Cannot write .*read-only.*must be writable/i);
    const status = await plugin({ command: "STATUS", config: config({ cniVersion: "1.1.0" }) });
    assertError(status, 50, /EROFS \(30\)/);
    const deleted = await before.del();
    assertQuiet(deleted);
    assertMatch(deleted.stderr, /level="warning".*Cannot remove .*read-only file system/);
    await assertInPod([]);
    assertEquals(records(), [FILE]);
    await shOk(`mount -o remount,rw ${STATE_DIRECTORY}`);
    assertQuiet(await before.del());
    assertEquals(records(), []);
  } finally {
    await shOk(`umount ${STATE_DIRECTORY}`);
  }
  assertNothingLeft();
});

const NEEDED = ["net_admin", "sys_admin"];

/** Starts the plugin as root with these capabilities and no other. */
function withOnly(...capabilities: string[]): string[] {
  const set = ["-all", ...capabilities.map((name) => `+${name}`)].join();
  return ["setpriv", "--bounding-set", set, "--inh-caps", "-all"];
}

/** VF 0 for a pod "pod", by a configuration that all commands take. */
async function pod() {
  const { deviceId, rdmaDevice } = await addPod();
  const all = config({ cniVersion: "1.1.0", deviceID: deviceId, prevResult: {} });
  return { rdmaDevice, all, ...attachment(deviceId, { config: all }) };
}

vmCase("faults: CAP_NET_ADMIN and CAP_SYS_ADMIN are enough for all commands", async () => {
  const { add, check, del, all, rdmaDevice } = await pod();
  const wrapper = withOnly(...NEEDED);
  assertQuiet(await plugin({ command: "STATUS", config: all, wrapper }));
  assertResult(await add({ wrapper }));
  await assertInPod([rdmaDevice]);
  assertQuiet(await check({ wrapper }));
  assertQuiet(await del({ wrapper }));
  assertNothingLeft();
  assertResult(await add({ wrapper }));
  assertQuiet(await gc({ "cni.dev/valid-attachments": [] }, { wrapper }));
  assertNothingLeft();
});

vmCase("faults: without either of the two ADD and DEL name them, and lose nothing", async () => {
  const { add, check, del, rdmaDevice } = await pod();
  const words = /EPERM \(1\).*CAP_NET_ADMIN.*CAP_SYS_ADMIN|CAP_NET_ADMIN.*CAP_SYS_ADMIN.*EPERM \(1\)/;
  for (const missing of NEEDED) {
    const wrapper = withOnly(...NEEDED.filter((name) => name !== missing));
    assertError(await add({ wrapper }), 120, words);
    assertNothingLeft();
    assertResult(await add());
    assertError(await del({ wrapper }), 120, words);
    if (missing === "sys_admin") assertError(await check({ wrapper }), 120, words);
    await assertInPod([rdmaDevice]);
    assertEquals(records(), ["net-container1-net1"]);
    assertQuiet(await del());
    assertNothingLeft();
  }
});

for (
  const { keeper, command, more } of [
    {
      keeper: "a process of another user",
      command: `exec nsenter --net=${netnsPath("pod")} setpriv --reuid 1000 --clear-groups sh -c`,
      more: ["sys_ptrace"],
    },
    {
      keeper: "an open file of another user",
      command: `exec 9<${netnsPath("pod")}; exec setpriv --reuid 1000 --clear-groups sh -c`,
      more: ["sys_ptrace", "dac_read_search"],
    },
  ]
) {
  const names = more.map((name) => `CAP_${name.toUpperCase()}`).join(" and ");
  vmCase(`faults: a namespace without path that ${keeper} keeps is found with ${names}`, async () => {
    const { add, del, rdmaDevice } = await pod();
    assertResult(await add());
    await startBackground(`${command} "echo ready; exec sleep infinity"`, "ready");
    await shOk("ip netns del pod");
    const blind = await del({ wrapper: withOnly(...NEEDED, ...more.slice(1)) });
    assertQuiet(blind);
    assertMatch(blind.stderr, /level="warning".*is not in the host namespace.*record .* stays/);
    assertQuiet(await del({ wrapper: withOnly(...NEEDED, ...more) }));
    assertNothingLeft();
    assertEquals(vf(0).rdmaDevice, rdmaDevice);
  });
}

// Libraries and modules.

vmCase("refusal: a node without libmnl, until a copy is put beside the plugin", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  const pod = attachment(deviceId, { wrapper: WITHOUT_LIBMNL });
  const [unshare, ...rest] = WITHOUT_LIBMNL;
  const doctor = async () => {
    const args = [...rest, INSTALLED_PLUGIN, "doctor", "--json"];
    const { findings } = JSON.parse((await outcome(new Deno.Command(unshare!, { args }))).stdout);
    const found = findings.find(({ group }: { group: string }) => group === "libmnl");
    return `${found.level}: ${found.text} -> ${found.fix}`;
  };
  assertError(await pod.add(), 102, /Cannot open libmnl.*libmnl0/);
  const status = { command: "STATUS", config: config({ cniVersion: "1.1.0" }), wrapper: WITHOUT_LIBMNL };
  assertError(await plugin(status), 50, /Cannot open libmnl/);
  assertMatch(
    await doctor(),
    /^problem: Cannot open libmnl: .*mode, VFs, devices and records cannot .* -> apt-get/,
  );
  assertNothingLeft();

  const directory = "/opt/cni/bin/.rdma-cni";
  await shOk(`install -D -m 644 /usr/lib/*/libmnl.so.0 ${directory}/libmnl.so.0`);
  assertResult(await pod.add());
  await assertInPod([rdmaDevice]);
  assertQuiet(await pod.del());
  assertNothingLeft();
  assertEquals(await doctor(), `ok: found: ${directory}/libmnl.so.0 -> undefined`);
  await shOk(`rm -r ${directory}`);
}, { sets: ["surroundings"] });

vmCase("uverbs: an ADD that has the kernel load ib_uverbs warns of no number that changed", async () => {
  using _helper = await letKernelLoadModules();
  try {
    await shOk(`modprobe --dirname "$MODULES" --remove rdma_ucm rdma_rxe ib_uverbs`);
    assertEquals(names("/sys/class/infiniband_verbs"), []);
    const { deviceId, rdmaDevice } = await addPod();
    const added = await attachment(deviceId).add();
    assertResult(added);
    assertNotMatch(added.stderr, /undefined|level="warning"/);
    assertMatch(
      added.stderr,
      /had no uverbs device when it was moved and has \/dev\/infiniband\/uverbs\d+ now/,
    );
    await assertInPod([rdmaDevice]);
    assertQuiet(await attachment(deviceId).del());
    assertNothingLeft();
  } finally {
    await reloadRdma(); // so that each index is the number of a uverbs device again
  }
});

// Interfaces that go with a move.

interface PodLink {
  ifindex: number;
  link_type: string;
  parentdev?: string;
  flags: string[];
}

/** An interface in the pod; undefined when it is not there. */
async function podLink(name: string): Promise<PodLink | undefined> {
  const { code, stdout } = await sh(`ip -n pod -json -details link show ${name}`);
  return code === 0 ? JSON.parse(stdout)[0] : undefined;
}

for (const isPartition of [false, true]) {
  const what = isPartition ? "of a partition has no parent" : "has the function as parent";
  vmCase(`infiniband: an IPoIB interface ${what}, and goes when the device moves`, async () => {
    const { deviceId } = vf(0);
    const { rdmaDevice, netdev } = await makeInfiniBand(deviceId);
    await addNetns("pod");
    await shOk(
      isPartition
        ? `ip link add link ${netdev} name net1 type ipoib pkey 0x8001 && ip link set net1 netns pod`
        : `ip link set ${netdev} netns pod name net1`,
    );
    const { link_type, parentdev } = (await podLink("net1"))!;
    assertEquals([link_type, parentdev], ["infiniband", isPartition ? undefined : deviceId]);
    await rdmaToNetns(rdmaDevice, "pod");
    assertEquals(await podLink("net1"), undefined);
  }, { sets: ["plugin", "newest"], needs: "linkParent" });
}

vmCase("infiniband: ADD is rolled back when an interface of the pod vanishes during the move", async () => {
  const { deviceId, rdmaDevice } = vf(1);
  const before = (await rdmaDevices()).find(({ name }) => name === rdmaDevice);
  await addNetns("pod");
  await shOk("ip -n pod link add net1 type dummy && ip -n pod link add net2 type dummy");
  const interfaces = ["net1", "net2"].map((name) => ({ name, sandbox: netnsPath("pod") }));
  setSimParameter("move_delay_ms", 2000);
  const adding = attachment(deviceId).add({
    config: config({ deviceID: deviceId, prevResult: prevResult({ interfaces }) }),
  });
  await until("the device moves", async () => {
    const { stdout } = await sh("pidof rdma");
    return stdout.split(" ").some((pid) => pid !== "" && isInMove(Number(pid)));
  });
  await shOk("ip -n pod link del net2");
  assertError(await adding, 113, /interface "net2".*vanished/);
  setSimParameter("move_delay_ms", 0);
  await assertInPod([]);
  assertEquals((await rdmaDevices()).find(({ name }) => name === rdmaDevice), before);
  assertEquals(records(), []);
  assert(await podLink("net1"));
}, { sets: ["plugin", "newest"] });

// What they touch.

const TRACE = "/run/trace";

vmCase("footprint: ADD and DEL write to state directory and log file alone, and start nothing", async () => {
  const { deviceId } = await addPod();
  const one = attachment(deviceId, {
    config: config({ deviceID: deviceId, logFile: "/run/plugin.log" }),
    wrapper: ["strace", "-f", "-y", "-o", TRACE],
  });
  // An index that is not the uverbs number is remembered by then.
  for (const call of ["add", "del"] as const) assertEquals((await attachment(deviceId)[call]()).code, 0);
  for (const call of ["add", "del"] as const) {
    const outcome = await one[call]();
    call === "add" ? assertResult(outcome) : assertQuiet(outcome);
    const trace = Deno.readTextFileSync(TRACE).split("\n");
    const calls = (pattern: RegExp) => trace.filter((line) => pattern.test(line));

    assertEquals(calls(/^\d+ +execve\(/).length, 1, "processes");
    assertEquals(calls(/^\d+ +(clone3?|v?fork)\(/), [], "threads and processes");
    assertEquals(calls(/"\/tmp/), [], "paths below /tmp");
    const unasked = /mountinfo|kubepods|rdma\.max|kernel\/config|\/tc\/|traffic_class|k8s\.cni/;
    assertEquals(calls(unasked), [], "limits, QoS and device information that nobody asked for");
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
