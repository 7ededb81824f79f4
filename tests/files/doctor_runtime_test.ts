// The doctor on the container runtime: where it looks for plugins and networks, and what containers inherit from it.
import { examineLibmnl } from "../../src/cli/doctor/kernel.ts";
import { examineNetworks } from "../../src/cli/doctor/networks.ts";
import { examineInstalledPlugin } from "../../src/cli/doctor/plugin.ts";
import { examineRuntime, findCniBinDir } from "../../src/cli/doctor/runtime.ts";
import { findDirectory } from "../../src/cli/install/command.ts";
import { LAUNCHER } from "../support/launcher.ts";
import { VERSION } from "../../src/version.ts";
import { assertEquals } from "../support/assert.ts";
import { assertFindings, DoctorNode, GOOD } from "./doctor_node.ts";

/** A runtime's process. */
function process(comm: string, words: string[], unit: string, memlock = "unlimited"): Record<string, string> {
  return {
    "/proc/1/comm": "systemd\n",
    "/proc/812/comm": `${comm}\n`,
    "/proc/812/cmdline": words.join("\0") + "\0",
    "/proc/812/cgroup": `0::/system.slice/${unit}\n`,
    "/proc/812/limits":
      `Max open files  1024  524288  files\nMax locked memory  ${memlock}  unlimited  bytes\n`,
  };
}

const CONTAINERD = process("containerd", ["/usr/bin/containerd"], "containerd.service");

const version2 = (bin: string, conf: string) =>
  `version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "${bin}"\n  conf_dir = "${conf}"\n`;
const version3 = (bin: string, conf: string) =>
  `version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n  bin_dirs = ["${bin}"]\n  conf_dir = "${conf}"\n`;

const K3S = "/var/lib/rancher/k3s/agent/etc";
const MICROK8S = "/var/snap/microk8s/7000";

/** The directories of plugins and of networks of these, and what is on their nodes. */
const NODES: Record<string, [bin: string, conf: string, files: Record<string, string>]> = {
  "containerd as it is": ["/opt/cni/bin", "/etc/cni/net.d", CONTAINERD],
  "containerd with a file that is imported": ["/usr/libexec/cni", "/srv/net.d", {
    ...CONTAINERD,
    "/etc/containerd/config.toml": 'imports = ["conf.d/*.toml"]\n' +
      version3("/opt/cni/bin", "/etc/cni/net.d"),
    "/etc/containerd/conf.d/10-cni.toml": version3("/usr/libexec/cni", "/srv/net.d"),
    "/etc/containerd/conf.d/10-cni.bak": version3("/wrong", "/wrong"),
  }],
  k3s: ["/var/lib/rancher/k3s/data/cni", `${K3S}/cni/net.d`, {
    ...process(
      "containerd",
      ["containerd", "-c", `${K3S}/config.toml`, "-a", "/run/k3s/c.sock"],
      "k3s.service",
    ),
    [`${K3S}/config.toml`]: version3("/var/lib/rancher/k3s/data/cni", `${K3S}/cni/net.d`),
  }],
  MicroK8s: [`${MICROK8S}/bin`, `${MICROK8S}/args/cni-network`, {
    ...process("containerd", ["containerd", `--config=${MICROK8S}/args/containerd.toml`], "snap.service"),
    [`${MICROK8S}/args/containerd.toml`]: version2(`${MICROK8S}/bin`, `${MICROK8S}/args/cni-network`),
  }],
  OpenShift: ["/var/lib/cni/bin", "/etc/kubernetes/cni/net.d", {
    ...process("crio", ["/usr/bin/crio"], "crio.service"),
    "/etc/crio/crio.conf": '[crio.network]\nplugin_dirs = ["/opt/cni/bin/"]\n',
    "/etc/crio/crio.conf.d/00-default": '[crio.network]\nnetwork_dir = "/etc/kubernetes/cni/net.d/"\n' +
      'plugin_dirs = ["/var/lib/cni/bin", "/usr/libexec/cni"]\n',
  }],
};

