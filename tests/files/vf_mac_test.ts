// vf-mac on a kernel in memory: what a virtual machine does not show, or would take too long for.
import fc from "fast-check";
import { CommandError, ExitCode } from "../../src/cli/errors.ts";
import { formatTable } from "../../src/cli/table.ts";
import { type InitOptions, initVfs } from "../../src/cli/vf_mac/init.ts";
import { Memo } from "../../src/plugin/record/memo.ts";
import { deriveMac, NO_MAC } from "../../src/node/addresses.ts";
import { setAddress, type SetOptions } from "../../src/cli/vf_mac/set.ts";
import { listVfs } from "../../src/node/functions.ts";
import { VF_TABLE } from "../../src/cli/vf_mac/table.ts";
import { CniError } from "../../src/cni/error.ts";
import { BareNode } from "../rig/memory/bare_node.ts";
import type { Space } from "../rig/memory/kernel.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "../support/assert.ts";

const MAC = "02:03:00:00:77:01";
const OTHER_MAC = "02:03:00:00:77:02";
const EBUSY = 16;
const POD = "/run/netns/pod";

class VfTestNode extends BareNode {
  readonly noRdma = new Memo(`${this.temporary}/run/without-rdma`);

  constructor(vfCount = 3) {
    super();
    this.kernel.addPf("eth0", vfCount);
  }

  /** Makes all virtual functions ready, and forgets how. */
  async prepare(): Promise<this> {
    assertEquals(await this.init(), ExitCode.ok);
    this.kernel.orders.length = 0;
    this.terminal.stderr = "";
    return this;
  }

  async init(names?: string[], options: Partial<InitOptions> = {}): Promise<ExitCode> {
    const how = { force: [], dryRun: false, timeoutMs: 1000, ...options };
    return this.terminal.print(await initVfs(this, this.terminal, names, how));
  }

  async set(
    vf: string | number,
    address = MAC,
    { pf = "eth0", ...options }: Partial<SetOptions> & { pf?: string } = {},
  ): Promise<ExitCode> {
    const how = { rebind: true, timeoutMs: 1000, ...options };
    return this.terminal.print(await setAddress(this, { pf, vf: `${vf}`, address }, how));
  }

  // deno-lint-ignore no-explicit-any -- tests look into it
  async json(run: () => Promise<unknown>): Promise<any> {
    this.terminal.stdout = "";
    this.terminal.format = "json";
    await run();
    this.terminal.format = undefined;
    return JSON.parse(this.terminal.stdout);
  }

  /** A pod's namespace, with a path and a process. */
  addPod(): Space {
    const { kernel } = this;
    const pod = kernel.addNetns(POD);
    const process = { pid: 42, command: "/pause", containerId: "5d1f0c3b9a7e00000000", onlyOpen: false };
    kernel.others.push({ inode: pod.inode, paths: [POD], processes: [process] });
    return pod;
  }

  /** A call that must be refused, with nothing ordered. */
  async refused(work: () => Promise<unknown>): Promise<CommandError> {
    const error = await assertRejects(work, CommandError);
    assertEquals(this.kernel.orders, []);
    return error;
  }

  readonly id = (number: number): string => this.kernel.vfs[number]!.deviceId;

  record(deviceId: string, more: object = {}): void {
    const attachment = { network: "net", containerID: "c1", ifname: "net1" };
    this.write("net-c1-net1", {
      attachment,
      deviceId,
      devices: [],
      bootId: "boot-1",
      createdAt: 1000,
      ...more,
    });
  }
}

Deno.test("init gives each function of the physical functions an address, and the next run orders nothing", async () => {
  using node = new VfTestNode();
  node.kernel.addPf("eth1", 1);
  node.kernel.addPf("ib0", 1, { isInfiniBand: true }); // has no MAC addresses
  assertEquals(await node.init(["eth0"]), ExitCode.ok);
  const macs = [0, 1, 2].map((number) => deriveMac("b8:59:9f:00:00:01", number));
  assertEquals(node.kernel.vfs.map(({ mac }) => mac), [...macs, NO_MAC, NO_MAC]);
  assertEquals(await node.init(), ExitCode.ok);
  assertMatch(node.terminal.stderr, /ready 3, assigned 1, failed 0\n$/);
  assertEquals(listVfs(node.kernel).map(({ ready }) => ready), [true, true, true, true, false]);
  node.kernel.orders.length = 0;
  assertEquals([await node.init(), node.kernel.orders], [ExitCode.ok, []]);
  assertMatch(node.terminal.stderr, /ready 4, assigned 0, failed 0\n$/);
  assertEquals(node.terminal.stdout, "");
});

