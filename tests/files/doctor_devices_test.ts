import { examineNode } from "../../src/cli/doctor/command.ts";
import { examineDevices, mayHaveRdma } from "../../src/cli/doctor/devices.ts";
import { examine, type Finding } from "../../src/cli/doctor/finding.ts";
import { examineInitramfs, examineMode } from "../../src/cli/doctor/kernel.ts";
import { examineRecords, stateDirectory } from "../../src/cli/doctor/records.ts";
import { readPersistedMode } from "../../src/cli/netns_mode/persist.ts";
import { collect } from "../../src/node/pods.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { listVfs } from "../../src/node/functions.ts";
import { type Inventory, takeInventory } from "../../src/node/inventory.ts";
import type { AttachmentRecord } from "../../src/plugin/record/record.ts";
import { State } from "../../src/plugin/record/state.ts";
import { EINVAL } from "../../src/sys/errno.ts";
import { goRecord } from "../scenarios/scenario.ts";
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

const SOFT = { deviceId: "rxe:net1", softRoce: true };

function loseFunction({ node, device }: Pick<ReturnType<typeof createNode>, "node" | "device">): void {
  node.kernel.bus.delete(VF);
  node.kernel.remove(device);
}

/** A record of the Go plugin. */
const GO_RECORD = JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2"));

type Wanted = Parameters<typeof assertFindings>[1];

const ON_HOST = ["ok", /^in the host namespace: mlx5_3$/] as const;
const LOST = /^mlx5_2 is in a namespace that no file/;