for (const [what, [bin, conf, files]] of Object.entries(NODES)) {
  Deno.test(`a healthy node has no fault: ${what}`, async () => {
    using node = new DoctorNode({ ...files, [`${conf}/10-roce.conflist`]: GOOD });
    install(node, bin);
    assertEquals(findCniBinDir(node), bin);
    assertFindings(await examineNetworks(node.root), [new RegExp(`^ok in ${conf}: 10-roce\\.conflist$`)]);
    assertFindings(await examineInstalledPlugin(node), [new RegExp(`^ok ${bin}/rdma is version`)]);
    assertFindings(examineRuntime(node.root), [/^ok \w+ \(process 812\) gives containers locked .* without/]);
    node.kernel.libmnl = undefined;
    node.write(`${bin}/.rdma-cni/libmnl.so.0`, "");
    assertFindings(examineLibmnl(node), [/^warning .*the installed plugin has a copy/]);
  });
}

/** As `install` does, with a program that only has a version. */
function install(node: DoctorNode, directory: string): void {
  node.write(`${directory}/.rdma-cni/current`, `#!/bin/sh\necho rdma-cni ${VERSION}\n`);
  Deno.chmodSync(`${node.root}${directory}/.rdma-cni/current`, 0o755);
  Deno.writeFileSync(`${node.root}${directory}/rdma`, LAUNCHER[Deno.build.arch], { mode: 0o755 });
}

Deno.test("the plugin directory is the named one, else that of this program as plugin, else where the plugin is", () => {
  using node = new DoctorNode({ ...NODES["OpenShift"]![2], "/usr/libexec/cni/rdma": "" });
  const { kernel, root, executable } = node;
  const find = (more: object) => findCniBinDir({ kernel, root, executable, ...more });
  assertEquals(find({ executable: "/srv/bin/rdma", cniBinDir: "/named" }), "/named");
  assertEquals(find({ executable: "/srv/bin/rdma" }), "/srv/bin");
  assertEquals(find({}), "/usr/libexec/cni");
});

Deno.test("install takes a container's directory of the node if that is there, else the runtime's, else the usual one", () => {
  using node = new DoctorNode(NODES["OpenShift"]![2]);
  assertEquals(findDirectory(node.root), findCniBinDir(node));
  assertEquals(findDirectory(node.root), NODES["OpenShift"]![0]);
  node.write("/host/opt/cni/bin/", "");
  assertEquals(findDirectory(node.root), "/host/opt/cni/bin");
  using bare = new DoctorNode();
  assertEquals(findDirectory(bare.root), "/opt/cni/bin");
});

Deno.test("a runtime whose configuration is missing or broken has the defaults", () => {
  for (const text of [undefined, "plugins = [", "plugins = 7\n", "[plugins.a]\ncni = 1\n"]) {
    using node = new DoctorNode(
      process("containerd", ["containerd", "--config", "/c.toml"], "containerd.service"),
    );
    if (text !== undefined) node.write("/c.toml", text);
    assertEquals(findCniBinDir(node), "/opt/cni/bin");
  }
});

for (
  const [memlock, wanted] of [
    ["unlimited", /^ok .* without a limit$/],
    ["1073741824", /^ok .*1048576 KiB of locked memory$/],
    [
      "1073741823",
      /^warning .*1048575 KiB of locked memory, want 1 GiB or more: programs in pods cannot register/,
    ],
  ] as const
) {
  Deno.test(`a limit of ${memlock} for locked memory is told`, () => {
    using node = new DoctorNode(process("containerd", ["containerd"], "k3s.service", memlock));
    assertFindings(examineRuntime(node.root), [wanted]);
  });
}

Deno.test("the drop-in that raises the limit is one", async () => {
  using node = new DoctorNode(process("containerd", ["containerd"], "k3s.service", "65536"));
  const [{ fix = "" } = {}] = examineRuntime(node.root);
  const [commands] = fix.replaceAll("/etc/systemd", `${node.root}/etc/systemd`).split("; systemctl");
  const { success } = await new Deno.Command("sh", { args: ["-ec", commands!] }).output();
  assertEquals(success, true);
  assertEquals(
    node.read("/etc/systemd/system/k3s.service.d/memlock.conf"),
    "[Service]\nLimitMEMLOCK=infinity\n",
  );
});

Deno.test("without a runtime, or one that ends meanwhile, there is nothing to warn about; of several the first counts", () => {
  using node = new DoctorNode();
  assertFindings(examineRuntime(node.root), [/^ok neither containerd nor CRI-O runs here$/]);
  node.write("/proc/812/comm", "containerd\n");
  assertFindings(examineRuntime(node.root), [/^ok containerd \(process 812\)$/]);
  node.write("/proc/1097/comm", "containerd\n");
  node.write("/proc/97/comm", "containerd\n");
  assertFindings(examineRuntime(node.root), [/^ok containerd \(process 97\)$/]);
});
