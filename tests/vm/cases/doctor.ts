// What the doctor finds on nodes in good and in bad health, by what it prints for machines.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
  writeRecord,
} from "../../rig/vm/guest/attachment.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  addPod,
  deleteNetns,
  endBackground,
  holdNetns,
  hostRdmaDevices,
  type Outcome,
  outcome,
  pf,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  setNetnsMode,
  sh,
  shOk,
  startBackground,
  unbind,
  until,
  vf,
  vfs,
  vmCase,
  withLauncher,
} from "../../rig/vm/guest/harness.ts";
import { EXAMPLES, INSTALLED_PLUGIN, WITHOUT_LIBMNL } from "../../rig/vm/guest/programs.ts";
import { goRecord } from "../../scenarios/scenario.ts";

interface Finding {
  group: string;
  level: string;
  text: string;
  fix?: string;
}

const NET_D = "/etc/cni/net.d";
const CODES = { ok: 0, warning: 3, problem: 1 };

/** Runs the doctor, which must end with the exit code that goes with what it found. */
async function doctor(run: (words: string) => Promise<Outcome> = rdmaCni): Promise<Finding[]> {
  const { code, stdout, stderr } = await run("doctor --json");
  assertEquals(stderr, "");
  const { level, findings } = JSON.parse(stdout) as { level: keyof typeof CODES; findings: Finding[] };
  assertEquals(code, CODES[level], stdout);
  assert(findings.every(({ level, fix }) => (level === "ok") === (fix === undefined)), stdout);
  return findings;
}

/** A case on a node on which the plugin is installed, not copied by hand. */
function doctorCase(name: string, run: () => Promise<unknown>): void {
  vmCase(`doctor: ${name}`, () => withLauncher(run));
}

/** Those that are not ok. */
function faults(findings: Finding[]): Finding[] {
  return findings.filter(({ level }) => level !== "ok");
}

/** Asserts that the faults are these, each line given as `level group: text -> fix`, in this order. */
function assertFaults(findings: Finding[], wanted: RegExp[]): void {
  const lines = faults(findings).map(({ level, group, text, fix }) => `${level} ${group}: ${text} -> ${fix}`);
  assertEquals(lines.length, wanted.length, lines.join("\n"));
  for (const [index, words] of wanted.entries()) assertMatch(lines[index]!, words);
}

/** Waits until a process has a name. */
async function untilRunning(name: string): Promise<void> {
  await until(`${name} runs`, async () => (await sh(`grep -qx ${name} /proc/[0-9]*/comm`)).code === 0);
}

/** The text of a group's only line. */
function textOf(findings: Finding[], group: string): string {
  const [first, ...more] = findings.filter((finding) => finding.group === group);
  assertEquals(more, []);
  return first!.text;
}

doctorCase("a healthy node has no fault, and each group its facts", async () => {
  await Deno.copyFile(`${EXAMPLES}/roce.conflist`, `${NET_D}/10-roce.conflist`);
  const findings = await doctor();
  assertFaults(findings, []);
  assertEquals(textOf(findings, "kernel"), await shOk("uname -r"));
  assertMatch(textOf(findings, "modules"), /^ib_core loaded, ib_uverbs loaded, rdma_ucm loaded$/);
  assertMatch(textOf(findings, "mode"), /^exclusive now, after a reboot exclusive \(\/proc\/cmdline:1\)$/);
  assertMatch(
    textOf(findings, "sriov"),
    new RegExp(`^eth0 \\(${pf().deviceId}\\), driver igb: 7 of 7 VFs$`),
  );
  assertMatch(textOf(findings, "vfs"), /^7 of 7 ready/);
  assertEquals(textOf(findings, "devices"), `in the host namespace: ${(await rdmaNames()).join(", ")}`);
  assertEquals(textOf(findings, "records"), "none");
  assertMatch(textOf(findings, "networks"), /: 10-roce\.conflist$/);
  assertMatch(textOf(findings, "plugin"), /^\/opt\/cni\/bin\/rdma is version \d/);

  const { code, stdout } = await rdmaCni("doctor");
  assertEquals(code, 0);
  assertMatch(stdout, /^ok {7}mode {6}exclusive now.*\n\nThis node is ready for RDMA in pods\.\n$/ms);
  return stdout;
});

