import { bindDriver, getFunctionDevices, getPfDeviceId, unbindDriver } from "../../src/kernel/sysfs_vf.ts";
import { SyscallError } from "../../src/kernel/error.ts";
import { libc } from "../../src/ffi/libc.ts";
import { assertEquals, assertThrows } from "../assert.ts";

// It stays open once it is; opened within a test it would be taken for a leak of that test.
libc();

const PF = "0000:01:00.0";
const VF = "0000:01:10.4";

/** Below a temporary folder, what sysfs shows of a physical and a virtual function. */
class TestSysfs implements Disposable {
  readonly root = Deno.makeTempDirSync();

  constructor() {
    this.write(`bus/pci/devices/${PF}/sriov_totalvfs`, "7\n");
    this.write("class/net/eth0/address", "52:54:00:12:34:56\n");
    Deno.symlinkSync(`../../../bus/pci/devices/${PF}`, `${this.root}/class/net/eth0/device`);
    this.write("bus/pci/devices/0000:02:00.0/class", "0x020000\n");
    this.write("class/net/eth1/address", "52:54:00:12:34:57\n");
    Deno.symlinkSync("../../../bus/pci/devices/0000:02:00.0", `${this.root}/class/net/eth1/device`);
    this.write("class/net/lo/address", "00:00:00:00:00:00\n");
    this.write(`bus/pci/devices/${VF}/driver/unbind`, "");
    this.write("bus/pci/drivers/igbvf/bind", "");
    this.write("bus/pci/drivers_probe", "");
  }

  write(path: string, text: string): void {
    Deno.mkdirSync(`${this.root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(`${this.root}/${path}`, text);
  }

  read(path: string): string {
    return Deno.readTextFileSync(`${this.root}/${path}`);
  }

  netdev(name: string, address: string, type: number): void {
    this.write(`bus/pci/devices/${VF}/net/${name}/address`, `${address}\n`);
    this.write(`bus/pci/devices/${VF}/net/${name}/addr_assign_type`, `${type}\n`);
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
      netdevs: [{ name: "eth1", address: "02:03:00:00:48:56", isRandom, isPermanent }],
      isNetdevAway: false,
      isRdmaAway: false,
    });
  });
}

Deno.test("devices in another namespace leave an empty folder, missing ones leave none", () => {
  using sysfs = new TestSysfs();
  const folder = `${sysfs.root}/bus/pci/devices/${VF}`;
  assertEquals(getFunctionDevices(VF, sysfs.root), { netdevs: [], isNetdevAway: false, isRdmaAway: false });
  Deno.mkdirSync(`${folder}/net`);
  assertEquals(getFunctionDevices(VF, sysfs.root), { netdevs: [], isNetdevAway: true, isRdmaAway: false });
  Deno.mkdirSync(`${folder}/infiniband`);
  assertEquals(getFunctionDevices(VF, sysfs.root), { netdevs: [], isNetdevAway: true, isRdmaAway: true });
  Deno.mkdirSync(`${folder}/infiniband/mlx5_3`);
  assertEquals(getFunctionDevices(VF, sysfs.root).isRdmaAway, false);
});

Deno.test("a netdev that vanishes while it is read is none", () => {
  using sysfs = new TestSysfs();
  Deno.mkdirSync(`${sysfs.root}/bus/pci/devices/${VF}/net/eth1`, { recursive: true });
  assertEquals(getFunctionDevices(VF, sysfs.root).netdevs, []);
});

Deno.test("drivers are bound and unbound by the function's address", () => {
  using sysfs = new TestSysfs();
  unbindDriver(VF, sysfs.root);
  bindDriver(VF, "igbvf", sysfs.root);
  bindDriver(VF, undefined, sysfs.root);
  const written = [
    `bus/pci/devices/${VF}/driver/unbind`,
    "bus/pci/drivers/igbvf/bind",
    "bus/pci/drivers_probe",
  ];
  assertEquals(written.map((path) => sysfs.read(path)), [VF, VF, VF]);
});

Deno.test("what is not there is not made, and the failure names driver and function", () => {
  using sysfs = new TestSysfs();
  const error = assertThrows(() => bindDriver(VF, "absent", sysfs.root), SyscallError);
  assertEquals(
    error.message,
    `Cannot bind driver "absent" to "${VF}": ENOENT (2), no such file or directory`,
  );
  assertThrows(() => unbindDriver("0000:01:10.6", sysfs.root), SyscallError, 'driver of "0000:01:10.6"');
});

for (const id of ["", "..", "0000:01:10", `../devices/${VF}`, `${VF}/..`, "0000:01:10.8", "mlx5_core.sf.1"]) {
  Deno.test(`nothing is written for ${JSON.stringify(id)}, which is no PCI address`, () => {
    using sysfs = new TestSysfs();
    assertThrows(() => unbindDriver(id, sysfs.root), RangeError);
    assertThrows(() => bindDriver(id, "igbvf", sysfs.root), RangeError);
    assertThrows(() => bindDriver(id, undefined, sysfs.root), RangeError);
    assertThrows(() => getFunctionDevices(id, sysfs.root), RangeError);
    assertEquals(sysfs.read("bus/pci/drivers_probe"), "");
  });
}

for (const driver of ["", "..", "../../drivers/igbvf", "igbvf/.."]) {
  Deno.test(`nothing is written for ${JSON.stringify(driver)}, which is no driver`, () => {
    using sysfs = new TestSysfs();
    assertThrows(() => bindDriver(VF, driver, sysfs.root), RangeError);
    assertEquals(sysfs.read("bus/pci/drivers/igbvf/bind"), "");
  });
}
