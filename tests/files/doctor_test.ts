// The parts of the doctor that look at files and programs, and all of it on nodes that have nothing.
import { examineNode } from "../../src/cli/doctor/command.ts";
import { GROUPS } from "../../src/cli/doctor/finding.ts";
import { examineNetworks } from "../../src/cli/doctor/networks.ts";
import { type Answer, askVersion, examineInstalledPlugin } from "../../src/cli/doctor/plugin.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { LAUNCHER } from "../support/launcher.ts";
import { assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

const NET_D = "/etc/cni/net.d";
const GOOD = JSON.stringify({
  cniVersion: "1.0.0",
  name: "a",
  plugins: [{ type: "sriov" }, { type: "rdma" }],
});

Deno.test("networks: no directory, no file that uses the plugin", () => {
  return withNode({}, async (node) => {
    const none = [["ok", /^none in \/etc\/cni\/net\.d uses "rdma"$/]] as const;
    assertFindings(await examineNetworks(node.root), none);
    node.write(`${NET_D}/10-bridge.conf`, '{"type":"bridge"}');
    node.write(`${NET_D}/10-rdma.conflist.bak`, '{"type":"rdma"}');
    assertFindings(await examineNetworks(node.root), none);
  });
});

Deno.test("networks: good files are one line, each fault of the others one", () => {
  const files = {
    [`${NET_D}/1.conflist`]: GOOD,
    [`${NET_D}/2.conf`]: '{"cniVersion":"1.0.0","name":"n","type":"rdma","deviceId":"x"}',
    [`${NET_D}/3.json`]: '{"type": "rdma"',
    [`${NET_D}/4.conflist`]: GOOD.replace('"a"', '"b"'),
    [`${NET_D}/5.conf/`]: "",
  };
  return withNode(files, async (node) => {
    assertFindings(await examineNetworks(node.root), [
      ["ok", /^in \/etc\/cni\/net\.d: 1\.conflist, 4\.conflist$/],
      ["problem", /2\.conf:1:1: "rdma" is not chained/],
      ["warning", /2\.conf:1:48: .*"deviceId"/],
      ["problem", /3\.json:1:16: it is not JSON/],
      ["problem", /5\.conf cannot be read: /],
    ]);
  });
});

const LIMITED = GOOD.replace('{"type":"rdma"}', '{"type":"rdma","rdmaLimits":{"hcaHandle":16}}');
const POD = "/kubepods.slice/kubepods-pod8c7e2f3a_15b4_4d0c_9a6e_0123456789ab.slice";
const MOUNT = "/sys/fs/cgroup";
const VERSION_2 = `34 31 0:31 / ${MOUNT} rw - cgroup2 cgroup2 rw\n`;
const VERSION_1 = `33 31 0:30 / ${MOUNT}/rdma rw - cgroup cgroup rw,rdma\n`;
const ENABLE = (cgroups: string) =>
  `for cgroup in ${cgroups}; do echo +rdma >"$cgroup/cgroup.subtree_control"; done`;

for (
  const { what, files, mountinfo = VERSION_2, text, fix } of [
    {
      what: "a controller that the kernel lacks",
      files: { "/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t9\t1\n" },
      text: "the kernel has no rdma cgroup controller",
      fix: '# boot a kernel with CONFIG_CGROUP_RDMA, or remove "rdmaLimits"',
    },
    {
      what: "a controller that is switched off",
      files: { "/proc/cgroups": "cpu\t0\t9\t1\nrdma\t0\t1\t0\n" },
      text: "the rdma cgroup controller is switched off",
      fix: '# remove "cgroup_disable=rdma" from the kernel command line, reboot',
    },
    {
      what: "a controller that is not mounted",
      files: { "/proc/cgroups": "cpu\t0\t9\t1\nrdma\t5\t1\t1\n" },
      text: "no cgroup hierarchy with the rdma controller is mounted",
      fix:
        `mkdir -p ${MOUNT}/rdma && mount -t cgroup -o rdma cgroup ${MOUNT}/rdma; systemctl restart kubelet`,
    },
    {
      what: "a controller that no cgroup enables",
      files: {
        [`${MOUNT}/cgroup.controllers`]: "cpu rdma\n",
        [`${MOUNT}/cgroup.subtree_control`]: "cpu\n",
        [`${MOUNT}/kubepods.slice/cgroup.subtree_control`]: "\n",
        [`${MOUNT}${POD}/cgroup.procs`]: "",
      },
      text: `the rdma cgroup controller is not enabled for pods by ${MOUNT}, ${MOUNT}/kubepods.slice`,
      fix: ENABLE(`${MOUNT} ${MOUNT}/kubepods.slice`),
    },
    {
      what: "a controller that the cgroup above the pods does not enable",
      files: {
        [`${MOUNT}/cgroup.controllers`]: "cpu rdma\n",
        [`${MOUNT}/cgroup.subtree_control`]: "cpu rdma\n",
        [`${MOUNT}/kubepods.slice/cgroup.subtree_control`]: "cpu\n",
        [`${MOUNT}${POD}/cgroup.procs`]: "",
      },
      text: `the rdma cgroup controller is not enabled for pods by ${MOUNT}/kubepods.slice`,
      fix: ENABLE(`${MOUNT}/kubepods.slice`),
    },
    {
      what: "a controller that all cgroups above pods enable",
      files: {
        [`${MOUNT}/cgroup.controllers`]: "cpu rdma\n",
        [`${MOUNT}/cgroup.subtree_control`]: "cpu rdma\n",
        [`${MOUNT}/kubepods.slice/cgroup.subtree_control`]: "cpu rdma\n",
        [`${MOUNT}/kubepods.slice/kubepods-burstable.slice/cgroup.subtree_control`]: "\n",
        [`${MOUNT}${POD}/cgroup.procs`]: "",
      },
    },
    {
      what: "a hierarchy of version 1 with the controller",
      mountinfo: VERSION_2 + VERSION_1,
      files: { [`${MOUNT}/rdma${POD}/rdma.max`]: "" },
    },
  ]
) {
  Deno.test(`networks: with limits, ${what} is ${text === undefined ? "no" : "a"} problem`, () => {
    const all = { ...files, "/proc/self/mountinfo": mountinfo, [`${NET_D}/1.conflist`]: LIMITED };
    return withNode(all, async (node) => {
      node.write(`${NET_D}/2.conflist`, GOOD);
      const found = await examineNetworks(node.root);
      const [{ fix: command } = { fix: undefined }] = found.filter(({ level }) => level === "problem");
      assertEquals(command, fix);
      assertEquals(
        found.map(({ text }) => text),
        text === undefined ? [`in ${NET_D}: 1.conflist, 2.conflist`] : [
          `in ${NET_D}: 2.conflist`,
          `${NET_D}/1.conflist has "rdmaLimits", so ADD fails: ${text}`,
        ],
      );
    });
  });
}

const EIO = 5;
const PLUGIN = "/opt/cni/bin/rdma";
/** A program takes milliseconds to start, if it can. */
const WAIT_MS = 10_000;

function script(node: DoctorNode, text: string, mode = 0o755): string {
  node.write(PLUGIN, text);
  Deno.chmodSync(`${node.root}${PLUGIN}`, mode);
  return `${node.root}${PLUGIN}`;
}

Deno.test("plugin: it is asked with --version, and an empty environment", () => {
  return withNode({}, async (node) => {
    const path = script(
      node,
      '#!/bin/sh\necho "$#" "$1" "$(tr "\\0" " " </proc/$$/environ)"\necho more >&2\nexit 3\n',
    );
    assertEquals(await askVersion(path, new AbortController().signal), {
      kind: "text",
      text: "1 --version \nmore\n",
    });
  });
});

Deno.test("plugin: one that does not answer is killed when the time is up", () => {
  return withNode({}, async (node) => {
    const path = script(node, `#!/bin/sh\ntrap "" TERM\necho $$ > ${node.root}/pid\nwhile :; do :; done\n`);
    const { answer, pid } = await askInVain(node, path);
    assertEquals(answer, { kind: "silent" });
    assertThrows(() => Deno.readLinkSync(`/proc/${pid}/exe`), Deno.errors.NotFound);
  });
});

Deno.test("plugin: one whose output another process keeps open is not waited for when the time is up", () => {
  return withNode({}, async (node) => {
    const path = script(node, `#!/bin/sh\nsleep 5 &\necho $! > ${node.root}/pid\nwait\n`);
    const { answer, pid } = await askInVain(node, path);
    assertEquals(answer, { kind: "silent" });
    assertMatch(Deno.readLinkSync(`/proc/${pid}/exe`), /./);
    Deno.kill(pid, "SIGKILL");
  });
});

/** Asks a program that writes a process's number into a file; then the time is up. */
async function askInVain({ root }: DoctorNode, path: string): Promise<{ answer: Answer; pid: number }> {
  const timeUp = new AbortController();
  const answer = askVersion(path, timeUp.signal);
  const deadline = performance.now() + WAIT_MS;
  while (!(await Deno.readTextFile(`${root}/pid`).catch(() => "")).endsWith("\n")) {
    if (performance.now() > deadline) throw new Error(`Waited ${WAIT_MS} ms in vain for ${path} to start`);
    await turn();
  }
  timeUp.abort();
  return { answer: await answer, pid: Number(Deno.readTextFileSync(`${root}/pid`)) };
}

Deno.test("plugin: one that never stops talking is cut off", () => {
  return withNode({}, async (node) => {
    const path = script(node, "#!/bin/sh\nexec yes\n");
    const answer = await askVersion(path, new AbortController().signal);
    assertEquals(answer.kind === "text" && answer.text.startsWith("y\ny\n"), true);
    assertEquals(answer.kind === "text" && answer.text.length < 1_000_000, true);
  });
});

Deno.test("plugin: absent, and not to be run", () => {
  return withNode({}, async (node) => {
    const install = /^\/usr\/local\/bin\/rdma-cni install --cni-bin-dir \/opt\/cni\/bin$/;
    assertFindings(await examineInstalledPlugin(node), [["problem", /not there/, install]]);
    script(node, "#!/bin/sh\n", 0o644);
    assertFindings(await examineInstalledPlugin(node), [["problem", /cannot be run/, install]]);
    script(node, "#!/bin/sh\necho rdma-cni 0.0.1\n");
    assertFindings(await examineInstalledPlugin(node), [["warning", /version 0\.0\.1/, install]]);
  });
});

Deno.test("plugin: the launcher's error is told as a sentence, without its JSON", () => {
  return withNode({}, async (node) => {
    node.write(PLUGIN, "");
    Deno.writeFileSync(`${node.root}${PLUGIN}`, LAUNCHER[Deno.build.arch]);
    Deno.chmodSync(`${node.root}${PLUGIN}`, 0o755);
    assertFindings(await examineInstalledPlugin(node), [[
      "problem",
      /^\S+ cannot start the program: Cannot run "\/\S+\/\.rdma-cni\/current": ENOENT \(2\): [^{}]+$/,
      /install --cni-bin-dir \/opt\/cni\/bin$/,
    ]]);
  });
});

for (
  const [operator, process, remedy] of [
    ["sriov-network-operator", "sriov-network-config-daemon", /name .* RDMA_CNI_IMAGE .*images\.rdmaCni/],
    ["Spiderpool", "spiderpool-agent", /plugins\.installRdmaCNI=false/],
  ] as const
) {
  Deno.test(`plugin: ${operator} is named as the one that overwrote this plugin with the Go plugin`, () => {
    return withNode({ "/proc/77/comm": `${process.slice(0, 15)}\n` }, async (node) => {
      script(node, "#!/bin/sh\necho rdma-cni cni version:v1.5.0, commit:1, date:2\n");
      const text = (where: string) =>
        new RegExp(`Go plugin v1\\.5\\.0, ${where}.*; ${operator}, which runs here, probably put it there$`);
      const fix = new RegExp(`^/usr/local/bin/rdma-cni install \\S+ \\S+ # and .*${remedy.source}`);
      assertFindings(await examineInstalledPlugin(node), [["warning", text("not this one"), fix]]);
      node.write(`${PLUGIN.replace(/rdma$/, ".rdma-cni")}/rdma-cni-0.1.0-0123456789ab`, "");
      node.link(`${PLUGIN.replace(/rdma$/, ".rdma-cni")}/current`, "rdma-cni-0.1.0-0123456789ab");
      assertFindings(await examineInstalledPlugin(node), [["warning", text("in the place of this"), fix]]);
    });
  });
}

Deno.test("on a node whose files are missing every group has its finding", () => {
  return withNode({}, async (node) => {
    Deno.removeSync(`${node.root}/proc`, { recursive: true });
    const findings = await examineNode(node);
    const seen = [...new Set(findings.map(({ group }) => group))];
    assertEquals(seen, [...GROUPS]);
    assertMatch(findings[0]!.text, /osrelease/);
  });
});

Deno.test("a kernel that refuses everything keeps no other group from being reported", () => {
  return withNode({ [`${NET_D}/1.conflist`]: GOOD }, async ({ root, executable }) => {
    const refusal = new SyscallError("ask the kernel", EIO);
    const kernel = new Proxy({} as DoctorNode["kernel"], {
      get() {
        throw refusal;
      },
    });
    const findings = await examineNode({ kernel, root, executable });
    const of = (group: string) => findings.filter((finding) => finding.group === group);
    for (const group of ["mode", "libmnl", "vfs", "devices", "records"]) {
      assertEquals(of(group).map(({ level, text }) => [level, text]), [["problem", refusal.message]]);
    }
    assertEquals([...new Set(findings.map(({ group }) => group))], [...GROUPS]);
    assertFindings(of("networks"), [["ok", /1\.conflist/]]);
    assertFindings(of("kernel"), [["ok", /^6\.12\.1$/]]);
  });
});

async function withNode(
  files: Record<string, string>,
  work: (node: DoctorNode) => Promise<void>,
): Promise<void> {
  using node = new DoctorNode(files);
  await work(node);
}

/** Lets others run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