doctorCase("a pod's devices are told with the pod, and its record fits", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await attachment(deviceId).add());
  const findings = await doctor();
  assertFaults(findings, []);
  const inPod = `in /run/netns/pod: ${rdmaDevice} (container container1, net1, network net)`;
  assert(findings.some(({ text }) => text === inPod), JSON.stringify(findings));
  assertMatch(textOf(findings, "records"), /^1 in \/var\/lib\/cni\/rdma that match/);
  assertMatch(textOf(findings, "vfs"), /^7 of 7 ready/);
  assertQuiet(await attachment(deviceId).del());
});

doctorCase("a node in shared mode", async () => {
  await setNetnsMode("shared");
  await addNetns("pod");
  const findings = await doctor();
  assertFaults(findings, [
    /^problem mode: shared now, want exclusive.*after a reboot exclusive.* -> reboot$/,
  ]);
  assertEquals(textOf(findings, "devices"), `visible in every namespace: ${(await rdmaNames()).join(", ")}`);
});

doctorCase("a node that is half configured", async () => {
  const { netdev } = pf();
  await shOk(`ip link set ${netdev} vf 1 mac 00:00:00:00:00:00`);
  rebind(vfs()[1]!.deviceId);
  unbind(vfs()[6]!.deviceId);
  await addNetns("other");
  const away = vf(2).rdmaDevice;
  await rdmaToNetns(away, "other");
  const plugins = [{ type: "rdma", deviceId: "x" }, { type: "sriov" }];
  const conflist = { cniVersion: "1.0.0", name: "wrong", plugins };
  await Deno.writeTextFile(`${NET_D}/10-wrong.conflist`, JSON.stringify(conflist));
  await Deno.writeTextFile(`${NET_D}/20-alone.conf`, '{"cniVersion":"1.0.0","name":"alone","type":"rdma"}');
  writeRecord("net-go-net1", goRecord(vf(3), "mlx5_9"));
  writeRecord("net-cut-net1", '{"version":"1.');
  const findings = await doctor();
  assertFaults(findings, [
    new RegExp(`^problem vfs: ${netdev}: VF 1: .* -> /opt/cni/bin/rdma vf-mac init ${netdev}$`),
    new RegExp(`^warning vfs: ${netdev}: VF 6: no driver is bound -> for vf in \\S+; do echo`),
    new RegExp(`^warning devices: in /run/netns/other: ${away}, which no record of the plugin mentions -> `),
    /^warning records: .*net-cut-net1": it is not JSON.* -> rm \/var\/lib\/cni\/rdma\/net-cut-net1$/,
    /^warning records: net-go-net1 is stale: .* -> \S+ gc$/,
    /^problem networks: .*10-wrong\.conflist:1:\d+: "rdma" comes before "sriov"/,
    /^warning networks: .*10-wrong\.conflist:1:\d+: .*"deviceId" -> write "deviceID"/,
    /^problem networks: .*20-alone\.conf:1:1: "rdma" is not chained/,
  ]);
  assertEquals(records(), ["net-cut-net1", "net-go-net1"]);
  const { stdout } = await rdmaCni("doctor");

  // What it says fixes what it can; configurations are for people to correct.
  for (const { group, fix = "" } of faults(findings)) {
    if (group !== "networks") await shOk(fix.replace(/^unless .*: (?=umount)/, ""));
  }
  await until("the device is on the host", async () => (await rdmaNames()).includes(away));
  assertEquals([...new Set(faults(await doctor()).map(({ group }) => group))], ["networks"]);
  return stdout;
});

doctorCase("records whose pod is gone, has lost its device, or is of an earlier boot", async () => {
  for (const [number, name] of ["gone", "lost", "reboot"].entries()) {
    await addNetns(name);
    const { deviceId } = vf(number);
    const call = { netns: name, containerId: name, config: config({ deviceID: deviceId }) };
    assertResult(await attachment(deviceId, call).add());
  }
  await deleteNetns("gone");
  const [lost] = await rdmaNames("lost");
  await hostRdmaDevices(lost!, "lost");
  const file = "/var/lib/cni/rdma/net-reboot-net1";
  const record = JSON.parse(await Deno.readTextFile(file));
  await Deno.writeTextFile(file, JSON.stringify({ ...record, bootID: "another" }));
  assertFaults(await doctor(), [
    /^warning records: net-gone-net1 is stale: \/run\/netns\/gone has gone.* -> \S+ gc$/,
    /^problem records: net-lost-net1: mlx5_\d of \S+ not in \/run\/netns\/lost.* -> delete the pod/,
    /^warning records: net-reboot-net1 is stale: it is from before the last boot -> \S+ gc$/,
  ]);
});

