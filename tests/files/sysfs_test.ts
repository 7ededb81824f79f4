import { getVfDeviceId, listPfNetdevs } from "../../src/kernel/pci.ts";
import { getBusDevice, isFileName } from "../../src/kernel/sysfs.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

libc(); // opened once for the process: a test would be blamed for the leak

const PF = "0000:01:00.0";
const VF = "0000:01:10.4";
const SF = "mlx5_core.sf.4";

/** Below a temporary directory, what sysfs shows of an adapter with a virtual and a scalable function. */
class TestSysfs extends Root {
  constructor() {
    super({});
    const devices = "devices/pci0000:00";
    this.directory(`${devices}/${PF}`, { sriov_numvfs: "7\n" });
    this.directory(`${devices}/${PF}/infiniband/mlx5_0`);
    this.directory(`${devices}/${PF}/infiniband_verbs/uverbs0`, { ibdev: "mlx5_0\n" });
    this.directory(`${devices}/${VF}/infiniband/mlx5_3`);
    this.directory(`${devices}/${VF}/infiniband/mlx5_11`);
    this.directory(`${devices}/${VF}/infiniband_verbs/uverbs3`, { ibdev: "mlx5_3\n" });
    this.directory(`${devices}/${VF}/infiniband_verbs/uverbs11`, { ibdev: "mlx5_11\n" });
    this.directory(`${devices}/${PF}/${SF}`);
    for (const bus of ["pci", "auxiliary"]) {
      this.directory(`bus/${bus}/devices`);
      this.directory(`bus/${bus}/drivers/mlx5_core`);
    }
    this.link(`bus/pci/devices/${PF}`, `../../../${devices}/${PF}`);
    this.link(`bus/pci/devices/${VF}`, `../../../${devices}/${VF}`);
    this.link(`bus/auxiliary/devices/${SF}`, `../../../${devices}/${PF}/${SF}`);
    this.link(`${devices}/${VF}/physfn`, `../${PF}`);
    this.link(`${devices}/${PF}/virtfn2`, `../${VF}`);
    this.link(`${devices}/${PF}/driver`, "../../../bus/pci/drivers/mlx5_core");
    this.directory(`${devices}/${PF}/net/eth0`);
    this.directory(`${devices}/${VF}/net/eth2`);
    this.directory("class/net/eth0");
    this.link("class/net/eth0/device", `../../../${devices}/${PF}`);
  }

  directory(path: string, files: Record<string, string> = {}): void {
    Deno.mkdirSync(`${this.path}/sys/${path}`, { recursive: true });
    for (const [name, text] of Object.entries(files)) this.write(`/sys/${path}/${name}`, text);
  }

  link(path: string, target: string): void {
    Deno.symlinkSync(target, `${this.path}/sys/${path}`);
  }
}

Deno.test("a physical function has its driver and the number of its virtual functions", () => {
  using sysfs = new TestSysfs();
  assertEquals(getBusDevice(PF, sysfs.path), {
    id: PF,
    bus: "pci",
    driver: "mlx5_core",
    isPhysicalFunction: true,
    enabledVfs: 7,
    rdmaDevices: ["mlx5_0"],
    rdmaDeviceCount: 1,
    uverbs: [{ name: "uverbs0", rdmaDevice: "mlx5_0" }],
  });
});

Deno.test("a virtual function has all its RDMA devices, and no driver when none is bound", () => {
  using sysfs = new TestSysfs();
  assertEquals(getBusDevice(VF, sysfs.path), {
    id: VF,
    bus: "pci",
    isPhysicalFunction: false,
    enabledVfs: 0,
    rdmaDevices: ["mlx5_11", "mlx5_3"],
    rdmaDeviceCount: 2,
    uverbs: [{ name: "uverbs11", rdmaDevice: "mlx5_11" }, { name: "uverbs3", rdmaDevice: "mlx5_3" }],
  });
});

Deno.test("an auxiliary device is no physical function, and may have nothing of RDMA", () => {
  using sysfs = new TestSysfs();
  assertEquals(getBusDevice(SF, sysfs.path), {
    id: SF,
    bus: "auxiliary",
    isPhysicalFunction: false,
    enabledVfs: 0,
    rdmaDevices: [],
    rdmaDeviceCount: 0,
    uverbs: [],
  });
});

Deno.test("a device that only its uverbs device shows counts too", () => {
  using sysfs = new TestSysfs();
  sysfs.directory(`devices/pci0000:00/${PF}/${SF}/infiniband_verbs/uverbs4`, { ibdev: "mlx5_4\n" });
  const { rdmaDevices, rdmaDeviceCount } = getBusDevice(SF, sysfs.path)!;
  assertEquals([rdmaDevices, rdmaDeviceCount], [[], 1]);
});

Deno.test("a uverbs device that vanishes while it is read has no RDMA device", () => {
  using sysfs = new TestSysfs();
  sysfs.directory(`devices/pci0000:00/${VF}/infiniband_verbs/uverbs7`);
  const { uverbs } = getBusDevice(VF, sysfs.path)!;
  assertEquals(uverbs.find(({ name }) => name === "uverbs7"), { name: "uverbs7", rdmaDevice: "" });
});

for (const id of ["", ".", "..", "0000:01:00.1", `../devices/${PF}`, `${PF}/.`, `${PF}\0`]) {
  Deno.test(`${JSON.stringify(id)} is no device`, () => {
    using sysfs = new TestSysfs();
    assertEquals(getBusDevice(id, sysfs.path), undefined);
  });
}

Deno.test("a name for a path is one that leads nowhere else", () => {
  const names = [PF, "a".repeat(255), "", ".", "..", "a/b", "a\0b", "a".repeat(256)];
  assertEquals(names.filter(isFileName), [PF, "a".repeat(255)]);
});

Deno.test("a machine without these buses has no device", () => {
  assertEquals(getBusDevice(PF, "/nonexistent"), undefined);
});

Deno.test("physical functions' netdevs are those whose function has virtual functions now", () => {
  using sysfs = new TestSysfs();
  const idle = "devices/pci0000:00/0000:02:00.0";
  sysfs.directory(idle, { sriov_numvfs: "0\n" });
  sysfs.directory(`${idle}/net/eth1`);
  sysfs.link("bus/pci/devices/0000:02:00.0", `../../../${idle}`);
  assertEquals(listPfNetdevs(sysfs.path), ["eth0"]);
});

Deno.test("virtual functions are numbered below their physical function's link", () => {
  using sysfs = new TestSysfs();
  assertEquals(getVfDeviceId("eth0", 2, sysfs.path), VF);
  assertEquals(getVfDeviceId("eth0", 3, sysfs.path), undefined);
  assertEquals(getVfDeviceId("eth9", 2, sysfs.path), undefined);
  assertEquals(getVfDeviceId("../net/eth0", 2, sysfs.path), undefined);
});
