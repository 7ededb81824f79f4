// Names that RDMA devices get in a pod, and their old ones that they get back.
import { assert, assertEquals, assertMatch, assertNotMatch, assertThrows } from "../support/assert.ts";
import type { Async, Rig } from "../rig/rig.ts";
import {
  assertNothingLeft,
  Attachment,
  leaveAll,
  namedPod,
  namesIn,
  readRecord,
  records,
  type Scenario,
  scenario,
} from "./scenario.ts";

/** The attachment of a virtual function whose device shall have a name. */
function named(
  rig: Rig,
  number: number,
  rdmaDeviceName: string,
  more: object = {},
  call: object = {},
): Attachment {
  return new Attachment(rig, rig.vf(number), { config: { rdmaDeviceName, ...more }, ...call });
}

/** Somebody has names that a pod asks for, which is said so. */
interface Taken {
  by: string;
  /** @returns the names */
  take: (rig: Rig) => Async<string[]>;
  words: RegExp;
  /** Not in the pod itself: the kernel refuses the name, and from Linux 7.3 on it does not. */
  isElsewhere: boolean;
}

const TAKEN: Taken[] = [
  {
    by: "the host",
    take: (rig) => [rig.vf(3).rdmaDevices[0]!, rig.pf().rdmaDevices[0]!],
    words: /is taken: RDMA device \d+ has it, in the host's network namespace/,
    isElsewhere: true,
  },
  {
    by: "another pod",
    take: async (rig) => {
      await rig.addNetns("other");
      await named(rig, 1, "roce0", {}, { netns: "other", containerId: "container2", ifname: "net7" }).add();
      return ["roce0"];
    },
    words: /is taken: container "container2" has it as "net7" on network "net", in \/run\/netns\/other/,
    isElsewhere: true,
  },
  {
    by: "the same pod",
    take: async (rig) => {
      await named(rig, 1, "roce0", {}, { ifname: "net2" }).add();
      return ["roce0"];
    },
    words: /is taken: container "container1" has it as "net2" on network "net", in \/run\/netns\/pod/,
    isElsewhere: false,
  },
  {
    by: "the same pod, without a record",
    take: async (rig) => {
      const [name] = rig.vf(1).rdmaDevices;
      await rig.moveDevice(name!, "host", "pod");
      return [name!];
    },
    words: /is taken: RDMA device \d+ has it, in \/run\/netns\/pod/,
    isElsewhere: false,
  },
  {
    by: "a namespace without a record",
    take: async (rig) => {
      await rig.addNetns("stranger");
      const [name] = rig.vf(1).rdmaDevices;
      await rig.moveDevice(name!, "host", "stranger");
      return [name!];
    },
    words: /is taken: a device in another network namespace that is in no record has it/,
    isElsewhere: true,
  },
];

/** Names that somebody has elsewhere are given to the pod's device. */
async function assertGiven(rig: Rig, names: string[], before: unknown[]): Promise<void> {
  for (const name of names) {
    const pod = named(rig, 0, name);
    await pod.add();
    await pod.assertAt(`pod ${name}`);
    await pod.check();
    await pod.del();
    assertEquals([await rig.listDevices(), records(rig)], before);
  }
}

const LEVELS = { top: "of_config", args: "of_args", env: "of_env_{ifname}" };

