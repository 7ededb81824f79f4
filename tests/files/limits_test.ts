// Limits of RDMA resources by the configuration key rdmaLimits: what the pod's cgroup gets, and that it loses it again.
import { collectGarbage } from "../../src/cli/gc.ts";
import { EINVAL, ENODEV } from "../../src/sys/errno.ts";
import { FILE, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { brokenPipe } from "../support/call.ts";

const OTHER_VF = "0000:3b:00.3";
const UID = "8c7e2f3a-15b4-4d0c-9a6e-0123456789ab";
const CGROUP = `/kubepods/burstable/pod${UID}`;
const VARIABLES = { CNI_ARGS: `IgnoreUnknown=1;K8S_POD_UID=${UID}` };
const CONFIG = { rdmaLimits: { hcaHandle: 2 } };
const CALL = { variables: VARIABLES, config: CONFIG };
const LIMITED = { hcaHandle: 2, hcaObject: "max" };

/** A node on which kubelet has made the pod's cgroup. */
class LimitedNode extends TestNode {
  readonly cgroups = this.kernel.rdmaCgroups!;

  constructor() {
    super();
    this.cgroups.groups.set(CGROUP, new Map());
  }

  static override async added(): Promise<LimitedNode> {
    const node = new LimitedNode();
    await node.succeed("ADD", CALL);
    return node;
  }

  /** Asserts the limits in a cgroup, by the devices' names. */
  assertLimits(limits: object, cgroup = CGROUP): void {
    const found = [...this.cgroups.groups.get(cgroup)!].map(([{ name }, values]) => [name, values]);
    assertEquals(Object.fromEntries(found), limits);
  }

  override assertForgotten(): void {
    super.assertForgotten();
    this.assertLimits({});
  }
}

Deno.test("ADD limits the pod's devices, and DEL takes the limits away", async () => {
  using node = new LimitedNode();
  node.kernel.addDevice(VF, 3);
  const rdmaLimits = { hcaHandle: 0, hcaObject: 7 };
  await node.succeed("ADD", { ...CALL, config: { rdmaLimits } });
  node.assertLimits({ mlx5_2: rdmaLimits, mlx5_3: rdmaLimits });
  assertEquals(node.recorded().limits, { cgroup: CGROUP, ...rdmaLimits });
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("before a limit is set the record has it, and before the device is moved the limit is set", async () => {
  using node = new LimitedNode();
  const seen: unknown[] = [];
  node.cgroups.onWrite = () => void seen.push(["write", node.recorded().limits]);
  node.kernel.onMove = () => {
    seen.push("move");
    node.assertLimits({ mlx5_2: LIMITED });
  };
  await node.succeed("ADD", CALL);
  assertEquals(seen, [["write", { cgroup: CGROUP, hcaHandle: 2 }], "move"]);
});

Deno.test("what was not asked for stays as it is, also at DEL", async () => {
  using node = new LimitedNode();
  node.cgroups.groups.get(CGROUP)!.set(node.device, { hcaHandle: "max", hcaObject: 9 });
  await node.succeed("ADD", CALL);
  node.assertLimits({ mlx5_2: { hcaHandle: 2, hcaObject: 9 } });
  await node.succeed("DEL");
  node.assertLimits({ mlx5_2: { hcaHandle: "max", hcaObject: 9 } });
});

for (
  const [cgroup, limited] of [[`${CGROUP}/crio-1.scope`, CGROUP], ["/default/box", "/default/box"]] as const
) {
  Deno.test(`CNI_NETNS of a process in ${cgroup} leads to ${limited}`, async () => {
    using node = new LimitedNode();
    node.cgroups.processes.set(7, cgroup);
    node.cgroups.groups.set("/default/box", new Map());
    await node.succeed("ADD", { config: CONFIG, variables: { CNI_NETNS: "/proc/7/ns/net" } });
    assertEquals(node.recorded().limits?.cgroup, limited);
    node.assertLimits({ mlx5_2: LIMITED }, limited);
  });
}

const MOUNT = "/sys/fs/cgroup";
const ENABLE = new RegExp(`not enabled.* ${MOUNT} ${MOUNT}/kubepods ${MOUNT}/kubepods/burstable; do`);
const OF_PROCESS = { CNI_NETNS: "/proc/7/ns/net" };
const WRONG_UID = { CNI_ARGS: "K8S_POD_UID=../../x" };

for (
  const [what, code, words, variables, prepare] of [
    ["no rdma controller", 103, /no rdma cgroup controller.*CONFIG_CGROUP_RDMA/, VARIABLES, (node) => {
      node.kernel.rdmaCgroups = undefined;
    }],
    ["a parent without the controller", 103, ENABLE, VARIABLES, (node) => {
      node.cgroups.groups.set(CGROUP, undefined);
    }],
    ["no cgroup of the pod", 103, /there is none of "\/kubepods.slice\/kubepods-pod8c/, VARIABLES, (node) => {
      node.cgroups.groups.clear();
    }],
    ["a process outside of the cgroup namespace", 103, /none of "\/..\/..\/kubepods"/, OF_PROCESS, (node) => {
      node.cgroups.processes.set(7, "/../../kubepods");
    }],
    ["nothing that names the pod", 103, /neither K8S_POD_UID in CNI_ARGS nor a CNI_NETNS/, {}, () => {}],
    ["a UID that is none", 4, /invalid K8S_POD_UID/, WRONG_UID, () => {}],
  ] as [string, number, RegExp, Record<string, string>, (node: LimitedNode) => void][]
) {
  Deno.test(`${what} is code ${code}, and nothing is moved`, async () => {
    using node = new LimitedNode();
    prepare(node);
    node.kernel.onMove = () => {
      throw new Error("moved");
    };
    const { json } = await node.fail("ADD", code, { config: CONFIG, variables });
    assertMatch(`${json.msg} ${json.details}`, words);
    assertEquals([node.whereIs(node.device), ...node.files()], ["host"]);
  });
}

for (
  const [what, code, spoil] of [
    ["the second device cannot be limited", 5, (node) => {
      const other = node.kernel.addDevice(VF, 3);
      node.cgroups.onWrite = (device) => device === other ? EINVAL : undefined;
    }],
    ["the device cannot be moved", 120, (node) => node.kernel.onMove = () => EINVAL],
    ["the result cannot be printed", undefined, () => {}],
  ] as [string, number | undefined, (node: LimitedNode) => unknown][]
) {
  Deno.test(`an ADD that is rolled back takes the limits away: ${what}`, async () => {
    using node = new LimitedNode();
    spoil(node);
    if (code) await node.fail("ADD", code, CALL);
    else assertEquals((await node.call("ADD", { ...CALL, writeOutput: brokenPipe })).code, 1);
    node.assertForgotten();
  });
}

Deno.test("DEL succeeds without the cgroup, and without the controller", async () => {
  for (const hasController of [true, false]) {
    using node = await LimitedNode.added();
    node.cgroups.groups.clear();
    if (!hasController) node.kernel.rdmaCgroups = undefined;
    assertStringIncludes((await node.succeed("DEL")).lines.join(""), `Cgroup ${CGROUP} is gone`);
    assertEquals([node.whereIs(node.device), ...node.files()], ["host"]);
  }
});

Deno.test("the limits of a device that is gone, or goes while they are taken away, are gone, which is no warning", async () => {
  using node = await LimitedNode.added();
  node.kernel.devices.splice(0);
  node.kernel.addDevice(VF, 9);
  const { lines } = await node.succeed("DEL");
  assertEquals([lines.filter((line) => /level="warning"/.test(line)), node.files()], [[], []]);

  using later = await LimitedNode.added();
  later.cgroups.onWrite = (device) => {
    later.kernel.remove(device);
    return ENODEV;
  };
  await later.succeed("DEL");
  assertEquals(later.files(), []);
});

Deno.test("DEL fails while the kernel refuses to take the limits away, since the cgroup may be removed after it", async () => {
  using node = await LimitedNode.added();
  node.cgroups.onWrite = () => EINVAL;
  const { json } = await node.fail("DEL", 120);
  assertStringIncludes(json.msg, 'Cannot take the limits of RDMA device "mlx5_2" away');
  assertEquals([node.whereIs(node.device), node.files()], ["host", [FILE]]);
  node.cgroups.onWrite = () => {};
  await node.succeed("DEL");
  node.assertForgotten();
});

/** Where a device can be, and what it can be called there, when its pod's path has gone. */
const ELSEWHERE: Record<string, (node: TestNode) => unknown> = {
  "the pod has ended": (node) => node.endNetns(),
  "another pod has the function": (node) => {
    node.endNetns();
    const path = "/run/netns/next";
    const next = node.kernel.addNetns(path);
    node.kernel.place(node.device, next);
    node.device.name = "rdma_next";
    const netns = { path, inode: next.inode, cookie: next.cookie! };
    node.claim("container2", { netns, bootTimeUs: node.kernel.getBootTimeUs() });
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
  Deno.test(`no limit is left when DEL or gc succeeds though ${what}`, async () => {
    using deleted = await LimitedNode.added();
    change(deleted);
    await deleted.succeed("DEL", { variables: { CNI_NETNS: undefined } });
    deleted.assertLimits({});

    using collected = await LimitedNode.added();
    change(collected);
    collected.endPod();
    collectGarbage(collected, collected.terminal);
    // A record that stays has its limits still to be removed.
    const isLeft = collected.files().includes(FILE);
    collected.assertLimits(isLeft ? { [collected.device.name]: LIMITED } : {});
  });
}

Deno.test("DEL leaves the limits of another attachment of the pod, whatever their values", async () => {
  using node = await LimitedNode.added();
  node.kernel.addFunction(OTHER_VF);
  node.kernel.addDevice(OTHER_VF, 3);
  const variables = { ...VARIABLES, CNI_IFNAME: "net2" };
  await node.succeed("ADD", { config: { ...CONFIG, deviceID: OTHER_VF }, variables });
  await node.succeed("DEL");
  node.assertLimits({ mlx5_3: LIMITED });
  await node.succeed("DEL", { variables });
  node.assertForgotten();
});

Deno.test("an ADD that is repeated sets its own limits and takes away others, also those of one that was killed", async () => {
  using node = await LimitedNode.added();
  await node.succeed("ADD", { ...CALL, config: { rdmaLimits: { hcaHandle: 5 } } });
  node.assertLimits({ mlx5_2: { hcaHandle: 5, hcaObject: "max" } });
  assertEquals(node.recorded().limits?.hcaHandle, 5);
  await node.succeed("ADD", { ...CALL, config: { rdmaLimits: { hcaObject: 5 } } });
  node.assertLimits({ mlx5_2: { hcaHandle: "max", hcaObject: 5 } });
  node.cgroups.groups.get(CGROUP)!.set(node.device, { hcaHandle: 2, hcaObject: 5 });
  await node.succeed("DEL");
  node.assertForgotten();
});

Deno.test("CHECK fails when a limit is not as ADD set it", async () => {
  using node = await LimitedNode.added();
  await node.succeed("CHECK");
  node.cgroups.groups.get(CGROUP)!.set(node.device, { hcaHandle: 3 });
  const words = 'limits hcaHandle of RDMA device "mlx5_2" to';
  assertStringIncludes((await node.fail("CHECK", 113)).json.msg, `${words} 3, want 2`);
  node.cgroups.groups.clear();
  assertStringIncludes((await node.fail("CHECK", 113)).json.msg, `${words} nothing, want 2`);
});
