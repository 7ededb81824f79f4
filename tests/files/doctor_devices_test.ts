import { examineNode } from "../../src/cli/doctor/command.ts";
import { examineDevices, mayHaveRdma } from "../../src/cli/doctor/devices.ts";
import { examineInitramfs, examineMode } from "../../src/cli/doctor/kernel.ts";
import { examineRecords, stateDirectory } from "../../src/cli/doctor/records.ts";
import { readPersistedMode } from "../../src/cli/netns_mode/persist.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { listVfs } from "../../src/node/functions.ts";
import { type Inventory, takeInventory } from "../../src/node/inventory.ts";
import { State } from "../../src/plugin/record/state.ts";
import { EINVAL } from "../../src/sys/errno.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assertEquals } from "../support/assert.ts";
import {
  assertFindings,
  type Change,
  DoctorNode,
  FILE,
  type Given,
  holdByProcess,
  moveHome,
  nodeAfter,
  POD,
  recorded,
  unmount,
  VF,
} from "./doctor_node.ts";

function inventoryOf({ kernel, root }: DoctorNode): Inventory {
  return takeInventory(kernel, new State(stateDirectory(root)));
}

function devicesOf(node: DoctorNode) {
  for (const { uverbs, name } of node.kernel.devices) {
    node.write(`/sys/class/infiniband_verbs/${uverbs}/ibdev`, name);
  }
  return examineDevices(node, inventoryOf(node));
}
const recordsOf = (node: DoctorNode) => examineRecords(node, inventoryOf(node));

function writeSoftRecord({ node, record }: Given): void {
  node.write(FILE, { ...record, deviceId: "rxe:net1", softRoce: true });
}

