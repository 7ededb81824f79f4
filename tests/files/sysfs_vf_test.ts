import {
  bindDriver,
  getFunctionDevices,
  getPfDeviceId,
  listRepresentors,
  unbindDriver,
} from "../../src/kernel/pci.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { assertEquals, assertRejects, assertThrows } from "../support/assert.ts";
import { openFds } from "../support/system_calls.ts";
import { Root } from "./root.ts";

const PF = "0000:01:00.0";
const VF = "0000:01:10.4";
const NOTHING = { netdevs: [], isNetdevAway: false, isRdmaAway: false, vdpaDevices: [] };

/** Below a temporary directory, what sysfs shows of a physical and a virtual function. */
class TestSysfs extends Root {
  constructor() {
    super({
      [`/sys/bus/pci/devices/${PF}/sriov_totalvfs`]: "7\n",
      "/sys/class/net/eth0/address": "52:54:00:12:34:56\n",
      "/sys/bus/pci/devices/0000:02:00.0/class": "0x020000\n",
      "/sys/class/net/eth1/address": "52:54:00:12:34:57\n",
      "/sys/class/net/lo/address": "00:00:00:00:00:00\n",
      [`/sys/bus/pci/devices/${VF}/driver/unbind`]: "",
      "/sys/bus/pci/drivers/igbvf/bind": "",
      "/sys/bus/pci/drivers_probe": "",
    });
    Deno.symlinkSync(`../../../bus/pci/devices/${PF}`, `${this.path}/sys/class/net/eth0/device`);
    Deno.symlinkSync("../../../bus/pci/devices/0000:02:00.0", `${this.path}/sys/class/net/eth1/device`);
  }

  netdev(name: string, address: string, type: number): void {
    this.write(`/sys/bus/pci/devices/${VF}/net/${name}/address`, `${address}\n`);
    this.write(`/sys/bus/pci/devices/${VF}/net/${name}/addr_assign_type`, `${type}\n`);
    this.write(`/sys/bus/pci/devices/${VF}/net/${name}/ifindex`, "7\n");
  }
}

Deno.test("a netdev whose PCI function could have VFs is a physical function", () => {
  using sysfs = new TestSysfs();
  const netdevs = ["eth0", "eth1", "lo", "eth9", "../net/eth0"];
  assertEquals(netdevs.map((name) => getPfDeviceId(name, sysfs.path)), [PF, ...Array(4).fill(undefined)]);
});

for (
  const { type, isRandom, isPermanent } of [
    { type: 0, isRandom: false, isPermanent: true },
    { type: 1, isRandom: true, isPermanent: false },
    { type: 3, isRandom: false, isPermanent: false },
  ]
) {
  Deno.test(`an address of addr_assign_type ${type} is ${isRandom ? "" : "not "}random`, () => {
    using sysfs = new TestSysfs();
    sysfs.netdev("eth1", "02:03:00:00:48:56", type);
    assertEquals(getFunctionDevices(VF, sysfs.path), {
      ...NOTHING,
      netdevs: [{
        ...{ name: "eth1", index: 7, isUp: false, uppers: [], address: "02:03:00:00:48:56" },
        ...{ isRandom, isPermanent },
      }],
    });
  });
}

Deno.test("a netdev is up when it has a carrier, and lists what is on top of it", () => {
  using sysfs = new TestSysfs();
  sysfs.netdev("eth1", "02:03:00:00:48:56", 0);
  const directory = `/sys/bus/pci/devices/${VF}/net/eth1`;
  for (const name of ["upper_bond0", "upper_vlan7", "lower_x", "queues"]) {
    Deno.mkdirSync(`${sysfs.path}${directory}/${name}`);
  }
  const facts = (carrier: string) => {
    sysfs.write(`${directory}/carrier`, carrier);
    return getFunctionDevices(VF, sysfs.path).netdevs.map(({ isUp, uppers }) => [isUp, ...uppers]);
  };
  assertEquals([facts("1\n"), facts("0\n")], [[[true, "bond0", "vlan7"]], [[false, "bond0", "vlan7"]]]);
});

Deno.test("a function's vDPA devices are those below it", () => {
  using sysfs = new TestSysfs();
  Deno.mkdirSync(`${sysfs.path}/sys/bus/vdpa/devices`, { recursive: true });
  for (const [name, id] of [["vdpa0", VF], ["vdpa1", `${VF}0`], ["vdpa2", "0000:01:10.6"]]) {
    const target = `../../../devices/pci0000:00/${id}/mlx5_core.vnet.2/${name}`;
    Deno.symlinkSync(target, `${sysfs.path}/sys/bus/vdpa/devices/${name}`);
  }
  assertEquals(getFunctionDevices(VF, sysfs.path), { ...NOTHING, vdpaDevices: ["vdpa0"] });
});

