// Which devices ADD moves, how it finds them, and what it refuses.
import { assert, assertEquals, assertMatch, assertNotMatch } from "../support/assert.ts";
import type { LackName } from "../rig/vm/kernels.ts";
import type { Async, NodeFunction, Rig } from "../rig/rig.ts";
import {
  addedPod,
  assertNothingLeft,
  assertWarning,
  Attachment,
  FILE,
  HOST,
  interfaces,
  newPod,
  placesOf,
  podPath,
  readRecord,
  records,
  type Scenario,
  scenario,
} from "./scenario.ts";

const ABSENT = "0000:7f:1f.7";

const inPod = (more: object = {}) => ({ name: "net1", sandbox: podPath("pod"), ...more });

/** What identifies the function, while each source that comes later identifies another one or none. */
const SOURCES: {
  name: string;
  of: (rig: Rig) => NodeFunction;
  config: (rig: Rig, of: NodeFunction) => Async<object>;
  needs?: LackName;
}[] = [
  {
    name: "runtimeConfig.deviceID, before deviceID",
    of: (rig) => rig.vf(1),
    config: (_, { deviceId }) => ({ runtimeConfig: { deviceID: deviceId }, deviceID: ABSENT }),
  },
  {
    name: "deviceID, before the result's pciID",
    of: (rig) => rig.vf(1),
    config: (_, { deviceId }) => ({ deviceID: deviceId, ...interfaces(inPod({ pciID: ABSENT })) }),
  },
  {
    name: "pciID of the interface in the pod, not another's, before the interface's parent",
    of: (rig) => rig.vf(2),
    config: async (rig, { deviceId }) => {
      await rig.addInterface(rig.vf(1), "pod", "net1");
      const others = [{ name: "net1", pciID: ABSENT }, inPod({ name: "net2", pciID: ABSENT })];
      return interfaces(...others, inPod({ pciID: deviceId }));
    },
  },
  {
    name: "the parent of the interface in the pod, before a MAC address",
    needs: "linkParent",
    of: (rig) => rig.vf(3),
    config: async (rig, of) => {
      await rig.addInterface(of, "pod", "net1");
      await rig.setMac(4, "02:aa:00:00:00:04");
      return interfaces({ name: "host0", pciID: ABSENT }, inPod({ mac: "02:aa:00:00:00:04" }));
    },
  },
  {
    name: "the parent of a scalable function's interface",
    needs: "auxiliaryBus",
    of: (rig) => rig.sf(0),
    config: async (rig, of) => {
      await rig.addInterface(of, "pod", "net1");
      return interfaces(inPod());
    },
  },
  {
    name: "the administrative address, in any case and among any number of interfaces",
    of: (rig) => rig.vf(4),
    config: async (rig) => {
      await rig.setMac(4, "02:aa:00:00:00:04");
      return interfaces(
        { name: "cni0", mac: "02:aa:00:00:00:01" },
        inPod({ mac: "02:AA:00:00:00:04" }),
        inPod({ name: "lo", mac: "00:00:00:00:00:00" }),
      );
    },
  },
];

/** What ADD refuses, leaving everything as it is. */
interface Refused extends Pick<Scenario, "sets"> {
  name: string;
  prepare?: (rig: Rig, of: NodeFunction) => Async<void>;
  /** Other keys than the deviceID of virtual function 1. */
  config?: (rig: Rig) => object;
  netns?: string;
  code?: number;
  words: RegExp;
}

