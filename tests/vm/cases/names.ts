// Calls that give names and are killed; tests/scenarios/names.ts has the rest.
import { assertEquals } from "../../support/assert.ts";
import {
  addPod,
  again,
  assertInPod,
  assertOnHost,
  assertQuiet,
  assertResult,
  attachment,
  type CniOutcome,
  config,
  rdmaNames,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import { killAt, listSystemCalls } from "../../rig/vm/guest/injection.ts";
import { LONG } from "../../rig/vm/guest/options.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";

/** At how many of its last requests to the kernel a call is killed in the short form, besides the first. */
const KILLS = 5;

/** Linux 7.3 moves and renames by one message; older kernels rename first, on the way back last. */
const isAtOnce = new VmRig().hasNamesPerNetns;

/** A pod's attachment of a function whose device is called roce0 there. */
async function namedPod() {
  const function_ = await addPod();
  const { deviceId } = function_;
  const one = attachment(deviceId, { config: config({ deviceID: deviceId, rdmaDeviceName: "roce0" }) });
  return {
    ...function_,
    ...one,
    /** Where the device is, and under which name. */
    place: async () => {
      const [onHost] = again(function_).rdmaDevices;
      return onHost ? `host ${onHost}` : `pod ${(await rdmaNames("pod")).join()}`;
    },
    /** A DEL that must succeed and leave nothing. */
    goHome: async () => {
      assertQuiet(await one.del());
      assertOnHost(function_);
    },
  };
}

/** The requests to the kernel at which a call is to be killed, which is made once. */
async function requestsOf(run: (wrapper: string[]) => Promise<CniOutcome>) {
  const requests = (await listSystemCalls(run)).filter(({ name }) => name === "sendto");
  return LONG ? requests : [requests[0]!, ...requests.slice(-KILLS)];
}

vmCase("names: ADD killed between rename and move: DEL or the next ADD makes it good", async () => {
  const pod = await namedPod();
  assertResult(await pod.add());
  await pod.goHome(); // the device's index is remembered, so that each later call does the same
  const requests = await requestsOf((wrapper) => pod.add({ wrapper }));
  await pod.goHome();
  const places = new Set<string>();
  for (const request of requests) {
    assertEquals((await pod.add({ wrapper: killAt(request) })).code, 137);
    const place = await pod.place();
    if (!places.has(place)) {
      assertResult(await pod.add());
      await assertInPod(["roce0"]);
    }
    places.add(place);
    await pod.goHome();
  }
  const between = isAtOnce ? [] : ["host roce0"];
  assertEquals([...places], [`host ${pod.rdmaDevice}`, ...between, "pod roce0"]);
}, { limitMs: 400_000 });

// In the short form only at random system calls: "faults: ".
if (LONG) {
  vmCase("names: DEL killed at any request to the kernel: the next DEL restores", async () => {
    const pod = await namedPod();
    assertResult(await pod.add());
    const requests = await requestsOf((wrapper) => pod.del({ wrapper }));
    const places = new Set<string>();
    for (const request of requests) {
      assertResult(await pod.add());
      assertEquals((await pod.del({ wrapper: killAt(request) })).code, 137);
      places.add(await pod.place());
      await pod.goHome();
    }
    const between = isAtOnce ? [] : [`pod ${pod.rdmaDevice}`];
    assertEquals([...places], ["pod roce0", ...between, `host ${pod.rdmaDevice}`]);
  }, { limitMs: 400_000 });
}
