import { listNetworkFunctions } from "../../src/kernel/pci.ts";
import { listVerbsDevices } from "../../src/kernel/sysfs.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

const BUS = "/sys/bus/pci/devices";

Deno.test("network controllers are listed, each with what sysfs shows of it, and nothing else on the bus", () => {
  using root = new Root({
    [`${BUS}/0000:01:00.0/class`]: "0x020000\n",
    [`${BUS}/0000:01:00.0/sriov_totalvfs`]: "7\n",
    [`${BUS}/0000:01:00.0/sriov_numvfs`]: "2\n",
    [`${BUS}/0000:01:00.0/net/eth0/address`]: "",
    [`${BUS}/0000:01:00.0/infiniband/mlx5_0/node_guid`]: "",
    [`${BUS}/0000:01:10.0/class`]: "0x020700\n",
    [`${BUS}/0000:01:10.0/physfn/class`]: "0x020000\n",
    [`${BUS}/0000:02:00.0/class`]: "0x010802\n",
  });
  Deno.symlinkSync("../../../bus/pci/drivers/mlx5_core", `${root.path}${BUS}/0000:01:00.0/driver`);
  assertEquals(listNetworkFunctions(root.path), [
    {
      ...{ id: "0000:01:00.0", driver: "mlx5_core", netdevs: ["eth0"], isVirtual: false },
      ...{ totalVfs: 7, enabledVfs: 2, rdmaDevices: ["mlx5_0"] },
    },
    { id: "0000:01:10.0", netdevs: [], isVirtual: true, totalVfs: 0, enabledVfs: 0, rdmaDevices: [] },
  ]);
});

Deno.test("the devices that have a uverbs device are listed by their own names", () => {
  using root = new Root({
    "/sys/class/infiniband_verbs/uverbs0/ibdev": "mlx5_3\n",
    "/sys/class/infiniband_verbs/uverbs1/dev": "",
  });
  assertEquals(listVerbsDevices(root.path).map(({ name }) => name), ["mlx5_3"]);
});