Deno.test("init -o json has the outcome of each function, and prints nothing else", async () => {
  using node = new VfTestNode(3);
  await node.set(2);
  node.terminal.stderr = "";
  node.record(node.id(1));
  const print = (dryRun: boolean) => node.json(() => node.init(undefined, { dryRun }));
  const [first, second, third] = [0, 1, 2].map((number) => ({
    pf: "eth0",
    number,
    deviceID: node.id(number),
  }));
  const [mac, reason] = [deriveMac("b8:59:9f:00:00:01", 0), "node GUID is zero"];
  const planned = await print(true);
  const refusal = planned.vfs[1].reason;
  assertMatch(refusal, /^Cannot change VF 1 of eth0 .* the record /);
  const rest = [
    { ...second, state: "failed", reason: refusal },
    { ...third, state: "ready", nodeGuid: "0203:00ff:fe00:7701" },
  ];
  assertEquals(planned, { dryRun: true, vfs: [{ ...first, state: "planned", mac, reason }, ...rest] });
  const given = await print(false);
  const { nodeGuid } = listVfs(node.kernel)[0]!;
  assertEquals(given, { dryRun: false, vfs: [{ ...first, state: "given", mac, nodeGuid, reason }, ...rest] });
  assertEquals(node.terminal.stderr, "");
});

Deno.test("set -o json has what became of the function; what is so already is not ordered again", async () => {
  using node = new VfTestNode(1);
  const print = (options: { dryRun?: boolean }) => node.json(() => node.set(0, MAC, options));
  const nodeGuid = "0203:00ff:fe00:7701";
  const vf = { dryRun: false, pf: "eth0", number: 0, deviceID: node.id(0), mac: MAC };
  const zero = "0000:0000:0000:0000";
  assertEquals(await print({ dryRun: true }), { ...vf, dryRun: true, state: "planned", nodeGuid: zero });
  assertEquals(await print({}), { ...vf, state: "given", nodeGuid });
  node.kernel.orders.length = 0;
  assertEquals(await print({}), { ...vf, state: "ready", nodeGuid });
  assertEquals(node.kernel.orders, []);
});

Deno.test("dry runs say on standard output what would be done, take no lock and order nothing", async () => {
  using node = new VfTestNode(1);
  const vf = `VF 0 of eth0 (${node.id(0)}) would get `;
  assertEquals(await node.init(undefined, { dryRun: true }), ExitCode.ok);
  assertEquals(await node.set(0, MAC, { dryRun: true }), ExitCode.ok);
  assertEquals(await node.set(0, MAC, { dryRun: true, rebind: false }), ExitCode.ok);
  assertEquals(node.terminal.stdout.split("\n"), [
    `${vf}${deriveMac("b8:59:9f:00:00:01", 0)} (node GUID is zero)`,
    "ready 0, planned 1, failed 0",
    `${vf}MAC address ${MAC}, then mlx5_core would be rebound`,
    `${vf}MAC address ${MAC}`,
    "",
  ]);
  assertEquals([node.terminal.stderr, node.kernel.orders, node.state.exists()], ["", [], false]);
});

const IB = { pf: "ib0", guid: true };
const GUID = "0203:00ff:fe00:7701";

for (
  const [what, fault, change, options = {}] of [
    [
      "a driver of another GUID",
      /does not match the MAC .*:1234/,
      ({ kernel }) => kernel.makeGuid = () => 0x1234n,
    ],
    ["a driver whose GUID stays zero", /node GUID is zero/, ({ kernel }) => kernel.makeGuid = () => 0n],
    ["a driver of its own address", /its netdev has 8e:[0-9a-f:]+$/, ({ kernel }) => kernel.takesMac = false],
    ["such a driver of a PF that is down", /eth0 is down.*ip link set eth0 up/, ({ kernel }) => {
      kernel.takesMac = false;
      kernel.pfs[0] = { ...kernel.pfs[0]!, isUp: false };
    }],
    ["a PF that ignores the order", /administrative address is 00:00:00:00:00:00$/, ({ kernel }) => {
      kernel.setVfMac = () => {};
    }, { rebind: false }],
    ["a driver without RDMA below a PF that has it", /no RDMA device within 1 s/, async ({ kernel, id }) => {
      await kernel.unbindDriver(id(0));
      kernel.makes = { netdev: true, rdmaDevice: false };
    }],
    ["a driver that makes nothing", /no netdev and no RDMA device within 1 s, twice/, ({ kernel }) => {
      kernel.makes = { netdev: false, rdmaDevice: false };
    }],
    ["an InfiniBand PF that takes no port GUID", /administrative port GUID is .*:1234/, ({ kernel }) => {
      kernel.onBind = () => void (kernel.vfs[1]!.guids = { node: 0x0203_00ff_fe00_7701n, port: 0x1234n });
    }, IB],
    [
      "an InfiniBand driver of another",
      /mlx5_\d+ has 0000:.*:0001/,
      ({ kernel }) => kernel.takesMac = false,
      IB,
    ],
  ] as [string, RegExp, (node: VfTestNode) => unknown, Parameters<VfTestNode["set"]>[2]?][]
) {
  Deno.test(`${what} is found out`, async () => {
    using node = new VfTestNode(1);
    node.kernel.addPf("ib0", 1, { isInfiniBand: true });
    await change(node);
    const address = options.guid ? GUID : MAC;
    const { message } = await assertRejects(() => node.set(0, address, options), CommandError);
    assertMatch(message, fault);
  });
}

