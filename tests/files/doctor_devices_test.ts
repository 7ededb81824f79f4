import { examineNode } from "../../src/cli/doctor/command.ts";
import { examineDevices, mayHaveRdma } from "../../src/cli/doctor/devices.ts";
import { examine, type Finding } from "../../src/cli/doctor/finding.ts";
import { examineInitramfs, examineMode } from "../../src/cli/doctor/kernel.ts";
import { examineRecords, stateDirectory } from "../../src/cli/doctor/records.ts";
import { readPersistedMode } from "../../src/cli/netns_mode/persist.ts";
import { collect } from "../../src/cli/pods/collect.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { listVfs } from "../../src/node/functions.ts";
import { type Inventory, takeInventory } from "../../src/node/inventory.ts";
import type { AttachmentRecord } from "../../src/plugin/record.ts";
import { State } from "../../src/plugin/state.ts";
import { EINVAL } from "../../src/sys/errno.ts";
import { assertEquals } from "../support/assert.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

const POD = "/run/netns/pod";
const VF = "0000:3b:00.2";
const FILE = "net-container1-net1";

/** A node with a function whose RDMA device is in a pod, and a second one on the host. */
function createNode() {
  const node = new DoctorNode();
  const pod = node.kernel.addNetns(POD);
  node.kernel.addFunction(VF);
  const device = node.kernel.addDevice(VF, 2, { space: pod });
  node.kernel.addFunction("0000:3b:00.3");
  node.kernel.addDevice("0000:3b:00.3", 3);
  for (const { uverbs, name } of node.kernel.devices) {
    node.write(`/sys/class/infiniband_verbs/${uverbs}/ibdev`, name);
  }
  const record: AttachmentRecord = {
    attachment: { network: "net", containerID: "container1", ifname: "net1" },
    deviceId: VF,
    devices: [{ index: 2, hostName: "mlx5_2", podName: "mlx5_2" }],
    netns: { path: POD, inode: pod.inode, cookie: pod.cookie! },
    bootId: node.kernel.bootId,
    createdAt: 1000,
  };
  return { node, pod, device, record };
}

function inventoryOf({ kernel, root }: DoctorNode): Inventory {
  return takeInventory(kernel, new State(stateDirectory(root)));
}

const devicesOf = (node: DoctorNode) => examineDevices(node, inventoryOf(node));
const recordsOf = (node: DoctorNode) => examineRecords(node, inventoryOf(node));

/** A record of the Go plugin. */
const GO_RECORD = JSON.stringify({
  version: "1.0",
  deviceID: VF,
  sandboxRdmaDevName: "mlx5_2",
  containerRdmaDevName: "mlx5_2",
});