for (
  const [what, change, wanted] of [
    ["in a pod with the container that the record tells", ({ node, record }) => node.write(FILE, record), [
      ON_HOST,
      ["ok", /^container container1 net1: mlx5_2$/],
    ]],
    ["in a namespace that no record tells of, found by a process", ({ node, pod }) => {
      node.kernel.paths.delete(POD);
      node.kernel.held.set("/proc/42/ns/net", pod);
      const process = { pid: 42, command: "sleep", onlyOpen: false };
      node.kernel.others = [{ inode: pod.inode, paths: [], processes: [process, { ...process, pid: 43 }] }];
    }, [
      ON_HOST,
      ["problem", /^mlx5_2 in \/proc\/42\/ns\/net, which no record.*111/, /^kill 42 43 # unless another/],
    ]],
    ["whose record has lost it, of which the records tell", ({ node, record }) => {
      node.write(FILE, { ...record, netns: { ...record.netns!, cookie: "7" } });
    }, [ON_HOST]],
    ["whose record has lost it in a namespace that nothing leads to", ({ node, record }) => {
      node.write(FILE, record);
      node.write(`/sys/bus/pci/devices/${VF}/`, "");
      node.link("/sys/class/infiniband_verbs/uverbs2/device", `../../../bus/pci/devices/${VF}`);
      node.kernel.paths.delete(POD);
    }, [ON_HOST]],
    ["that the Go plugin's record names alone", ({ node }) => node.write(FILE, GO_RECORD), [
      ON_HOST,
      ["ok", /^net-container1-net1: mlx5_2$/],
    ]],
    [
      "in a namespace that nothing leads to, told by its uverbs",
      ({ node }) => node.kernel.paths.delete(POD),
      [ON_HOST, ["problem", LOST, /^reboot # /]],
    ],
    ["in a namespace that nothing leads to, with the name of one on the host", ({ node, device }) => {
      node.kernel.namesPerNetns = true;
      device.name = "mlx5_3";
      node.write("/sys/class/infiniband_verbs/uverbs2/ibdev", "mlx5_3\n");
      node.kernel.paths.delete(POD);
    }, [ON_HOST, ["problem", /^mlx5_3 is in a namespace that no file/]]],
    [
      "in a mounted namespace that no record tells of",
      ({ node, pod }) => node.kernel.held.set("/proc/42/ns/net", pod),
      [ON_HOST, ["problem", /^mlx5_2 in \/run\/netns\/pod,/, /^kill 42; umount \/run\/netns\/pod # /]],
    ],
    ["in a namespace that only another mount namespace has a path to", ({ node, pod }) => {
      node.kernel.paths.set(`/proc/7/root${POD}`, pod);
      node.kernel.others = [{ inode: pod.inode, paths: [`/proc/7/root${POD}`], processes: [] }];
    }, [ON_HOST, ["problem", /mlx5_2/, /^nsenter -t 7 -m umount \/run\/netns\/pod # /]]],
    ["in shared mode, where all are everywhere", ({ node, device }) => {
      device.space = node.kernel.host;
      node.kernel.mode = "shared";
    }, [["ok", /^visible in every namespace: mlx5_2, mlx5_3$/]]],
    ["whose driver cannot let go of programs", ({ node, record }) => {
      node.write(FILE, record);
      for (const [name, driver] of [["mlx5_3", "mlx5_core"], ["efa_0", "efa"], ["qedr0", "qede"]]) {
        node.link(`/sys/class/infiniband/${name}/device/driver`, `../../../../bus/pci/drivers/${driver}`);
      }
      node.kernel.addDevice("0000:00:06.0", 7, { name: "efa_0" });
    }, [
      ["ok", /^in the host namespace: efa_0, mlx5_3$/],
      ["ok", /mlx5_2/],
      ["warning", /^efa_0 cannot be moved into a pod: its driver \(AWS EFA\)/, /mlx5/],
    ]],
  ] as [string, (given: ReturnType<typeof createNode>) => unknown, Wanted][]
) {
  Deno.test(`devices: one ${what}`, () => {
    const given = createNode();
    using node = given.node;
    change(given);
    assertFindings(devicesOf(node), wanted);
  });
}

Deno.test("devices: those in pods have a line for each attachment, in the order of the pods' names", () => {
  const { node, pod, record } = createNode();
  using _ = node;
  node.write("net-a-net1", { ...record, pod: { namespace: "team-a", name: "trainer-10" } });
  for (const [index, name] of [[12, "trainer-9"], [13, "trainer-2"]] as const) {
    node.kernel.addDevice(VF, index, { space: pod });
    const devices = [{ index, hostName: `mlx5_${index}`, podName: `mlx5_${index}` }];
    node.write(`net-${name}-net1`, { ...record, devices, pod: { namespace: "team-a", name } });
  }
  assertFindings(devicesOf(node), [
    ON_HOST,
    ["ok", /^team-a\/trainer-2 net1: mlx5_13$/],
    ["ok", /^team-a\/trainer-9 net1: mlx5_12$/],
    ["ok", /^team-a\/trainer-10 net1: mlx5_2$/],
  ]);
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
    else assertFindings(findings, [["problem", /^no RDMA adapter here$/, /^# run .* on other nodes$/]]);
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

const COLLECT = /^\/usr\/local\/bin\/rdma-cni gc$/;
const FITS = ["ok", /^1 in .*\/var\/lib\/cni\/rdma that match/] as const;
const GONE = ["warning", /stale: \/run\/netns\/pod has gone/, COLLECT] as const;
const MISSING = [
  "problem",
  /mlx5_2 of 0000:3b:00\.2 not in \/run\/netns\/pod, where container container1 net1 expects/,
  /^crictl rmp --force container1 # /,
] as const;

Deno.test("records: none", () => {
  const { node } = createNode();
  using _ = node;
  assertFindings(recordsOf(node), [["ok", /^none$/]]);
});

/** A record, the change that makes it fit or not, and the findings. */
for (
  const [what, more, change, wanted] of [
    ["that fits", {}, () => {}, [FITS]],
    ["of the Go plugin, while its device is away", GO_RECORD, () => {}, [FITS]],
    ["of the Go plugin, whose device is on the host", GO_RECORD, ({ node, device }) => {
      device.space = node.kernel.host;
    }, [["warning", /stale: .*in the host namespace/, COLLECT]]],
    ["beside unreadable ones", {}, ({ node }) => {
      node.write("cut", "{");
      node.write("future", '{"version":"2.0"}');
      node.link("/var/lib/cni/rdma/link", "/etc/shadow");
      node.write("a b's", "");
    }, [
      FITS,
      ["warning", /it is empty/, /^rm '.*\/a b'\\''s'$/],
      ["warning", /cut".*not JSON/, /^rm \S+\/cut$/],
      ["warning", /"2\.0", want "1\.x"/, /^rm \S+\/future$/],
      ["warning", /not a regular file/, /^rm \S+\/link$/],
    ]],
    ["from before the last boot", { bootId: "boot-0" }, () => {}, [
      ["warning", /stale: it is from before the last boot/, COLLECT],
    ]],
    ["without an RDMA subsystem: the pod has lost its device", {}, ({ node }) => {
      node.kernel.hasRdma = false;
    }, [MISSING]],
    ["without an RDMA subsystem, of a namespace that has gone", {}, ({ node }) => {
      node.kernel.hasRdma = false;
      node.kernel.paths.delete(POD);
    }, [GONE]],
    [
      "of a namespace that has gone, with another at its path, and a device on the host",
      {},
      ({ node, device }) => {
        device.space = node.kernel.host;
        node.kernel.addNetns(POD);
      },
      [GONE],
    ],
    ["of a namespace to which nothing leads any more", {}, ({ node }) => node.kernel.paths.delete(POD), [[
      "warning",
      /has gone, and mlx5_2 of .* is in a namespace that no path, process or open file leads to/,
      /^echo 0000:3b:00\.2 > \S+\/unbind; echo 0000:3b:00\.2 > \S+\/drivers_probe # /,
    ]]],
    ["of a namespace that a process keeps alive", {}, ({ node, pod }) => {
      node.kernel.paths.delete(POD);
      node.kernel.held.set("/proc/42/ns/net", pod);
    }, [[
      "warning",
      /something keeps the namespace alive, with the pod's devices in it/,
      /^kill 42 # if its pod has been deleted$/,
    ]]],
    [
      "of a namespace that a process keeps alive, with the device on the host",
      {},
      ({ node, pod, device }) => {
        node.kernel.paths.delete(POD);
        node.kernel.held.set("/proc/42/ns/net", pod);
        device.space = node.kernel.host;
      },
      [["warning", /keeps the namespace alive, without mlx5_2$/, /^kill 42 # /]],
    ],
    ["of a namespace that has gone, with the device in another", {}, ({ node, device }) => {
      node.kernel.paths.delete(POD);
      device.space = node.kernel.addNetns("/run/netns/other", 77, "77");
    }, [[
      "warning",
      /\/run\/netns\/pod has gone, and mlx5_2 of .* is in \/run\/netns\/other$/,
      /^umount \/run\/netns\/other # unless/,
    ]]],
    ["whose function is another pod's by now", {}, ({ node, device, record }) => {
      node.kernel.paths.delete(POD);
      device.space = node.kernel.addNetns("/run/netns/next", 77, "77");
      const attachment = { ...record.attachment!, containerID: "next" };
      const netns = { path: "/run/netns/next", inode: 77, cookie: "77" };
      node.write("net-next-net1", { ...record, attachment, netns, bootTimeUs: 5 });
    }, [
      FITS,
      ["warning", /^net-container1-net1 is stale: net-next-net1 has 0000:3b:00\.2 by now$/, COLLECT],
    ]],
    ["whose pod has lost the device", {}, ({ node, device }) => {
      device.space = node.kernel.host;
    }, [MISSING]],
    ["of a Soft-RoCE device, which is on no bus", SOFT, () => {}, [FITS]],
    ["of a Soft-RoCE device that has gone", SOFT, ({ node, device }) => node.kernel.remove(device), [
      [
        "problem",
        /mlx5_2 of rxe:net1 not in \/run\/netns\/pod, where container container1 net1/,
        /^crictl rmp --force container1 # /,
      ],
    ]],
    ["of a Soft-RoCE device that has gone with its namespace", SOFT, ({ node, device }) => {
      node.kernel.remove(device);
      node.kernel.paths.delete(POD);
    }, [GONE]],
    ["whose function has gone under its pod", {}, loseFunction, [MISSING]],
    ["whose function has gone after its pod", {}, ({ node, device }) => {
      loseFunction({ node, device });
      node.kernel.paths.delete(POD);
    }, [["warning", /stale/, COLLECT]]],
    ["of the Go plugin, whose function has gone", GO_RECORD, loseFunction, [
      ["warning", /stale: 0000:3b:00\.2 is on no bus$/, COLLECT],
    ]],
  ] as [string, object | string, (given: ReturnType<typeof createNode>) => unknown, Wanted][]
) {
  Deno.test(`records: one ${what}`, () => {
    const given = createNode();
    using node = given.node;
    node.write(FILE, typeof more === "string" ? more : { ...given.record, ...more });
    change(given);
    assertFindings(recordsOf(node), wanted);
  });
}

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