doctorCase("a namespace that has lost its path is found by its process", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await attachment(deviceId).add());
  const holder = await holdNetns("pod");
  await shOk("ip netns del pod");
  const findings = await doctor();
  assert(
    findings.some(({ text }) =>
      text.startsWith(`in /proc/${holder.pid}/ns/net: ${rdmaDevice} (container container1`)
    ),
    JSON.stringify(findings),
  );
  assertFaults(findings, [
    new RegExp(
      `^warning records: net-container1-net1: .*something keeps the namespace alive, .* -> if .*: kill ${holder.pid}$`,
    ),
  ]);
});

doctorCase("nothing on the node is changed", async () => {
  const look = async () => [
    await rdmaDevices(),
    await shOk(
      "ip link; rdma system; find /etc/cni /etc/modprobe.d /opt/cni /var/lib/cni -printf '%p %s %T@ %m\\n' | sort",
    ),
  ];
  const before = await look();
  await doctor();
  assertEquals(await look(), before);
});

doctorCase("without rights it tells what it could not see", async () => {
  await addNetns("pod");
  await shOk("mkdir -p -m 700 /var/lib/cni/rdma");
  const powerless = "setpriv --reuid=65534 --regid=65534 --clear-groups";
  const findings = faults(await doctor((words) => sh(`${powerless} ${INSTALLED_PLUGIN} ${words}`)));
  assert(findings.some(({ group }) => group === "devices"), JSON.stringify(findings));
  assert(
    findings.some(({ group, fix }) => group === "records" && fix?.includes("as root")),
    JSON.stringify(findings),
  );
});

doctorCase("a node without libmnl, until a copy is put beside the plugin", async () => {
  const [unshare, ...rest] = WITHOUT_LIBMNL;
  const run = (words: string) =>
    outcome(new Deno.Command(unshare!, { args: [...rest, INSTALLED_PLUGIN, ...words.split(" ")] }));
  const without = await doctor(run);
  assertMatch(textOf(without, "libmnl"), /^Cannot open libmnl: /);
  const groups = faults(without).map(({ group }) => group);
  assertEquals(groups, ["mode", "libmnl", "vfs", "devices", "records"]);
  const directory = "/opt/cni/bin/.rdma-cni";
  await shOk(`cp /usr/lib/*/libmnl.so.0 ${directory}/libmnl.so.0`);
  const withCopy = await doctor(run);
  assertFaults(withCopy, []);
  assertEquals(textOf(withCopy, "libmnl"), `found: ${directory}/libmnl.so.0`);
});

doctorCase("a runtime whose containers may not lock memory", async () => {
  await shOk("cp /bin/sleep /run/containerd");
  try {
    const limits = [[2 ** 23, [/^warning runtime: .* 8192 KiB .* -> mkdir -p /]], [2 ** 30, []]] as const;
    for (const [bytes, wanted] of limits) {
      await startBackground(`echo here && exec prlimit --memlock=${bytes} /run/containerd 600`, "here");
      await untilRunning("containerd");
      assertFaults(await doctor(), [...wanted]);
      await endBackground();
    }
  } finally {
    await endBackground();
    await shOk("rm /run/containerd");
  }
});

vmCase("doctor: a copy by hand works, but not under thick Multus, whose limits are too low", async () => {
  assertFaults(await doctor(), [/^warning plugin: .* without launcher: .* -> .*rdma install --cni-bin-dir/]);
  await shOk("echo '+memory +cpu' >/sys/fs/cgroup/cgroup.subtree_control");
  const group = "/sys/fs/cgroup/multus";
  await shOk(`mkdir ${group} && cp /bin/sleep /run/multus-daemon`);
  try {
    await shOk(
      `echo 50M >${group}/memory.max && echo 1 >${group}/memory.oom.group && echo 10000 100000 >${group}/cpu.max`,
    );
    await startBackground(
      `echo $$ >${group}/cgroup.procs && echo here && exec /run/multus-daemon 600`,
      "here",
    );
    await untilRunning("multus-daemon");
    assertFaults(await doctor(), [
      /^problem plugin: .* without launcher: thick Multus 4\.1\.0 and newer cannot start it -> /,
      /^problem multus: .* 50 MiB, want 256: .*memory\.oom\.group.* -> kubectl .*patch daemonset kube-multus-ds/,
      /^warning multus: .* 100m, want 500m or none/,
    ]);
  } finally {
    await endBackground();
    await shOk(`rm /run/multus-daemon && rmdir ${group}`);
  }
});
