// Limits of RDMA resources by the configuration key rdmaLimits: what the pod's cgroup gets, and that it loses it again.
import { collectGarbage } from "../../src/cli/gc.ts";
import { EINVAL, ENODEV } from "../../src/sys/errno.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { brokenPipe } from "../support/call.ts";

const UID = "8c7e2f3a-15b4-4d0c-9a6e-0123456789ab";
const CGROUP = `/kubepods/burstable/pod${UID}`;
const VARIABLES = { CNI_ARGS: `IgnoreUnknown=1;K8S_POD_UID=${UID}` };
const CONFIG = { rdmaLimits: { hcaHandle: 2 } };
const CALL = { variables: VARIABLES, config: CONFIG };

/** A node on which kubelet has made the pod's cgroup. */
function podNode(): TestNode {
  const node = new TestNode();
  node.kernel.rdmaCgroups!.groups.set(CGROUP, new Map());
  return node;
}

async function limitedNode(): Promise<TestNode> {
  const node = podNode();
  await node.succeed("ADD", CALL);
  return node;
}

/** The limits in a cgroup, by the devices' names; undefined when it is not there. */
function limitsIn(node: TestNode, cgroup = CGROUP) {
  const limits = node.kernel.rdmaCgroups!.groups.get(cgroup);
  return limits && Object.fromEntries([...limits].map(([{ name }, values]) => [name, values]));
}

Deno.test("ADD limits the pod's devices, and DEL takes the limits away", async () => {
  using node = podNode();
  node.kernel.addDevice(VF, 3);
  await node.succeed("ADD", { ...CALL, config: { rdmaLimits: { hcaHandle: 0, hcaObject: 7 } } });
  assertEquals(limitsIn(node), {
    mlx5_2: { hcaHandle: 0, hcaObject: 7 },
    mlx5_3: { hcaHandle: 0, hcaObject: 7 },
  });
  assertEquals(node.recorded().limits, { cgroup: CGROUP, hcaHandle: 0, hcaObject: 7 });
  await node.succeed("DEL");
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
});

Deno.test("before a limit is set the record has it, and before the device is moved the limit is set", async () => {
  using node = podNode();
  const seen: unknown[] = [];
  node.kernel.rdmaCgroups!.onWrite = () => void seen.push(["write", node.recorded().limits]);
  node.kernel.onMove = () => void seen.push(["move", limitsIn(node)]);
  await node.succeed("ADD", CALL);
  assertEquals(seen, [
    ["write", { cgroup: CGROUP, hcaHandle: 2 }],
    ["move", { mlx5_2: { hcaHandle: 2, hcaObject: "max" } }],
  ]);
});

Deno.test("what was not asked for stays as it is, also at DEL", async () => {
  using node = podNode();
  node.kernel.rdmaCgroups!.groups.get(CGROUP)!.set(node.device, { hcaHandle: "max", hcaObject: 9 });
  await node.succeed("ADD", CALL);
  assertEquals(limitsIn(node), { mlx5_2: { hcaHandle: 2, hcaObject: 9 } });
  await node.succeed("DEL");
  assertEquals(limitsIn(node), { mlx5_2: { hcaHandle: "max", hcaObject: 9 } });
});

Deno.test("a device that is renamed has its limits, and loses them", async () => {
  using node = podNode();
  await node.succeed("ADD", { ...CALL, config: { ...CONFIG, rdmaDeviceName: "rdma_{ifname}" } });
  assertEquals(limitsIn(node), { rdma_net1: { hcaHandle: 2, hcaObject: "max" } });
  await node.succeed("DEL");
  assertEquals(limitsIn(node), {});
});

Deno.test("CNI_NETNS of a process leads to its pod's cgroup, or without kubelet to its own", async () => {
  for (
    const [cgroup, limited] of [[`${CGROUP}/crio-1.scope`, CGROUP], ["/default/box", "/default/box"]] as const
  ) {
    using node = podNode();
    node.kernel.rdmaCgroups!.processes.set(7, cgroup);
    node.kernel.rdmaCgroups!.groups.set("/default/box", new Map());
    await node.succeed("ADD", { config: CONFIG, variables: { CNI_NETNS: "/proc/7/ns/net" } });
    assertEquals(node.recorded().limits?.cgroup, limited);
    assertEquals(limitsIn(node, limited), { mlx5_2: { hcaHandle: 2, hcaObject: "max" } });
  }
});

