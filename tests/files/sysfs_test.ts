// What sysfs shows of functions, their devices and drivers, below a temporary directory.
import * as pci from "../../src/kernel/pci.ts";
import { getBusDevice, isFileName, listVerbsDevices } from "../../src/kernel/sysfs.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals, assertRejects, assertThrows } from "../support/assert.ts";
import { openFds } from "../support/system_calls.ts";
import { Root } from "./root.ts";

libc(); // opened once for the process: a test would be blamed for the leak

const PF = "0000:01:00.0";
const VF = "0000:01:10.4";
const SF = "mlx5_core.sf.4";
/** Another adapter, without virtual functions. */
const IDLE = "0000:02:00.0";
const BUS = "/sys/bus/pci";
const MAC = "02:03:00:00:48:56";
const NOTHING = { netdevs: [], isNetdevAway: false, isRdmaAway: false, vdpaDevices: [] };

/** An adapter with a virtual function, which has two RDMA devices, and a scalable one, which has none. */
class TestSysfs extends Root {
  readonly vf = `/sys/devices/pci0000:00/${VF}`;
  readonly pf = `/sys/devices/pci0000:00/${PF}`;
  readonly sf = `${this.pf}/${SF}`;
  readonly functionDevices = () => pci.getFunctionDevices(VF, this.path);

  constructor() {
    super({});
    this.write(`${this.pf}/sriov_numvfs`, "7\n");
    this.write(`${this.pf}/sriov_totalvfs`, "7\n");
    this.write(`${this.pf}/class`, "0x020000\n");
    this.write(`${this.pf}/net/eth0/address`, "52:54:00:12:34:56\n");
    this.rdma(this.pf, 0);
    for (const number of [3, 11]) this.rdma(this.vf, number);
    this.write(`${this.vf}/class`, "0x020700\n");
    this.write(`${BUS}/drivers/igbvf/bind`, "");
    this.write(`${BUS}/drivers_probe`, "");
    this.directory(`${BUS}/drivers/mlx5_core`);
    this.directory(this.sf);
    for (const [bus, id, target] of [["pci", PF, PF], ["pci", VF, VF], ["auxiliary", SF, `${PF}/${SF}`]]) {
      this.link(`/sys/bus/${bus}/devices/${id}`, `../../../devices/pci0000:00/${target}`);
    }
    this.link(`${this.vf}/physfn`, `../${PF}`);
    this.link(`${this.pf}/virtfn2`, `../${VF}`);
    this.link(`${this.pf}/driver`, "../../../bus/pci/drivers/mlx5_core");
    this.link("/sys/class/net/eth0/device", `../../../devices/pci0000:00/${PF}`);
  }

  rdma(of: string, number: number): void {
    this.directory(`${of}/infiniband/mlx5_${number}`);
    this.write(`${of}/infiniband_verbs/uverbs${number}/ibdev`, `mlx5_${number}\n`);
  }

  addIdle(): void {
    this.write(`${BUS}/devices/${IDLE}/class`, "0x020000\n");
    this.write(`${BUS}/devices/${IDLE}/sriov_numvfs`, "0\n");
    this.directory(`${BUS}/devices/${IDLE}/net/eth1`);
    this.link("/sys/class/net/eth1/device", `../../../bus/pci/devices/${IDLE}`);
  }

  netdev(name: string, type: number): void {
    const files = { address: MAC, addr_assign_type: type, ifindex: 7 };
    for (const [file, value] of Object.entries(files)) {
      this.write(`${this.vf}/net/${name}/${file}`, `${value}\n`);
    }
  }

  directory(path: string): void {
    Deno.mkdirSync(`${this.path}${path}`, { recursive: true });
  }

  link(path: string, target: string): void {
    this.directory(path.replace(/\/[^/]*$/, ""));
    Deno.symlinkSync(target, `${this.path}${path}`);
  }
}

Deno.test("a function has its bus and driver, the number of its virtual functions and all its RDMA devices", () => {
  using sysfs = new TestSysfs();
  const rdma = (...numbers: number[]) => ({
    rdmaDevices: numbers.map((number) => `mlx5_${number}`),
    rdmaDeviceCount: numbers.length,
    uverbs: numbers.map((number) => ({ name: `uverbs${number}`, rdmaDevice: `mlx5_${number}` })),
  });
  const none = { isPhysicalFunction: false, enabledVfs: 0 };
  const pf = { bus: "pci", driver: "mlx5_core", isPhysicalFunction: true, enabledVfs: 7 } as const;
  assertEquals(getBusDevice(PF, sysfs.path), { id: PF, ...pf, ...rdma(0) });
  assertEquals(getBusDevice(VF, sysfs.path), { id: VF, bus: "pci", ...none, ...rdma(11, 3) });
  assertEquals(getBusDevice(SF, sysfs.path), { id: SF, bus: "auxiliary", ...none, ...rdma() });
});

