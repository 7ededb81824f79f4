// CHECK finds what is no longer as ADD left it.
import type { Async, Rig } from "../rig/rig.ts";
import {
  Attachment,
  FILE,
  goRecord,
  interfaces,
  newPod,
  podPath,
  readRecord,
  removeRecord,
  type Scenario,
  scenario,
  writeRecord,
} from "./scenario.ts";

/** A pod with interface net1 and the RDMA device of virtual function 0, which CHECK accepts. */
async function checkedPod(rig: Rig): Promise<Attachment> {
  const pod = await newPod(rig, rig.vf(0), {
    config: interfaces({ name: "net1", sandbox: podPath("pod") }),
  });
  await rig.addInterface(pod.function_, "pod", "net1");
  await pod.add();
  await pod.check();
  return pod;
}

interface Broken extends Pick<Scenario, "sets" | "needs"> {
  name: string;
  /** What happens, and how CHECK complains then; in turn. */
  steps: [happens: (rig: Rig, pod: Attachment) => Async<void>, words: RegExp, code?: number][];
}

const BROKEN: Broken[] = [
  {
    name: "the record is missing, unreadable or another's",
    sets: ["oldest", "arm64"],
    steps: [
      [(rig) => writeRecord(rig, FILE, { ...readRecord(rig), containerID: "other" }), /there is no record/],
      [(rig) => writeRecord(rig, FILE, ""), /it is empty/],
      [(rig) => writeRecord(rig, FILE, "{"), /it is not JSON/],
      [(rig) => removeRecord(rig), /there is no record/],
    ],
  },
  {
    name: "the device has another name, and then left the pod",
    sets: ["oldest"],
    steps: [
      [(rig, { device }) => rig.renameDevice(device, "pod", "roce0"), /is called "roce0" by now/],
      [
        (rig) => rig.moveDevice("roce0", "pod", "host"),
        /RDMA device "\w+" \(index \d+\) is not in "\/run\/netns\/pod", which has: none/,
      ],
    ],
  },
  {
    name: "the driver was rebound, and the new device came into the pod",
    sets: ["oldest"],
    steps: [
      [(rig, pod) => rig.rebind(pod.function_), /\(index \d+\) is not in .*has: none/],
      [
        (rig, { device }) => rig.moveDevice(device, "host", "pod"),
        /\(index \d+\) is not in .*which has: \w+/,
      ],
    ],
  },
  {
    name: "the interface has gone",
    sets: ["oldest"],
    steps: [[(rig) => rig.removeInterface("pod", "net1"), /interface "net1" is not in "\/run\/netns\/pod"/]],
  },
  {
    name: "the namespace has gone, or its path leads to another",
    sets: ["oldest"],
    needs: "netnsCookie",
    steps: [
      [(rig) => rig.endNetns("pod"), /it does not exist/, 8],
      [(rig) => rig.addNetns("pod"), /another namespace than the one/],
    ],
  },
];

export const CHECK: Scenario[] = [
  ...BROKEN.map(({ name, steps, ...kernels }) =>
    scenario(`check: ${name}`, async (rig) => {
      const pod = await checkedPod(rig);
      for (const [happens, words, code = 113] of steps) {
        await happens(rig, pod);
        await pod.fail("CHECK", code, words);
      }
    }, { ...kernels })
  ),
  scenario("check: interfaces elsewhere do not matter, a result must be there", async (rig) => {
    const pod = await checkedPod(rig);
    await rig.addInterface(rig.vf(1), "pod", "net2");
    const others = [
      ...[{ name: "veth-of-host" }, { name: "eth0", sandbox: "/run/netns/vm" }],
      { name: "net1", sandbox: podPath("pod") },
      { name: "net2", sandbox: podPath("pod"), mac: "02:00:00:00:00:99" },
    ];
    await pod.check({ config: interfaces(...others) });
    await pod.fail("CHECK", 7, /no prevResult/, { config: { prevResult: undefined } });
  }),
  scenario("check: a Go plugin's record, whose device is known by its name", async (rig) => {
    const pod = await newPod(rig);
    await rig.moveDevice(pod.device, "host", "pod");
    writeRecord(rig, FILE, goRecord(pod.function_, pod.device));
    await pod.check();
    await rig.renameDevice(pod.device, "pod", "other");
    await pod.fail("CHECK", 113, /is not in "\/run\/netns\/pod"/);
  }, { sets: ["oldest"] }),
];
