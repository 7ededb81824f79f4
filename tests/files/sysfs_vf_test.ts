import {
  bindDriver,
  getFunctionDevices,
  getPfDeviceId,
  listRepresentors,
  unbindDriver,
} from "../../src/kernel/pci.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { assertEquals, assertRejects, assertThrows } from "../support/assert.ts";

const PF = "0000:01:00.0";
const VF = "0000:01:10.4";
const NOTHING = { netdevs: [], isNetdevAway: false, isRdmaAway: false, vdpaDevices: [] };

/** Below a temporary directory, what sysfs shows of a physical and a virtual function. */
class TestSysfs implements Disposable {
  readonly root = Deno.makeTempDirSync();

  constructor() {
    this.write(`bus/pci/devices/${PF}/sriov_totalvfs`, "7\n");
    this.write("class/net/eth0/address", "52:54:00:12:34:56\n");
    Deno.symlinkSync(`../../../bus/pci/devices/${PF}`, `${this.root}/sys/class/net/eth0/device`);
    this.write("bus/pci/devices/0000:02:00.0/class", "0x020000\n");
    this.write("class/net/eth1/address", "52:54:00:12:34:57\n");
    Deno.symlinkSync("../../../bus/pci/devices/0000:02:00.0", `${this.root}/sys/class/net/eth1/device`);
    this.write("class/net/lo/address", "00:00:00:00:00:00\n");
    this.write(`bus/pci/devices/${VF}/driver/unbind`, "");
    this.write("bus/pci/drivers/igbvf/bind", "");
    this.write("bus/pci/drivers_probe", "");
  }