Deno.test("devices: those on the host, and those in a pod with the container that the record tells", () => {
  const { node, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  assertFindings(devicesOf(node), [
    ["ok", /^in the host namespace: mlx5_3$/],
    ["ok", /^in \/run\/netns\/pod: mlx5_2 \(container container1, net1, network net\)$/],
  ]);
});

Deno.test("devices: one in a namespace that no record tells of, found by a process", () => {
  const { node, pod, record } = createNode();
  using _ = node;
  node.kernel.paths.delete(POD);
  node.kernel.held.set("/proc/42/ns/net", pod);
  const process = { pid: 42, command: "sleep", onlyOpen: false };
  node.kernel.others = [{ inode: pod.inode, paths: [], processes: [process, { ...process, pid: 43 }] }];
  node.write(FILE, { ...record, netns: { ...record.netns!, cookie: "7" } });
  assertFindings(devicesOf(node), [
    ["ok", /in the host namespace/],
    ["warning", /^in \/proc\/42\/ns\/net: mlx5_2, which no record/, /they return to the host: kill 42 43$/],
  ]);
});

Deno.test("devices: the Go plugin's records name devices alone", () => {
  const { node } = createNode();
  using _ = node;
  node.write(FILE, GO_RECORD);
  assertFindings(devicesOf(node), [["ok", /in the host namespace/], [
    "ok",
    /mlx5_2 \(recorded by the Go plugin\)/,
  ]]);
});

Deno.test("devices: a namespace that nothing leads to is told by the device's uverbs", () => {
  const { node } = createNode();
  using _ = node;
  node.kernel.paths.delete(POD);
  assertFindings(devicesOf(node), [["ok", /: mlx5_3$/], [
    "warning",
    /^mlx5_2 is in a namespace that no file/,
  ]]);
});

Deno.test("devices: one in a namespace that nothing leads to, with the name of one on the host", () => {
  const { node, device } = createNode();
  using _ = node;
  node.kernel.namesPerNetns = true;
  device.name = "mlx5_3";
  node.write("/sys/class/infiniband_verbs/uverbs2/ibdev", "mlx5_3\n");
  node.write("/sys/class/infiniband_verbs/uverbs3/ibdev", "mlx5_3\n");
  node.kernel.held.clear();
  node.kernel.paths.delete(POD);
  assertFindings(devicesOf(node), [["ok", /: mlx5_3$/], [
    "warning",
    /^mlx5_3 is in a namespace that no file/,
  ]]);
});

Deno.test("devices: one in a mounted namespace that no record tells of", () => {
  const { node } = createNode();
  using _ = node;
  node.kernel.held.set("/proc/42/ns/net", node.kernel.paths.get(POD)!);
  assertFindings(devicesOf(node), [["ok", /in the host namespace/], [
    "warning",
    /^in \/run\/netns\/pod: mlx5_2/,
    /: kill 42; umount \/run\/netns\/pod$/,
  ]]);
});

Deno.test("devices: one in a namespace that only another mount namespace has a path to", () => {
  const { node, pod } = createNode();
  using _ = node;
  node.kernel.paths.set(`/proc/7/root${POD}`, pod);
  node.kernel.others = [{ inode: pod.inode, paths: [`/proc/7/root${POD}`], processes: [] }];
  assertFindings(devicesOf(node), [
    ["ok", /in the host namespace/],
    ["warning", /mlx5_2/, /: nsenter -t 7 -m umount \/run\/netns\/pod$/],
  ]);
});

Deno.test("devices: in shared mode all are everywhere", () => {
  const { node, device } = createNode();
  using _ = node;
  device.space = node.kernel.host;
  node.kernel.mode = "shared";
  assertFindings(devicesOf(node), [["ok", /^visible in every namespace: mlx5_2, mlx5_3$/]]);
});

Deno.test("devices: none at all", () => {
  using node = new DoctorNode();
  assertFindings(devicesOf(node), [["problem", /there is no RDMA device/, /mlx5_ib/]]);
});

for (
  const [what, isThere, change] of [
    ["none of any kind", false, () => {}],
    ["one without RDMA", false, (node) => addFunction(node, "virtio-pci")],
    ["one of mlx5", true, (node) => addFunction(node, "mlx5_core")],
    ["one whose RDMA driver cannot let go", true, (node) => addFunction(node, "efa")],
    ["one for virtual machines", true, (node) => addFunction(node, "vfio-pci")],
    ["one without driver", true, (node) => addFunction(node)],
    ["one of an unknown driver, with an RDMA device", true, (node) => {
      addFunction(node, "new");
      node.write(`/sys/bus/pci/devices/${VF}/infiniband/new_0/`, "");
    }],
    ["none, but a device of software", true, (node) => node.kernel.addDevice(VF, 2)],
    ["none, but the mode for Soft-RoCE", true, (node) => void (node.kernel.mode = "exclusive")],
    ["none, in a kernel without RDMA", false, (node) => void (node.kernel.hasRdma = false)],
    ["none, in a kernel that does not answer", true, (node) => {
      node.kernel.getRdmaMode = () => {
        throw new NetlinkError("ask for the RDMA namespace mode", EINVAL);
      };
    }],
  ] as [string, boolean, (node: DoctorNode) => void][]
) {
  Deno.test(`adapters: ${what}`, async () => {
    using node = new DoctorNode();
    node.kernel.mode = "shared";
    change(node);
    assertEquals(mayHaveRdma(node), isThere);
    const findings = await examineNode(node);
    if (isThere) assertEquals(new Set(findings.map(({ group }) => group)).size > 5, true);
    else assertFindings(findings, [["problem", /^no RDMA adapter here$/, /on other nodes; for Soft-RoCE/]]);
  });
}

for (
  const [what, files, wanted] of [
    ["none", {}, []],
    ["another program's", { rdma: "#!/bin/sh\necho other\n" }, []],
    [
      "this one, overwritten by the Go plugin",
      { rdma: "#!/bin/sh\necho 'rdma-cni version:v1.5.0'\n", ".rdma-cni/current": "" },
      [["warning", /rdma is the Go plugin v1\.5\.0, in the place of this one/, /install --cni-bin-dir/]],
    ],
    ["this one, removed", { ".rdma-cni/current": "" }, [["problem", /rdma is not there/, /install/]]],
  ] as [string, Record<string, string>, [Finding["level"], RegExp, RegExp][]][]
) {
  Deno.test(`adapters: none; the plugin that is installed there: ${what}`, async () => {
    using node = new DoctorNode();
    node.kernel.mode = "shared";
    for (const [name, text] of Object.entries(files)) {
      node.write(`/opt/cni/bin/${name}`, text);
      Deno.chmodSync(`${node.root}/opt/cni/bin/${name}`, 0o755);
    }
    assertFindings(await examineNode(node), [["problem", /^no RDMA adapter here$/], ...wanted]);
  });
}

function addFunction(node: DoctorNode, driver?: string): void {
  node.write(`/sys/bus/pci/devices/${VF}/class`, "0x020000\n");
  if (driver !== undefined) node.link(`/sys/bus/pci/devices/${VF}/driver`, `../../drivers/${driver}`);
}

Deno.test("mode: exclusive, in which the plugin for shared devices does not run", () => {
  const persisted = { "/etc/modprobe.d/rdma.conf": "options ib_core netns_mode=0\n" };
  for (
    const [files, words] of [
      [
        { "/proc/9/comm": "k8s-rdma-shared\n" },
        /^k8s-rdma-shared-dev-plugin is deployed on this node, but does not/,
      ],
      [
        { "/var/log/pods/kube-system_rdma-shared-dp-ds-x7k2p_6c1b/": "" },
        /this node \(pod rdma-shared-dp-ds-x7k2p\), /,
      ],
    ] as const
  ) {
    using node = new DoctorNode({ ...persisted, ...files });
    node.kernel.mode = "exclusive";
    assertFindings(examineMode(node), [["ok", /^exclusive now/], ["warning", words, /nodeSelector/]]);
    node.kernel.mode = "shared";
    assertFindings(examineMode(node), [["problem", /^shared now/]]);
  }
});

Deno.test("devices: one whose driver cannot let go of programs", () => {
  const { node, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  for (const [name, driver] of [["mlx5_3", "mlx5_core"], ["efa_0", "efa"], ["qedr0", "qede"]] as const) {
    node.link(`/sys/class/infiniband/${name}/device/driver`, `../../../../bus/pci/drivers/${driver}`);
  }
  node.kernel.addDevice("0000:00:06.0", 7, { name: "efa_0" });
  assertFindings(devicesOf(node), [
    ["ok", /^in the host namespace: mlx5_3, efa_0$/],
    ["ok", /mlx5_2/],
    ["warning", /^efa_0 cannot be moved into a pod: its driver \(AWS EFA\)/, /mlx5/],
  ]);
});

Deno.test("mode: the commands that fix it name this program", () => {
  using node = new DoctorNode();
  node.kernel.mode = "shared";
  assertFindings(examineMode(node), [
    ["problem", /shared now/, /^\/usr\/local\/bin\/rdma-cni netns-mode set exclusive --persist/],
  ]);
  node.kernel.mode = "exclusive";
  node.write("/etc/modprobe.d/rdma.conf", "options ib_core netns_mode=0\n");
  assertFindings(examineMode(node), [[
    "ok",
    /after a reboot exclusive \(\/etc\/modprobe\.d\/rdma\.conf:1\)/,
  ]]);
});

Deno.test("mode: a kernel that knows none", async () => {
  using node = new DoctorNode();
  node.kernel.getRdmaMode = () => {
    throw new NetlinkError("ask for the RDMA namespace mode", EINVAL);
  };
  assertFindings(await examine("mode", () => examineMode(node)), [[
    "problem",
    /EINVAL/,
    /kernel 5\.3 or newer, or .*MLNX_OFED/,
  ]]);
});

Deno.test("mode: an initramfs with ib_core that is older than the file in modprobe.d", () => {
  const file = "/etc/modprobe.d/rdma.conf";
  const image = "/boot/initrd.img-6.12.1";
  using node = new DoctorNode({
    [file]: "options ib_core netns_mode=0\n",
    [image]: "",
    "/etc/os-release": "ID=debian\n",
  });
  Deno.utimeSync(`${node.root}${image}`, 1, 1);
  const persisted = readPersistedMode(node.root);
  const withIbCore = () => "usr/lib/modules/6.12.1/kernel/ib_core.ko.xz\n";
  assertFindings(examineInitramfs(node.root, persisted, withIbCore), [
    [
      "warning",
      /^\/boot\/initrd\.img-6\.12\.1 has ib_core and is older than \/etc\/modprobe\.d\/rdma\.conf/,
      /^update-initramfs -u$/,
    ],
  ]);
  assertFindings(examineInitramfs(node.root, persisted, () => ""), []);
  node.write("/proc/cmdline", "ib_core.netns_mode=0\n");
  assertFindings(examineInitramfs(node.root, readPersistedMode(node.root), withIbCore), []);
});

Deno.test("records: none, and one that fits", () => {
  const { node, record } = createNode();
  using _ = node;
  assertFindings(recordsOf(node), [["ok", /^none$/]]);
  node.write(FILE, record);
  assertFindings(recordsOf(node), [["ok", /^1 in .*\/var\/lib\/cni\/rdma that match/]]);
});

const COLLECT = /^\/usr\/local\/bin\/rdma-cni gc$/;

Deno.test("records: the Go plugin's fits while its device is away", () => {
  const { node, device } = createNode();
  using _ = node;
  node.write(FILE, GO_RECORD);
  assertFindings(recordsOf(node), [["ok", /^1 in /]]);
  device.space = node.kernel.host;
  assertFindings(recordsOf(node), [["warning", /stale: .*in the host namespace/, COLLECT]]);
});

Deno.test("records: unreadable ones, beside one that fits", () => {
  const { node, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.write("cut", "{");
  node.write("future", '{"version":"2.0"}');
  node.link("/var/lib/cni/rdma/link", "/etc/shadow");
  assertFindings(recordsOf(node), [
    ["ok", /^1 in /],
    ["warning", /cut".*not JSON/, /^rm \S+\/cut$/],
    ["warning", /"2\.0", want "1\.x"/, /^rm \S+\/future$/],
    ["warning", /not a regular file/, /^rm \S+\/link$/],
  ]);
});

Deno.test("records: from before the last boot", () => {
  const { node, record } = createNode();
  using _ = node;
  node.write(FILE, { ...record, bootId: "boot-0" });
  assertFindings(recordsOf(node), [[
    "warning",
    /stale: it is from before the last boot/,
    COLLECT,
  ]]);
});

Deno.test("records: without an RDMA subsystem the pod has lost its device", () => {
  const { node, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.kernel.hasRdma = false;
  assertFindings(recordsOf(node), [["problem", /mlx5_2 of .* not in \/run\/netns\/pod/, /delete the pod/]]);
  node.kernel.paths.delete(POD);
  assertFindings(recordsOf(node), [["warning", /stale: \/run\/netns\/pod has gone/, COLLECT]]);
});

Deno.test("records: the namespace has gone and the device is on the host", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  device.space = node.kernel.host;
  node.kernel.addNetns(POD); // another one at the same path
  assertFindings(recordsOf(node), [["warning", /stale: \/run\/netns\/pod has gone/, COLLECT]]);
});

Deno.test("records: the path has gone, but not the namespace", () => {
  const { node, pod, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.kernel.paths.delete(POD);
  assertFindings(recordsOf(node), [[
    "warning",
    /has gone, and mlx5_2 of .* is in a namespace that no path, process or open file leads to/,
    /it returns to the host when/,
  ]]);
  node.kernel.held.set("/proc/42/ns/net", pod);
  assertFindings(recordsOf(node), [[
    "warning",
    /something keeps the namespace alive, with the pod's devices in it/,
    /^if its pod has been deleted, end what is left of it: kill 42$/,
  ]]);
});

Deno.test("records: the path has gone, and the device is in another namespace", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.kernel.paths.delete(POD);
  device.space = node.kernel.addNetns("/run/netns/other", 77, "77");
  assertFindings(recordsOf(node), [[
    "warning",
    /\/run\/netns\/pod has gone, and mlx5_2 of .* is in \/run\/netns\/other$/,
    /end that namespace: umount \/run\/netns\/other$/,
  ]]);
});

Deno.test("records: the function is another pod's by now", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.kernel.paths.delete(POD);
  const next = node.kernel.addNetns("/run/netns/next", 77, "77");
  device.space = next;
  node.write("net-next-net1", {
    ...record,
    attachment: { ...record.attachment!, containerID: "next" },
    netns: { path: "/run/netns/next", inode: 77, cookie: "77" },
    bootTimeUs: 5,
  });
  assertFindings(recordsOf(node), [
    ["ok", /^1 in /],
    ["warning", /^net-container1-net1 is stale: net-next-net1 has 0000:3b:00\.2 by now$/, COLLECT],
  ]);
});

Deno.test("records: the pod has lost its device", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  device.space = node.kernel.host;
  assertFindings(recordsOf(node), [[
    "problem",
    /mlx5_2 of 0000:3b:00\.2 not in \/run\/netns\/pod, where container container1/,
    /delete the pod/,
  ]]);
});

Deno.test("records: the path has gone and the device is on the host, but something keeps the namespace alive", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.kernel.held.set("/proc/42/ns/net", device.space);
  device.space = node.kernel.host;
  node.kernel.paths.delete(POD);
  assertFindings(recordsOf(node), [[
    "warning",
    /keeps the namespace alive, without mlx5_2$/,
    /: kill 42$/,
  ]]);
});

Deno.test("records: a Soft-RoCE device, which is on no bus", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, { ...record, deviceId: "rxe:net1", softRoce: true });
  assertFindings(recordsOf(node), [["ok", /^1 in /]]);
  node.kernel.remove(device);
  assertFindings(recordsOf(node), [[
    "problem",
    /mlx5_2 of rxe:net1 not in \/run\/netns\/pod, where container container1/,
    /delete the pod/,
  ]]);
  node.kernel.paths.delete(POD);
  assertFindings(recordsOf(node), [["warning", /stale: \/run\/netns\/pod has gone/, COLLECT]]);
});

