// `pods` on a kernel in memory, with real records.
import { collect, type PodDevice } from "../../src/node/pods.ts";
import { examinePods } from "../../src/cli/doctor/devices.ts";
import { findFaults } from "../../src/node/faults.ts";
import { takeInventory } from "../../src/node/inventory.ts";
import { showPods } from "../../src/cli/pods/command.ts";
import { CommandError } from "../../src/cli/errors.ts";
import type { AttachmentRecord } from "../../src/plugin/record/record.ts";
import { EIO, EPERM, SyscallError } from "../../src/sys/errno.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import type { Link } from "../../src/kernel/kernel.ts";
import type { LinkDetails } from "../../src/kernel/node_kernel.ts";
import { type Device, PORT, type Space } from "../rig/memory/kernel.ts";
import { BareNode } from "../rig/memory/bare_node.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";

const GID = "0000:0000:0000:0000:0000:ffff:0a00:0002";
const LINK_LOCAL = "fe80:0000:0000:0000:0203:00ff:fe00:4852";
const LINK: Link & Partial<LinkDetails> = { index: 2, name: "net1", isInfiniBand: false, vfMacs: new Map() };

/** A pod with a device, and its node. */
interface PlacedPod {
  readonly node: PodsNode;
  readonly space: Space;
  readonly device: Device;
  readonly file: string;
  readonly record: AttachmentRecord;
}

class PodsNode extends BareNode {
  /** Puts a pod with a device onto the node, which is called mlx5_0 there. */
  addPod(number: number): PlacedPod {
    const deviceId = `0000:3b:0${number >> 3}.${number & 7}`;
    const path = `/run/netns/pod${number}`;
    const space = this.kernel.addNetns(path);
    space.links.set("net1", LINK);
    space.addresses = new Map([[2, [{ text: LINK_LOCAL, gid: LINK_LOCAL }, { text: "10.0.0.2", gid: GID }]]]);
    this.kernel.addFunction(deviceId);
    const index = number + 2;
    const device = this.kernel.addDevice(deviceId, index, {
      name: "mlx5_0",
      space,
      resources: [{ kind: "qp", count: 3n }, { kind: "mr", count: 4n }],
      counters: [{ name: "out_of_sequence", value: BigInt(index * 1000 + 2) }],
      ports: [{
        ...PORT,
        bitsPerSecond: 1e11,
        traffic: { rxBytes: 400, txBytes: 800, rxPackets: 1, txPackets: 2 },
        gids: [
          { index: 0, gid: LINK_LOCAL, isRoceV2: false },
          { index: 1, gid: LINK_LOCAL, isRoceV2: true },
          { index: 2, gid: GID, isRoceV2: false },
          { index: 3, gid: GID, isRoceV2: true },
        ],
      }],
    });
    const attachment = { network: "net", containerID: `container${number}`, ifname: "net1" };
    const record = {
      attachment,
      deviceId,
      devices: [{ index, hostName: `mlx5_${index}`, podName: "mlx5_0" }],
      pod: { namespace: "team-a", name: `trainer-${number}` },
      netns: { path, inode: space.inode, cookie: space.cookie! },
      bootId: "boot-1",
      createdAt: Date.UTC(2026, 0, 1),
    };
    const file = this.state.fileOf(attachment);
    this.write(file, record);
    return { node: this, space, device, file, record };
  }

  /** The pod ends as it does in Kubernetes: the device goes home, the record is removed, the namespace goes. */
  endPod({ space, file }: PlacedPod): void {
    this.kernel.endNetns(space);
    this.state.remove(file);
    for (const [path, one] of this.kernel.paths) if (one === space) this.kernel.paths.delete(path);
  }

  statuses(): [record: string, status: string][] {
    return collect(this.kernel, this.state).devices.map(({ record, status }) => [record, status]);
  }

  show(options = {}): number {
    return this.terminal.print(showPods(this, options));
  }
}

/** A node with an adapter and a pod, to which something happens. */
function nodeAfter(change: (given: PlacedPod) => unknown): PodsNode {
  const node = new PodsNode();
  node.kernel.addPf("eth0", 0);
  change(node.addPod(0));
  return node;
}