for (
  const [what, orders, change, options] of [
    ["of an unusual driver", "mac, unbind, bind other", ({ kernel, id }) => kernel.setDriver(id(0), "other")],
    ["without driver", "mac, bind any", ({ kernel, id }) => kernel.unbindDriver(id(0))],
    ["whose driver is left alone", "mac", () => {}, { rebind: false }],
    ["of a virtual machine", "mac", ({ kernel, id }) => kernel.setDriver(id(0), "vfio-pci"), { force: true }],
    ["without RDMA, of an adapter without it", "mac, unbind, bind mlx5_core", ({ kernel }) => {
      kernel.makes = { netdev: true, rdmaDevice: false };
      kernel.devices.length = 0;
    }],
  ] as [string, string, (node: VfTestNode) => unknown, Partial<SetOptions>?][]
) {
  Deno.test(`set orders of a function ${what}: ${orders}`, async () => {
    using node = new VfTestNode(1);
    await change(node);
    node.kernel.orders.length = 0;
    assertEquals(await node.set(0, MAC, options), ExitCode.ok);
    const given = orders.replace("mac", `mac eth0 0 ${MAC}`).replaceAll(/(?<=bind)/g, ` ${node.id(0)}`);
    assertEquals(node.kernel.orders.join(", "), given);
  });
}

const NOWHERE: Space = { inode: 77, links: new Map() };