Deno.test("a device that only its uverbs device shows counts, and has no name when that vanishes", () => {
  using sysfs = new TestSysfs();
  sysfs.directory(`${sysfs.sf}/infiniband_verbs/uverbs4`);
  const { rdmaDevices, rdmaDeviceCount, uverbs } = getBusDevice(SF, sysfs.path)!;
  assertEquals([rdmaDevices, rdmaDeviceCount, uverbs], [[], 1, [{ name: "uverbs4", rdmaDevice: "" }]]);
});

Deno.test("what is not on a bus, or leads elsewhere, is no device", () => {
  using sysfs = new TestSysfs();
  for (const id of ["", ".", "..", "0000:01:00.1", `../devices/${PF}`, `${PF}/.`, `${PF}\0`]) {
    assertEquals(getBusDevice(id, sysfs.path), undefined, id);
  }
  assertEquals(getBusDevice(PF, "/nonexistent"), undefined);
  const names = [PF, "a".repeat(255), "", ".", "..", "a/b", "a\0b", "a".repeat(256)];
  assertEquals(names.filter(isFileName), [PF, "a".repeat(255)]);
});

Deno.test("physical functions' netdevs are those whose function has virtual functions, or could have", () => {
  using sysfs = new TestSysfs();
  sysfs.addIdle();
  sysfs.directory("/sys/class/net/lo");
  sysfs.netdev("eth2", 0);
  assertEquals(pci.listPfNetdevs(sysfs.path), ["eth0"]);
  const found = ["eth0", "eth1", "lo", "eth9", "../net/eth0"].map((name) =>
    pci.getPfDeviceId(name, sysfs.path)
  );
  assertEquals(found, [PF, ...Array(4).fill(undefined)]);
});

Deno.test("virtual functions are numbered below their physical function's link", () => {
  using sysfs = new TestSysfs();
  const found = ([["eth0", 2], ["eth0", 3], ["eth9", 2], ["../net/eth0", 2]] as const).map(([name, number]) =>
    pci.getVfDeviceId(name, number, sysfs.path)
  );
  assertEquals(found, [VF, ...Array(3).fill(undefined)]);
});

Deno.test("network controllers are listed, each with what sysfs shows of it, and nothing else on the bus", () => {
  using sysfs = new TestSysfs();
  sysfs.addIdle();
  sysfs.write(`${BUS}/devices/0000:03:00.0/class`, "0x010802\n");
  const none = { netdevs: [], isVirtual: false, totalVfs: 0, enabledVfs: 0, rdmaDevices: [] };
  const pf = { driver: "mlx5_core", netdevs: ["eth0"], totalVfs: 7, enabledVfs: 7, rdmaDevices: ["mlx5_0"] };
  assertEquals(pci.listNetworkFunctions(sysfs.path), [
    { ...none, id: PF, ...pf },
    { ...none, id: VF, isVirtual: true, rdmaDevices: ["mlx5_11", "mlx5_3"] },
    { ...none, id: IDLE, netdevs: ["eth1"] },
  ]);
});

Deno.test("the devices that have a uverbs device are listed by their own names", () => {
  using root = new Root({
    "/sys/class/infiniband_verbs/uverbs0/ibdev": "mlx5_3\n",
    "/sys/class/infiniband_verbs/uverbs1/dev": "",
  });
  assertEquals(listVerbsDevices(root.path).map(({ name }) => name), ["mlx5_3"]);
});

for (
  const [type, isRandom, isPermanent] of [[0, false, true], [1, true, false], [3, false, false]] as const
) {
  Deno.test(`an address of addr_assign_type ${type} is ${isRandom ? "" : "not "}random`, () => {
    using sysfs = new TestSysfs();
    sysfs.netdev("eth1", type);
    const facts = { name: "eth1", index: 7, isUp: false, uppers: [], address: MAC, isRandom, isPermanent };
    assertEquals(sysfs.functionDevices(), { ...NOTHING, netdevs: [facts] });
  });
}

Deno.test("a netdev is up when it has a carrier, and lists what is on top of it; one that vanishes is none", () => {
  using sysfs = new TestSysfs();
  sysfs.netdev("eth1", 0);
  sysfs.directory(`${sysfs.vf}/net/eth2`);
  for (const name of ["upper_bond0", "upper_vlan7", "lower_x", "queues"]) {
    sysfs.directory(`${sysfs.vf}/net/eth1/${name}`);
  }
  for (const [carrier, wanted] of [["1\n", true], ["0\n", false]] as const) {
    sysfs.write(`${sysfs.vf}/net/eth1/carrier`, carrier);
    const found = sysfs.functionDevices().netdevs.map(({ isUp, uppers }) => [isUp, ...uppers]);
    assertEquals(found, [[wanted, "bond0", "vlan7"]]);
  }
});