for (
  const { what, prepare, variables, words } of [
    {
      what: "no rdma controller",
      prepare: (node: TestNode) => void (node.kernel.rdmaCgroups = undefined),
      words: /no rdma cgroup controller.*CONFIG_CGROUP_RDMA/,
    },
    {
      what: "a parent that does not enable the controller",
      prepare: (node: TestNode) => void node.kernel.rdmaCgroups!.groups.set(CGROUP, undefined),
      words:
        /not enabled.*for cgroup in \/sys\/fs\/cgroup \/sys\/fs\/cgroup\/kubepods \/sys\/fs\/cgroup\/kubepods\/burstable; do echo \+rdma/,
    },
    {
      what: "no cgroup of the pod",
      prepare: (node: TestNode) => node.kernel.rdmaCgroups!.groups.clear(),
      words: /there is none of "\/kubepods.slice\/kubepods-pod8c7e/,
    },
    {
      what: "a process outside of the cgroup namespace",
      prepare: (node: TestNode) => void node.kernel.rdmaCgroups!.processes.set(7, "/../../kubepods"),
      variables: { CNI_NETNS: "/proc/7/ns/net" },
      words: /there is none of "\/..\/..\/kubepods"/,
    },
    {
      what: "nothing that names the pod",
      prepare: () => {},
      variables: {},
      words: /neither K8S_POD_UID in CNI_ARGS nor a CNI_NETNS/,
    },
  ]
) {
  Deno.test(`${what} is code 103, and nothing is moved`, async () => {
    using node = podNode();
    prepare(node);
    node.kernel.onMove = () => {
      throw new Error("moved");
    };
    const { json } = await node.fail("ADD", 103, { config: CONFIG, variables: variables ?? VARIABLES });
    assertEquals(words.test(`${json.msg} ${json.details}`), true, `${json.msg} ${json.details}`);
    node.assertForgotten();
  });
}

Deno.test("a K8S_POD_UID that is no UUID is code 4", async () => {
  using node = podNode();
  await node.fail("ADD", 4, { config: CONFIG, variables: { CNI_ARGS: "K8S_POD_UID=../../x" } });
  node.assertForgotten();
});

Deno.test("when the second device cannot be limited, the first loses its limits", async () => {
  using node = podNode();
  const other = node.kernel.addDevice(VF, 3);
  node.kernel.rdmaCgroups!.onWrite = (device) => device === other ? EINVAL : undefined;
  await node.fail("ADD", 5, CALL);
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
});

Deno.test("an ADD that is rolled back takes the limits away", async () => {
  using node = podNode();
  await node.call("ADD", { ...CALL, writeOutput: brokenPipe });
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
  node.kernel.onMove = () => EINVAL;
  await node.fail("ADD", 120, CALL);
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
});

Deno.test("GC takes the limits away", async () => {
  using node = await limitedNode();
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
});

Deno.test("DEL takes the limits of a device away that returned to the host by itself", async () => {
  using node = await limitedNode();
  node.endNetns();
  await node.succeed("DEL", { variables: { CNI_NETNS: undefined } });
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
});

Deno.test("DEL succeeds without the cgroup, and without the controller", async () => {
  for (const lose of ["cgroup", "controller"]) {
    using node = await limitedNode();
    if (lose === "cgroup") node.kernel.rdmaCgroups!.groups.clear();
    else node.kernel.rdmaCgroups = undefined;
    const { lines } = await node.succeed("DEL");
    assertStringIncludes(lines.join(""), `Cgroup ${CGROUP} is gone`);
    node.assertForgotten();
  }
});

Deno.test("the limits of a device that is gone are gone, and DEL does not warn of them", async () => {
  using node = await limitedNode();
  node.kernel.devices.splice(0);
  node.kernel.addDevice(VF, 9);
  const { lines } = await node.succeed("DEL");
  assertEquals(lines.filter((line) => /level="warning"/.test(line)), []);
  assertEquals(node.files(), []);
});

Deno.test("DEL fails while the kernel refuses to take the limits away, since the cgroup may be removed after it", async () => {
  using node = await limitedNode();
  node.kernel.rdmaCgroups!.onWrite = () => EINVAL;
  const { json } = await node.fail("DEL", 120);
  assertStringIncludes(json.msg, 'Cannot take the limits of RDMA device "mlx5_2" away');
  assertEquals([node.whereIs(node.device), node.files()], ["host", [FILE]]);
  node.kernel.rdmaCgroups!.onWrite = () => {};
  await node.succeed("DEL");
  assertEquals(limitsIn(node), {});
  node.assertForgotten();
});

Deno.test("a device that goes while its limits are taken away is no failure", async () => {
  using node = await limitedNode();
  node.kernel.rdmaCgroups!.onWrite = (device) => {
    node.kernel.remove(device);
    return ENODEV;
  };
  await node.succeed("DEL");
  assertEquals(node.files(), []);
});

