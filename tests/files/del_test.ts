// DEL, by what records say and without one, beyond tests/scenarios/del.ts.
import { EPROTONOSUPPORT, SyscallError } from "../../src/sys/errno.ts";
import type { Device } from "../rig/memory/kernel.ts";
import { FILE, HELD, POD, TestNode, VF } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";

const [ENODEV, EMFILE, EMSGSIZE, ENOBUFS] = [19, 24, 90, 105];
const OTHER = "/run/netns/other";
const OTHER_VF = "0000:3b:00.3";
const SECOND = "net-second-net1";
const GO_FILE = "net-go-net1";
const GO_RECORD = JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2"));
const DEAD = { path: "/run/netns/dead", inode: 77, cookie: "77" };
const of = (containerID: string, netns: string) => ({
  variables: { CNI_CONTAINERID: containerID, CNI_NETNS: netns },
});

const whereAre = (node: TestNode, ...devices: Device[]) => devices.map((device) => node.whereIs(device));

function arrive(node: TestNode): void {
  delete node.device.hiddenFrom;
  node.device.space = node.kernel.host;
}

type After = [what: string, left: unknown[], told: string, happens: (node: TestNode) => unknown];

/** The device is on the host, no record is left, and nothing was waited for. */
const DONE = ["host", 0];

/** What happens after ADD, and what a DEL that succeeds leaves: where the device is, the files, how long it slept. */
const AFTER: After[] = [
  ["the namespace has gone: a device on the host is not searched for in processes", DONE, "", (node) => {
    node.endNetns();
    node.kernel.listNetns = () => {
      throw new Error("searched");
    };
  }],
  ["the device does not come", ["nowhere", FILE, 3000], "mlx5_2 (index 2)", (node) => node.endPod()],
  ["a namespace without path has a device without uverbs device", DONE, "", (node) => {
    delete node.device.uverbs;
    node.losePath();
  }],
  ["nor is module ib_uverbs there", DONE, "", (node) => {
    node.kernel.hasUverbs = false;
    node.losePath();
  }],
  ["a namespace without path has the recorded inode, another cookie", [HELD, FILE, 3000], "", (node) => {
    node.kernel.paths.delete(POD);
    node.device.space = { inode: node.pod.inode, cookie: "77", links: new Map() };
    node.kernel.held.set(HELD, node.device.space);
  }],
  ["path and inode are another's", [POD, FILE, 3000], "is another network namespace by now", (node) => {
    node.kernel.endNetns(node.pod);
    node.device.space = node.kernel.addNetns(POD, node.pod.inode, "77");
  }],
  ["the recorded name is longer than a request", DONE, "keeps its name", (node) => {
    const devices = [{ index: 2, hostName: "x".repeat(5000), podName: "mlx5_2" }];
    node.write(FILE, node.record({ devices }));
    node.kernel.getHostNetns().renameRdmaDevice = () => {
      throw new SyscallError("put attribute 2 of 5001 bytes into a request", EMSGSIZE);
    };
  }],
  ["the function has gone", ["gone", 0], "", ({ kernel }) => {
    kernel.devices.length = 0;
    kernel.bus.delete(VF);
  }],
  ["the mode is shared", DONE, "", (node) => [arrive(node), node.kernel.mode = "shared"]],
  ["ib_core has gone", DONE, "", (node) => [arrive(node), node.kernel.hasRdma = false]],
  ["the driver was rebound, so the index has gone", ["gone", 0], "", ({ kernel }) => {
    kernel.devices.length = 0;
    kernel.addDevice(VF, 9, { name: "mlx5_2" });
  }],
  ["netlink lacks a device that sysfs has, so its index has not gone", ["host", 200], "", (node) => {
    node.kernel.paths.delete(POD);
    arrive(node);
    Object.assign(node.device, { name: "roce0", hiddenFrom: ["uverbs", "netlink"] });
    node.kernel.onSleep = () => node.kernel.sleptMs === 200 && arrive(node);
  }],
  ["it arrives between the question to netlink and the one to sysfs", ["host", 200], "", (node) => {
    node.endPod();
    Object.assign(node.device, { name: "roce0", hiddenFrom: ["sysfs", "uverbs", "netlink"] });
    const ask = node.kernel.getBusDevice.bind(node.kernel);
    node.kernel.getBusDevice = (id) => {
      if (node.kernel.sleptMs >= 200) arrive(node);
      return ask(id);
    };
  }],
  ["it leaves the pod before it can be moved", DONE, `left ${POD} by itself`, (node) => {
    node.kernel.onMove = () => {
      arrive(node);
      return ENODEV;
    };
  }],
  ["the list of all devices misses the one in the pod, which CHECK finds too", DONE, "", async (node) => {
    node.kernel.missedByList.add(node.device);
    await node.succeed("CHECK");
  }],
  ["a newer attachment has the device, which is not waited for", [OTHER, SECOND, 0], "", (node) => {
    node.device.space = node.kernel.addNetns(OTHER);
    node.claim("second", { bootTimeUs: 2_000_000 });
  }],
];