for (
  const [what, words, change] of [
    [
      "a pod has the netdev of",
      /"eth0v0" is in \S+\/pod \(process 42 "\/pause", container 5d1f/,
      (node, netdev) => {
        netdev.space = node.addPod();
      },
    ],
    ["a pod has the RDMA device of", /RDMA device "mlx5_\d+" is in \/run\/netns\/pod /, (node) => {
      node.kernel.devices[1]!.space = node.addPod();
    }],
    ["a record names", /container "c1" has it as "net1"/, (node) => node.record(node.id(0))],
    ["a VM may have", /bound to "vfio-pci"/, ({ kernel, id }) => kernel.setDriver(id(0), "vfio-pci")],
    ["an unknown namespace has", /namespace that cannot be found/, (_, netdev) => netdev.space = NOWHERE],
    ["a namespace has whose path leads elsewhere", /namespace that cannot be found/, (node, netdev) => {
      netdev.space = node.addPod();
      node.kernel.paths.set(POD, NOWHERE);
    }],
    ["an open file has", /in network namespace 77 \(process 42 "sleep"\)$/, ({ kernel }, netdev) => {
      netdev.space = NOWHERE;
      kernel.held.set("/proc/42/fd/7", NOWHERE);
    }],
  ] as [string, RegExp, (node: VfTestNode, netdev: { space: Space }) => unknown][]
) {
  Deno.test(`a function that ${what} is refused, naming who has it, and forced all the same`, async () => {
    using node = new VfTestNode(1);
    change(node, node.kernel.vfs[0]!.netdev!);
    assertMatch((await node.refused(() => node.set(0))).message, words);
    assertEquals(await node.set(0, MAC, { force: true }), ExitCode.ok);
  });
}

Deno.test("a function without administrative address is not ready; init gives it the effective one without a rebind", async () => {
  using node = await new VfTestNode(3).prepare();
  const [vf, random] = node.kernel.vfs;
  const { mac } = vf!;
  vf!.mac = NO_MAC;
  // A driver that makes a node GUID of any address.
  random!.mac = NO_MAC;
  random!.netdev!.isRandom = true;
  const { address } = random!.netdev!;
  const reason = "no administrative address, so the next rebind may lose the node GUID";
  assertEquals(listVfs(node.kernel).map(({ ready, reason }) => reason ?? ready), [reason, reason, true]);
  assertEquals(await node.init(), ExitCode.ok);
  assertEquals(node.kernel.orders, [`mac eth0 0 ${mac}`, `mac eth0 1 ${address}`]);
  assertEquals(listVfs(node.kernel).map(({ ready }) => ready), [true, true, true]);
  assertMatch(
    node.terminal.stderr,
    new RegExp(`^VF 0 of eth0 .* has ${mac} as its administrative address, without a rebind, node GUID `),
  );
});

/** How a function came to be as it is. */
const vfHistories = fc.record({
  driver: fc.constantFrom("mlx5_core", "other_driver", "vfio-pci", undefined),
  /** When its driver was bound. */
  hadMac: fc.boolean(),
  loses: fc.boolean(),
  podSetMac: fc.boolean(),
  hasRdma: fc.boolean(),
  use: fc.constantFrom("none", "host", "netdev in pod", "device in pod", "record"),
});

Deno.test("list and init agree on what is ready: what stays good at the next rebind, and what init leaves as it is", async () => {
  await fc.assert(
    fc.asyncProperty(vfHistories, async ({ driver, hadMac, loses, podSetMac, hasRdma, use }) => {
      using node = new VfTestNode(1);
      const { kernel } = node;
      const [vf] = kernel.vfs;
      kernel.makes = { netdev: true, rdmaDevice: hasRdma };
      await kernel.unbindDriver(node.id(0));
      if (hadMac) vf!.mac = MAC;
      if (driver !== undefined) await kernel.bindDriver(node.id(0), driver);
      if (podSetMac && vf!.netdev) {
        Object.assign(vf!.netdev, { address: "02:03:00:00:77:09", isRandom: false });
      }
      if (loses) vf!.mac = NO_MAC;
      if (use === "host" && vf!.netdev) vf!.netdev.isUp = true;
      if (use === "netdev in pod" && vf!.netdev) vf!.netdev.space = node.addPod();
      const own = kernel.devices.find(({ deviceId }) => deviceId === node.id(0));
      if (use === "device in pod" && own) own.space = node.addPod();
      if (use === "record") node.record(node.id(0));
      kernel.orders.length = 0;

      const inspect = async () => {
        const { vfs } = await node.json(() => node.init(undefined, { dryRun: true }));
        return { ...listVfs(kernel)[0]!, ...vfs[0] };
      };
      const before = await inspect();
      assertEquals(kernel.orders, []);
      assertEquals(before.ready, before.state === "ready", before);
      await node.init();
      assertEquals(kernel.orders.length > 0, before.state === "planned");
      const after = await inspect();
      assertEquals(after.ready, before.state === "ready" || before.state === "planned" && hasRdma);
      if (after.ready && use === "none") {
        await kernel.unbindDriver(node.id(0));
        await kernel.bindDriver(node.id(0), driver);
        assertEquals(listVfs(kernel)[0]!.ready, true);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("set of an address that the node GUID is not of binds the driver again", async () => {
  using node = await new VfTestNode(1).prepare();
  const [vf] = node.kernel.vfs;
  vf!.mac = vf!.netdev!.address = MAC;
  assertEquals(await node.set(0), ExitCode.ok);
  assertEquals(listVfs(node.kernel)[0]!.nodeGuid, "0203:00ff:fe00:7701");
});

Deno.test("a bind that fails is tried once a second, until the time is over", async () => {
  using node = new VfTestNode();
  let refusals = 3;
  node.kernel.onBind = () => refusals-- > 0 ? EBUSY : undefined;
  assertEquals(await node.set(1, MAC, { timeoutMs: 10_000 }), ExitCode.ok);
  assertEquals(node.kernel.sleptMs, 3000);

  node.kernel.onBind = () => EBUSY;
  const setOther = () => node.set(2, OTHER_MAC, { timeoutMs: 2000 });
  const error = await assertRejects(setOther, CommandError);
  assertMatch(error.message, /Cannot rebind VF 2 .* now has no driver.*EBUSY \(16\).* for 2 s/);
  assertMatch(error.advice!, /echo .* > \/sys\/bus\/pci\/drivers\/mlx5_core\/bind/);
});

Deno.test("a driver that binds but makes no devices is taken away once more", async () => {
  using node = new VfTestNode(1);
  let binds = 0;
  node.kernel.onBind = () => {
    node.kernel.makes = { netdev: true, rdmaDevice: ++binds > 1 };
  };
  assertEquals(await node.set(0), ExitCode.ok);
  assertEquals(binds, 2);
});

Deno.test("the kind of address is known of the host's netdevs alone", () => {
  using node = new VfTestNode(3);
  const kinds = () => listVfs(node.kernel).map((vf) => [vf.hasRandomMac, vf.hasPermanentMac]);
  node.kernel.vfs[1]!.netdev!.isRandom = false;
  assertEquals(kinds(), [[true, false], [false, true], [true, false]]);
  const pod = node.addPod();
  for (const vf of node.kernel.vfs) vf.netdev!.space = pod;
  delete node.kernel.vfs[2]!.netdev;
  assertEquals(kinds(), Array(3).fill([false, false]));
});

Deno.test("records of an earlier boot protect nothing, the Go plugin's among them", async () => {
  using node = new VfTestNode();
  node.record(node.id(0), { bootId: "boot-0" });
  assertEquals(await node.set(0), ExitCode.ok);
  node.write("net-c1-net1", { deviceId: node.id(1), devices: [], createdAt: 1000 });
  node.kernel.bootedAtMs = 500;
  node.kernel.orders.length = 0;
  const { message } = await node.refused(() => node.set(1, OTHER_MAC));
  assertMatch(message, /the record .* says that a pod has it/);
  node.kernel.bootedAtMs = 1500;
  assertEquals(await node.set(1, OTHER_MAC), ExitCode.ok);
});

Deno.test("init does what it can, gives no address twice, and tells the rest by exit code partial", async () => {
  using node = new VfTestNode();
  node.kernel.addPf("eth1", 1, { permanentAddress: "b8:59:9f:00:00:01" });
  node.kernel.vfs[0]!.netdev!.space = node.addPod();
  assertEquals(await node.init(), ExitCode.partial);
  assertMatch(node.terminal.stderr, /Cannot change VF 0 .*netdev "eth0v0"/);
  assertMatch(node.terminal.stderr, /Cannot give VF 0 of eth1 .*: VF 0 of eth0 has /);
  assertMatch(node.terminal.stderr, /ready 0, assigned 2, failed 2\n$/);
  assertEquals(await node.init(), ExitCode.failed);
  assertEquals(await node.init(["eth0"], { force: ["0"] }), ExitCode.ok);
  assertEquals(node.kernel.vfs[3]!.mac, NO_MAC);
});

for (
  const [what, left, take] of [
    [
      "a pod that gets a function",
      /VF 17 .*"c1"[^]*assigned 19, failed 1/,
      (node) => node.record(node.id(17)),
    ],
    ["a pod that gets its netdev", /Cannot change VF 17 .*v17" is in [^]*assigned 19, failed 1/, (node) => {
      node.kernel.vfs[17]!.netdev!.space = node.addPod();
    }],
    ["the host that uses it", /VF 17 .* host uses it[^]*assigned 19, failed 0/, ({ kernel }) => {
      kernel.vfs[17]!.netdev!.isUp = true;
    }],
  ] as [string, RegExp, (node: VfTestNode) => unknown][]
) {
  Deno.test(`${what} after the plan was made keeps it`, async () => {
    using node = new VfTestNode(20);
    node.kernel.onBind = (deviceId) => {
      if (deviceId === node.id(0)) take(node);
    };
    await node.init();
    assertMatch(node.terminal.stderr, left);
    assertEquals(node.kernel.orders.filter((order) => order.includes(node.id(17))), []);
  });
}

Deno.test("a fault of the program itself ends init", async () => {
  using node = new VfTestNode();
  node.kernel.onBind = () => {
    throw new TypeError("a fault");
  };
  await assertRejects(() => node.init(), TypeError, "a fault");
});

Deno.test("a signal ends init after the functions it is at, and says how many are left", async () => {
  using node = new VfTestNode(20);
  node.kernel.onBind = () => {
    node.kernel.signal = "SIGTERM";
  };
  assertEquals(await node.init(), ExitCode.partial);
  assertMatch(node.terminal.stderr, /Stopped by SIGTERM: 4 virtual functions were not examined/);
  assertEquals(node.kernel.orders.filter((order) => order.startsWith("bind")).length, 16);
  assertEquals(listVfs(node.kernel).map(({ driver }) => driver), Array(20).fill("mlx5_core"));
});

Deno.test("the plugin's lock is held while a function is changed, and waited for", async () => {
  using node = new VfTestNode();
  node.kernel.onBind = () => assert(node.kernel.locked.has(node.directory));
  assertEquals(await node.init(), ExitCode.ok);
  assertEquals(await node.set(0), ExitCode.ok);
  const lock = node.kernel.lock(node.directory, 0)!;
  node.kernel.orders.length = 0;
  await assertRejects(() => node.set(0, OTHER_MAC), CniError, "within 100 s: another process has it");
  assertEquals(node.kernel.orders, []);
  lock[Symbol.dispose]();
});

for (
  const [name, words, reason, code = ExitCode.failed] of [
    ["another VF's address", { address: "02:00:00:00:00:09" }, /VF 1 of eth0 has it/],
    ["the PF's address", { address: "b8:59:9f:00:00:01" }, /PF eth0 has it/],
    ["a VF that is not there", { vf: "3" }, /it has VFs 0 to 2/],
    ["a VF that is no number", { vf: "-1" }, /want its number/, ExitCode.usage],
    ["a PF that is not there", { pf: "eth9" }, /no network interface of that name/],
    ["an interface that is no PF", { pf: "lo" }, /not an SR-IOV physical function/],
    ["a malformed GUID", { address: "1", guid: true }, /want 16/, ExitCode.usage],
    ["a GUID for Ethernet", { address: GUID, guid: true }, /not an InfiniBand port/],
    ["a MAC address for InfiniBand", { pf: "ib0" }, /InfiniBand port/],
    ["a PF without VFs", { pf: "eth1" }, /no VFs enabled/],
  ] as [string, { vf?: string; address?: string; pf?: string; guid?: boolean }, RegExp, ExitCode?][]
) {
  Deno.test(`set refuses ${name} and orders nothing`, async () => {
    using node = new VfTestNode();
    node.kernel.addPf("eth1", 0);
    node.kernel.addPf("ib0", 1, { isInfiniBand: true });
    node.kernel.host.links.set("lo", { index: 1, name: "lo", isInfiniBand: false, vfMacs: new Map() });
    node.kernel.vfs[1]!.mac = "02:00:00:00:00:09";
    const { vf = "0", address = MAC, ...more } = words;
    const error = await node.refused(() => node.set(vf, address, more));
    assertMatch(error.message, reason);
    assertEquals(error.exitCode, code);
  });
}

for (
  const [what, pfs, force, words] of [
    ["all when one name is wrong", ["eth0", "eth9"], [], '"eth9"'],
    ["InfiniBand", ["ib0"], [], "InfiniBand port"],
    ["to force a function that is not there", ["eth0"], ["3"], "VFs 0 to 2"],
  ] as [string, string[], string[], string][]
) {
  Deno.test(`init refuses ${what}`, async () => {
    using node = new VfTestNode();
    node.kernel.addPf("ib0", 1, { isInfiniBand: true });
    assertStringIncludes((await node.refused(() => node.init(pfs, { force }))).message, words);
  });
}

Deno.test("an InfiniBand function gets node and port GUID if it has not both, and no other function's", async () => {
  using node = new VfTestNode(0);
  node.kernel.addPf("ib0", 2, { isInfiniBand: true });
  assertEquals(await node.set(0, GUID, IB), ExitCode.ok);
  assertEquals(node.kernel.orders[0], "guid ib0 0 20300fffe007701");
  assertEquals(listVfs(node.kernel).map(({ nodeGuid, ready }) => [nodeGuid, ready])[0], [GUID, true]);
  assertMatch(node.terminal.stderr, /has GUID 0203:00ff:fe00:7701, node GUID 0203:00ff:fe00:7701/);
  node.kernel.orders.length = 0;
  assertEquals([await node.set(0, GUID, IB), node.kernel.orders], [ExitCode.ok, []]);
  assertMatch(node.terminal.stderr, /already has GUID 0203:00ff:fe00:7701\n$/);
  assertMatch((await node.refused(() => node.set(1, GUID, IB))).message, /VF 0 of ib0 has it$/);
  node.kernel.vfs[0]!.guids = { node: 0x0203_00ff_fe00_7701n, port: 0n };
  assertEquals(await node.set(0, GUID, IB), ExitCode.ok);
  assertEquals(node.kernel.vfs[0]!.guids.port, 0x0203_00ff_fe00_7701n);
});

Deno.test("without an RDMA subsystem the functions are listed as without RDMA device", async () => {
  using node = await new VfTestNode().prepare();
  node.kernel.hasRdma = false;
  assertEquals(listVfs(node.kernel).map(({ reason }) => reason), Array(3).fill("no RDMA device"));
});

Deno.test("a terminal sees a bar that grows", async () => {
  using node = new VfTestNode(1);
  node.kernel.addPf("eth1", 1);
  node.terminal.showsProgress = true;
  assertEquals(await node.init(), ExitCode.ok);
  const bars = node.terminal.stderr.matchAll(/\[(#*)-*\] (\d)\/2 VF 0 of eth(\d)/g);
  assertEquals(Array.from(bars, ([, filled, ...words]) => [filled!.length, ...words]), [
    [0, "0", "0"],
    [15, "1", "1"],
  ]);
});

Deno.test("64 functions are bound side by side: their waits overlap", async () => {
  using node = new VfTestNode(64);
  Object.assign(node.kernel, { bindMs: 1000, devicesMs: 2000 });
  assertEquals(await node.init(undefined, { timeoutMs: 10_000 }), ExitCode.ok);
  assert(listVfs(node.kernel).every(({ ready }) => ready));
  assert(node.kernel.sleptMs < 15_000, `${node.kernel.sleptMs} ms`); // one after the other: 192 s
});

Deno.test("functions whose drivers do not start side by side are tried one after the other", async () => {
  using node = new VfTestNode(4);
  node.kernel.bindMs = 100;
  let binding = 0;
  const bind = node.kernel.bindDriver.bind(node.kernel);
  node.kernel.onBind = () => binding > 1 ? EBUSY : undefined;
  node.kernel.bindDriver = (deviceId, driver) => {
    binding++;
    return bind(deviceId, driver).finally(() => binding--);
  };
  assertEquals(await node.init(undefined, { timeoutMs: 2000 }), ExitCode.ok);
  assert(listVfs(node.kernel).every(({ ready }) => ready));
});

Deno.test("a driver that does not let go is reported, and the other functions get their addresses", async () => {
  using node = new VfTestNode(2);
  node.kernel.onUnbind = (deviceId) => deviceId === node.id(0) ? EBUSY : undefined;
  assertEquals(await node.init(), ExitCode.partial);
  assertMatch(node.terminal.stderr, /Cannot unbind the driver of .*EBUSY[^]*assigned 1, failed 1/);
});

Deno.test("an adapter without RDMA is left alone, with and without drivers, and so are virtual machines' functions", async () => {
  using node = new VfTestNode(3);
  node.kernel.devices.length = 0;
  node.kernel.setDriver(node.id(1), undefined);
  node.kernel.setDriver(node.id(2), "vfio-pci");
  assertEquals(await node.init(), ExitCode.ok);
  assertEquals([node.kernel.orders, node.kernel.sleptMs], [[], 0]);
  assertMatch(
    node.terminal.stderr,
    /^VF 0 .* left alone: no RDMA device\nVF 1 .*: no driver is bound, and no function of its kind .*\nVF 2 .*: bound to vfio-pci/,
  );
});

Deno.test("a function without driver is bound if another adapter of its driver has an RDMA device", async () => {
  using node = new VfTestNode(1);
  node.kernel.addPf("eth1", 0);
  await node.kernel.unbindDriver(node.id(0));
  node.kernel.devices.splice(0, 1); // eth0's own, as of two bonded ports
  assertEquals(await node.init(["eth0"]), ExitCode.ok);
  assertEquals(listVfs(node.kernel)[0]!.ready, true);
});

Deno.test("functions without RDMA device below an adapter that has one are waited for once in a boot", async () => {
  using node = new VfTestNode(64);
  node.kernel.devices.splice(1);
  await node.kernel.unbindDriver(node.id(0));
  node.kernel.makes = { netdev: true, rdmaDevice: false };
  assertEquals(await node.init(undefined, { timeoutMs: 10_000 }), ExitCode.ok);
  assertEquals(node.kernel.sleptMs, 10_000);
  assertMatch(node.terminal.stderr, /^VF 0 .* has .*, node GUID none \(before: no driver is bound\)$/m);
  assertMatch(node.terminal.stderr, /^ready 0, assigned 1, failed 0$/m);
  node.kernel.orders.length = 0;
  assertEquals(await node.init(undefined, { timeoutMs: 10_000 }), ExitCode.ok);
  assertEquals([node.kernel.sleptMs, node.kernel.orders], [10_000, []]);

  assertEquals(Deno.statSync(node.noRdma.directory).mode! & 0o777, 0o700);
});

Deno.test("what is remembered is of one driver, and a link in its place is not written through", async () => {
  using node = new VfTestNode(1);
  node.kernel.devices.splice(1);
  Deno.mkdirSync(node.noRdma.directory, { recursive: true });
  Deno.writeTextFileSync(`${node.temporary}/victim`, "untouched");
  Deno.symlinkSync(`${node.temporary}/victim`, `${node.noRdma.directory}/${node.id(0)}`);
  await node.init();
  assertEquals(Deno.readTextFileSync(`${node.temporary}/victim`), "untouched");
  await node.init();
  assertEquals(node.kernel.sleptMs, 1000);
  node.kernel.setDriver(node.id(0), "other_driver");
  await node.init();
  assertEquals(node.kernel.sleptMs, 2000);
});

Deno.test("an RDMA device that comes late, with GUID zero, is waited for and gets its GUID", async () => {
  using node = new VfTestNode(2);
  const late = node.kernel.devices.splice(1);
  node.kernel.after(500, () => node.kernel.devices.push(...late));
  assertEquals(await node.init(), ExitCode.ok);
  assertMatch(node.terminal.stderr, /^Waiting for the RDMA devices of 2 virtual functions$/m);
  assert(listVfs(node.kernel).every(({ ready }) => ready));
});

for (
  const [what, words, use] of [
    ["an IP address", 'its netdev "eth0v0" has an IP address', ({ kernel }, { netdev }) => {
      kernel.addressed.add(netdev!.index);
    }],
    ["a carrier", 'its netdev "eth0v0" is up and has a carrier', (_, { netdev }) => netdev!.isUp = true],
    ["a bond", 'its netdev "eth0v0" is below "bond0"', (_, { netdev }) => netdev!.uppers.push("bond0")],
    ["open contexts", 'programs have its RDMA device "mlx5_102" open (2 contexts)', ({ kernel }) => {
      const resources = [{ kind: "pd", count: 1n }, { kind: "ctx", count: 2n }];
      Object.assign(kernel.devices[1]!, { resources });
    }],
    ["a vDPA device", 'it has the vDPA device "vdpa0"', ({ kernel }, { deviceId }) => {
      kernel.vdpaDevices.set(deviceId, "vdpa0");
    }],
    ["a representor in a bridge", 'its representor "eth0_0" is in "br0"', ({ kernel }) => {
      kernel.representors.push({ pf: "eth0", name: "eth0_0", vf: 0, uppers: ["br0"] });
    }],
  ] as [string, string, (node: VfTestNode, vf: VfTestNode["kernel"]["vfs"][number]) => unknown][]
) {
  Deno.test(`a function that the host uses is left alone and named: ${what}`, async () => {
    using node = new VfTestNode(2);
    use(node, node.kernel.vfs[0]!);
    assertEquals(await node.init(), ExitCode.ok);
    assertEquals(node.kernel.vfs.map(({ mac }) => mac === NO_MAC), [true, false]);
    const vf = `VF 0 of eth0 (${node.id(0)})`;
    assertStringIncludes(
      node.terminal.stderr,
      `${vf} is left alone: node GUID is zero, but the host uses it: ${words}\n`,
    );
    node.kernel.orders.length = 0;
    const { message, advice } = await node.refused(() => node.set(0));
    assertEquals(message, `Cannot change ${vf}: the host uses it: ${words}`);
    assertMatch(advice!, /Stop what uses the function on the host.*vf-mac set --force/);
    assertEquals(await node.init(["eth0"], { force: ["0"] }), ExitCode.ok);
    assertEquals(listVfs(node.kernel)[0]!.ready, true);
  });
}

Deno.test("what the kernel has on each RDMA device by itself, and a representor that nobody uses, are no use", async () => {
  using node = new VfTestNode(1);
  node.kernel.representors.push({ pf: "eth0", name: "eth0_0", vf: 0, uppers: [] });
  node.kernel.representors.push({ pf: "eth0", name: "eth0_1", vf: 1, uppers: ["br0"] });
  const resources = [{ kind: "pd", count: 1n }, { kind: "ctx", count: 0n }];
  Object.assign(node.kernel.devices[1]!, { resources });
  assertEquals(await node.init(), ExitCode.ok);
  assertEquals(listVfs(node.kernel)[0]!.ready, true);
});

Deno.test("InfiniBand functions are listed with GUIDs and without MAC addresses", () => {
  using node = new VfTestNode(0);
  node.kernel.addPf("ib0", 2, { isInfiniBand: true });
  const [one, other] = node.kernel.vfs;
  const address = "80:00:02:08:fe:80:00:00:00:00:00:00:02:03:00:ff:fe:00:48:56";
  const flags = { isRandom: false, isUp: false };
  const netdev = { name: "ib1", index: 9, address, ...flags, uppers: [], space: node.kernel.host };
  Object.assign(one!, { mac: "02:03:00:00:48:56", guids: { node: 1n, port: 1n }, netdev });
  Object.assign(other!, { guids: { node: 2n, port: 3n } });
  const vfs = listVfs(node.kernel);
  const { adminMac, effectiveMac, portGuid } = vfs[0]!;
  assertEquals([adminMac, effectiveMac, portGuid], [NO_MAC, address, "0203:00ff:fe00:4856"]);
  node.terminal.print({ text: formatTable(VF_TABLE, vfs, true) });
  const rows = node.terminal.stdout.trimEnd().split("\n").map((line) => line.split(/ {2,}/));
  const cells = ["NETDEV", "ADDRESS", "ADMIN-ADDRESS"].map((heading) => rows[0]!.indexOf(heading));
  assertEquals(rows.slice(1).map((row) => cells.map((cell) => row[cell])), [
    ["ib1", "0203:00ff:fe00:4856", "0000:0000:0000:0001"],
    ["-", "-", "0000:0000:0000:0002, port 0000:0000:0000:0003"],
  ]);
});
