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
import { goRecord } from "../scenarios/scenario.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";

const GID = "0000:0000:0000:0000:0000:ffff:0a00:0002";
const LINK_LOCAL = "fe80:0000:0000:0000:0203:00ff:fe00:4852";
const LINK: Link & Partial<LinkDetails> = { index: 2, name: "net1", isInfiniBand: false, vfMacs: new Map() };

interface PlacedPod {
  readonly space: Space;
  readonly device: Device;
  readonly file: string;
}

class PodsNode extends BareNode {
  /** Puts a pod with a device onto the node, which is called mlx5_0 there. */
  addPod(number: number, more: Partial<AttachmentRecord> = {}, device: Partial<Device> = {}): PlacedPod {
    const deviceId = `0000:3b:0${number >> 3}.${number & 7}`;
    const path = `/run/netns/pod${number}`;
    const space = this.kernel.addNetns(path);
    space.links.set("net1", LINK);
    space.addresses = new Map([[2, [{ text: LINK_LOCAL, gid: LINK_LOCAL }, { text: "10.0.0.2", gid: GID }]]]);
    this.kernel.addFunction(deviceId);
    const index = number + 2;
    const placed = this.kernel.addDevice(deviceId, index, {
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
      ...device,
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
      ...more,
    };
    const file = this.state.fileOf(attachment);
    this.write(file, record);
    return { space, device: placed, file };
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

  /** Prints what the command returns. @returns its exit code */
  show(options = {}): number {
    return this.terminal.print(showPods(this, options));
  }
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
});

Deno.test("pods: without another address the link-local GID stands for the interface, and none without an interface", () => {
  using node = new PodsNode();
  const { space } = node.addPod(0);
  const gid = () => collect(node.kernel, node.state).devices[0]!.ports[0]!.gid;
  space.addresses!.get(2)!.pop();
  assertEquals(gid(), { index: 1, gid: LINK_LOCAL });
  space.links.clear();
  assertEquals(gid(), undefined);
});

Deno.test("pods: a GID that is far back in a large table is found", () => {
  using node = new PodsNode();
  const { device } = node.addPod(0);
  const [port] = device.ports as [Device["ports"][number]];
  device.ports = [{ ...port, gids: [{ index: 200, gid: GID, isRoceV2: true }] }];
  assertEquals(collect(node.kernel, node.state).devices[0]!.ports[0]!.gid, { index: 200, gid: GID });
});

Deno.test("pods: the GIDs of all addresses are looked for, so that none is missed that is far back in the table", () => {
  using node = new PodsNode();
  const { device, space } = node.addPod(0);
  const second = "0000:0000:0000:0000:0000:ffff:0a00:0003";
  space.addresses!.get(2)!.push({ text: "10.0.0.3", gid: second });
  const [port] = device.ports as [Device["ports"][number]];
  device.ports = [{ ...port, gids: [...port.gids, { index: 200, gid: second, isRoceV2: true }] }];
  assertEquals([node.show(), node.terminal.stderr], [0, ""]);
});

Deno.test("pods: on InfiniBand the first GID is shown", () => {
  using node = new PodsNode();
  const first = { index: 0, gid: LINK_LOCAL, isRoceV2: false };
  node.addPod(0, {}, { ports: [{ ...PORT, isRoce: false, gids: [first] }] });
  assertEquals(collect(node.kernel, node.state).devices[0]!.ports[0]!.gid, { index: 0, gid: LINK_LOCAL });
});

Deno.test("pods: a record whose namespace has gone or that is from before a reboot is stale, with advice", () => {
  using node = new PodsNode();
  node.addPod(0);
  const gone = node.addPod(1);
  node.kernel.endNetns(gone.space);
  node.kernel.paths.delete("/run/netns/pod1");
  node.addPod(2, { bootId: "boot-0" });
  const exitCode = node.show();
  assertEquals(exitCode, 3);
  assertEquals(node.statuses(), [
    ["net-container0-net1", "present"],
    ["net-container1-net1", "stale"],
    ["net-container2-net1", "stale"],
  ]);
  assertEquals(
    node.terminal.stderr,
    "net-container1-net1 is stale: rdma-cni gc\nnet-container2-net1 is stale: rdma-cni gc\n",
  );
  assertEquals(node.terminal.stdout.match(/ stale /g)?.length, 2);
});

Deno.test("pods: a namespace that has lost its path but is held is found", () => {
  using node = new PodsNode();
  const { space } = node.addPod(0);
  node.kernel.paths.delete("/run/netns/pod0");
  node.kernel.held.set("/proc/42/ns/net", space);
  const [device] = collect(node.kernel, node.state).devices;
  assertEquals([device?.status, device?.device, device?.ports.length], ["held", "mlx5_0", 1]);
  assertMatch(device!.advice!, /^kill 42 # if its pod has been deleted$/);
});

Deno.test("pods: a device that is not in its pod is missing", () => {
  using node = new PodsNode();
  const { device } = node.addPod(0);
  node.kernel.place(device, node.kernel.host);
  assertEquals(node.show(), 3);
  assertMatch(
    node.terminal.stderr,
    /^net-container0-net1 is missing: kubectl -n team-a delete pod trainer-0 # /,
  );
});

Deno.test("pods: a device that the pod has renamed is found by its index and shown by its name", () => {
  using node = new PodsNode();
  node.addPod(0).device.name = "rdma0";
  assertEquals(collect(node.kernel, node.state).devices.map(({ device }) => device), ["rdma0"]);
});

Deno.test("pods: records of the Go plugin are shown, with what their file's name says", () => {
  using node = new PodsNode();
  const { file } = node.addPod(0);
  const id = "5d".repeat(32);
  const record = JSON.stringify(goRecord({ deviceId: "0000:3b:00.0" }, "mlx5_2", "mlx5_0"));
  node.state.remove(file);
  node.kernel.held.set("/proc/42/ns/net", node.kernel.paths.get("/run/netns/pod0")!);
  node.write(`my-net-${id}-net1`, record);
  const [found] = collect(node.kernel, node.state).devices;
  const { network, containerId, interface: ifname, device, status } = found!;
  assertEquals([network, containerId, ifname, device, status], ["my-net", id, "net1", "mlx5_0", "present"]);
});

Deno.test("pods: files that are no records are named, and the others shown", () => {
  using node = new PodsNode();
  node.addPod(0);
  node.write("other", "{");
  assertEquals(node.show(), 3);
  assertMatch(node.terminal.stderr, /^Cannot use record ".*\/other": it is not JSON\n$/);
  assertMatch(node.terminal.stdout, /team-a\/trainer-0 /);
});

Deno.test("pods: one that ends between the list of the records and the look at its device is no error", () => {
  using node = new PodsNode();
  node.addPod(0);
  const ending = node.addPod(1);
  const { openNetns } = node.kernel;
  node.kernel.openNetns = (path) => {
    if (path === "/run/netns/pod1") node.endPod(ending);
    return openNetns.call(node.kernel, path);
  };
  assertEquals(collect(node.kernel, node.state).devices.map(({ record }) => record), ["net-container0-net1"]);
});

Deno.test("pods: one whose device leaves while it is read is no error", () => {
  using node = new PodsNode();
  node.addPod(0);
  const ending = node.addPod(1);
  node.kernel.onCounters = (device) => {
    if (device === ending.device) node.endPod(ending);
  };
  const { devices, faults } = collect(node.kernel, node.state);
  assertEquals([devices.map(({ record }) => record), faults], [["net-container0-net1"], []]);
});

Deno.test("pods: a DEL that is at work is waited for before a device is called missing", () => {
  using node = new PodsNode();
  const ending = node.addPod(0);
  node.kernel.place(ending.device, node.kernel.host);
  node.kernel.locked.add(node.directory);
  node.kernel.onSleep = () => {
    node.endPod(ending);
    node.kernel.locked.delete(node.directory);
  };
  assertEquals(collect(node.kernel, node.state), { devices: [], faults: [] });
});

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
  const stale = [0, 1, 2].map((number) => node.addPod(number));
  for (const { space } of stale) kernel.endNetns(space);
  for (const path of [...kernel.paths.keys()].filter((path) => path.includes("pod"))) {
    kernel.paths.delete(path);
  }
  const held = node.addPod(3);
  kernel.paths.delete("/run/netns/pod3");
  kernel.held.set("/proc/42/ns/net", held.space);
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

for (
  const [what, change, text, fix] of [
    [
      "a port that is down, of an interface that is not up",
      ({ device, space }) => {
        device.ports = [{ ...device.ports[0]!, state: "1: DOWN", isActive: false }];
        space.links.set("net1", { ...LINK, isEnabled: false });
      },
      /^team-a\/trainer-0 net1: port 1 of mlx5_0 is DOWN, want ACTIVE$/,
      /^nsenter --net=\S+\/pod0 ip link set net1 up$/,
    ],
    [
      "a port that is down, of a PF that is not up",
      ({ device, kernel }) => {
        device.ports = [{ ...device.ports[0]!, state: "1: DOWN", isActive: false }];
        kernel.pfs[0] = { ...kernel.pfs[0]!, isEnabled: false };
      },
      /DOWN/,
      /^ip link set eth0 up$/,
    ],
    [
      "a port that is down, with all up",
      ({ device }) => {
        device.ports = [{ ...device.ports[0]!, state: "2: INIT", isActive: false }];
      },
      /port 1 of mlx5_0 is INIT/,
      /^# look at the cable .*"ip link show eth0"/,
    ],
    [
      "an address without GID",
      ({ device, space }) => {
        device.ports = [{ ...device.ports[0]!, gids: [] }];
        space.links.set("net1", { ...LINK, parentDevice: "0000:3b:00.0" });
      },
      /^team-a\/trainer-0 net1: mlx5_0 has no GID for 10\.0\.0\.2, so no connection can use that address$/,
      /^kubectl -n team-a delete pod trainer-0 # a new/,
    ],
    [
      "an address without GID, of another function's interface",
      ({ device, space }) => {
        device.ports = [{ ...device.ports[0]!, gids: [] }];
        space.links.set("net1", { ...LINK, parentDevice: "0000:3b:00.7" });
      },
      /: net1 belongs to 0000:3b:00\.7$/,
      /pod trainer-0 # .* takes net1 from 0000:3b:00\.0$/,
    ],
    [
      "a larger MTU than its PF",
      ({ kernel, space }) => {
        kernel.pfs[0] = { ...kernel.pfs[0]!, mtu: 1500 };
        space.links.set("net1", { ...LINK, mtu: 9000, parentDevice: "0000:3b:00.0" });
      },
      /^team-a\/trainer-0 net1 has MTU 9000, but its PF eth0 1500/,
      /^nsenter --net=\S+\/pod0 ip link set net1 mtu 1500 # /,
    ],
  ] as [string, (given: PlacedPod & Pick<PodsNode, "kernel">) => void, RegExp, RegExp][]
) {
  Deno.test(`pods and doctor: ${what} is found, with its way out`, () => {
    using node = new PodsNode();
    const { kernel } = node;
    kernel.addPf("eth0", 0);
    change({ ...node.addPod(0), kernel });
    node.addPod(1);
    assertEquals(node.show(), 3);
    const faults = findFaults(kernel, collect(kernel, node.state).devices);
    assertEquals(faults.length, 1);
    const [fault] = faults;
    assertMatch(fault!.text, text);
    assertMatch(fault!.fix, fix);
    assertEquals(node.terminal.stderr, `${fault!.text}: ${fault!.fix}\n`);
    const inventory = takeInventory(kernel, node.state);
    assertEquals(examinePods({ kernel, root: node.root, executable: "rdma-cni" }, inventory), [
      { level: fault!.level, text: fault!.text, fix: fault!.fix },
    ]);
  });
}

Deno.test("pods: no GID is missed where a smaller MTU than the PF's, or the kernel's own address, is all there is", () => {
  using node = new PodsNode();
  const { device, space } = node.addPod(0);
  node.kernel.addPf("eth0", 0, { mtu: 9000 });
  space.links.set("net1", { ...LINK, mtu: 1500, parentDevice: "0000:3b:00.0" });
  space.addresses!.get(2)!.pop();
  device.ports = [{ ...device.ports[0]!, gids: [] }];
  assertEquals([node.show(), node.terminal.stderr], [0, ""]);
});

Deno.test("pods: a state directory that others can write to is told, since every ADD fails", () => {
  using node = new PodsNode();
  node.addPod(0);
  Deno.chmodSync(node.directory, 0o777);
  assertEquals(node.show(), 3);
  assertMatch(
    node.terminal.stderr,
    /its mode 0777, want 0 and 0700, so every ADD fails: chown 0:0 \S+ && chmod 0700 /,
  );
});

Deno.test("pods and doctor: where not all processes can be seen nothing is called stale, as gc would refuse", () => {
  using node = new PodsNode();
  const { space } = node.addPod(0);
  node.kernel.endNetns(space);
  node.kernel.paths.delete("/run/netns/pod0");
  node.kernel.isComplete = false;
  assertEquals(node.show(), 3);
  assertEquals(node.statuses(), [["net-container0-net1", "unknown"]]);
  assertMatch(node.terminal.stderr, /^net-container0-net1 is unknown: # run it as root/);
});

Deno.test("pods: what cannot be read of one device is named, and the others are shown", () => {
  using node = new PodsNode();
  const { device } = node.addPod(0);
  node.addPod(1);
  node.kernel.onCounters = (one) => {
    if (one === device) throw new NetlinkError("ask for the counters", EIO);
  };
  assertEquals(node.show(), 3);
  assertEquals(node.statuses(), [["net-container0-net1", "unknown"], ["net-container1-net1", "present"]]);
  assertMatch(
    node.terminal.stderr,
    /^Cannot read all of RDMA device "mlx5_0" \(net-container0-net1\): .*ask for the counters/,
  );
});

for (
  const [what, refuse] of [
    ["to open a pod's namespace", (node: PodsNode) => {
      node.kernel.openNetns = () => {
        throw new SyscallError('open "/run/netns/pod0"', EPERM);
      };
    }],
    ["to mount a sysfs of it", (node: PodsNode) => {
      node.kernel.sysfsErrno = EPERM;
    }],
  ] as const
) {
  Deno.test(`pods: the error for want of the right ${what} says which`, () => {
    using node = new PodsNode();
    node.addPod(0);
    refuse(node);
    const error = assertThrows(() => showPods(node), CommandError, "EPERM");
    assertMatch(error.advice!, /CAP_SYS_ADMIN/);
  });
}

Deno.test("pods: no record and no state directory are a note, and an empty list", () => {
  using node = new PodsNode();
  for (const _ of ["no directory", "no record"]) {
    assertEquals([node.show(), showPods(node).value], [0, []]);
    assertEquals([node.terminal.stdout, node.terminal.stderr], ["", "No pods with RDMA devices found\n"]);
    node.terminal.stderr = "";
    node.state.create();
  }
});

Deno.test("pods: --quiet leaves out advice, and names what could not be read", () => {
  using node = new PodsNode();
  node.terminal.isQuiet = true;
  node.kernel.endNetns(node.addPod(0).space);
  assertEquals([node.show(), node.terminal.stderr], [3, ""]);
  node.write("net-torn-net1", "{");
  assertEquals(node.show(), 3);
  assertMatch(node.terminal.stderr, /^.*net-torn-net1.*\n$/);
});

Deno.test("pods: programs get the time as text", () => {
  using node = new PodsNode();
  node.addPod(0);
  const [{ createdAt, pod }] = showPods(node).value as [{ createdAt: string; pod: string }];
  assertEquals([createdAt, pod], ["2026-01-01T00:00:00.000Z", "trainer-0"]);
});

Deno.test("pods: 128 pods are read and formatted in less than a second", () => {
  using node = new PodsNode();
  for (let number = 0; number < 128; number++) node.addPod(number);
  const begin = performance.now();
  assertEquals(node.statuses().filter(([, status]) => status === "present").length, 128);
  const elapsed = performance.now() - begin;
  assert(elapsed < 1000, `${elapsed} ms`);
});