for (const [what, left, told, happens] of AFTER) {
  Deno.test(`DEL after ADD: ${what}`, async () => {
    using node = await TestNode.added();
    await happens(node);
    const { lines } = await node.succeed("DEL");
    assertStringIncludes(lines.join(""), told);
    const where = node.kernel.devices.includes(node.device) ? node.whereIs(node.device) : "gone";
    assertEquals([where, ...node.files(), node.kernel.sleptMs, node.device.name], [...left, "mlx5_2"]);
  });
}

Deno.test("DEL fails when the kernel does not tell its mode, but for one without an RDMA subsystem", async () => {
  using node = await TestNode.added();
  const refuse = (errno: number) => () => {
    throw new SyscallError("ask for the mode", errno);
  };
  node.kernel.getRdmaMode = refuse(ENOBUFS);
  await node.fail("DEL", 5);
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  node.kernel.getRdmaMode = refuse(EPROTONOSUPPORT);
  await node.succeed("DEL");
  assertEquals(node.files(), []);
});

Deno.test("DEL fails and keeps the record when the pod's namespace, which has not gone, cannot be opened", async () => {
  using node = await TestNode.added();
  const { openNetns } = node.kernel;
  node.kernel.openNetns = (path) => {
    throw new SyscallError(`open ${JSON.stringify(path)}`, EMFILE);
  };
  assertStringIncludes((await node.fail("DEL", 5)).json.msg, "EMFILE");
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  node.kernel.openNetns = openNetns;
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("without cookies, before kernel 5.14, the inode tells namespaces apart", async () => {
  using node = new TestNode();
  const variables = { CNI_NETNS: "/run/netns/old" };
  const pod = node.kernel.addNetns(variables.CNI_NETNS, 7, "");
  await node.succeed("ADD", { variables });
  assertEquals(node.device.space, pod);
  node.kernel.addNetns(variables.CNI_NETNS, 8, "");
  node.kernel.held.set(HELD, pod);
  await node.succeed("DEL", { variables });
  node.assertForgotten();
});

Deno.test("of two devices the one that is out of reach keeps the record, and the other is restored", async () => {
  using node = new TestNode();
  const other = node.kernel.addDevice(VF, 3);
  await node.succeed("ADD");
  other.space = node.kernel.addNetns(OTHER);
  assertStringIncludes((await node.succeed("DEL")).lines.join(""), "RDMA device mlx5_3 (index 3) of");
  assertEquals([node.whereIs(node.device), ...node.files()], ["host", FILE]);
});

Deno.test("DEL leaves the pod's other devices when it takes what the function has besides the recorded one", async () => {
  using node = await TestNode.added();
  const more = node.kernel.addDevice(VF, 3, { space: node.pod });
  node.kernel.addFunction(OTHER_VF);
  const other = node.kernel.addDevice(OTHER_VF, 8, { space: node.pod });
  await node.succeed("DEL");
  assertEquals(whereAre(node, node.device, more, other), ["host", "host", POD]);
});

// When module ib_core is loaded again, indexes are counted from 0 again, and an old record's is another device's.
for (const where of [POD, "host"]) {
  Deno.test(`DEL does not touch another function's device (${where}) that has the recorded index by now`, async () => {
    using node = await TestNode.added();
    node.kernel.remove(node.device);
    node.kernel.addFunction(OTHER_VF);
    const space = node.kernel.paths.get(where) ?? node.kernel.host;
    const other = node.kernel.addDevice(OTHER_VF, 2, { space, name: "roce7", qos: { tos: [8] } });
    const own = node.kernel.addDevice(VF, 3, { name: "mlx5_0" });
    const devices = [{ index: 2, hostName: "mlx5_2", podName: "roce7", qos: { tos: [1] } }];
    node.write(FILE, node.record({ devices }));
    await node.succeed("DEL");
    assertEquals([other.name, own.name, other.qos?.tos], ["roce7", "mlx5_0", [8]]);
    assertEquals([whereAre(node, other, own), node.files()], [[where, "host"], []]);
  });
}

Deno.test("DEL of a Go plugin's record in the host's own namespace touches nothing there", async () => {
  using node = new TestNode();
  node.write(FILE, JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2", "rdma0")));
  await node.succeed("DEL", { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } });
  node.assertForgotten();
});

// Which of several records of one function counts, whatever the clock said when they were written.

for (
  const [what, own, other, isNewer] of [
    ["the other is of this build", {}, { bootTimeUs: 1 }, true],
    ["it is of this build itself", { bootTimeUs: 1 }, {}, false],
    ["both are of earlier builds, the other is newer", {}, { createdAt: 1001 }, true],
    ["both are of earlier builds, the other is older", {}, { createdAt: 999 }, false],
  ] as const
) {
  Deno.test(`a record's device ${isNewer ? "belongs" : "does not belong"} to another when ${what}`, async () => {
    using node = new TestNode();
    node.device.space = node.losePath();
    node.write(FILE, node.record(own));
    node.claim("second", other);
    await node.succeed("DEL");
    assertEquals([node.whereIs(node.device), ...node.files()], [isNewer ? HELD : "host", SECOND]);
  });
}

Deno.test("a record of the Go plugin does not come before one that names its namespace", async () => {
  using node = new TestNode();
  node.device.space = node.losePath();
  node.write(FILE, node.record()); // of an earlier build, and older by the clock
  node.write(GO_FILE, GO_RECORD);
  await node.succeed("DEL");
  assertEquals([node.whereIs(node.device), ...node.files()], ["host", GO_FILE]);
});

Deno.test("of two records of the Go plugin neither takes a device from a namespace that nobody names", async () => {
  using node = new TestNode();
  node.kernel.held.set(HELD, node.pod);
  node.device.space = node.pod;
  for (const [file, hour] of [[GO_FILE, 12], [SECOND, 11]] as const) {
    node.write(file, GO_RECORD);
    const time = new Date(Date.UTC(2026, 10, 26, hour));
    Deno.utimeSync(`${node.directory}/${file}`, time, time);
  }
  await node.succeed("DEL", of("go", ""));
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, SECOND]);
  await node.succeed("DEL", of("second", ""));
  node.assertForgotten();
});

