// What the doctor says of the kernel, which it asks instead of comparing versions, of its modules, and of SR-IOV.
import { examineSriov } from "../../src/cli/doctor/devices.ts";
import { examine } from "../../src/cli/doctor/finding.ts";
import { examineKernel, examineLibmnl, examineMode, examineModules } from "../../src/cli/doctor/kernel.ts";
import { getModuleState } from "../../src/kernel/modules.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { decodeSharedMode } from "../../src/netlink/nldev.ts";
import { EINVAL, EOPNOTSUPP } from "../../src/sys/errno.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

const what = "ask for the RDMA namespace mode";

Deno.test("a kernel that has a namespace mode is good, whatever its version", () => {
  using node = new DoctorNode({ "/proc/sys/kernel/osrelease": "4.18.0-553.el8.x86_64\n" });
  node.kernel.addPf("eth0", 1);
  assertFindings(examineKernel(node), [/^ok 4\.18\.0-553\.el8\.x86_64$/]);
});

Deno.test("a kernel that does not know the question, or answers without a mode, has no RDMA namespaces", async () => {
  using node = new DoctorNode();
  const [invalid, unknown] = [EINVAL, EOPNOTSUPP].map((errno) => new NetlinkError(what, errno));
  for (const error of [invalid, unknown, assertThrows(() => decodeSharedMode(new Uint8Array(0)))]) {
    node.kernel.getRdmaMode = () => {
      throw error;
    };
    assertFindings(examineKernel(node), [
      /^problem 6\.12\.1: its RDMA subsystem does not support network namespaces -> .*5\.3 or newer, or .*DOCA/,
    ]);
    assertFindings(await examine("mode", () => examineMode(node)), [/^problem .* -> .*kernel 5\.3 or newer/]);
  }
});

Deno.test("a kernel without RDMA subsystem is not judged: other groups report it", () => {
  using node = new DoctorNode();
  node.kernel.hasRdma = false;
  assertFindings(examineKernel(node), [/^ok 6\.12\.1$/]);
});

Deno.test("what older kernels lack is a warning", () => {
  using node = new DoctorNode();
  node.kernel.addPf("eth0", 1);
  node.kernel.host.links.set("eth0", { index: 2, name: "eth0", isInfiniBand: false, vfMacs: new Map() });
  assertFindings(examineKernel(node), [
    /^warning 6\.12\.1 works, but it does not name the device below a network interface -> .*5\.14/,
  ]);
  Object.defineProperty(node.kernel.getHostNetns(), "getCookie", { value: () => undefined });
  assertFindings(examineKernel(node), [/^warning .*only by numbers, .*, and it does not name the device/]);
});

const LIB = "/lib/modules/6.12.1";
const loaded = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [`/sys/module/${name}/initstate`, "live\n"]));
const CORE = ["ib_core", "ib_uverbs", "rdma_ucm"];

Deno.test("modules are loaded, built in with or without a trace in sysfs, at hand, or missing", () => {
  using node = new DoctorNode({
    ...loaded(...CORE),
    "/sys/module/mlx5_core/version": "1\n",
    [`${LIB}/modules.builtin`]: "kernel/drivers/infiniband/hw/irdma/irdma.ko\nkernel/lib/xirdma.ko\n",
    [`${LIB}/modules.dep`]:
      "kernel/drivers/infiniband/hw/hns/hns-roce-hw-v2.ko.xz: kernel/a.ko\nkernel/mlx4_ib.ko:\n",
  });
  const states = { "loaded": ["ib_core"], "built in": ["mlx5_core", "irdma"], "missing": ["mlx5_ib", "a"] };
  for (const [state, names] of Object.entries({ ...states, "not loaded": ["hns_roce_hw_v2", "mlx4_ib"] })) {
    for (const name of names) assertEquals(getModuleState(name, node.root), state, name);
  }
});

Deno.test("all modules that are there, loaded or built in, are one line", () => {
  using node = new DoctorNode(loaded(...CORE));
  assertFindings(examineModules(node.root), [/^ok ib_core loaded, ib_uverbs loaded, rdma_ucm loaded$/]);
  Deno.removeSync(`${node.root}/sys/module/ib_core/initstate`);
  assertFindings(examineModules(node.root), [/^ok ib_core built in, ib_uverbs loaded/]);
});

