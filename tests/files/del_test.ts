import fc from "fast-check";
import { EPROTONOSUPPORT, SyscallError } from "../../src/sys/errno.ts";
import { FILE, HELD, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { CONFIG } from "../support/call.ts";
import { placesIn } from "../support/places.ts";

const ENOBUFS = 105;

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
  node.kernel.onSleep = () => {
    if (node.kernel.sleptMs === 400) node.kernel.endNetns(node.pod);
  };
  await node.succeed("DEL");
  node.assertForgotten();
  assertEquals(node.kernel.sleptMs, 400);
});

Deno.test("DEL gives up waiting after 3 seconds, succeeds with a warning and keeps the record", async () => {
  using node = await TestNode.added();
  node.endPod();
  const { lines } = await node.succeed("DEL");
  assertEquals(node.kernel.sleptMs, 3000);
  assertStringIncludes(
    lines.join(""),
    'level="warning" msg="RDMA device mlx5_2 (index 2) of 0000:3b:00.2 is not in',
  );
  assertEquals(node.files(), [FILE]);
});

Deno.test("DEL finds a namespace that lives on without its path also for a device without uverbs device, at once", async () => {
  using node = await TestNode.added();
  delete node.device.uverbs;
  node.losePath();
  await node.succeed("DEL");
  node.assertForgotten();
  assertEquals(node.kernel.sleptMs, 0);
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
  const newer = node.kernel.addNetns(POD, node.pod.inode, "77");
  node.device.space = newer;
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "is another network namespace by now");
  assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
});

Deno.test("without cookies, before kernel 5.14, the inode tells namespaces apart", async () => {
  using node = new TestNode();
  const pod = node.kernel.addNetns("/run/netns/old", 7, "");
  await node.succeed("ADD", { variables: { CNI_NETNS: "/run/netns/old" } });
  assertEquals(node.device.space, pod);
  node.kernel.addNetns("/run/netns/old", 8, "");
  node.kernel.held.set(HELD, pod);
  await node.succeed("DEL", { variables: { CNI_NETNS: "/run/netns/old" } });
  node.assertForgotten();
});

Deno.test("DEL leaves a device its new name when the recorded one is longer than a request", async () => {
  using node = await TestNode.added();
  node.write(FILE, node.record({ devices: [{ index: 2, hostName: "x".repeat(5000), podName: "mlx5_2" }] }));
  const hostNetns = node.kernel.getHostNetns();
  hostNetns.renameRdmaDevice = () => {
    throw new SyscallError("put attribute 2 of 5001 bytes into a request", 90);
  };
  const { lines } = await node.succeed("DEL");
  assertStringIncludes(lines.join(""), "keeps its name");
  node.assertForgotten();
});

Deno.test("DEL succeeds when the driver is unbound and no device is left", async () => {
  using node = await TestNode.added();
  node.kernel.devices.length = 0;
  node.kernel.bus.delete(VF);
  await node.succeed("DEL");
  assertEquals(node.files(), []);
});

for (const [command, config] of [["DEL", {}], ["GC", { "cni.dev/valid-attachments": [] }]] as const) {
  Deno.test(`a ${command} that cannot take the lock is code 11`, async () => {
    using node = await TestNode.added();
    using _lock = node.kernel.lock(node.directory, 0);
    await node.fail(command, 11, { config });
    assertEquals([node.whereIs(node.device), ...node.files()], [POD, FILE]);
  });
}

const GOOD = {
  ...{ ...CONFIG, deviceID: VF, allowPF: true, optional: false, onSharedMode: "skip", rdmaDevices: "all" },
  ...{ logFile: "/log", rdmaDeviceName: "rdma0", rdmaDeviceNameConflict: "keep", rdmaQoS: { tos: 96 } },
  args: { cni: { debug: true, rdmaDeviceName: "rdma1" } },
  runtimeConfig: { deviceID: VF, CNIDeviceInfoFile: "/run/k8s.cni.cncf.io/devinfo/cni/a" },
  "cni.dev/attachments": [{ containerID: "a", ifname: "net1" }],
};

/** A good configuration with other values in any places but those of its name and version. */
const changed = fc.array(fc.tuple(fc.nat(), fc.jsonValue()), { minLength: 1, maxLength: 5 }).map(
  (changes) => {
    const config: Record<string, unknown> = structuredClone(GOOD);
    for (const [at, value] of changes) {
      const places = placesIn(config).filter(({ holder, key }) =>
        holder !== config || key !== "name" && key !== "cniVersion"
      );
      const { holder, key } = places[at % places.length]!;
      holder[key] = value;
    }
    return config;
  },
);

for (const command of ["DEL", "GC"]) {
  Deno.test(`${command} does its work, and no other, whatever is wrong in keys that it does not need`, () => {
    const property = fc.asyncProperty(changed, async (config) => {
      using node = await TestNode.added();
      node.kernel.addFunction("0000:3b:00.3");
      node.kernel.addNetns("/run/netns/other");
      const other = node.kernel.addDevice("0000:3b:00.3", 8);
      const variables = { CNI_CONTAINERID: "container2", CNI_NETNS: "/run/netns/other" };
      await node.succeed("ADD", { variables, config: { deviceID: "0000:3b:00.3" } });
      const kept = Deno.readTextFileSync(`${node.directory}/net-container2-net1`);

      const valid = { "cni.dev/valid-attachments": [{ containerID: "container2", ifname: "net1" }] };
      const CNI_ARGS = "IgnoreUnknown=no;rdmaDeviceName={/};Debug=maybe;=";
      await node.succeed(command, { config: { ...config, ...valid }, variables: { CNI_ARGS } });
      assertEquals([node.whereIs(node.device), node.whereIs(other)], ["host", "/run/netns/other"]);
      assertEquals(node.files(), ["net-container2-net1"]);
      assertEquals(Deno.readTextFileSync(`${node.directory}/net-container2-net1`), kept);
    });
    return fc.assert(property, { numRuns: 200 });
  });
}
