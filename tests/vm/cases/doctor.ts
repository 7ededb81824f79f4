// What the doctor finds on nodes in good and in bad health, by what it prints for machines.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  addNetns,
  addPod,
  assertCode,
  assertResult,
  attachment,
  casesWith,
  holdNetns,
  netdevToNetns,
  pf,
  rdmaCni,
  rdmaDevices,
  rdmaNames,
  rdmaToNetns,
  rebind,
  records,
  setSimParameter,
  sh,
  shOk,
  startBackground,
  unbind,
  until,
  vf,
  vfs,
  withLauncher,
  writeRecord,
} from "../../rig/vm/guest/harness.ts";
import type { CaseFields } from "../../rig/vm/kernels.ts";
import { EXAMPLES, INSTALLED_PLUGIN, PROJECT } from "../../rig/vm/guest/programs.ts";
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
async function doctor(): Promise<Finding[]> {
  const { code, stdout, stderr } = await rdmaCni("doctor --json");
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

/** Runs what follows each "->" in a shell, as it stands. What a comment alone says is for people to do. */
async function repair(findings: Finding[]): Promise<void> {
  for (const { fix } of faults(findings)) await shOk(fix!);
}

/** The text of a group's only line. */
function textOf(findings: Finding[], group: string): string {
  const [first, ...more] = findings.filter((finding) => finding.group === group);
  assertEquals(more, []);
  return first!.text;
}

doctorCase("a healthy node has no fault, each group has its facts, and nothing is changed", async () => {
  await Deno.copyFile(`${EXAMPLES}/roce.conflist`, `${NET_D}/10-roce.conflist`);
  const look = async () => [
    await rdmaDevices(),
    await shOk(
      "ip link; rdma system; find /etc/cni /etc/modprobe.d /opt/cni /var/lib/cni -printf '%p %s %T@ %m\\n' | sort",
    ),
  ];
  const before = await look();
  const findings = await doctor();
  assertEquals(await look(), before);
  assertFaults(findings, []);
  assertEquals(textOf(findings, "kernel"), await shOk("uname -r"));
  assertMatch(textOf(findings, "modules"), /^ib_core loaded, ib_uverbs loaded, rdma_ucm loaded$/);
  assertMatch(textOf(findings, "mode"), /^exclusive now, after a reboot exclusive \(\/proc\/cmdline:1\)$/);
  assertEquals(textOf(findings, "sriov"), `eth0 (${pf().deviceId}), driver igb: 7 of 7 VFs`);
  assertMatch(textOf(findings, "vfs"), /^7 of 7 ready/);
  const onHost = (await rdmaNames()).sort().join(", "); // names whose numbers have one digit
  assertEquals(textOf(findings, "devices"), `in the host namespace: ${onHost}`);
  assertEquals(textOf(findings, "records"), "none");
  assertMatch(textOf(findings, "networks"), /: 10-roce\.conflist$/);
  assertMatch(textOf(findings, "plugin"), /^\/opt\/cni\/bin\/rdma is version \d/);

  const { stdout } = await assertCode(0, rdmaCni("doctor"));
  assertMatch(stdout, /^ok {7}mode {6}exclusive now.*\n\nThis node is ready for RDMA in pods\.\n$/ms);
  return stdout;
}, { sets: ["surroundings", "newest"] });

doctorCase("a node that is half configured", async () => {
  const { netdev } = pf();
  await shOk(`ip link set ${netdev} vf 1 mac 00:00:00:00:00:00`);
  rebind(vfs()[1]!.deviceId);
  unbind(vfs()[6]!.deviceId);
  await shOk(`ip link set ${netdev} vf 5 mac 00:00:00:00:00:00`);
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
  const left = await doctor();
  assertEquals(faults(left).map(({ group }) => group), ["networks", "networks", "networks"]);
  assert(faults(left).every(({ fix }) => fix!.startsWith("# ")), JSON.stringify(left));
  return stdout;
});
/** Starts a program that keeps a pod's namespace alive by a socket alone, and takes the path away. */
async function holdBySocket(netns: string): Promise<void> {
  await shOk(`ip -n ${netns} link set lo up`);
  const hold = "exec 3<>/dev/udp/127.0.0.1/9; echo held; exec nsenter --net=/proc/1/ns/net sleep 600";
  await startBackground(`exec ip netns exec ${netns} bash -c '${hold}'`, "held");
  await until("no process is in the namespace", async () => await shOk(`ip netns pids ${netns}`) === "");
  await shOk(`ip netns del ${netns}`);
}

/** What node-problem-detector runs. */
const RULE = JSON.parse(
  await Deno.readTextFile(`${PROJECT}/deployment/monitoring/node-problem-detector.json`),
).rules[0] as { path: string; args: string[] };

doctorCase("devices that are lost or held are found and counted, and come home as it says", async () => {
  const total = (await rdmaNames()).length;
  const summary = async (places: string, code: number, by = "") => {
    const people = await sh(`${by} ${INSTALLED_PLUGIN} doctor --summary`);
    const detector = await sh([by, RULE.path, ...RULE.args].join(" "));
    assertEquals([people.stderr, detector.stderr, detector.stdout], ["", "", people.stdout]);
    assert(people.stdout.length <= 81, people.stdout);
    assertMatch(people.stdout, new RegExp(`^\\d+ of ${total} RDMA devices accounted for: ${places}\n$`));
    assertEquals([people.code, detector.code], code === 3 ? [3, 2] : [code, code]);
  };
  const pods = ["held", "socket"].map((netns, number) => ({
    ...{ ...vf(number), netns },
    ...attachment(vf(number).deviceId, { netns, containerId: netns }),
  }));
  for (const { netns, add } of pods) {
    await addNetns(netns);
    assertResult(await add());
  }
  await summary(`${total - 2} on the host, 2 in pods`, 0);

  const [held, socket] = pods as [typeof pods[0], typeof pods[0]];
  const lost = vf(2).rdmaDevice;
  const holder = await holdNetns("held");
  await shOk("ip netns del held");
  await holdBySocket("socket");
  await addNetns("other");
  await rdmaToNetns(lost, "other");
  await summary(`${total - 3} on the host, 1 in pods, 2 lost`, 1);
  await summary(`.*`, 3, "unshare --pid --fork --mount-proc");
  const findings = await doctor();
  assertFaults(findings, [
    new RegExp(
      `^problem devices: ${lost} in /run/netns/other, which no record .* 111\\) -> umount /run/netns/other # `,
    ),
    new RegExp(
      `^warning records: net-held-net1: .*something keeps the namespace alive, .* -> kill ${holder.pid} # if `,
    ),
    new RegExp(
      `^warning records: net-socket-net1: .* ${socket.rdmaDevice} of .* no path, process or open file .* ` +
        `-> echo ${socket.deviceId} >`,
    ),
  ]);
  const text = `container held net1: ${held.rdmaDevice}`;
  assert(findings.some((finding) => finding.text === text), JSON.stringify(findings));

  await repair(findings);
  await until("all devices are home", async () => (await rdmaNames()).length === total);
  await repair(await doctor());
  assertFaults(await doctor(), []);
  await summary(`${total} on the host, 0 in pods`, 0);
});

doctorCase("a pod's port that is down, its MTU, and records that others can write", async () => {
  const { rdmaDevice, deviceId, netdev } = await addPod();
  await netdevToNetns(netdev, "pod", "net1");
  // Of the pod of Kubernetes whose devices doctor is asked about.
  const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=trainer-0";
  assertResult(await attachment(deviceId, { args }).add());
  await shOk("ip -n pod link set net1 down mtu 2000");
  await shOk("chmod 0777 /var/lib/cni/rdma");
  setSimParameter("port_state", 1); // the device does not follow its interface by itself
  const findings = await doctor();
  const pod = "team-a/trainer-0 net1";
  const text = `${pod}: port 1 of ${rdmaDevice} is DOWN, want ACTIVE`;
  const fix = "nsenter --net=/run/netns/pod ip link set net1 up";
  assertFaults(findings, [
    new RegExp(`^problem devices: ${text} -> ${fix}$`),
    new RegExp(
      `^warning devices: ${pod} has MTU 2000, but its PF ${pf().netdev} 1500: .* -> nsenter .* mtu 1500 # `,
    ),
    /^problem records: .* its mode 0777, want 0 and 0700, so every ADD fails -> chown 0:0 \S+ && chmod 0700 \S+ # /,
  ]);
  const pods = await rdmaCni("pods");
  assertEquals(pods.code, 3);
  assertMatch(pods.stderr, new RegExp(`^${text}: ${fix}$`, "m"));
  const [device] = JSON.parse((await rdmaCni("pods --json")).stdout);
  assertEquals([device.deviceID, device.state], [deviceId, "present"]);
  assertEquals(device.findings[0], { level: "problem", text, fix });

  await repair(findings);
  assertMatch(await shOk("ip -n pod link show net1"), /[<,]UP[,>]/);
  setSimParameter("port_state", 4);
  assertFaults(await doctor(), []);
  assertEquals((await rdmaCni("pods")).code, 0);
});
