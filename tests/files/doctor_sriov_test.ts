import { examineSriov } from "../../src/cli/doctor/devices.ts";
import { examineLibmnl } from "../../src/cli/doctor/kernel.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

function addPf(node: DoctorNode, id: string, enabled: number, more: Record<string, string> = {}): void {
  const directory = `/sys/bus/pci/devices/${id}`;
  node.write(`${directory}/class`, "0x020000\n");
  node.write(`${directory}/sriov_totalvfs`, "8\n");
  node.write(`${directory}/sriov_numvfs`, `${enabled}\n`);
  for (const [path, text] of Object.entries(more)) node.write(`${directory}/${path}`, text);
}

Deno.test("each physical function is told with its VFs", () => {
  using node = new DoctorNode();
  addPf(node, "0000:01:00.0", 4, { "net/eth0/": "" });
  addPf(node, "0000:01:00.1", 0);
  node.link("/sys/bus/pci/devices/0000:01:00.0/driver", "../drivers/mlx5_core");
  assertFindings(examineSriov(node.root), [
    /^ok eth0 \(0000:01:00\.0\), driver mlx5_core: 4 of 8 VFs$/,
    /^ok 0000:01:00\.1, driver none: 0 of 8 VFs$/,
  ]);
});

Deno.test("when no VF is switched on, the function with an RDMA device is the one to switch them on at", () => {
  using node = new DoctorNode();
  addPf(node, "0000:01:00.0", 0);
  addPf(node, "0000:02:00.0", 0, { "infiniband/mlx5_0/": "" });
  assertFindings(examineSriov(node.root), [
    /^ok .*0000:01:00\.0/,
    /^ok .*0000:02:00\.0/,
    /^warning .*no VFs are enabled.* -> echo 8 > \/sys\/bus\/pci\/devices\/0000:02:00\.0\/sriov_numvfs$/,
  ]);
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