Deno.test("representors are netdevs of the physical function that are named after a virtual function's port", () => {
  using sysfs = new TestSysfs();
  const names = { eth0: "p0", eth0_0: "pf0vf0", eth0_12: "c1pf0vf12", sf: "pf0sf3", host: "pf0", plain: "" };
  for (const [name, port] of Object.entries(names)) {
    sysfs.write(`/sys/bus/pci/devices/${PF}/net/${name}/phys_port_name`, `${port}\n`);
  }
  sysfs.write(`/sys/bus/pci/devices/${PF}/net/eth2/address`, "");
  Deno.mkdirSync(`${sysfs.path}/sys/bus/pci/devices/${PF}/net/eth0_12/upper_br0`);
  assertEquals(listRepresentors(PF, sysfs.path), [
    { name: "eth0_0", vf: 0, uppers: [] },
    { name: "eth0_12", vf: 12, uppers: ["br0"] },
  ]);
});

Deno.test("devices in another namespace leave an empty directory, missing ones leave none", () => {
  using sysfs = new TestSysfs();
  const directory = `${sysfs.path}/sys/bus/pci/devices/${VF}`;
  assertEquals(getFunctionDevices(VF, sysfs.path), NOTHING);
  Deno.mkdirSync(`${directory}/net`);
  assertEquals(getFunctionDevices(VF, sysfs.path), { ...NOTHING, isNetdevAway: true });
  Deno.mkdirSync(`${directory}/infiniband`);
  assertEquals(getFunctionDevices(VF, sysfs.path), { ...NOTHING, isNetdevAway: true, isRdmaAway: true });
  Deno.mkdirSync(`${directory}/infiniband/mlx5_3`);
  assertEquals(getFunctionDevices(VF, sysfs.path).isRdmaAway, false);
});

Deno.test("a netdev that vanishes while it is read is none", () => {
  using sysfs = new TestSysfs();
  Deno.mkdirSync(`${sysfs.path}/sys/bus/pci/devices/${VF}/net/eth1`, { recursive: true });
  assertEquals(getFunctionDevices(VF, sysfs.path).netdevs, []);
});

Deno.test("drivers are bound and unbound by the function's address", async () => {
  using sysfs = new TestSysfs();
  await unbindDriver(VF, sysfs.path);
  await bindDriver(VF, "igbvf", sysfs.path);
  await bindDriver(VF, undefined, sysfs.path);
  const written = [`devices/${VF}/driver/unbind`, "drivers/igbvf/bind", "drivers_probe"];
  assertEquals(written.map((path) => sysfs.read(`/sys/bus/pci/${path}`)), [VF, VF, VF]);
});

Deno.test("neither a bind nor a failed one leaves a descriptor open", async () => {
  using sysfs = new TestSysfs();
  await bindDriver(VF, "igbvf", sysfs.path);
  const before = openFds();
  for (let times = 0; times < 20; times++) {
    await unbindDriver(VF, sysfs.path);
    await bindDriver(VF, "igbvf", sysfs.path);
    await assertRejects(() => bindDriver(VF, "absent", sysfs.path));
  }
  assertEquals(openFds(), before);
});

Deno.test("what is not there is not made, and the failure names driver and function", async () => {
  using sysfs = new TestSysfs();
  const error = await assertRejects(() => bindDriver(VF, "absent", sysfs.path), SyscallError);
  const message = `Cannot bind driver "absent" to "${VF}": ENOENT (2), no such file or directory`;
  assertEquals(error.message, message);
  const unbind = () => unbindDriver("0000:01:10.6", sysfs.path);
  await assertRejects(unbind, SyscallError, 'driver of "0000:01:10.6"');
});

for (const id of ["", "..", "0000:01:10", `../devices/${VF}`, `${VF}/..`, "0000:01:10.8", "mlx5_core.sf.1"]) {
  Deno.test(`nothing is written for ${JSON.stringify(id)}, which is no PCI address`, async () => {
    using sysfs = new TestSysfs();
    await assertRejects(() => unbindDriver(id, sysfs.path), RangeError);
    await assertRejects(() => bindDriver(id, "igbvf", sysfs.path), RangeError);
    await assertRejects(() => bindDriver(id, undefined, sysfs.path), RangeError);
    assertThrows(() => getFunctionDevices(id, sysfs.path), RangeError);
    assertEquals(sysfs.read("/sys/bus/pci/drivers_probe"), "");
  });
}

for (const driver of ["", "..", "../../drivers/igbvf", "igbvf/.."]) {
  Deno.test(`nothing is written for ${JSON.stringify(driver)}, which is no driver`, async () => {
    using sysfs = new TestSysfs();
    await assertRejects(() => bindDriver(VF, driver, sysfs.path), RangeError);
    assertEquals(sysfs.read("/sys/bus/pci/drivers/igbvf/bind"), "");
  });
}
