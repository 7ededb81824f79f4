// What the doctor finds on nodes in good and in bad health, by what it prints for machines.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  assertError,
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
  casesWith,
  type CompleteFunction,
  deleteNetns,
  endBackground,
  holdNetns,
  hostRdmaDevices,
  names,
  netdevToNetns,
  type Outcome,
  outcome,
  pf,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  setNetnsMode,
  setSimParameter,
  sh,
  shOk,
  startBackground,
  unbind,
  until,
  vf,
  vfs,
  withLauncher,
} from "../../rig/vm/guest/harness.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";
import {
  COMPILED_PLUGIN,
  EXAMPLES,
  INSTALLED_PLUGIN,
  PROJECT,
  WITHOUT_LIBMNL,
} from "../../rig/vm/guest/programs.ts";
import { goRecord } from "../../scenarios/scenario.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

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
function doctorCase(name: string, run: () => Promise<unknown>, fields?: CaseFields): void {
  vmCase(`doctor: ${name}`, () => withLauncher(run), fields);
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

/**
 * Runs what follows each "->" in a shell, as it stands. What a comment alone says is for people to do. In place of
 * kubectl and crictl stands a program that writes down what it is told.
 *
 * @returns what these two were told
 */
async function repair(findings: Finding[]): Promise<string> {
  const bin = await Deno.makeTempDir();
  for (const name of ["kubectl", "crictl"]) {
    await Deno.writeTextFile(`${bin}/${name}`, `#!/bin/sh\necho ${name} "$@" >>${bin}/told\n`, {
      mode: 0o755,
    });
  }
  await Deno.writeTextFile(`${bin}/told`, "");
  for (const { fix } of faults(findings)) await shOk(`PATH=${bin}:$PATH\n${fix}`);
  const told = await Deno.readTextFile(`${bin}/told`);
  await Deno.remove(bin, { recursive: true });
  return told.trimEnd();
}

/** Of the pod of Kubernetes whose devices doctor is asked about. */
const ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=trainer-0";

/** A pod that has a function's interface and its RDMA device. */
async function addWholePod(): Promise<CompleteFunction> {
  const one = await addPod();
  await netdevToNetns(one.netdev, "pod", "net1");
  assertResult(await attachment(one.deviceId, { args: ARGS }).add());
  return one;
}

/** Names whose numbers have one digit. */
function sorted(names: string[]): string {
  return names.sort().join(", ");
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
  assertEquals(textOf(findings, "devices"), `in the host namespace: ${sorted(await rdmaNames())}`);
  assertEquals(textOf(findings, "records"), "none");
  assertMatch(textOf(findings, "networks"), /: 10-roce\.conflist$/);
  assertMatch(textOf(findings, "plugin"), /^\/opt\/cni\/bin\/rdma is version \d/);

  const { code, stdout } = await rdmaCni("doctor");
  assertEquals(code, 0);
  assertMatch(stdout, /^ok {7}mode {6}exclusive now.*\n\nThis node is ready for RDMA in pods\.\n$/ms);
  return stdout;
}, { sets: ["surroundings", "newest"] });

doctorCase("a node in shared mode", async () => {
  await setNetnsMode("shared");
  await addNetns("pod");
  const findings = await doctor();
  assertFaults(findings, [
    /^problem mode: shared now, want exclusive.*after a reboot exclusive.* -> \S+ netns-mode set exclusive # reboot if/,
  ]);
  assertEquals(textOf(findings, "devices"), `visible in every namespace: ${sorted(await rdmaNames())}`);
  await deleteNetns("pod");
  await repair(findings);
  assertFaults(await doctor(), []);
});