const ELSEWHERE: Record<string, (node: TestNode) => void> = {
  "another pod has the function": (node) => {
    node.endNetns();
    const next = node.kernel.addNetns("/run/netns/next");
    node.kernel.place(node.device, next);
    node.device.name = "rdma_next";
    node.claim("container2", {
      netns: { path: "/run/netns/next", inode: next.inode, cookie: next.cookie! },
      bootTimeUs: node.kernel.getBootTimeUs(),
    });
  },
  "somebody moved the device to another namespace and renamed it": (node) => {
    node.kernel.place(node.device, node.kernel.addNetns("/run/netns/other"));
    node.device.name = "roce7";
  },
  "the device is on the host under another name": (node) => {
    node.kernel.place(node.device, node.kernel.host);
    node.device.name = "ibdev2";
  },
  "the mode is shared by now": (node) => {
    node.kernel.place(node.device, node.kernel.host);
    node.kernel.mode = "shared";
  },
};

for (const [what, change] of Object.entries(ELSEWHERE)) {
  for (const command of ["DEL", "gc"] as const) {
    Deno.test(`no limit is left when ${command} succeeds though ${what}`, async () => {
      using node = await limitedNode();
      change(node);
      if (command === "DEL") {
        await node.succeed("DEL", { variables: { CNI_NETNS: undefined } });
        return assertEquals(limitsIn(node), {});
      }
      node.kernel.paths.delete(POD);
      node.kernel.held.clear();
      collectGarbage(node, node.terminal);
      // A record that stays has its limits still to be removed.
      const isLeft = node.files().includes(FILE);
      assertEquals([isLeft, Object.keys(limitsIn(node)!).length], isLeft ? [true, 1] : [false, 0]);
    });
  }
}

Deno.test("DEL leaves the limits of another attachment of the pod, whatever their values", async () => {
  using node = await limitedNode();
  const other = "0000:3b:00.3";
  node.kernel.addFunction(other);
  node.kernel.addDevice(other, 3);
  node.pod.links.set("net2", { ...node.pod.links.get("net1")!, name: "net2" });
  const second = { config: { ...CONFIG, deviceID: other }, variables: { ...VARIABLES, CNI_IFNAME: "net2" } };
  await node.succeed("ADD", second);
  await node.succeed("DEL");
  assertEquals(limitsIn(node), { mlx5_3: { hcaHandle: 2, hcaObject: "max" } });
  await node.succeed("DEL", second);
  assertEquals(limitsIn(node), {});
});

Deno.test("an ADD that is repeated with other limits takes those before away, also when it was killed in between", async () => {
  using node = await limitedNode();
  await node.succeed("ADD", { ...CALL, config: { rdmaLimits: { hcaObject: 5 } } });
  assertEquals(limitsIn(node), { mlx5_2: { hcaHandle: "max", hcaObject: 5 } });
  node.kernel.rdmaCgroups!.groups.get(CGROUP)!.set(node.device, { hcaHandle: 2, hcaObject: 5 });
  await node.succeed("DEL");
  assertEquals(limitsIn(node), {});
});

Deno.test("an ADD that is repeated sets the limits that it is given", async () => {
  using node = await limitedNode();
  await node.succeed("ADD", { ...CALL, config: { rdmaLimits: { hcaHandle: 5 } } });
  assertEquals(limitsIn(node), { mlx5_2: { hcaHandle: 5, hcaObject: "max" } });
  assertEquals(node.recorded().limits?.hcaHandle, 5);
});

Deno.test("CHECK fails when a limit is not as ADD set it", async () => {
  const prevResult = { cniVersion: "1.0.0", interfaces: [] };
  using node = await limitedNode();
  const groups = node.kernel.rdmaCgroups!.groups;
  await node.succeed("CHECK", { config: { prevResult } });
  groups.get(CGROUP)!.set(node.device, { hcaHandle: 3 });
  const changed = await node.fail("CHECK", 113, { config: { prevResult } });
  assertStringIncludes(changed.json.msg, `limits hcaHandle of RDMA device "mlx5_2" to 3, want 2`);
  groups.clear();
  const gone = await node.fail("CHECK", 113, { config: { prevResult } });
  assertStringIncludes(gone.json.msg, `to nothing, want 2`);
});

Deno.test("without rdmaLimits no cgroup is looked at", async () => {
  using node = podNode();
  node.kernel.getRdmaCgroups = () => {
    throw new Error("asked for cgroups");
  };
  await node.succeed("ADD", { variables: VARIABLES });
  assertEquals(JSON.parse(Deno.readTextFileSync(`${node.directory}/${FILE}`)).limits, undefined);
  await node.succeed("DEL");
});
