import { examineModules } from "../../src/cli/doctor/kernel.ts";
import { getModuleState } from "../../src/kernel/modules.ts";
import { assertEquals } from "../support/assert.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

const LIB = "/lib/modules/6.12.1";
const CORE = {
  "/sys/module/ib_core/initstate": "live\n",
  "/sys/module/ib_uverbs/initstate": "live\n",
  "/sys/module/rdma_ucm/initstate": "live\n",
};

Deno.test("modules are loaded, built in with or without a trace in sysfs, at hand, or missing", () => {
  using node = new DoctorNode({
    ...CORE,
    "/sys/module/mlx5_core/version": "1\n",
    [`${LIB}/modules.builtin`]: "kernel/drivers/infiniband/hw/irdma/irdma.ko\nkernel/lib/xirdma.ko\n",
    [`${LIB}/modules.dep`]:
      "kernel/drivers/infiniband/hw/hns/hns-roce-hw-v2.ko.xz: kernel/a.ko\nkernel/mlx4_ib.ko:\n",
  });
  const names = ["ib_core", "mlx5_core", "irdma", "hns_roce_hw_v2", "mlx4_ib", "mlx5_ib", "a"];
  assertEquals(names.map((name) => getModuleState(name, node.root)), [
    "loaded",
    "built in",
    "built in",
    "not loaded",
    "not loaded",
    "missing",
    "missing",
  ]);
});

Deno.test("all modules that are there, loaded or built in, are one line", () => {
  using node = new DoctorNode(CORE);
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
  using node = new DoctorNode({ ...CORE, "/sys/module/irdma/initstate": "live\n" });
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
