// A function with an InfiniBand port: the kernel removes its IPoIB interface, in whatever namespace that is, when the
// RDMA device moves. ib-sriov-cni cannot be installed from Debian; the rig does what it does.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import type { NodeFunction, Rig } from "../rig/rig.ts";
import {
  Attachment,
  type Change,
  interfaces,
  namesIn,
  podPath,
  records,
  type Scenario,
  scenario,
} from "./scenario.ts";

/** Virtual function 0 with an InfiniBand port, and a pod. */
async function nodeWithIpoib(rig: Rig): Promise<{ of: NodeFunction; pod: Attachment }> {
  const of = await rig.makeInfiniBand(0);
  await rig.addNetns("pod");
  return { of, pod: new Attachment(rig, of) };
}

/** Nothing happened to the interface and to the device, and nothing was recorded. */
async function assertUntouched(pod: Attachment, link: unknown, place = "host"): Promise<void> {
  assertEquals(await pod.rig.getInterface("pod", "net1"), link);
  await pod.assertAt(`${place} ${pod.device}`);
  assertEquals(records(pod.rig), []);
}

/** Calls that ask for a function whose IPoIB interface the pod has as net1. */
const ASKING: Change[] = [
  {},
  { config: { optional: true } },
  { config: { deviceID: undefined, ...interfaces({ name: "net1", sandbox: podPath("pod") }) } },
  { ifname: "net7", config: interfaces({ name: "net1", sandbox: podPath("pod") }) },
];

/** Interfaces that do not stand in the way of the RDMA device of a virtual function, which has an IPoIB interface. */
const ELSEWHERE: { what: string; number?: number; put: (rig: Rig, of: NodeFunction) => unknown }[] = [
  { what: "an IPoIB interface on the host", put: () => {} },
  {
    what: "an IPoIB interface of another function",
    number: 1,
    put: (rig, of) => rig.moveIpoib(of, "pod", "net1"),
  },
  {
    what: "an IPoIB interface in the pod that neither runtime nor result name",
    put: (rig, of) => rig.moveIpoib(of, "pod", "ib7"),
  },
  {
    what: "an Ethernet interface of the function",
    put: (rig, of) => rig.addInterface(of, "pod", "net1"),
  },
];

export const INFINIBAND: Scenario[] = [
  scenario("infiniband: ADD refuses when the pod has the function's IPoIB interface", async (rig) => {
    const { of, pod } = await nodeWithIpoib(rig);
    await rig.moveIpoib(of, "pod", "net1");
    const link = await rig.getInterface("pod", "net1");
    assert(link);
    for (const change of ASKING) {
      await pod.fail("ADD", 115, /"net1".*IPoIB.*"rdmaIsolation": true.*remove "rdma"/, change);
      await assertUntouched(pod, link);
    }
    await pod.del(); // as the runtime does after an ADD that failed
    await assertUntouched(pod, link);
  }),
  scenario("infiniband: an IPoIB interface of a partition, without parent, counts too", async (rig) => {
    const { of, pod } = await nodeWithIpoib(rig);
    await rig.moveIpoib(of, "pod", "net1", { isPartition: true });
    const link = await rig.getInterface("pod", "net1");
    await pod.fail("ADD", 115, /"net1".*the kernel does not say of which device/);
    await assertUntouched(pod, link);
  }),
  scenario("infiniband: device and interface that ib-sriov-cni has isolated stay", async (rig) => {
    const { of, pod } = await nodeWithIpoib(rig);
    await rig.moveDevice(pod.device, "host", "pod");
    await rig.moveIpoib(of, "pod", "net1");
    const link = await rig.getInterface("pod", "net1");
    await pod.fail("ADD", 115, /"net1".*"rdma"/);
    assertMatch((await pod.del()).log, /not touched/);
    await assertUntouched(pod, link, "pod");
  }),
  ...ELSEWHERE.map(({ what, number = 0, put }) =>
    scenario(`infiniband: ${what} does not stand in the way`, async (rig) => {
      const { of } = await nodeWithIpoib(rig);
      await put(rig, of);
      const pod = new Attachment(rig, rig.vf(number));
      await pod.add();
      assertEquals(await namesIn(rig, "pod"), [pod.device]);
      await pod.check();
      await pod.leave();
    })
  ),
];
