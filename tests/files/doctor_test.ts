// The parts of the doctor that look at files and programs, and all of it on nodes that have nothing.
import { examineNode } from "../../src/cli/doctor/command.ts";
import { GROUPS } from "../../src/cli/doctor/finding.ts";
import { examineNetworks } from "../../src/cli/doctor/networks.ts";
import { askVersion, examineInstalledPlugin } from "../../src/cli/doctor/plugin.ts";
import { exists } from "../../src/kernel/sysfs.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { until } from "../support/until.ts";
import { assertFindings, DoctorNode, GOOD } from "./doctor_node.ts";

const NET_D = "/etc/cni/net.d";
Deno.test("networks: no directory, no file that uses the plugin", async () => {
  using node = new DoctorNode();
  const none = [/^ok none in \/etc\/cni\/net\.d uses "rdma"$/];
  assertFindings(await examineNetworks(node.root), none);
  node.write(`${NET_D}/10-bridge.conf`, '{"type":"bridge"}');
  node.write(`${NET_D}/10-rdma.conflist.bak`, '{"type":"rdma"}');
  assertFindings(await examineNetworks(node.root), none);
});

Deno.test("networks: good files are one line, each fault of the others one", async () => {
  using node = new DoctorNode({
    [`${NET_D}/1.conflist`]: GOOD,
    [`${NET_D}/2.conf`]: '{"cniVersion":"1.0.0","name":"n","type":"rdma","deviceId":"x"}',
    [`${NET_D}/4.conflist`]: GOOD.replace('"a"', '"b"'),
    [`${NET_D}/5.conf/`]: "",
  });
  assertFindings(await examineNetworks(node.root), [
    /^ok in \/etc\/cni\/net\.d: 1\.conflist, 4\.conflist$/,
    /^problem .*2\.conf:1:1: "rdma" is not chained/,
    /^warning .*2\.conf:1:48: .*"deviceId"/,
    /^problem .*5\.conf cannot be read: /,
  ]);
});

const LIMITED = GOOD.replace('{"type":"rdma"}', '{"type":"rdma","rdmaLimits":{"hcaHandle":16}}');
const MOUNT = "/sys/fs/cgroup";
const POD = "/kubepods.slice/kubepods-pod8c7e2f3a_15b4_4d0c_9a6e_0123456789ab.slice";
const VERSION_2 = `34 31 0:31 / ${MOUNT} rw - cgroup2 cgroup2 rw\n`;
const VERSION_1 = `33 31 0:30 / ${MOUNT}/rdma rw - cgroup cgroup rw,rdma\n`;

/** Files of cgroups of version 2, of which the outermost and the pods' enable these controllers. */
const cgroups = (outermost: string, pods: string) => ({
  [`${MOUNT}/cgroup.controllers`]: "cpu rdma\n",
  [`${MOUNT}/cgroup.subtree_control`]: `${outermost}\n`,
  [`${MOUNT}/kubepods.slice/cgroup.subtree_control`]: `${pods}\n`,
  [`${MOUNT}${POD}/cgroup.procs`]: "",
});

const notEnabled = (...cgroups: string[]) => [
  `the rdma cgroup controller is not enabled for pods by ${cgroups.join(", ")}`,
  `for cgroup in ${cgroups.join(" ")}; do echo +rdma >"$cgroup/cgroup.subtree_control"; done`,
];

for (
  const [what, files, obstacle] of [
    ["a controller that the kernel lacks", { "/proc/cgroups": "#subsys_name\thierarchy\ncpu\t0\t9\t1\n" }, [
      "the kernel has no rdma cgroup controller",
      '# boot a kernel with CONFIG_CGROUP_RDMA, or remove "rdmaLimits"',
    ]],
    ["a controller that is switched off", { "/proc/cgroups": "cpu\t0\t9\t1\nrdma\t0\t1\t0\n" }, [
      "the rdma cgroup controller is switched off",
      '# remove "cgroup_disable=rdma" from the kernel command line, reboot',
    ]],
    ["a controller that is not mounted", { "/proc/cgroups": "cpu\t0\t9\t1\nrdma\t5\t1\t1\n" }, [
      "no cgroup hierarchy with the rdma controller is mounted",
      `mkdir -p ${MOUNT}/rdma && mount -t cgroup -o rdma cgroup ${MOUNT}/rdma; systemctl restart kubelet`,
    ]],
    ["a controller that no cgroup enables", cgroups("cpu", ""), notEnabled(MOUNT, `${MOUNT}/kubepods.slice`)],
    [
      "a controller that the cgroup above the pods does not enable",
      cgroups("cpu rdma", "cpu"),
      notEnabled(`${MOUNT}/kubepods.slice`),
    ],
    ["a controller that all cgroups above pods enable", {
      ...cgroups("cpu rdma", "cpu rdma"),
      [`${MOUNT}/kubepods.slice/kubepods-burstable.slice/cgroup.subtree_control`]: "\n",
    }],
    ["a hierarchy of version 1 with the controller", {
      "/proc/self/mountinfo": VERSION_2 + VERSION_1,
      [`${MOUNT}/rdma${POD}/rdma.max`]: "",
    }],
  ] as [string, Record<string, string>, string[]?][]
) {
  Deno.test(`networks: with limits, ${what} is ${obstacle ? "a" : "no"} problem`, async () => {
    using node = new DoctorNode({ "/proc/self/mountinfo": VERSION_2, ...files });
    node.write(`${NET_D}/1.conflist`, LIMITED);
    node.write(`${NET_D}/2.conflist`, GOOD);
    const found = (await examineNetworks(node.root)).map(({ text, fix }) => [text, fix]);
    if (!obstacle) return assertEquals(found, [[`in ${NET_D}: 1.conflist, 2.conflist`, undefined]]);
    const [text, fix] = obstacle;
    const failure = `${NET_D}/1.conflist has "rdmaLimits", so ADD fails: ${text}`;
    assertEquals(found, [[`in ${NET_D}: 2.conflist`, undefined], [failure, fix]]);
  });
}