export const NAMES: Scenario[] = [
  scenario("names: two VFs of a pod by one template, recorded, checked, and restored", async (rig) => {
    await rig.addNetns("pod");
    const before = await rig.listDevices();
    const [first, second] = [0, 1].map((i) => named(rig, i, "roce_{index}", {}, { ifname: `net${i + 1}` }));
    for (const pod of [first!, second!]) await pod.add();
    const after = await rig.listDevices();
    for (const [i, pod] of [first!, second!].entries()) {
      const { deviceId } = pod.function_;
      const { index } = before.find((device) => device.deviceId === deviceId)!;
      const podName = `roce_${i}`;
      assertEquals(after.filter((device) => device.deviceId === deviceId), [
        { deviceId, index, name: podName, place: "pod" },
      ]);
      const recorded = readRecord(rig, `net-container1-net${i + 1}`).devices;
      assertEquals(recorded, [{ index, hostName: pod.device, podName }]);
      await pod.check();
      await pod.add();
      assertEquals(readRecord(rig, `net-container1-net${i + 1}`).devices, recorded);
    }
    assertEquals(await rig.listDevices(), after);
    await first!.del();
    await first!.assertAt(`host ${first!.device}`);
    await first!.add();
    await first!.assertAt("pod roce_0");
    await second!.del();
    await second!.assertAt(`host ${second!.device}`);
    await first!.del();
    assertEquals(await rig.listDevices(), before);
    assertEquals(records(rig), []);
  }),
  scenario("names: by interface, and of a scalable function", async (rig) => {
    await rig.addNetns("pod");
    const config = { rdmaDeviceName: "rdma_{ifname}" };
    const pods = [
      new Attachment(rig, rig.vf(2), { config }),
      new Attachment(rig, rig.sf(0), { config, ifname: "net2" }),
    ];
    for (const pod of pods) await pod.add();
    assertEquals(await namesIn(rig, "pod"), ["rdma_net1", "rdma_net2"]);
    await leaveAll(...pods);
  }, { sets: ["oldest", "arm64"], needs: "auxiliaryBus" }),
  scenario("names: CNI_ARGS goes before args.cni, and that before the configuration", async (rig) => {
    await rig.addNetns("pod");
    for (
      const [given, name] of [
        [["top"], "of_config"],
        [["args"], "of_args"],
        [["env"], "of_env_net1"],
        [["top", "args"], "of_args"],
        [["top", "env"], "of_env_net1"],
        [["args", "env"], "of_env_net1"],
        [["top", "args", "env"], "of_env_net1"],
      ] as const
    ) {
      const get = (level: keyof typeof LEVELS) =>
        (given as readonly string[]).includes(level) ? LEVELS[level] : "";
      const pod = named(rig, 0, get("top"), { args: { cni: { rdmaDeviceName: get("args") } } }, {
        environment: { CNI_ARGS: `IgnoreUnknown=0;K8S_POD_NAME=a;rdmaDeviceName=${get("env")};Unknown=1` },
      });
      await pod.add();
      await pod.assertAt(`pod ${name}`);
      await pod.leave();
    }
  }),
  scenario("names: several devices of a function need {index} and are counted by it", async (rig) => {
    await rig.addNetns("pod");
    await rig.rebind(rig.vf(0), 2);
    const pod = named(rig, 0, "roce_{ifname}_{index}");
    const onHost = pod.function_.rdmaDevices.map((name) => `host ${name}`);
    assertEquals(onHost.length, 2);
    await pod.fail("ADD", 7, /2 RDMA devices.*without \{index\}/, {
      config: { rdmaDeviceName: "roce_{ifname}" },
    });
    await pod.assertAt(...onHost);
    await assertNothingLeft(rig);
    await pod.add();
    await pod.assertAt("pod roce_net1_0", "pod roce_net1_1");
    await pod.check();
    await pod.del();
    await pod.assertAt(...onHost);
    await assertNothingLeft(rig);
  }),
  scenario("names: one that no device can have is code 7; the longest is given whole", async (rig) => {
    await rig.addNetns("pod");
    const before = await rig.listDevices();
    for (const name of ["a/b", "..", "a b", "mlx5_%d", "mlx5_{port}", "x".repeat(64)]) {
      await named(rig, 0, name).fail("ADD", 7, /Cannot name RDMA devices by "rdmaDeviceName"/);
    }
    assertEquals(await rig.listDevices(), before);
    assertThrows(() => Deno.statSync(rig.directory), Deno.errors.NotFound);
    const longest = `${"x".repeat(61)}ä`;
    const pod = named(rig, 0, longest);
    await pod.add();
    await pod.assertAt(`pod ${longest}`);
    await pod.leave();
  }),

  ...TAKEN.map(({ by, take, words, isElsewhere }) =>
    scenario(
      `names: one that ${by} has is refused where the kernel refuses it, or warned of when it may be kept`,
      async (rig) => {
        await rig.addNetns("pod");
        const names = await take(rig);
        const before = [await rig.listDevices(), records(rig)];
        if (isElsewhere && rig.hasNamesPerNetns) return await assertGiven(rig, names, before);
        for (const name of names) {
          const { json, log } = await named(rig, 0, name).fail("ADD", 114, words);
          assertEquals(/EEXIST \(17\)/.test(json.details), isElsewhere);
          assertMatch(json.details, /"rdmaDeviceNameConflict"/);
          const what = `Cannot rename RDMA device "${
            rig.vf(0).rdmaDevices[0]
          }": the name "${name}" is taken: `;
          assert(json.msg.startsWith(what), json.msg);
          assertNotMatch(log, /moved to/);
          assertEquals([await rig.listDevices(), records(rig)], before);
        }

        const pod = named(rig, 0, names[0]!, { rdmaDeviceNameConflict: "keep" });
        const warnings = (await pod.add()).log.split("\n").filter((line) => line.includes('level="warning"'));
        assertEquals(warnings.length, 1);
        assertMatch(warnings[0]!.replaceAll("\\", ""), words);
        await pod.assertAt(`pod ${pod.device}`);
        const [{ hostName, podName }] = readRecord(rig).devices;
        assertEquals([hostName, podName], [pod.device, pod.device]);
        await pod.check();
        await pod.del();
        assertEquals([await rig.listDevices(), records(rig)], before);
      },
      { sets: isElsewhere ? ["oldest"] : undefined },
    )
  ),
  scenario("names: the second device's name is taken, so the first gets its own back", async (rig) => {
    await rig.addNetns("pod");
    await rig.rebind(rig.vf(0), 2);
    await rig.renameDevice(rig.vf(1).rdmaDevices[0]!, "host", "roce_1");
    const before = await rig.listDevices();
    if (rig.hasNamesPerNetns) {
      const pod = named(rig, 0, "roce_{index}");
      await pod.add();
      await pod.assertAt("pod roce_0", "pod roce_1");
      await pod.del();
      return assertEquals(await rig.listDevices(), before);
    }
    await named(rig, 0, "roce_{index}").fail("ADD", 114, /"roce_1" is taken/);
    assertEquals(await rig.listDevices(), before);
    assertEquals(records(rig), []);
  }, { sets: ["oldest"] }),
  scenario("names: a move that the kernel refuses gives the old name back", async (rig) => {
    await rig.addNetns("pod");
    await rig.makeImmovable(rig.vf(0));
    const pod = named(rig, 0, "roce0");
    await pod.fail("ADD", 120, /cannot take it away.*disassociate_ucontext|disassociate_ucontext/);
    await assertNothingLeft(rig, pod);
  }, { sets: ["oldest"] }),
  scenario("names: CHECK gives both names of a device that the pod renamed or lost", async (rig) => {
    const pod = await namedPod(rig);
    await pod.check();
    const both = `"roce0" \\(index \\d+, "${pod.device}" on the host\\)`;
    await rig.renameDevice("roce0", "pod", "mine");
    await pod.fail("CHECK", 113, new RegExp(`${both} is called "mine" by now`));
    await rig.moveDevice("mine", "pod", "host");
    await pod.fail("CHECK", 113, new RegExp(`${both} is not in "/run/netns/pod"`));
    await pod.leave();
  }, { sets: ["oldest"] }),
];