doctorCase("a node that is half configured", async () => {
  const { netdev } = pf();
  await shOk(`ip link set ${netdev} vf 1 mac 00:00:00:00:00:00`);
  rebind(vfs()[1]!.deviceId);
  unbind(vfs()[6]!.deviceId);
  await shOk(`ip link set ${netdev} vf 5 mac 00:00:00:00:00:00`);
  await addNetns("other");
  const away = vf(2).rdmaDevice;
  await rdmaToNetns(away, "other");
  const plugins = [{ type: "rdma", deviceId: "x" }, { type: "sriov" }];
  const conflist = { cniVersion: "1.0.0", name: "wrong", plugins };
  await Deno.writeTextFile(`${NET_D}/10-wrong.conflist`, JSON.stringify(conflist));
  await Deno.writeTextFile(`${NET_D}/20-alone.conf`, '{"cniVersion":"1.0.0","name":"alone","type":"rdma"}');
  await Deno.copyFile(`${EXAMPLES}/roce.conflist`, `${NET_D}/30-list.conf`);
  writeRecord("net-go-net1", goRecord(vf(3), "mlx5_9"));
  writeRecord("net-cut-net1", '{"version":"1.');
  const findings = await doctor();
  assertFaults(findings, [
    new RegExp(`^problem vfs: ${netdev}: VF 1: .* -> /opt/cni/bin/rdma vf-mac init ${netdev}$`),
    new RegExp(
      `^warning vfs: ${netdev}: VF 5: no administrative address, .* -> /opt/cni/bin/rdma vf-mac init ${netdev}$`,
    ),
    new RegExp(
      `^warning vfs: ${netdev}: VF 6: no driver is bound -> echo \\S+ > /sys/bus/pci/drivers_probe$`,
    ),
    new RegExp(
      `^problem devices: ${away} in /run/netns/other, which no record .* 111\\) -> umount /run/netns/other # `,
    ),
    /^warning records: .*net-cut-net1": it is not JSON.* -> rm \/var\/lib\/cni\/rdma\/net-cut-net1$/,
    /^warning records: net-go-net1 is stale: .* -> \S+ gc$/,
    /^problem networks: .*10-wrong\.conflist:1:\d+: "rdma" comes before "sriov"/,
    /^warning networks: .*10-wrong\.conflist:1:\d+: .*"deviceId" -> # write "deviceID"/,
    /^problem networks: .*20-alone\.conf:1:1: "rdma" is not chained/,
    /^problem networks: \S+30-list\.conf has a list of plugins, but is no \.conflist -> mv \S+ \S+30-list\.conflist$/,
  ]);
  assertEquals(records(), ["net-cut-net1", "net-go-net1"]);
  const { stdout } = await rdmaCni("doctor");

  // Configurations are for people to correct.
  await repair(findings);
  await until("the device is on the host", async () => (await rdmaNames()).includes(away));
  const left = await doctor();
  assertEquals(faults(left).map(({ group }) => group), ["networks", "networks", "networks"]);
  assert(faults(left).every(({ fix }) => fix!.startsWith("# ")), JSON.stringify(left));
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
    /^problem records: net-lost-net1: mlx5_\d of \S+ not in \/run\/netns\/lost.* -> crictl rmp --force lost # /,
    /^warning records: net-reboot-net1 is stale: it is from before the last boot -> \S+ gc$/,
  ]);
  assertEquals(await repair(await doctor()), "crictl rmp --force lost");
  assertQuiet(await attachment(vf(1).deviceId, { netns: "lost", containerId: "lost" }).del());
  await deleteNetns("reboot");
  assertFaults(await doctor(), []);
});

doctorCase("a namespace that has lost its path is found by its process", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await attachment(deviceId).add());
  const holder = await holdNetns("pod");
  await shOk("ip netns del pod");
  const findings = await doctor();
  assert(
    findings.some(({ text }) => text === `container container1 net1: ${rdmaDevice}`),
    JSON.stringify(findings),
  );
  assertFaults(findings, [
    new RegExp(
      `^warning records: net-container1-net1: .*something keeps the namespace alive, .* -> kill ${holder.pid} # if `,
    ),
  ]);
  await repair(findings);
  await until("the namespace has gone", async () => (await rdmaNames()).includes(rdmaDevice));
  await repair(await doctor());
  assertFaults(await doctor(), []);
});

doctorCase("a device whose namespace only a socket keeps alive is made anew by what it says", async () => {
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await attachment(deviceId).add());
  await shOk("ip -n pod link set lo up");
  const hold = "exec 3<>/dev/udp/127.0.0.1/9; echo held; exec nsenter --net=/proc/1/ns/net sleep 600";
  await startBackground(`exec ip netns exec pod bash -c '${hold}'`, "held");
  await until("no process is in the namespace", async () => await shOk("ip netns pids pod") === "");
  await shOk("ip netns del pod");
  const findings = await doctor();
  assertFaults(findings, [
    new RegExp(
      `^warning records: net-container1-net1: .* ${rdmaDevice} of .* no path, process or open file .* -> echo ${deviceId} >`,
    ),
  ]);
  await repair(findings);
  await until("it has a device", () => names(`/sys/bus/pci/devices/${deviceId}`).includes("infiniband"));
  await repair(await doctor());
  assertFaults(await doctor(), []);
});