Deno.test("pods: two pods whose devices have one name are told apart, with all values of each", () => {
  using node = new PodsNode();
  node.kernel.namesPerNetns = true;
  for (const number of [0, 1]) node.addPod(number);
  const wanted = (number: number): PodDevice => ({
    record: `net-container${number}-net1`,
    namespace: "team-a",
    pod: `trainer-${number}`,
    containerId: `container${number}`,
    interface: "net1",
    network: "net",
    deviceId: `0000:3b:00.${number}`,
    device: "mlx5_0",
    hostDevice: `mlx5_${number + 2}`,
    status: "present",
    createdAt: Date.UTC(2026, 0, 1),
    resources: { qp: 3, mr: 4 },
    netdev: { netns: `/run/netns/pod${number}`, isEnabled: true, withoutGid: [] },
    ports: [{
      number: 1,
      state: "4: ACTIVE",
      bitsPerSecond: 1e11,
      gid: { index: 3, gid: GID },
      traffic: { rxBytes: 400, txBytes: 800, rxPackets: 1, txPackets: 2 },
      counters: { out_of_sequence: (number + 2) * 1000 + 2 },
    }],
  });
  assertEquals(collect(node.kernel, node.state), { devices: [wanted(0), wanted(1)], faults: [] });
  const [{ createdAt, pod }] = showPods(node).value as [{ createdAt: string; pod: string }];
  assertEquals([createdAt, pod], ["2026-01-01T00:00:00.000Z", "trainer-0"]);
});

function setPort(device: Device, port: Partial<Device["ports"][number]>): void {
  device.ports = [{ ...device.ports[0]!, ...port }];
}

for (
  const [what, index, gid, change] of [
    ["of the link-local address alone", 1, LINK_LOCAL, ({ space }) => space.addresses!.get(2)!.pop()],
    ["of no interface", undefined, undefined, ({ space }) => space.links.clear()],
    ["of an interface with a smaller MTU than its PF's", 3, GID, (given) => setMtus(given, 9000, 1500)],
    ["far back in a large table", 200, GID, ({ device }) => {
      setPort(device, { gids: [{ index: 200, gid: GID, isRoceV2: true }] });
    }],
    ["on InfiniBand", 0, LINK_LOCAL, ({ device }) => {
      setPort(device, { isRoce: false, gids: [{ index: 0, gid: LINK_LOCAL, isRoceV2: false }] });
    }],
  ] as [string, number | undefined, string | undefined, (given: PlacedPod) => unknown][]
) {
  Deno.test(`pods: a GID ${what} is found, or is no fault`, () => {
    using node = nodeAfter(change);
    const wanted = index === undefined ? undefined : { index, gid };
    assertEquals(collect(node.kernel, node.state).devices[0]!.ports[0]!.gid, wanted);
    assertEquals([node.show(), node.terminal.stderr], [0, ""]);
  });
}

function endNetns({ node: { kernel }, space }: PlacedPod): void {
  kernel.endNetns(space);
  kernel.paths.delete("/run/netns/pod0");
}

for (
  const [what, status, told, change] of [
    ["whose namespace has gone", "stale", /^net-container0-net1 is stale: rdma-cni gc\n$/, endNetns],
    ["from before a reboot", "stale", /^\S+ is stale: rdma-cni gc\n$/, ({ node, file, record }) => {
      node.write(file, { ...record, bootId: "boot-0" });
    }],
    ["whose namespace may be held unseen", "unknown", /^\S+ is unknown: # run it as root/, (given) => {
      endNetns(given);
      given.node.kernel.isComplete = false;
    }],
    ["whose device is home", "missing", / is missing: kubectl -n team-a delete pod trainer-0 # /, (given) => {
      given.node.kernel.place(given.device, given.node.kernel.host);
    }],
    ["that is unreadable", "unknown", /^Cannot read all of .* "mlx5_0" \(\S+\): .* the counters/, (given) => {
      given.node.kernel.onCounters = (one) => {
        if (one === given.device) throw new NetlinkError("ask for the counters", EIO);
      };
    }],
    ["beside a file that is none", "present", /^Cannot use record ".*\/x": it is not JSON\n$/, ({ node }) => {
      node.write("x", "{");
    }],
  ] as [string, string, RegExp, (given: PlacedPod) => unknown][]
) {
  Deno.test(`pods: one ${what} is ${status}, which is told, and another pod is shown`, () => {
    using node = nodeAfter(change);
    node.addPod(1);
    assertEquals(node.show(), 3);
    assertEquals(node.statuses(), [["net-container0-net1", status], ["net-container1-net1", "present"]]);
    assertMatch(node.terminal.stderr, told);
    assertMatch(node.terminal.stdout, /^team-a\/trainer-1 /m);
    assertEquals(node.terminal.stdout.match(/ stale /g)?.length, status === "stale" ? 1 : undefined);
  });
}