function writeGoRecord({ node }: Given): void {
  node.write(FILE, JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2")));
}

const ON_HOST = /^ok in the host namespace: mlx5_3$/;

/** What is told of a device besides that of the host. */
for (
  const [what, wanted, ...changes] of [
    [
      "in a pod with the container that the record tells",
      /^ok container container1 net1: mlx5_2$/,
      recorded,
    ],
    [
      "in a namespace that no record tells of, found by a process",
      /^problem mlx5_2 in \/proc\/42\/ns\/net, which no record.*111.* -> kill 42 43 # unless another/,
      holdByProcess,
      ({ node, pod }) => {
        const process = { pid: 42, command: "sleep", onlyOpen: false };
        node.kernel.others = [{ inode: pod.inode, paths: [], processes: [process, { ...process, pid: 43 }] }];
      },
    ],
    ["whose record has lost it, of which the records tell", [], ({ node, record }) => {
      node.write(FILE, { ...record, netns: { ...record.netns!, cookie: "7" } });
    }],
    ["whose record has lost it in a namespace that nothing leads to", [], recorded, unmount, ({ node }) => {
      node.write(`/sys/bus/pci/devices/${VF}/`, "");
      node.link("/sys/class/infiniband_verbs/uverbs2/device", `../../../bus/pci/devices/${VF}`);
    }],
    ["that the Go plugin's record names alone", /^ok net-container1-net1: mlx5_2$/, writeGoRecord],
    ["that only its uverbs tells of", /^problem mlx5_2 is in .* that no file.* -> reboot # /, unmount],
    [
      "that has the name of one on the host",
      /^problem mlx5_3 is in a namespace that no file/,
      unmount,
      ({ node, device }) => {
        node.kernel.namesPerNetns = true;
        device.name = "mlx5_3";
      },
    ],
    [
      "in a mounted namespace that no record tells of",
      /^problem mlx5_2 in \/run\/netns\/pod,.* -> kill 42; umount \/run\/netns\/pod # /,
      ({ node, pod }) => node.kernel.held.set("/proc/42/ns/net", pod),
    ],
    [
      "in a namespace that only another mount namespace has a path to",
      /^problem .*mlx5_2.* -> nsenter -t 7 -m umount \/run\/netns\/pod # /,
      ({ node, pod }) => {
        node.kernel.paths.set(`/proc/7/root${POD}`, pod);
        node.kernel.others = [{ inode: pod.inode, paths: [`/proc/7/root${POD}`], processes: [] }];
      },
    ],
  ] as [string, RegExp | RegExp[], ...Change[]][]
) {
  Deno.test(`devices: one ${what}`, () => {
    using node = nodeAfter(...changes);
    assertFindings(devicesOf(node), [ON_HOST, wanted].flat());
  });
}

Deno.test("devices: in shared mode all are everywhere", () => {
  using node = nodeAfter(moveHome);
  node.kernel.mode = "shared";
  assertFindings(devicesOf(node), [/^ok visible in every namespace: mlx5_2, mlx5_3$/]);
});

Deno.test("devices: one whose driver cannot let go of programs", () => {
  using node = nodeAfter(recorded);
  for (const [name, driver] of [["mlx5_3", "mlx5_core"], ["efa_0", "efa"], ["qedr0", "qede"]]) {
    node.link(`/sys/class/infiniband/${name}/device/driver`, `../../../../bus/pci/drivers/${driver}`);
  }
  node.kernel.addDevice("0000:00:06.0", 7, { name: "efa_0" });
  assertFindings(devicesOf(node), [
    /^ok in the host namespace: efa_0, mlx5_3$/,
    /^ok .*mlx5_2/,
    /^warning efa_0 cannot be moved into a pod: its driver \(AWS EFA\).* -> .*mlx5/,
  ]);
});

Deno.test("devices: those in pods have a line for each attachment, in the order of the pods' names", () => {
  using node = nodeAfter(({ node, pod, record }) => {
    node.write("net-a-net1", { ...record, pod: { namespace: "team-a", name: "trainer-10" } });
    for (const [index, name] of [[12, "trainer-9"], [13, "trainer-2"]] as const) {
      node.kernel.addDevice(VF, index, { space: pod });
      const devices = [{ index, hostName: `mlx5_${index}`, podName: `mlx5_${index}` }];
      node.write(`net-${name}-net1`, { ...record, devices, pod: { namespace: "team-a", name } });
    }
  });
  assertFindings(devicesOf(node), [
    ON_HOST,
    /^ok team-a\/trainer-2 net1: mlx5_13$/,
    /^ok team-a\/trainer-9 net1: mlx5_12$/,
    /^ok team-a\/trainer-10 net1: mlx5_2$/,
  ]);
});

Deno.test("devices: none at all", () => {
  using node = new DoctorNode();
  assertFindings(devicesOf(node), [/^problem .*there is no RDMA device.* -> .*mlx5_ib/]);
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
    ["none, but the mode for Soft-RoCE", true, (node) => node.kernel.mode = "exclusive"],
    ["none, in a kernel without RDMA", false, (node) => node.kernel.hasRdma = false],
    ["none, in a kernel that does not answer", true, (node) => {
      node.kernel.getRdmaMode = () => {
        throw new NetlinkError("ask for the RDMA namespace mode", EINVAL);
      };
    }],
  ] as [string, boolean, (node: DoctorNode) => unknown][]
) {
  Deno.test(`adapters: ${what}`, async () => {
    using node = new DoctorNode();
    node.kernel.mode = "shared";
    change(node);
    assertEquals(mayHaveRdma(node), isThere);
    const findings = await examineNode(node);
    if (isThere) assertEquals(new Set(findings.map(({ group }) => group)).size > 5, true);
    else assertFindings(findings, [/^problem no RDMA adapter here -> # run .* on other nodes$/]);
  });
}

Deno.test("adapters: none; a plugin that was installed there is examined, another program not", async () => {
  using node = new DoctorNode({ "/opt/cni/bin/rdma": "#!/bin/sh\necho other\n" });
  node.kernel.mode = "shared";
  const none = /^problem no RDMA adapter here -> /;
  assertFindings(await examineNode(node), [none]);
  Deno.removeSync(`${node.root}/opt/cni/bin/rdma`);
  node.write("/opt/cni/bin/.rdma-cni/current", "");
  assertFindings(await examineNode(node), [none, /^problem .*rdma is not there.* -> .*install/]);
});

function addFunction(node: DoctorNode, driver?: string): void {
  node.write(`/sys/bus/pci/devices/${VF}/class`, "0x020000\n");
  if (driver !== undefined) node.link(`/sys/bus/pci/devices/${VF}/driver`, `../../drivers/${driver}`);
}

const PERSISTED = { "/etc/modprobe.d/rdma.conf": "options ib_core netns_mode=0\n" };

Deno.test("mode: exclusive, in which the plugin for shared devices does not run", () => {
  const exclusive = /^ok exclusive now, after a reboot exclusive \(\S+rdma\.conf:1\)/;
  for (
    const [file, ...words] of [
      ["/a"],
      ["/proc/9/comm", /^warning k8s-rdma-shared-dev-plugin is .* -> .*nodeSelector/],
      [
        "/var/log/pods/kube-system_rdma-shared-dp-ds-x7k2p_6c1b/a",
        /^warning .* is deployed on this node \(pod rdma-shared-dp-ds-x7k2p\), but does not.* -> .*nodeSelector/,
      ],
    ] as [string, ...RegExp[]][]
  ) {
    using node = new DoctorNode({ ...PERSISTED, [file]: "k8s-rdma-shared\n" });
    node.kernel.mode = "exclusive";
    assertFindings(examineMode(node), [exclusive, ...words]);
    node.kernel.mode = "shared";
    assertFindings(examineMode(node), [
      /^problem shared now.* -> \/usr\/local\/bin\/rdma-cni netns-mode set exclusive/,
    ]);
  }
});

Deno.test("mode: an initramfs with ib_core that is older than the file in modprobe.d", () => {
  const image = "/boot/initrd.img-6.12.1";
  using node = new DoctorNode({ ...PERSISTED, [image]: "", "/etc/os-release": "ID=debian\n" });
  Deno.utimeSync(`${node.root}${image}`, 1, 1);
  const persisted = readPersistedMode(node.root);
  const withIbCore = () => "usr/lib/modules/6.12.1/kernel/ib_core.ko.xz\n";
  assertFindings(examineInitramfs(node.root, persisted, withIbCore), [
    /^warning \/boot\/initrd\.img-6\.12\.1 has ib_core and is older than \/etc\/modprobe\.d\/rdma\.conf.* -> update-initramfs -u$/,
  ]);
  assertFindings(examineInitramfs(node.root, persisted, () => ""), []);
  node.write("/proc/cmdline", "ib_core.netns_mode=0\n");
  assertFindings(examineInitramfs(node.root, readPersistedMode(node.root), withIbCore), []);
});

const stale = (reason: string) => new RegExp(`^warning .*stale: ${reason} -> /usr/local/bin/rdma-cni gc$`);
const FITS = /^ok 1 in .*\/var\/lib\/cni\/rdma that match/;
const GONE = stale("/run/netns/pod has gone");
const MISSING =
  /^problem .*mlx5_2 of \S+ not in \/run\/netns\/pod, where container container1 net1 expects.* -> crictl rmp --force container1 # /;

Deno.test("records: none", () => {
  using node = nodeAfter();
  assertFindings(recordsOf(node), [/^ok none$/]);
});

/** A record, the findings, and the change that makes it fit or not. */
for (
  const [what, wanted, ...changes] of [
    ["that fits", FITS],
    ["of the Go plugin, while its device is away", FITS, writeGoRecord],
    ["of the Go plugin, whose device is home", stale(".*in the host namespace"), writeGoRecord, moveHome],
    ["of the Go plugin, whose function has gone", stale(`${VF} is on no bus`), writeGoRecord, loseFunction],
    ["beside unreadable ones", [
      FITS,
      /^warning .*it is empty.* -> rm '.*\/a b'\\''s'$/,
      /^warning .*cut".*not JSON.* -> rm \S+\/cut$/,
      /^warning .*"2\.0", want "1\.x".* -> rm \S+\/future$/,
      /^warning .*not a regular file.* -> rm \S+\/link$/,
    ], ({ node }) => {
      node.write("cut", "{");
      node.write("future", '{"version":"2.0"}');
      node.link("/var/lib/cni/rdma/link", "/etc/shadow");
      node.write("a b's", "");
    }],
    ["from before the last boot", stale("it is from before the last boot"), ({ node, record }) => {
      node.write(FILE, { ...record, bootId: "boot-0" });
    }],
    ["without an RDMA subsystem: the pod has lost its device", MISSING, unloadRdma],
    ["without an RDMA subsystem, of a namespace that has gone", GONE, unloadRdma, unmount],
    [
      "of a namespace that has gone, with another at its path, whose device is home",
      GONE,
      moveHome,
      ({ node }) => node.kernel.addNetns(POD),
    ],
    [
      "of a namespace to which nothing leads any more",
      /^warning .*has gone, and mlx5_2 of .* that no path, process or open file leads to.* -> echo 0000:3b:00\.2 > \S+\/unbind; echo 0000:3b:00\.2 > \S+\/drivers_probe # /,
      unmount,
    ],
    [
      "of a namespace that a process keeps alive",
      /^warning .*keeps the namespace alive, with the pod's devices in it -> kill 42 # if its pod has been deleted$/,
      holdByProcess,
    ],
    [
      "of a namespace that a process keeps alive, with the device on the host",
      /^warning .*keeps the namespace alive, without mlx5_2 -> kill 42 # /,
      holdByProcess,
      moveHome,
    ],
    [
      "of a namespace that has gone, with the device in another",
      /^warning .*\/pod has gone, and mlx5_2 of .* is in \/run\/netns\/other -> umount \/run\/netns\/other # unless/,
      unmount,
      ({ node, device }) => device.space = node.kernel.addNetns("/run/netns/other", 77, "77"),
    ],
    [
      "whose function is another pod's by now",
      [FITS, stale(`net-next-net1 has ${VF} by now`)],
      unmount,
      ({ node, device, record }) => {
        device.space = node.kernel.addNetns("/run/netns/next", 77, "77");
        const attachment = { ...record.attachment!, containerID: "next" };
        const netns = { path: "/run/netns/next", inode: 77, cookie: "77" };
        node.write("net-next-net1", { ...record, attachment, netns, bootTimeUs: 5 });
      },
    ],
    ["whose pod has lost the device", MISSING, moveHome],
    ["whose function has gone under its pod", MISSING, loseFunction],
    ["of a Soft-RoCE device, which is on no bus", FITS, writeSoftRecord],
    [
      "of a Soft-RoCE device that has gone",
      /^problem .*mlx5_2 of rxe:net1 not in /,
      writeSoftRecord,
      loseFunction,
    ],
    ["of a Soft-RoCE device that has gone with its namespace", GONE, writeSoftRecord, loseFunction, unmount],
  ] as [string, RegExp | RegExp[], ...Change[]][]
) {
  Deno.test(`records: one ${what}`, () => {
    using node = nodeAfter(recorded, ...changes);
    assertFindings(recordsOf(node), [wanted].flat());
  });
}

function loseFunction({ node, device }: Given): void {
  node.kernel.bus.delete(VF);
  node.kernel.remove(device);
}

function unloadRdma({ node }: Given): void {
  node.kernel.hasRdma = false;
}

Deno.test("however many records are stale and VFs away, doctor lists the namespaces once", async () => {
  using node = nodeAfter();
  const { kernel } = node;
  kernel.addPf("eth0", 4);
  for (const { netdev } of kernel.vfs) netdev!.space = kernel.paths.get(POD)!;
  for (const device of kernel.devices) device.space = kernel.paths.get(POD)!;
  for (let number = 0; number < 20; number++) {
    const netns = { path: `/run/netns/gone${number}`, inode: 500 + number, cookie: `gone${number}` };
    const record = { deviceId: VF, devices: [], netns, bootId: "boot-1", createdAt: 1 };
    node.write(`net-gone${number}-net1`, record);
  }
  let listings = 0;
  const list = kernel.listOtherNetns.bind(kernel);
  kernel.listOtherNetns = (read) => (listings++, list(read));
  const findings = await examineNode(node);
  const stale = findings.filter(({ group, text }) => group === "records" && text.includes("is stale"));
  assertEquals([stale.length, listings], [20, 1]);
  assertEquals(listVfs(kernel, undefined, () => inventoryOf(node).namespaces)[3]!.netdevNetns, POD);
});