const EIO = 5;
const PLUGIN = "/opt/cni/bin/rdma";
const INSTALL = "/usr/local/bin/rdma-cni install --cni-bin-dir /opt/cni/bin";

/** A node with a script in the plugin's place. */
function nodeWithScript(text: string, files: Record<string, string> = {}): DoctorNode & { script: string } {
  const node = new DoctorNode({ ...files, [PLUGIN]: `#!/bin/sh\n${text}\n` });
  const script = `${node.root}${PLUGIN}`;
  Deno.chmodSync(script, 0o755);
  return Object.assign(node, { script });
}

Deno.test("plugin: it is asked with --version, and an empty environment", async () => {
  using node = nodeWithScript('echo "$#" "$1" "$(tr "\\0" " " </proc/$$/environ)"\necho more >&2\nexit 3');
  const answer = await askVersion(node.script, new AbortController().signal);
  assertEquals(answer, { kind: "text", text: "1 --version \nmore\n" });
});

Deno.test("plugin: one that does not answer is killed when the time is up, and what keeps its output open not waited for", async () => {
  using node = nodeWithScript(`trap "" TERM
    sleep 5 &
    echo $$ $! >"$0.new"; mv "$0.new" "$0.pids"
    while :; do :; done`);
  const timeUp = new AbortController();
  const answer = askVersion(node.script, timeUp.signal);
  await until(() => exists(`${node.script}.pids`));
  timeUp.abort();
  assertEquals(await answer, { kind: "silent" });
  const [killed, other] = Deno.readTextFileSync(`${node.script}.pids`).split(" ").map(Number);
  assertThrows(() => Deno.readLinkSync(`/proc/${killed}/exe`), Deno.errors.NotFound);
  assertMatch(Deno.readLinkSync(`/proc/${other}/exe`), /./);
  Deno.kill(other!, "SIGKILL");
});

Deno.test("plugin: one that never stops talking is cut off", async () => {
  using node = nodeWithScript("exec yes");
  const answer = await askVersion(node.script, new AbortController().signal);
  assert(answer.kind === "text" && answer.text.startsWith("y\ny\n") && answer.text.length < 1_000_000);
});

Deno.test("plugin: not to be run, and absent", async () => {
  using node = nodeWithScript("");
  Deno.chmodSync(node.script, 0o644);
  const fix = ` -> ${INSTALL}$`;
  assertFindings(await examineInstalledPlugin(node), [new RegExp(`^problem .*cannot be run.*${fix}`)]);
  Deno.removeSync(node.script);
  assertFindings(await examineInstalledPlugin(node), [new RegExp(`^problem .*not there.*${fix}`)]);
});

for (
  const [operator, process, remedy] of [
    ["sriov-network-operator", "sriov-network-config-daemon", "name .* RDMA_CNI_IMAGE .*images\\.rdmaCni"],
    ["Spiderpool", "spiderpool-agent", "plugins\\.installRdmaCNI=false"],
  ] as const
) {
  Deno.test(`plugin: ${operator} is named as the one that overwrote this plugin with the Go plugin`, async () => {
    using node = nodeWithScript("echo rdma-cni cni version:v1.5.0, commit:1, date:2", {
      "/proc/77/comm": `${process.slice(0, 15)}\n`,
    });
    const by = `${operator}, which runs here, probably put it there -> ${INSTALL} # and .*${remedy}`;
    const wanted = (where: string) => [new RegExp(`^warning .*Go plugin v1\\.5\\.0, ${where}.*; ${by}`)];
    assertFindings(await examineInstalledPlugin(node), wanted("not this one"));
    node.write("/opt/cni/bin/.rdma-cni/rdma-cni-0.1.0-0123456789ab", "");
    node.link("/opt/cni/bin/.rdma-cni/current", "rdma-cni-0.1.0-0123456789ab");
    assertFindings(await examineInstalledPlugin(node), wanted("in the place of this"));
  });
}

Deno.test("on a node whose files are missing every group has its finding", async () => {
  using node = new DoctorNode();
  Deno.removeSync(`${node.root}/proc`, { recursive: true });
  const findings = await examineNode(node);
  assertEquals([...new Set(findings.map(({ group }) => group))], [...GROUPS]);
  assertMatch(findings[0]!.text, /osrelease/);
});

Deno.test("a kernel that refuses everything keeps no other group from being reported", async () => {
  using node = new DoctorNode({ [`${NET_D}/1.conflist`]: GOOD });
  const refusal = new SyscallError("ask the kernel", EIO);
  const kernel = new Proxy({} as DoctorNode["kernel"], {
    get() {
      throw refusal;
    },
  });
  const findings = await examineNode({ kernel, root: node.root, executable: node.executable });
  const of = (group: string) => findings.filter((finding) => finding.group === group);
  for (const group of ["mode", "libmnl", "vfs", "devices", "records"]) {
    assertEquals(of(group).map(({ level, text }) => [level, text]), [["problem", refusal.message]]);
  }
  assertEquals([...new Set(findings.map(({ group }) => group))], [...GROUPS]);
  assertFindings([...of("networks"), ...of("kernel")], [/^ok .*1\.conflist/, /^ok 6\.12\.1$/]);
});