Deno.test("modules that are at hand are to be loaded, now and at boot; others to be installed", () => {
  using node = new DoctorNode({
    [`${LIB}/modules.dep`]: "kernel/ib_core.ko.zst:\nkernel/rdma_ucm.ko.zst: kernel/x.ko\n",
  });
  assertFindings(examineModules(node.root), [
    /^problem ib_core is not loaded.* -> modprobe ib_core && echo ib_core > \/etc\/modules-load\.d\/ib_core\.conf$/,
    /^problem ib_uverbs is not among the modules of kernel 6\.12\.1.* -> .*modules-extra/,
    /^warning rdma_ucm is not loaded.* -> modprobe rdma_ucm/,
  ]);
});

Deno.test("the RDMA module of each network driver is wanted, once", () => {
  using node = new DoctorNode(loaded(...CORE, "irdma"));
  for (
    const [id, pciClass, driver] of [
      ["0000:01:00.0", "0x020000", "mlx5_core"],
      ["0000:01:00.1", "0x020700", "mlx5_core"],
      ["0000:02:00.0", "0x020000", "ice"],
      ["0000:03:00.0", "0x020000", "e1000e"],
      ["0000:04:00.0", "0x010802", "mana"],
    ] as const
  ) {
    node.write(`/sys/bus/pci/devices/${id}/class`, `${pciClass}\n`);
    node.link(`/sys/bus/pci/devices/${id}/driver`, `../../../bus/pci/drivers/${driver}`);
  }
  assertFindings(examineModules(node.root), [
    /^ok .*rdma_ucm loaded, irdma loaded$/,
    /^warning mlx5_ib is not .*functions of driver mlx5_core/,
  ]);
});

function addPf(node: DoctorNode, id: string, enabled: number, more: Record<string, string> = {}): void {
  const directory = `/sys/bus/pci/devices/${id}`;
  node.write(`${directory}/class`, "0x020000\n");
  node.write(`${directory}/sriov_totalvfs`, "8\n");
  node.write(`${directory}/sriov_numvfs`, `${enabled}\n`);
  for (const [path, text] of Object.entries(more)) node.write(`${directory}/${path}`, text);
}

Deno.test("each physical function is told with its VFs; without any those of one with an RDMA device are to be enabled", () => {
  using node = new DoctorNode();
  addPf(node, "0000:01:00.0", 0, { "net/eth0/": "" });
  addPf(node, "0000:02:00.0", 0, { "infiniband/mlx5_0/": "" });
  node.link("/sys/bus/pci/devices/0000:01:00.0/driver", "../drivers/mlx5_core");
  const second = /^ok 0000:02:00\.0, driver none: 0 of 8 VFs$/;
  assertFindings(examineSriov(node.root), [
    /^ok eth0 \(0000:01:00\.0\), driver mlx5_core: 0 of 8 VFs$/,
    second,
    /^warning .*no VFs are enabled.* -> echo 8 > \/sys\/bus\/pci\/devices\/0000:02:00\.0\/sriov_numvfs$/,
  ]);
  node.write("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs", "4\n");
  assertFindings(examineSriov(node.root), [/: 4 of 8 VFs$/, second]);
});

Deno.test("scalable functions do as well", () => {
  using node = new DoctorNode({
    "/sys/bus/auxiliary/devices/mlx5_core.sf.4/": "",
    "/sys/bus/auxiliary/devices/mlx5_core.eth.0/": "",
  });
  addPf(node, "0000:01:00.0", 0);
  assertFindings(examineSriov(node.root), [/^ok .*0 of 8/, /^ok .*scalable functions: mlx5_core\.sf\.4$/]);
});

Deno.test("an adapter without SR-IOV", () => {
  using node = new DoctorNode({ "/sys/bus/pci/devices/0000:01:00.0/class": "0x020000\n" });
  assertFindings(examineSriov(node.root), [/^warning .*no network adapter supports VFs.* -> .*firmware/]);
});

Deno.test("libmnl is the system's, the plugin's copy that this program does not find, or missing", () => {
  using node = new DoctorNode();
  assertFindings(examineLibmnl(node), [/^ok found: libmnl\.so\.0$/]);
  node.kernel.libmnl = undefined;
  assertFindings(examineLibmnl(node), [/^problem .*Cannot open libmnl.* -> .*libmnl0/]);
  node.write("/opt/cni/bin/.rdma-cni/libmnl.so.0", "");
  assertFindings(examineLibmnl(node), [/^warning .*the installed plugin has a copy.* -> .*libmnl0/]);
});
