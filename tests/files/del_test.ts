// DEL, by what the record says and without one, beyond tests/scenarios/del.ts.
import fc from "fast-check";
import { EPROTONOSUPPORT, SyscallError } from "../../src/sys/errno.ts";
import { FILE, HELD, POD, TestNode, VF } from "../rig/memory/node.ts";
import { goRecord } from "../scenarios/scenario.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { CONFIG } from "../support/call.ts";
import { placesIn } from "../support/places.ts";

const [ENOBUFS, EMSGSIZE] = [105, 90];

Deno.test("DEL after the namespace has gone finds the device on the host", async () => {
  using node = await TestNode.added();
  node.endNetns();
  node.kernel.listNetns = () => {
    throw new Error("searched all processes for a device that is on the host");
  };
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("DEL waits for a device that a dying namespace is giving back", async () => {
  using node = await TestNode.added();
  node.endPod();
  node.kernel.onSleep = () => node.kernel.sleptMs === 400 && node.kernel.endNetns(node.pod);
  await node.succeed("DEL");
  node.assertForgotten();
  assertEquals(node.kernel.sleptMs, 400);
});

Deno.test("DEL gives up waiting after 3 seconds, succeeds with a warning and keeps the record", async () => {
  using node = await TestNode.added();
  node.endPod();
  const { lines } = await node.succeed("DEL");
  const warning = 'level="warning" msg="RDMA device mlx5_2 (index 2) of 0000:3b:00.2 is not in';
  assertStringIncludes(lines.join(""), warning);
  assertEquals([node.kernel.sleptMs, ...node.files()], [3000, FILE]);
});

Deno.test("DEL finds a namespace that lives on without its path also for a device without uverbs device, at once", async () => {
  for (const hasUverbs of [true, false]) {
    using node = await TestNode.added();
    delete node.device.uverbs;
    node.kernel.hasUverbs = hasUverbs;
    node.losePath();
    await node.succeed("DEL");
    node.assertForgotten();
    assertEquals([node.kernel.sleptMs, node.kernel.held.has(HELD)], [0, true]);
  }
});

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

Deno.test("DEL looks no further than the namespace with the recorded cookie", async () => {
  using node = await TestNode.added();
  node.kernel.paths.delete(POD);
  const other = { inode: node.pod.inode, cookie: "77", links: new Map() };
  node.kernel.held.set(HELD, other);
  node.device.space = other;
  await node.succeed("DEL");
  assertEquals([node.whereIs(node.device), ...node.files()], [HELD, FILE]);
});

Deno.test("DEL touches nothing in a namespace that took over path and inode", async () => {
  using node = await TestNode.added();
  node.kernel.endNetns(node.pod);
  node.device.space = node.kernel.addNetns(POD, node.pod.inode, "77");
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "is another network namespace by now");
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
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

Deno.test("DEL leaves a device its new name when the recorded one is longer than a request", async () => {
  using node = await TestNode.added();
  node.write(FILE, node.record({ devices: [{ index: 2, hostName: "x".repeat(5000), podName: "mlx5_2" }] }));
  node.kernel.getHostNetns().renameRdmaDevice = () => {
    throw new SyscallError("put attribute 2 of 5001 bytes into a request", EMSGSIZE);
  };
  assertStringIncludes((await node.succeed("DEL")).lines.join(""), "keeps its name");
  node.assertForgotten();
});

Deno.test("DEL forgets the record when no device can be away: unbound, in mode shared, without ib_core", async () => {
  const changes: ((node: TestNode) => unknown)[] = [
    ({ kernel }) => [kernel.devices.splice(0), kernel.bus.delete(VF)],
    ({ kernel }) => kernel.mode = "shared",
    ({ kernel }) => kernel.hasRdma = false,
  ];
  for (const change of changes) {
    using node = await TestNode.added();
    node.device.space = node.kernel.host;
    change(node);
    await node.succeed("DEL");
    assertEquals(node.files(), [], `${change}`);
  }
});

Deno.test("an older claim on the device does not hinder DEL", async () => {
  using node = await TestNode.added();
  node.losePath();
  node.claim("container0", { bootTimeUs: 1 });
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
});

Deno.test("a late DEL whose own namespace lives does not wait for a device that a newer attachment has", async () => {
  using node = await TestNode.added();
  node.device.space = node.kernel.addNetns("/run/netns/new");
  const newer = node.claim("container2", { bootTimeUs: 2_000_000 });
  const { lines } = await node.succeed("DEL");
  assertEquals(lines.join("").includes("cannot be found"), false);
  assertEquals([node.whereIs(node.device), ...node.files()], ["/run/netns/new", newer]);
});

Deno.test("DEL of a Go plugin's record in the host's own namespace touches nothing there", async () => {
  using node = new TestNode();
  node.write(FILE, JSON.stringify(goRecord({ deviceId: VF }, "mlx5_2", "rdma0")));
  await node.succeed("DEL", { variables: { CNI_NETNS: "/proc/1/ns/net", CNI_NETNS_OVERRIDE: "1" } });
  node.assertForgotten();
});

const GOOD = {
  ...{ ...CONFIG, deviceID: VF, allowPF: true, optional: false, onSharedMode: "skip", rdmaDevices: "all" },
  ...{ logFile: "/log", rdmaDeviceName: "rdma0", rdmaDeviceNameConflict: "keep", rdmaQoS: { tos: 96 } },
  args: { cni: { debug: true, rdmaDeviceName: "rdma1" } },
  runtimeConfig: { deviceID: VF, CNIDeviceInfoFile: "/run/k8s.cni.cncf.io/devinfo/cni/a" },
  "cni.dev/attachments": [{ containerID: "a", ifname: "net1" }],
};

/** A good configuration with other values in any places but those of its name and version. */
const changes = fc.array(fc.tuple(fc.nat(), fc.jsonValue()), { minLength: 1, maxLength: 5 });
const changed = changes.map((changes) => {
  const config: Record<string, unknown> = structuredClone(GOOD);
  for (const [at, value] of changes) {
    const places = placesIn(config).filter(({ holder, key }) =>
      holder !== config || key !== "name" && key !== "cniVersion"
    );
    const { holder, key } = places[at % places.length]!;
    holder[key] = value;
  }
  return config;
});

for (const command of ["DEL", "GC"]) {
  Deno.test(`${command} does its work, and no other, whatever is wrong in keys that it does not need`, () => {
    const property = fc.asyncProperty(changed, async (config) => {
      using node = await TestNode.added();
      node.kernel.addFunction("0000:3b:00.3");
      node.kernel.addNetns("/run/netns/other");
      const other = node.kernel.addDevice("0000:3b:00.3", 8);
      const variables = { CNI_CONTAINERID: "container2", CNI_NETNS: "/run/netns/other" };
      await node.succeed("ADD", { variables, config: { deviceID: "0000:3b:00.3" } });
      const [, file = ""] = node.files();
      const kept = Deno.readTextFileSync(`${node.directory}/${file}`);

      const valid = { "cni.dev/valid-attachments": [{ containerID: "container2", ifname: "net1" }] };
      const CNI_ARGS = "IgnoreUnknown=no;rdmaDeviceName={/};Debug=maybe;=";
      await node.succeed(command, { config: { ...config, ...valid }, variables: { CNI_ARGS } });
      assertEquals([node.whereIs(node.device), node.whereIs(other)], ["host", "/run/netns/other"]);
      assertEquals([node.files(), Deno.readTextFileSync(`${node.directory}/${file}`)], [[file], kept]);
    });
    return fc.assert(property, { numRuns: 200 });
  });
}