Deno.test("a function's vDPA devices are those below it", () => {
  using sysfs = new TestSysfs();
  for (const [name, id] of [["vdpa0", VF], ["vdpa1", `${VF}0`], ["vdpa2", "0000:01:10.6"]]) {
    sysfs.link(`/sys/bus/vdpa/devices/${name}`, `../../../devices/pci0000:00/${id}/mlx5_core.vnet.2/${name}`);
  }
  assertEquals(sysfs.functionDevices(), { ...NOTHING, vdpaDevices: ["vdpa0"] });
});

Deno.test("representors are netdevs of the physical function that are named after a virtual function's port", () => {
  using sysfs = new TestSysfs();
  const names = { eth0: "p0", eth0_0: "pf0vf0", eth0_12: "c1pf0vf12", sf: "pf0sf3", host: "pf0", plain: "" };
  for (const [name, port] of Object.entries(names)) {
    sysfs.write(`${sysfs.pf}/net/${name}/phys_port_name`, `${port}\n`);
  }
  sysfs.directory(`${sysfs.pf}/net/eth2`);
  sysfs.directory(`${sysfs.pf}/net/eth0_12/upper_br0`);
  assertEquals(pci.listRepresentors(PF, sysfs.path), [
    { name: "eth0_0", vf: 0, uppers: [] },
    { name: "eth0_12", vf: 12, uppers: ["br0"] },
  ]);
});

Deno.test("devices in another namespace leave an empty directory, missing ones leave none", () => {
  using sysfs = new TestSysfs();
  assertEquals(sysfs.functionDevices(), NOTHING);
  sysfs.directory(`${sysfs.vf}/net`);
  assertEquals(sysfs.functionDevices(), { ...NOTHING, isNetdevAway: true });
  for (const name of ["mlx5_3", "mlx5_11"]) Deno.removeSync(`${sysfs.path}${sysfs.vf}/infiniband/${name}`);
  assertEquals(sysfs.functionDevices(), { ...NOTHING, isNetdevAway: true, isRdmaAway: true });
  Deno.removeSync(`${sysfs.path}${sysfs.vf}/infiniband`);
  assertEquals(sysfs.functionDevices(), { ...NOTHING, isNetdevAway: true });
});

Deno.test("drivers are bound and unbound by the function's address, and no descriptor is left open", async () => {
  using sysfs = new TestSysfs();
  sysfs.write(`${sysfs.vf}/driver/unbind`, "");
  await pci.bindDriver(VF, "igbvf", sysfs.path);
  const before = openFds();
  await pci.unbindDriver(VF, sysfs.path);
  await pci.bindDriver(VF, "igbvf", sysfs.path);
  await pci.bindDriver(VF, undefined, sysfs.path);
  const written = [`devices/${VF}/driver/unbind`, "drivers/igbvf/bind", "drivers_probe"];
  assertEquals(written.map((path) => sysfs.read(`${BUS}/${path}`)), [VF, VF, VF]);
  const error = await assertRejects(() => pci.bindDriver(VF, "absent", sysfs.path), SyscallError);
  const message = `Cannot bind driver "absent" to "${VF}": ENOENT (2), no such file or directory`;
  assertEquals(error.message, message);
  const unbind = () => pci.unbindDriver("0000:01:10.6", sysfs.path);
  await assertRejects(unbind, SyscallError, 'driver of "0000:01:10.6"');
  assertEquals(openFds(), before);
});

Deno.test("nothing is written for what is no PCI address, or no driver", async () => {
  using sysfs = new TestSysfs();
  for (const id of ["", "..", "0000:01:10", `../devices/${VF}`, `${VF}/..`, "0000:01:10.8", SF]) {
    await assertRejects(() => pci.unbindDriver(id, sysfs.path), RangeError);
    await assertRejects(() => pci.bindDriver(id, "igbvf", sysfs.path), RangeError);
    await assertRejects(() => pci.bindDriver(id, undefined, sysfs.path), RangeError);
    assertThrows(() => pci.getFunctionDevices(id, sysfs.path), RangeError);
  }
  for (const driver of ["", "..", "../../drivers/igbvf", "igbvf/.."]) {
    await assertRejects(() => pci.bindDriver(VF, driver, sysfs.path), RangeError);
  }
  const files = ["drivers_probe", "drivers/igbvf/bind"].map((name) => sysfs.read(`${BUS}/${name}`));
  assertEquals(files, ["", ""]);
});