/** What node-problem-detector runs. */
const RULE = JSON.parse(
  await Deno.readTextFile(`${PROJECT}/deployment/monitoring/node-problem-detector.json`),
).rules[0] as { path: string; args: string[] };

doctorCase(
  "the summary counts devices on the host, in pods and lost, for node-problem-detector too",
  async () => {
    const total = (await rdmaNames()).length;
    const ask = async (by = "") => {
      const people = await sh(`${by} ${INSTALLED_PLUGIN} doctor --summary`);
      const detector = await sh([by, RULE.path, ...RULE.args].join(" "));
      assertEquals([people.stderr, detector.stderr, detector.stdout], ["", "", people.stdout]);
      assert(people.stdout.length <= 81, people.stdout);
      return [people.stdout.trimEnd(), people.code, detector.code];
    };
    const line = (accounted: number, places: string) =>
      `${accounted} of ${total} RDMA devices accounted for: ${places}`;
    assertEquals(await ask(), [line(total, `${total} on the host, 0 in pods`), 0, 0]);

    const pods = ["first", "second"].map((name, number) => {
      const { deviceId, rdmaDevice } = vf(number);
      const call = { netns: name, containerId: name, config: config({ deviceID: deviceId }) };
      return { name, rdmaDevice, ...attachment(deviceId, call) };
    });
    for (const { name, add } of pods) {
      await addNetns(name);
      assertResult(await add());
    }
    assertEquals(await ask(), [line(total, `${total - 2} on the host, 2 in pods`), 0, 0]);

    await addNetns("other");
    await rdmaToNetns(vf(2).rdmaDevice, "other");
    assertEquals(await ask(), [line(total - 1, `${total - 3} on the host, 2 in pods, 1 lost`), 1, 1]);

    await shOk("ip -n second link set lo up");
    const hold = "exec 3<>/dev/udp/127.0.0.1/9; echo held; exec nsenter --net=/proc/1/ns/net sleep 600";
    await startBackground(`exec ip netns exec second bash -c '${hold}'`, "held");
    await until("no process is in the namespace", async () => await shOk("ip netns pids second") === "");
    await shOk("ip netns del second");
    assertEquals(await ask(), [line(total - 2, `${total - 3} on the host, 1 in pods, 2 lost`), 1, 1]);
    const { code, stdout } = await rdmaCni("doctor --summary --json");
    const { lost, unknown, level } = JSON.parse(stdout);
    assertEquals([code, lost, unknown, level], [1, 2, 0, "problem"]);

    const [, ...places] = await ask("unshare --pid --fork --mount-proc");
    assertEquals(places, [3, 2]);
    const few = await sh(
      `setpriv --bounding-set -sys_admin --inh-caps -sys_admin ${INSTALLED_PLUGIN} doctor --summary -o npd`,
    );
    assertEquals([few.code, few.stderr], [2, ""]);
    assertMatch(few.stdout, /^.*EPERM.{0,60}\n$/);

    await endBackground();
    await deleteNetns("other");
    await until("the devices are back", async () => (await rdmaNames()).length === total - 1);
    assertEquals(await ask(), [line(total, `${total - 1} on the host, 1 in pods`), 0, 0]);
    await repair(await doctor());
    assertQuiet(await pods[0]!.del());
  },
);

doctorCase("a port of a pod that is down, until its interface is up", async () => {
  const { rdmaDevice, deviceId } = await addWholePod();
  await shOk("ip -n pod link set net1 down");
  setSimParameter("port_state", 1); // the device does not follow its interface by itself
  const findings = await doctor();
  const text = `team-a/trainer-0 net1: port 1 of ${rdmaDevice} is DOWN, want ACTIVE`;
  const fix = "nsenter --net=/run/netns/pod ip link set net1 up";
  assertFaults(findings, [new RegExp(`^problem devices: ${text} -> ${fix}$`)]);
  const pods = await rdmaCni("pods");
  assertEquals([pods.code, pods.stderr], [3, `${text}: ${fix}\n`]);
  const [device] = JSON.parse((await rdmaCni("pods --json")).stdout);
  assertEquals([device.deviceID, device.state, device.findings], [deviceId, "present", [{
    level: "problem",
    text,
    fix,
  }]]);

  await repair(findings);
  assertMatch(await shOk("ip -n pod link show net1"), /[<,]UP[,>]/);
  setSimParameter("port_state", 4);
  assertFaults(await doctor(), []);
  assertEquals((await rdmaCni("pods")).code, 0);
});