  write(path: string, text: string): void {
    Deno.mkdirSync(`${this.root}/sys/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(`${this.root}/sys/${path}`, text);
  }

  read(path: string): string {
    return Deno.readTextFileSync(`${this.root}/sys/${path}`);
  }

  netdev(name: string, address: string, type: number): void {
    this.write(`bus/pci/devices/${VF}/net/${name}/address`, `${address}\n`);
    this.write(`bus/pci/devices/${VF}/net/${name}/addr_assign_type`, `${type}\n`);
    this.write(`bus/pci/devices/${VF}/net/${name}/ifindex`, "7\n");
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

Deno.test("a netdev whose PCI function could have VFs is a physical function", () => {
  using sysfs = new TestSysfs();
  assertEquals(["eth0", "eth1", "lo", "eth9", "../net/eth0"].map((name) => getPfDeviceId(name, sysfs.root)), [
    PF,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
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
    assertEquals(getFunctionDevices(VF, sysfs.root), {
      ...NOTHING,
      netdevs: [{
        name: "eth1",
        index: 7,
        isUp: false,
        uppers: [],
        address: "02:03:00:00:48:56",
        isRandom,
        isPermanent,
      }],
    });
  });
}

Deno.test("a netdev is up when it has a carrier, and lists what is on top of it", () => {
  using sysfs = new TestSysfs();
  sysfs.netdev("eth1", "02:03:00:00:48:56", 0);
  const directory = `bus/pci/devices/${VF}/net/eth1`;
  for (const name of ["upper_bond0", "upper_vlan7", "lower_x", "queues"]) {
    Deno.mkdirSync(`${sysfs.root}/sys/${directory}/${name}`);
  }
  const facts = (carrier: string) => {
    sysfs.write(`${directory}/carrier`, carrier);
    return getFunctionDevices(VF, sysfs.root).netdevs.map(({ isUp, uppers }) => [isUp, ...uppers]);
  };
  assertEquals([facts("1\n"), facts("0\n")], [[[true, "bond0", "vlan7"]], [[false, "bond0", "vlan7"]]]);
});

Deno.test("a function's vDPA devices are those below it", () => {
  using sysfs = new TestSysfs();
  Deno.mkdirSync(`${sysfs.root}/sys/bus/vdpa/devices`, { recursive: true });
  for (const [name, id] of [["vdpa0", VF], ["vdpa1", `${VF}0`], ["vdpa2", "0000:01:10.6"]]) {
    const target = `../../../devices/pci0000:00/${id}/mlx5_core.vnet.2/${name}`;
    Deno.symlinkSync(target, `${sysfs.root}/sys/bus/vdpa/devices/${name}`);
  }
  assertEquals(getFunctionDevices(VF, sysfs.root), { ...NOTHING, vdpaDevices: ["vdpa0"] });
});

Deno.test("representors are netdevs of the physical function that are named after a virtual function's port", () => {
  using sysfs = new TestSysfs();
  const names = { eth0: "p0", eth0_0: "pf0vf0", eth0_12: "c1pf0vf12", sf: "pf0sf3", host: "pf0", plain: "" };
  for (const [name, port] of Object.entries(names)) {
    sysfs.write(`bus/pci/devices/${PF}/net/${name}/phys_port_name`, `${port}\n`);
  }
  sysfs.write(`bus/pci/devices/${PF}/net/eth2/address`, "");
  Deno.mkdirSync(`${sysfs.root}/sys/bus/pci/devices/${PF}/net/eth0_12/upper_br0`);
  assertEquals(listRepresentors(PF, sysfs.root), [
    { name: "eth0_0", vf: 0, uppers: [] },
    { name: "eth0_12", vf: 12, uppers: ["br0"] },
  ]);
});

Deno.test("devices in another namespace leave an empty directory, missing ones leave none", () => {
  using sysfs = new TestSysfs();
  const directory = `${sysfs.root}/sys/bus/pci/devices/${VF}`;
  assertEquals(getFunctionDevices(VF, sysfs.root), NOTHING);
  Deno.mkdirSync(`${directory}/net`);
  assertEquals(getFunctionDevices(VF, sysfs.root), { ...NOTHING, isNetdevAway: true });
  Deno.mkdirSync(`${directory}/infiniband`);
  assertEquals(getFunctionDevices(VF, sysfs.root), { ...NOTHING, isNetdevAway: true, isRdmaAway: true });
  Deno.mkdirSync(`${directory}/infiniband/mlx5_3`);
  assertEquals(getFunctionDevices(VF, sysfs.root).isRdmaAway, false);
});

Deno.test("a netdev that vanishes while it is read is none", () => {
  using sysfs = new TestSysfs();
  Deno.mkdirSync(`${sysfs.root}/sys/bus/pci/devices/${VF}/net/eth1`, { recursive: true });
  assertEquals(getFunctionDevices(VF, sysfs.root).netdevs, []);
});

Deno.test("drivers are bound and unbound by the function's address", async () => {
  using sysfs = new TestSysfs();
  await unbindDriver(VF, sysfs.root);
  await bindDriver(VF, "igbvf", sysfs.root);
  await bindDriver(VF, undefined, sysfs.root);
  const written = [
    `bus/pci/devices/${VF}/driver/unbind`,
    "bus/pci/drivers/igbvf/bind",
    "bus/pci/drivers_probe",
  ];
  assertEquals(written.map((path) => sysfs.read(path)), [VF, VF, VF]);
});

Deno.test("neither a bind nor a failed one leaves a descriptor open", async () => {
  using sysfs = new TestSysfs();
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  await bindDriver(VF, "igbvf", sysfs.root);
  const before = open();
  for (let times = 0; times < 20; times++) {
    await unbindDriver(VF, sysfs.root);
    await bindDriver(VF, "igbvf", sysfs.root);
    await assertRejects(() => bindDriver(VF, "absent", sysfs.root));
  }
  assertEquals(open(), before);
});

Deno.test("what is not there is not made, and the failure names driver and function", async () => {
  using sysfs = new TestSysfs();
  const error = await assertRejects(() => bindDriver(VF, "absent", sysfs.root), SyscallError);
  assertEquals(
    error.message,
    `Cannot bind driver "absent" to "${VF}": ENOENT (2), no such file or directory`,
  );
  await assertRejects(
    () => unbindDriver("0000:01:10.6", sysfs.root),
    SyscallError,
    'driver of "0000:01:10.6"',
  );
});

for (const id of ["", "..", "0000:01:10", `../devices/${VF}`, `${VF}/..`, "0000:01:10.8", "mlx5_core.sf.1"]) {
  Deno.test(`nothing is written for ${JSON.stringify(id)}, which is no PCI address`, async () => {
    using sysfs = new TestSysfs();
    await assertRejects(() => unbindDriver(id, sysfs.root), RangeError);
    await assertRejects(() => bindDriver(id, "igbvf", sysfs.root), RangeError);
    await assertRejects(() => bindDriver(id, undefined, sysfs.root), RangeError);
    assertThrows(() => getFunctionDevices(id, sysfs.root), RangeError);
    assertEquals(sysfs.read("bus/pci/drivers_probe"), "");
  });
}

for (const driver of ["", "..", "../../drivers/igbvf", "igbvf/.."]) {
  Deno.test(`nothing is written for ${JSON.stringify(driver)}, which is no driver`, async () => {
    using sysfs = new TestSysfs();
    await assertRejects(() => bindDriver(VF, driver, sysfs.root), RangeError);
    assertEquals(sysfs.read("bus/pci/drivers/igbvf/bind"), "");
  });
}
