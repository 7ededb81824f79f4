// The table of facts on the kernel in memory; what needs no RDMA also on this machine's kernel.
import { LinuxKernel } from "../../src/kernel/linux.ts";
import { exists } from "../../src/kernel/sysfs.ts";
import { openLibmnl } from "../../src/netlink/libmnl.ts";
import { NETLINK_RDMA } from "../../src/netlink/socket.ts";
import { libc } from "../../src/sys/libc.ts";
import { MemoryKernel } from "../rig/memory/kernel.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assertEquals } from "../support/assert.ts";
import { type FactNode, FACTS, FACTS_WITHOUT_RDMA } from "../support/kernel_facts.ts";
import { fail, replaceCall } from "../support/system_calls.ts";
import { TestNetns } from "../support/test_netns.ts";

openLibmnl(); // opened within a test it would be taken for a leak of that test

const EPROTONOSUPPORT = 93;
const HAS_RDMA = exists("/sys/module/ib_core");

const link = (name: string) => ({ index: 2, name, isInfiniBand: false, vfMacs: new Map() });

function memoryNode(hasNamesPerNetns: boolean): FactNode & { kernel: MemoryNodeKernel } {
  const kernel = new MemoryNodeKernel();
  kernel.namesPerNetns = hasNamesPerNetns;
  const functions = ["0000:3b:00.2", "0000:3b:00.3"] as const;
  for (const [i, id] of functions.entries()) {
    kernel.addFunction(id);
    kernel.addDevice(id, 7 + i);
  }
  const path = (name: string) => `/run/netns/${name}`;
  return {
    kernel,
    functions,
    hasNamesPerNetns,
    async addNetns(name) {
      await kernel.addNetns(path(name));
      return path(name);
    },
    async enterNetns(name) {
      await kernel.held.set("/proc/42/ns/net", kernel.paths.get(path(name))!);
    },
    async removePath(name) {
      const space = kernel.paths.get(path(name))!;
      await kernel.paths.delete(path(name));
      if (![...kernel.held.values()].includes(space)) kernel.endNetns(space);
    },
    async addInterface(netns, name) {
      await kernel.paths.get(path(netns))!.links.set(name, link(name));
    },
    async setSoftRoce(isThere) {
      await Object.assign(kernel, { hasRxe: isThere });
    },
    async addCgroup() {
      await kernel.rdmaCgroups!.groups.set("/pod", new Map());
      return "/pod";
    },
    async giveQos() {
      await Object.assign(kernel.devices[0]!, { qos: { trafficClass: [-1], tos: [0] } });
    },
  };
}

for (const { name, ask, answer } of FACTS) {
  for (const hasNamesPerNetns of [false, true]) {
    const kernel = `in memory, ${hasNamesPerNetns ? "from Linux 7.3 on" : "up to Linux 7.2"}`;
    Deno.test(`${kernel}: ${name}`, async () => {
      const node = memoryNode(hasNamesPerNetns);
      assertEquals(await ask(node), answer);
      assertEquals(node.kernel.open.size, 0);
    });
  }
}

for (const { name, ask, answer } of FACTS_WITHOUT_RDMA) {
  Deno.test(`in memory: ${name}`, () => {
    const kernel = new MemoryKernel();
    kernel.hasRdma = false;
    kernel.addNetns("/run/netns/pod").links.set("lo", link("lo"));
    assertEquals(ask(kernel, "/run/netns/pod"), answer);
  });

  Deno.test(`on this machine: ${name}`, async () => {
    await using pod = await TestNetns.create();
    // Where this machine's kernel has one, it says no as others do.
    const { socket } = libc();
    using _socket = replaceCall("socket", (family, type, protocol) => {
      return HAS_RDMA && protocol === NETLINK_RDMA ? fail(EPROTONOSUPPORT) : socket(family, type, protocol);
    });
    assertEquals(ask(new LinuxKernel(), pod.path), answer);
  });
}