doctorCase("a pod's address without GID, until the pod has the interface of its device", async () => {
  const { deviceId, netdev } = await addPod();
  await shOk("ip -n pod link add net1 type dummy && ip -n pod address add 10.0.0.2/24 dev net1");
  assertResult(await attachment(deviceId, { args: ARGS }).add());
  const findings = await doctor();
  assertFaults(findings, [
    /^problem devices: team-a\/trainer-0 net1: \S+ has no GID for 10\.0\.0\.2, .* -> kubectl -n team-a delete pod trainer-0 # /,
  ]);
  assertEquals((await rdmaCni("pods")).code, 3);
  assertEquals(await repair(findings), "kubectl -n team-a delete pod trainer-0");
  assertQuiet(await attachment(deviceId, { args: ARGS }).del());
  await deleteNetns("pod");
  await addNetns("pod");
  await netdevToNetns(netdev, "pod", "net1");
  await shOk("ip -n pod address add 10.0.0.2/24 dev net1 && ip -n pod link set net1 up");
  assertResult(await attachment(deviceId, { args: ARGS }).add());
  assertFaults(await doctor(), []);
});

doctorCase("a pod's interface with a larger MTU than its PF, until it has the same", async () => {
  const { netdev } = pf();
  await addWholePod();
  await shOk("ip -n pod link set net1 mtu 2000");
  const findings = await doctor();
  assertFaults(findings, [
    new RegExp(
      `^warning devices: team-a/trainer-0 net1 has MTU 2000, but its PF ${netdev} 1500: .* -> nsenter .* mtu 1500 # `,
    ),
  ]);
  await repair(findings);
  assertFaults(await doctor(), []);
});

doctorCase("a state directory that all can write to, with which every ADD fails", async () => {
  await shOk("mkdir -p /var/lib/cni/rdma && chmod 0777 /var/lib/cni/rdma");
  const { deviceId } = await addPod();
  assertError(await attachment(deviceId).add(), 5, /others can write there/);
  const findings = await doctor();
  assertFaults(findings, [
    /^problem records: .* its mode 0777, want 0 and 0700, so every ADD fails -> chown 0:0 \S+ && chmod 0700 \S+ # /,
  ]);
  assertEquals((await rdmaCni("pods")).code, 3);
  await repair(findings);
  assertFaults(await doctor(), []);
  assertResult(await attachment(deviceId).add());
});

doctorCase("a launcher without its program, until another copy has installed it", async () => {
  const [own, aside] = ["/opt/cni/bin/.rdma-cni", "/opt/cni/bin/aside"];
  await Deno.rename(own, aside);
  try {
    for (const words of ["doctor", "install"]) {
      const { code, stdout } = await rdmaCni(words);
      assertEquals(code, 1);
      assertMatch(JSON.parse(stdout).details, /DaemonSet.*reinstall.*install --cni-bin-dir/);
    }
    const findings = await doctor((words) => sh(`${COMPILED_PLUGIN} ${words}`));
    assertFaults(findings, [
      /^problem plugin: \/opt\/cni\/bin\/rdma cannot start the program: Cannot run "\S+": ENOENT \(2\)[^{}]* -> \S+ install --cni-bin-dir \/opt\/cni\/bin$/,
    ]);
    await repair(findings);
    assertFaults(await doctor(), []);
  } finally {
    await shOk(`rm -rf ${own}`);
    await Deno.rename(aside, own);
  }
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
  assertFaults(without, [
    /^problem libmnl: Cannot open libmnl: .*; without it mode, VFs, devices and records cannot .* -> apt-get install/,
  ]);
  const directory = "/opt/cni/bin/.rdma-cni";
  await shOk(`cp /usr/lib/*/libmnl.so.0 ${directory}/libmnl.so.0`);
  const withCopy = await doctor(run);
  assertFaults(withCopy, []);
  assertEquals(textOf(withCopy, "libmnl"), `found: ${directory}/libmnl.so.0`);
});