Deno.test("pods: a namespace that has lost its path but is held is found, and what is in it, by its index", () => {
  using node = nodeAfter(({ node: { kernel }, space, device }) => {
    device.name = "rdma0"; // by the pod
    kernel.paths.delete("/run/netns/pod0");
    kernel.held.set("/proc/42/ns/net", space);
  });
  const [device] = collect(node.kernel, node.state).devices;
  assertEquals([device?.status, device?.device, device?.ports.length], ["held", "rdma0", 1]);
  assertMatch(device!.advice!, /^kill 42 # if its pod has been deleted$/);
});

Deno.test("pods: a state directory that others can write to is told, since every ADD fails", () => {
  using node = nodeAfter(({ node }) => Deno.chmodSync(node.directory, 0o777));
  assertEquals(node.show(), 3);
  assertMatch(
    node.terminal.stderr,
    /its mode 0777, want .*, so every ADD fails: chown 0:0 \S+ && chmod 0700 /,
  );
});

for (
  const [what, change] of [
    ["that ends before its namespace is opened", (ending) => {
      const { node: { kernel }, node } = ending;
      const { openNetns } = kernel;
      kernel.openNetns = (path) => {
        if (path === "/run/netns/pod0") node.endPod(ending);
        return openNetns.call(kernel, path);
      };
    }],
    ["whose device leaves while it is read", (ending) => {
      ending.node.kernel.onCounters = (device) => {
        if (device === ending.device) ending.node.endPod(ending);
      };
    }],
    ["whose DEL is at work, which is waited for before its device is called missing", (ending) => {
      const { node: { kernel }, node } = ending;
      kernel.place(ending.device, kernel.host);
      kernel.locked.add(node.directory);
      kernel.onSleep = () => {
        node.endPod(ending);
        kernel.locked.delete(node.directory);
      };
    }],
  ] as [string, (ending: PlacedPod) => unknown][]
) {
  Deno.test(`pods: one ${what} is no error`, () => {
    using node = nodeAfter(change);
    node.addPod(1);
    const { devices, faults } = collect(node.kernel, node.state);
    assertEquals([devices.map(({ record }) => record), faults], [["net-container1-net1"], []]);
  });
}

Deno.test("pods: a call that holds the lock for long keeps nothing from being shown", () => {
  using node = new PodsNode();
  const { device } = node.addPod(0);
  node.kernel.place(device, node.kernel.host);
  node.kernel.locked.add(node.directory);
  const { devices, faults } = collect(node.kernel, node.state);
  assertEquals(devices.map(({ status, advice }) => [status, advice]), [["unknown", undefined]]);
  assertMatch(`${faults}`, /^Cannot lock .* within 10 s/);
  assert(node.kernel.sleptMs < 40_000);
});

Deno.test("pods: however many records are odd, processes are looked at once, and neither they nor ports under the lock", () => {
  using node = new PodsNode();
  const { kernel } = node;
  const pods = [0, 1, 2, 3].map((number) => node.addPod(number));
  for (const path of [...kernel.paths.keys()].filter((path) => path.includes("pod"))) {
    kernel.paths.delete(path);
  }
  kernel.held.set("/proc/42/ns/net", pods.pop()!.space);
  for (const { space } of pods) kernel.endNetns(space);
  let looks = 0;
  const list = kernel.listOtherNetns.bind(kernel);
  kernel.listOtherNetns = (read) => {
    looks++;
    assertEquals(kernel.locked.size, 0);
    return list(read);
  };
  kernel.listNetns = () => {
    throw new Error("looked at all processes");
  };
  kernel.onCounters = () => assertEquals(kernel.locked.size, 0);
  assertEquals(node.statuses().map(([, status]) => status), ["stale", "stale", "stale", "held"]);
  assertEquals(looks, 1);
});

Deno.test("pods: where all is as recorded no lock is taken", () => {
  using node = new PodsNode();
  node.addPod(0);
  node.kernel.lock = () => {
    throw new Error("locked");
  };
  assertEquals(node.statuses(), [["net-container0-net1", "present"]]);
});

/** Takes the GIDs from a device, and gives the interface another function. */
function loseGids({ device, space }: PlacedPod, parentDevice: string): void {
  setPort(device, { gids: [] });
  space.links.set("net1", { ...LINK, parentDevice });
}

function setMtus({ node: { kernel }, space }: PlacedPod, pf: number, mtu: number): void {
  kernel.pfs[0] = { ...kernel.pfs[0]!, mtu: pf };
  space.links.set("net1", { ...LINK, mtu, parentDevice: "0000:3b:00.0" });
}

const DOWN = { state: "1: DOWN", isActive: false };

/** The text and the fix of each fault, as `pods` prints them. */
for (
  const [what, told, change] of [
    ["a port of a link that is down", /DOWN, want ACTIVE: nsenter \S+ ip link set net1 up$/, (given) => {
      setPort(given.device, DOWN);
      given.space.links.set("net1", { ...LINK, isEnabled: false });
    }],
    ["a port of a PF that is down", /DOWN.*: ip link set eth0 up$/, ({ node: { kernel }, device }) => {
      setPort(device, DOWN);
      kernel.pfs[0] = { ...kernel.pfs[0]!, isEnabled: false };
    }],
    [
      "a port that is not up, with all up",
      /mlx5_0 is INIT.*: # look at .*"ip link show eth0"/,
      ({ device }) => {
        setPort(device, { state: "2: INIT", isActive: false });
      },
    ],
    [
      "an address without GID",
      /mlx5_0 has no GID for 10\.0\.0\.2, .*: kubectl .* trainer-0 # /,
      (given) => {
        loseGids(given, "0000:3b:00.0");
      },
    ],
    ["that of another function", /net1 belongs to \S+7: .* takes net1 from 0000:3b:00\.0$/, (given) => {
      loseGids(given, "0000:3b:00.7");
    }],
    [
      "an MTU above its PF's",
      /9000, but its PF eth0 1500.*: nsenter \S+ ip link set net1 mtu 1500 # /,
      (given) => {
        setMtus(given, 1500, 9000);
      },
    ],
  ] as [string, RegExp, (given: PlacedPod) => unknown][]
) {
  Deno.test(`pods and doctor: ${what} is found, with its way out`, () => {
    using node = nodeAfter(change);
    const { kernel, root } = node;
    node.addPod(1);
    assertEquals(node.show(), 3);
    const [fault, ...others] = findFaults(kernel, collect(kernel, node.state).devices);
    const { level, text, fix } = fault!;
    assertEquals([others, node.terminal.stderr], [[], `${text}: ${fix}\n`]);
    assert(text.startsWith("team-a/trainer-0 net1"));
    assertMatch(`${text}: ${fix}`, told);
    const examined = examinePods({ kernel, root, executable: "rdma-cni" }, takeInventory(kernel, node.state));
    assertEquals(examined, [{ level, text, fix }]);
  });
}

Deno.test("pods: the error for want of the right to enter a pod's namespace, or to mount a sysfs of it, says which", () => {
  using node = nodeAfter(({ node: { kernel } }) => kernel.sysfsErrno = EPERM);
  const assertRefused = () =>
    assertMatch(assertThrows(() => showPods(node), CommandError, "EPERM").advice!, /CAP_SYS_ADMIN/);
  assertRefused();
  node.kernel.openNetns = () => {
    throw new SyscallError('open "/run/netns/pod0"', EPERM);
  };
  assertRefused();
});

Deno.test("pods: no record and no state directory are a note, and an empty list", () => {
  using node = new PodsNode();
  for (const _ of ["no directory", "no record"]) {
    assertEquals([node.show(), showPods(node).value], [0, []]);
    assertEquals([node.terminal.stdout, node.terminal.stderr], ["", "No pods with RDMA devices found\n"]);
    node.terminal.stderr = "";
    node.state.create();
  }
});