Deno.test("a record of the Go plugin leaves the name on the host alone when another record has the function", async () => {
  using node = new TestNode();
  node.device.name = "rdma0";
  node.write(GO_FILE, JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2", "rdma0")));
  node.write(SECOND, GO_RECORD);
  await node.succeed("DEL", of("go", ""));
  assertEquals([node.device.name, ...node.files()], ["rdma0", SECOND]);
});

Deno.test("a dead pod's record does not keep the Go plugin's pod from being deleted", async () => {
  using node = new TestNode();
  node.device.space = node.pod;
  node.write(GO_FILE, GO_RECORD);
  const file = node.claim("dead", { netns: DEAD, bootTimeUs: 1, createdAt: Date.now() + 3_600_000 });
  await node.succeed("DEL", of("go", POD));
  assertEquals([node.whereIs(node.device), ...node.files()], ["host", file]);
});

for (
  const [what, claim, left] of [
    ["one of the Go plugin", (node) => node.write(GO_FILE, GO_RECORD), POD],
    ["one of a pod that lives", (node) => node.claim("second"), POD],
    ["one of a dead pod", (node) => node.claim("second", { netns: DEAD }), "host"],
  ] as [string, (node: TestNode) => unknown, string][]
) {
  Deno.test(`with ${what}, a DEL without record leaves the device: ${left}`, async () => {
    using node = new TestNode();
    node.device.space = node.pod;
    claim(node);
    await node.succeed("DEL");
    assertEquals(node.whereIs(node.device), left);
  });
}
