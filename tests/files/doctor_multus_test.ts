// The doctor on thick Multus, in whose container plugins run: what its control group lets them have.
import { examineInstalledPlugin, examineMultus } from "../../src/cli/doctor/plugin.ts";
import { parseAll } from "../support/yaml.ts";
import { EXECUTABLE_MARKER, VERSION } from "../../src/version.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assertEquals } from "../support/assert.ts";
import { blockNamed } from "../support/documents.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

const MIB = 1024 * 1024;
const GROUP = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope";

/** A node with a shell, and Multus' daemon with the contents of its control group's files, relative to /sys/fs/cgroup. */
function multusNode(cgroup: string, files: Record<string, string>): DoctorNode {
  const node = new DoctorNode({
    "/proc/1/comm": "systemd\n",
    "/proc/self/comm": "multus-daemon\n", // no number
    "/proc/77/comm": "multus-daemon\n",
    "/proc/77/cgroup": cgroup,
  });
  for (const [path, text] of Object.entries(files)) node.write(`/sys/fs/cgroup${path}`, text);
  return node;
}

const version2 = (
  { memory = "max", oomGroup = "0", cpu = "max 100000" }: Record<string, string | number> = {},
) =>
  multusNode(`0::${GROUP}\n`, {
    [`${GROUP}/memory.max`]: `${memory}\n`,
    [`${GROUP}/memory.oom.group`]: `${oomGroup}\n`,
    [`${GROUP}/cpu.max`]: `${cpu}\n`,
  });

/** As cgroupfs names it: with a colon. */
const PATH_1 = "/system.slice:cri-containerd:2";

const version1 = (memory: string, quota: string) =>
  multusNode(`9:memory:${PATH_1}\n8:cpu,cpuacct:${PATH_1}\n1:name=systemd:/other\n0::/other\n`, {
    [`/memory${PATH_1}/memory.limit_in_bytes`]: `${memory}\n`,
    [`/cpu${PATH_1}/cpu.cfs_quota_us`]: `${quota}\n`,
    [`/cpu${PATH_1}/cpu.cfs_period_us`]: "100000\n",
  });

const PATCH =
  `kubectl -n kube-system patch daemonset kube-multus-ds --patch '\\{.*"memory":"256Mi","cpu":null`;

const warning = (text: string) => new RegExp(`^warning .*${text}.* -> ${PATCH}`);
const problem = (text: string) => new RegExp(`^problem .*${text} -> ${PATCH}`);

for (
  const [memory, oomGroup, wanted] of [
    [50 * MIB, 0, warning("limit of 50 MiB, want 256: too little for one pod, since")],
    [50 * MIB, 1, problem("50 MiB, want 256: .*kills the daemon and all of them \\(memory\\.oom\\.group\\)")],
    [256 * MIB - 1, 1, problem("limit of 255 MiB.*")],
    [84 * MIB, 0, warning("84 MiB, want 256: enough for 1 pod at once, since")],
    [256 * MIB, 1, /^ok thick Multus has a memory limit of 256 MiB, enough for 9 pods at once$/],
    ["max", 1, /^ok .*has no memory limit$/],
  ] as const
) {
  Deno.test(`thick Multus: a limit of ${memory} bytes, on a kubelet that groups OOM kills: ${oomGroup}`, () => {
    using node = version2({ memory, oomGroup });
    assertFindings(examineMultus(node.root), [wanted, /^ok .* CPU limit/]);
  });
}

for (
  const [cpu, wanted] of [
    ["10000 100000", warning("limit of 100m, want 500m or none: enough for 4\\.0 pods a second")],
    ["49900 100000", warning("499m")],
    ["50000 100000", /^ok thick Multus has a CPU limit of 500m, enough for 20 pods a second$/],
    ["max 100000", /^ok .*has no CPU limit$/],
  ] as const
) {
  Deno.test(`thick Multus: a CPU limit of ${cpu}`, () => {
    using node = version2({ cpu });
    assertFindings(examineMultus(node.root), [/^ok .* memory limit/, wanted]);
  });
}

Deno.test("thick Multus: limits, and none, in cgroup version 1", () => {
  using limited = version1(`${50 * MIB}`, "10000");
  assertFindings(examineMultus(limited.root), [warning("50 MiB"), warning("100m")]);
  using free = version1("9223372036854771712", "-1");
  assertFindings(examineMultus(free.root), [/^ok .*no memory limit/, /^ok .*no CPU limit/]);
});

Deno.test("thick Multus: none, one whose control group is not to be seen, and one that ends meanwhile", () => {
  using none = new DoctorNode({ "/proc/1/comm": "systemd\n" });
  assertFindings(examineMultus(none.root), [/^ok no thick Multus/]);
  using elsewhere = multusNode("0::/../../other\n", {});
  assertFindings(examineMultus(elsewhere.root), [
    /^warning .*\(process 77\) cannot be seen.* -> .*on the node itself/,
  ]);
  using ended = new DoctorNode({ "/proc/77/comm": "multus-daemon\n" });
  assertFindings(examineMultus(ended.root), [/^warning .*cannot be seen/]);
});

Deno.test("a copy without launcher is a problem where thick Multus runs, else a warning", async () => {
  const marks = `# ${EXECUTABLE_MARKER}${"#".repeat(99)}d3n0l4nd${"#".repeat(16)}`;
  for (const [level, given] of [["problem", version2()], ["warning", new DoctorNode()]] as const) {
    using node = given;
    node.write("/opt/cni/bin/rdma", `#!/bin/sh\necho rdma-cni ${VERSION}\nexit ${marks}`);
    Deno.chmodSync(`${node.root}/opt/cni/bin/rdma`, 0o755);
    const fix = "/usr/local/bin/rdma-cni install --cni-bin-dir /opt/cni/bin$";
    assertFindings(await examineInstalledPlugin(node), [
      new RegExp(`^${level} .*without launcher.* -> ${fix}`),
    ]);
  }
});

Deno.test("the patch gives Multus' container memory, and takes the CPU limit away", async () => {
  using node = version2({ memory: 50 * MIB });
  const { fix } = examineMultus(node.root)[0]!;
  const [, patch] = /--patch '([^']*)'$/.exec(fix!)!;
  const kind = { apiVersion: "apps/v1", kind: "DaemonSet", metadata: { name: "kube-multus-ds" } };
  const limits = { cpu: "100m", memory: "50Mi" };
  const other = { name: "other", resources: { limits } };
  const specOf = (resources: object) => ({
    template: { spec: { containers: [{ name: "kube-multus", resources }, other] } },
  });
  node.write("/k/daemonset.yaml", JSON.stringify({ ...kind, spec: specOf({ requests: limits, limits }) }));
  // kubectl takes these from its command line.
  const patches = [{ patch: JSON.stringify({ ...kind, ...JSON.parse(patch!) }) }];
  node.write("/k/kustomization.yaml", JSON.stringify({ resources: ["daemonset.yaml"], patches }));
  const built = parseAll(await run("kustomize", ["build", `${node.root}/k`]));
  const wanted = specOf({ requests: limits, limits: { memory: "256Mi" } });
  assertEquals(built as object[], [{ ...kind, spec: wanted }]);
  assertEquals(blockNamed("multus-limits"), fix!.replace(" --patch ", " --patch \\\n  "));
});
