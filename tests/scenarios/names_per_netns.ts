// Names from Linux 7.3 on, unique per network namespace. The first six follow the kernel's own cases, in their order
// (tools/testing/selftests/rdma/rxe_netns_names.sh), as a pod meets them.
import { assertEquals, assertMatch, assertNotEquals } from "../support/assert.ts";
import type { Rig } from "../rig/rig.ts";
import {
  assertNothingLeft,
  assertQuiet,
  Attachment,
  gc,
  leaveAll,
  namesIn,
  newPod,
  placesOf,
  readRecord,
  type Scenario,
  scenario,
} from "./scenario.ts";

/** The name of a device that stays on the host. */
const nameOnHost = (rig: Rig) => rig.pf().rdmaDevices[0]!;

/** The attachment of virtual function 0 to a pod in which another function's device has the name of its own. */
async function podWithItsName(
  rig: Rig,
  config: object = {},
): Promise<{ pod: Attachment; other: Attachment }> {
  const pod = await newPod(rig, rig.vf(0), { config });
  const other = new Attachment(rig, rig.vf(1), { ifname: "net2", config: { rdmaDeviceName: pod.device } });
  await other.add();
  await other.assertAt(`pod ${pod.device}`);
  return { pod, other };
}

/** What calls find a device that the kernel named. */
const LATER: Record<string, (rig: Rig, pod: Attachment) => Promise<unknown>> = {
  DEL: (_, pod) => pod.del(),
  GC: async (rig) => assertQuiet(await gc(rig, { "cni.dev/valid-attachments": [] })),
  "another pod's ADD and DEL": async (rig, { device, function_ }) => {
    await rig.addNetns("next");
    const next = new Attachment(rig, function_, { netns: "next", containerId: "container2" });
    await next.add();
    await next.assertAt(`next ${device}`);
    await next.del();
  },
};

export const NAMES_PER_NETNS: Scenario[] = [
  scenario("names per namespace: two pods and the host have devices of one name", async (rig) => {
    const pods: Attachment[] = [];
    for (const [i, netns] of ["pod", "second"].entries()) {
      await rig.addNetns(netns);
      const config = { rdmaDeviceName: nameOnHost(rig) };
      pods.push(new Attachment(rig, rig.vf(i), { netns, containerId: netns, config }));
      await pods[i]!.add();
    }
    for (const pod of pods) await pod.check();
    assertEquals([await namesIn(rig, "pod"), await namesIn(rig, "second")], [
      [nameOnHost(rig)],
      [nameOnHost(rig)],
    ]);
    await leaveAll(...pods);
  }, { needs: "namesPerNetns" }),
  scenario("names per namespace: a pod that has the device's name gets it under another", async (rig) => {
    const { pod, other } = await podWithItsName(rig);
    const { log } = await pod.add();
    const [place] = await placesOf(rig, pod.function_);
    const [, podName] = /^pod (mlx5_\d+)$/.exec(place!)!;
    assertNotEquals(podName, pod.device);
    assertMatch(log, new RegExp(`is called ${podName} from now on`));
    assertEquals([readRecord(rig).devices[0].hostName, readRecord(rig).devices[0].podName], [
      pod.device,
      podName,
    ]);
    await pod.check();
    await leaveAll(other, pod);
  }, { needs: "namesPerNetns" }),
  scenario("names per namespace: a device in the pod already gets a name of the host's", async (rig) => {
    const pod = await newPod(rig, rig.vf(0), { config: { rdmaDeviceName: nameOnHost(rig) } });
    await rig.moveDevice(pod.device, "host", "pod");
    await pod.add();
    await pod.assertAt(`pod ${nameOnHost(rig)}`);
    await pod.check();
    await pod.leave();
  }, { needs: "namesPerNetns" }),
  scenario("names per namespace: a device moves and is renamed at once", async (rig) => {
    const { pod, other } = await podWithItsName(rig, { rdmaDeviceName: nameOnHost(rig) });
    await pod.add();
    await pod.assertAt(`pod ${nameOnHost(rig)}`);
    await pod.check();
    await leaveAll(pod, other);
  }, { needs: "namesPerNetns" }),
  scenario("names per namespace: in one namespace a name that is taken is refused", async (rig) => {
    const other = await newPod(rig, rig.vf(1), { ifname: "net2", config: { rdmaDeviceName: "roce0" } });
    await other.add();
    const pod = new Attachment(rig, rig.vf(0), { config: { rdmaDeviceName: "roce0" } });
    await rig.moveDevice(pod.device, "host", "pod");
    await pod.fail("ADD", 114, /"roce0" is taken: container "container1" has it as "net2"/);
    await pod.assertAt(`pod ${pod.device}`);
    await other.assertAt("pod roce0");
    await pod.add({ config: { rdmaDeviceName: "roce_{index}" } });
    await pod.assertAt("pod roce_0");
    await leaveAll(pod, other);
  }, { needs: "namesPerNetns" }),
  ...Object.entries(LATER).map(([later, call]) =>
    scenario(`names per namespace: ${later} renames a device that returned as ibdevN`, async (rig) => {
      const pod = await newPod(rig, rig.vf(0), { config: { rdmaDeviceName: nameOnHost(rig) } });
      await pod.add();
      await rig.endNetns("pod");
      await pod.assertAt(`host ibdev${readRecord(rig).devices[0].index}`);
      await call(rig, pod);
      await assertNothingLeft(rig, pod);
    }, { needs: "namesPerNetns" })
  ),
  scenario("names per namespace: a device whose name the host has returns under another", async (rig) => {
    await rig.addNetns("pod");
    for (const isEnded of [false, true]) {
      const pod = new Attachment(rig, rig.vf(0));
      await pod.add();
      const other = rig.vf(1);
      await rig.renameDevice(other.rdmaDevices[0]!, "host", pod.device);
      if (isEnded) {
        await rig.endNetns("pod");
        await pod.assertAt(`host ibdev${readRecord(rig).devices[0].index}`);
      }
      await pod.del();
      const places = [...await placesOf(rig, pod.function_), ...await placesOf(rig, other)];
      assertMatch(places.join(), new RegExp(`^host mlx5_\\d+,host ${pod.device}$`));
      assertNotEquals(places[0], places[1]);
      await assertNothingLeft(rig);
    }
  }, { needs: "namesPerNetns" }),
];