const REFUSED: Refused[] = [
  {
    name: "an address that two virtual functions have",
    prepare: async (rig) => {
      for (const number of [5, 6]) await rig.setMac(number, "02:aa:00:00:00:05");
    },
    config: () => ({ deviceID: undefined, ...interfaces(inPod({ mac: "02:aa:00:00:00:05" })) }),
    words: /VF 5 of .*VF 6 of /,
  },
  {
    name: "an address that no function has",
    config: () => ({ deviceID: undefined, ...interfaces(inPod({ mac: "02:aa:bb:cc:dd:ee" })) }),
    words: /no deviceID.*annotation.*k8s.v1.cni.cncf.io\/resourceName/,
  },
  {
    name: "a function that is on no bus",
    config: () => ({ deviceID: ABSENT }),
    words: /"0000:7f:1f.7": there is no such device/,
  },
  { name: "a path for a function", config: () => ({ deviceID: "../../../etc" }), words: /no such/ },
  {
    name: "a function without driver",
    sets: ["oldest"],
    prepare: (rig, of) => rig.unbind(of),
    words: /no driver is bound to it/,
  },
  {
    name: "a function whose driver makes no RDMA device",
    prepare: (rig, of) => rig.rebind(of, 0),
    words: /driver "igbvf" has made no RDMA device/,
  },
  ...[1, 2].map((count) => ({
    name: `a function the last of whose ${count} devices the driver cannot take from its users`,
    sets: count === 2 ? ["oldest"] as const : undefined,
    prepare: (rig: Rig, of: NodeFunction) => rig.makeImmovable(of, count),
    code: 120,
    words: /cannot take it away.*disassociate_ucontext.*EOPNOTSUPP \(95\)/,
  })),
  {
    name: "a physical function when allowPF is false",
    config: (rig) => ({ deviceID: rig.pf().deviceId, allowPF: false }),
    code: 112,
    words: /"allowPF" is false/,
  },
  {
    name: "a call that is not chained",
    config: () => ({ prevResult: undefined }),
    code: 7,
    words: /no prevResult.*after one such as "sriov"/,
  },
  {
    name: "a namespace that is missing",
    netns: "absent",
    code: 8,
    words: /"\/run\/netns\/absent": it does not exist/,
  },
  {
    name: "the plugin's own namespace",
    netns: HOST,
    code: 8,
    words: /is the plugin's own network namespace/,
  },
];

/** A virtual function with three devices. */
async function ofThree(rig: Rig, config: object = {}): Promise<{ pod: Attachment; names: string[] }> {
  await rig.addNetns("pod");
  await rig.rebind(rig.vf(2), 3);
  const pod = new Attachment(rig, rig.vf(2), { config });
  return { pod, names: [...pod.function_.rdmaDevices] };
}