Deno.test("records: the function has gone, under a pod or after it", () => {
  const { node, device, record } = createNode();
  using _ = node;
  node.write(FILE, record);
  node.kernel.bus.delete(VF);
  node.kernel.remove(device);
  assertFindings(recordsOf(node), [[
    "problem",
    /mlx5_2 of 0000:3b:00\.2 not in \/run\/netns\/pod, where container container1/,
    /delete the pod/,
  ]]);
  node.kernel.paths.delete(POD);
  assertFindings(recordsOf(node), [["warning", /stale/, COLLECT]]);
  node.write(FILE, GO_RECORD);
  assertFindings(recordsOf(node), [["warning", /stale: 0000:3b:00\.2 is on no bus$/, COLLECT]]);
});

Deno.test("however many records are stale and VFs away, doctor and pods each list the namespaces once", async () => {
  const { node } = createNode();
  using _ = node;
  const { kernel } = node;
  kernel.addPf("eth0", 4);
  for (const { netdev } of kernel.vfs) netdev!.space = kernel.paths.get(POD)!;
  for (const device of kernel.devices) device.space = kernel.paths.get(POD)!;
  for (let number = 0; number < 20; number++) {
    const netns = { path: `/run/netns/gone${number}`, inode: 500 + number, cookie: `gone${number}` };
    node.write(`net-gone${number}-net1`, {
      deviceId: VF,
      devices: [],
      netns,
      bootId: "boot-1",
      createdAt: 1,
    });
  }
  let listings = 0;
  const list = kernel.listOtherNetns.bind(kernel);
  kernel.listOtherNetns = (read) => (listings++, list(read));
  const findings = await examineNode(node);
  const stale = findings.filter(({ group, text }) => group === "records" && text.includes("is stale"));
  assertEquals([stale.length, listings], [20, 1]);
  assertEquals(listVfs(kernel, undefined, () => inventoryOf(node).namespaces)[3]!.netdevNetns, POD);
  listings = 0;
  collect(kernel, new State(stateDirectory(node.root)));
  assertEquals(listings, 1);
});

Deno.test("records: a path that a shell would not take for one word is quoted", () => {
  const { node } = createNode();
  using _ = node;
  node.write("a b's", "");
  assertFindings(recordsOf(node), [["warning", /it is empty/, /^rm '.*\/a b'\\''s'$/]]);
});