export const ADD: Scenario[] = [
  ...SOURCES.map(({ name, of, config, needs }) =>
    scenario(`add: the function is found by ${name}`, async (rig) => {
      await rig.addNetns("pod");
      const function_ = of(rig);
      const pod = new Attachment(rig, function_, {
        config: { deviceID: undefined, ...await config(rig, function_) },
      });
      await pod.add();
      await pod.assertAt(`pod ${pod.device}`);
      assertEquals(readRecord(rig).deviceID, function_.deviceId);
    }, { sets: ["oldest", "arm64"], needs })
  ),
  ...REFUSED.map(({ name, prepare, config, netns = "pod", code = 110, words, sets }) =>
    scenario(`add: ${name} is refused`, async (rig) => {
      await rig.addNetns("pod");
      const function_ = rig.vf(1);
      await prepare?.(rig, function_);
      const pod = new Attachment(rig, function_, { netns, config: config?.(rig) ?? {} });
      const before = await rig.listDevices();
      await pod.fail("ADD", code, words);
      assertEquals([await rig.listDevices(), records(rig)], [before, []]);
    }, { sets })
  ),
  scenario("add: mode shared is refused by ADD, CHECK and STATUS, with the way out", async (rig) => {
    await rig.setMode("shared");
    const pod = await newPod(rig);
    await pod.fail("ADD", 101, /mode shared, want exclusive.*netns-mode set exclusive/);
    await pod.fail("STATUS", 50, /mode shared.*netns-mode set exclusive/);
    await pod.fail("CHECK", 101, /mode shared/);
    await pod.del();
    assertEquals(records(rig), []);
  }, { sets: ["oldest"] }),

  scenario("add: a second one only adopts the attachment, a second DEL changes nothing", async (rig) => {
    const pod = await addedPod(rig);
    const { bootTimeUs, ...record } = readRecord(rig);
    assertMatch((await pod.add()).log, /in the pod already/);
    const { bootTimeUs: later, ...same } = readRecord(rig);
    assertEquals(same, record);
    assert(later > bootTimeUs); // so that an earlier ADD that fails late does not undo it
    await pod.assertAt(`pod ${pod.device}`);
    await pod.check();
    for (let i = 0; i < 2; i++) await pod.leave();
  }),
  scenario("add: a device that is in the pod already is recorded, and renamed on request", async (rig) => {
    await rig.addNetns("pod");
    for (const rdmaDeviceName of [undefined, "roce0"]) {
      const pod = new Attachment(rig, rig.vf(0), { config: { rdmaDeviceName } });
      await rig.moveDevice(pod.device, "host", "pod");
      await pod.add();
      const podName = rdmaDeviceName ?? pod.device;
      await pod.assertAt(`pod ${podName}`);
      const [{ hostName, ...recorded }] = readRecord(rig).devices;
      assertEquals([hostName, recorded.podName], [pod.device, podName]);
      await pod.leave();
    }
  }, { sets: ["oldest"] }),
  scenario("add: with CNI_NETNS_OVERRIDE the host may be the pod, and nothing moves", async (rig) => {
    const before = await rig.listDevices();
    for (const rdmaDeviceName of [undefined, "roce0"]) {
      const pod = new Attachment(rig, rig.vf(0), {
        ...{ netns: HOST, environment: { CNI_NETNS_OVERRIDE: "true" }, config: { rdmaDeviceName } },
      });
      assertNotMatch((await pod.add()).log, /moved to/);
      await pod.assertAt(`host ${rdmaDeviceName ?? pod.device}`);
      assertEquals(records(rig), [FILE]);
      await pod.del();
      assertEquals([await rig.listDevices(), records(rig)], [before, []]);
    }
  }),
  scenario("add: a function that a pod has is not given to another, nor to it twice", async (rig) => {
    const pod = await addedPod(rig);
    await rig.addNetns("other");
    const words = /container "container1" has it as "net1" on network "net", in \/run\/netns\/pod/;
    await pod.fail("ADD", 111, words, { netns: "other", containerId: "container2" });
    await pod.fail("ADD", 111, words, { ifname: "net2" });
    await pod.del({ netns: "other", containerId: "container2" });
    await pod.del({ ifname: "net2" });
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), [FILE]);
    await pod.check();
  }),
  scenario("add: a function in another namespace that nobody recorded is refused", async (rig) => {
    await rig.addNetns("pod");
    await rig.addNetns("stranger");
    const pod = new Attachment(rig, rig.vf(1));
    await rig.moveDevice(pod.device, "host", "stranger");
    await pod.fail(
      "ADD",
      111,
      /no record of this plugin names the pod.*"rdma-cni doctor" on the node says where /,
    );
    await pod.assertAt(`stranger ${pod.device}`);
    assertEquals(records(rig), []);
  }, { sets: ["oldest"] }),
  scenario("add: a device with an SMI sub-device is refused: the kernel would never end", async (rig) => {
    const pod = await newPod(rig);
    const words = /has sub-devices.*rdma dev del smi1/;
    await rig.addSubdevice("smi1", pod.device);
    await pod.fail("ADD", 112, words);
    await assertNothingLeft(rig, pod);
    await rig.removeSubdevice("smi1");
    await pod.add();
    await rig.addSubdevice("smi1", pod.device, "pod");
    await pod.fail("DEL", 112, words);
    await pod.assertAt(`pod ${pod.device}`);
    assertEquals(records(rig), [FILE]);
    await rig.removeSubdevice("smi1");
    await pod.leave();
  }, { needs: "subDevices" }),
  scenario("add: a physical function's device moves, with a warning of what hangs on it", async (rig) => {
    const pod = await newPod(rig, rig.pf());
    await rig.useDevice(pod.device);
    assertWarning(await pod.add(), /physical function.*7 virtual functions.*1 ctx on mlx5_/);
    await pod.assertAt(`pod ${pod.device}`);
    await pod.leave();
  }),

  scenario("add: all devices of a function move, or those that rdmaDevices chooses", async (rig) => {
    const { pod, names } = await ofThree(rig);
    const [first, second, third] = names;
    for (
      const [rdmaDevices, moved] of [
        ["all", names],
        ["first", [first]],
        [[2], [second]],
        [[third], [third]],
        [[3, first, 1], [first, third]],
      ] as const
    ) {
      const change = { config: { rdmaDevices } };
      await pod.add(change);
      const places = names.map((name) => `${moved.includes(name) ? "pod" : "host"} ${name}`);
      await pod.assertAt(...places);
      await pod.check(change);
      await pod.del(change);
      await pod.assertAt(...names.map((name) => `host ${name}`));
      await assertNothingLeft(rig);
    }
  }),
  scenario("add: a device among rdmaDevices that the function does not have is refused", async (rig) => {
    const { pod } = await ofThree(rig);
    for (const missing of ["mlx5_99", 4]) {
      const words = new RegExp(`${missing}"? among those of ".*it has 1: \\w+, 2: \\w+, 3: \\w+`);
      await pod.fail("ADD", 110, words, { config: { rdmaDevices: [1, missing] } });
      await assertNothingLeft(rig);
    }
  }),
  scenario("add: a device that a killed call left in the pod counts among the function's", async (rig) => {
    const { pod, names } = await ofThree(rig);
    await rig.moveDevice(names[0]!, "host", "pod");
    for (let i = 0; i < 2; i++) {
      await pod.add({ config: { rdmaDevices: [names[0], 2] } });
      await pod.assertAt(`pod ${names[0]}`, `pod ${names[1]}`, `host ${names[2]}`);
    }
    assertEquals(
      readRecord(rig).devices.map((one: { hostName: string }) => one.hostName),
      names.slice(0, 2),
    );
  }),
  scenario("add: another pod gets none of a function's devices, chosen or not", async (rig) => {
    const { pod, names } = await ofThree(rig);
    await pod.add({ config: { rdmaDevices: "first" } });
    await rig.addNetns("other");
    const change = { netns: "other", containerId: "container2", config: { rdmaDevices: [2] } };
    await pod.fail("ADD", 111, /container "container1" has it/, change);
    await pod.assertAt(`pod ${names[0]}`, `host ${names[1]}`, `host ${names[2]}`);
  }),

  ...[
    {
      what: "an optional device that the driver does not make",
      prepare: (rig: Rig) => rig.rebind(rig.vf(1), 0),
      allowed: { optional: true },
      other: { onSharedMode: "skip" },
      code: 110,
      words: /has made no RDMA device/,
    },
    {
      what: "a device in mode shared, when the configuration says so",
      prepare: (rig: Rig) => rig.setMode("shared"),
      allowed: { onSharedMode: "skip" },
      other: { optional: true },
      code: 101,
      words: /mode shared/,
    },
  ].map(({ what, prepare, allowed, other, code, words }) =>
    scenario(`add: a pod goes without ${what}`, async (rig) => {
      await prepare(rig);
      const pod = await newPod(rig, rig.vf(1), { config: allowed });
      const before = await placesOf(rig, pod.function_);
      await pod.fail("ADD", code, words, {
        config: { optional: undefined, onSharedMode: undefined, ...other },
      });
      const added = await pod.add();
      assertWarning(added, words);
      assertWarning(added, /gets no RDMA device/);
      assertEquals(records(rig), []);
      await pod.check();
      const checked = await pod.call("CHECK", {
        config: { optional: undefined, onSharedMode: undefined, ...other },
      });
      assert([code, 113].includes(checked.json.code), checked.output);
      await pod.del();
      assertEquals([await placesOf(rig, pod.function_), records(rig)], [before, []]);
    })
  ),
];
