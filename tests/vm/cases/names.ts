// Calls that give names and are killed, and what names cost; tests/scenarios/names.ts has the rest.
import { LONG } from "../../rig/vm/guest/options.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { VmRig } from "../../rig/vm/guest/rig.ts";
import {
  again,
  assertInPod,
  assertOnHost,
  assertQuiet,
  assertResult,
  attachment,
  config,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, addPod, rdmaNames, sf, vmCase } from "../../rig/vm/guest/harness.ts";
import { killAtNth } from "../../rig/vm/guest/injection.ts";

/** An attachment of a function that asks for a name. */
function named(deviceId: string, rdmaDeviceName: string) {
  return attachment(deviceId, { config: config({ deviceID: deviceId, rdmaDeviceName }) });
}

/** More requests than a call sends. */
const MANY = 30;

/** Linux 7.3; older kernels rename first, and move by another message. */
const MOVES_AND_RENAMES_AT_ONCE = new VmRig().hasNamesPerNetns;

/** What a call is started by that kills it as it sends its nth request to the kernel. */
function killAt(n: number): string[] {
  assert(n < MANY);
  return killAtNth("sendto", n);
}

const STRACE_LIMIT_MS = 400_000;

/** Where the function's device is, and under which name. */
async function place({ deviceId }: { deviceId: string }): Promise<string> {
  const [onHost] = again({ deviceId }).rdmaDevices;
  return onHost ? `host ${onHost}` : `pod ${(await rdmaNames("pod")).join()}`;
}

vmCase("names: ADD killed at any request, between rename and move too: DEL restores", async () => {
  const function_ = await addPod();
  const one = named(function_.deviceId, "roce0");
  const seen = new Map<string, number>();
  for (let n = 1;; n++) {
    const added = await one.add({ wrapper: killAt(n) });
    if (added.code === 0) break;
    assertEquals(added.code, 137, added.stderr);
    seen.set(await place(function_), n);
    assertQuiet(await one.del());
    assertOnHost(function_);
  }
  const between = MOVES_AND_RENAMES_AT_ONCE ? [] : ["host roce0"];
  assertEquals([...seen.keys()], [`host ${function_.rdmaDevice}`, ...between, "pod roce0"]);
  assertQuiet(await one.del());

  const last = MOVES_AND_RENAMES_AT_ONCE ? "pod roce0" : "host roce0";
  assertEquals((await one.add({ wrapper: killAt(seen.get(last)!) })).code, 137);
  assertEquals(await place(function_), last);
  assertResult(await one.add());
  await assertInPod(["roce0"]);
  assertQuiet(await one.del());
  assertOnHost(function_);
}, { limitMs: STRACE_LIMIT_MS });

// In the short form only at random system calls: "faults: ".
if (LONG) {
  vmCase("names: DEL killed at any request to the kernel: the next DEL restores", async () => {
    const function_ = await addPod();
    const one = named(function_.deviceId, "roce0");
    const seen = new Set<string>();
    for (let n = 1;; n++) {
      assertResult(await one.add());
      const deleted = await one.del({ wrapper: killAt(n) });
      if (deleted.code === 0) break;
      assertEquals(deleted.code, 137, deleted.stderr);
      seen.add(await place(function_));
      assertQuiet(await one.del());
      assertOnHost(function_);
    }
    const between = MOVES_AND_RENAMES_AT_ONCE ? [] : [`pod ${function_.rdmaDevice}`];
    assertEquals([...seen], ["pod roce0", ...between, `host ${function_.rdmaDevice}`]);
    assertOnHost(function_);
  }, { limitMs: STRACE_LIMIT_MS });
}

vmCase("names: who asks for one pays a few requests to the kernel for it", async () => {
  await addNetns("pod");
  const { deviceId } = sf(0); // which is never bound anew, so that no request is spent on finding its index
  const count = async (one: ReturnType<typeof attachment>) => {
    const traces = ["/run/trace_add", "/run/trace_del"] as const;
    const traced = (trace: string) => ({
      wrapper: ["strace", "-f", "--seccomp-bpf", "-o", trace, "-e", "trace=sendto"],
    });
    assertResult(await one.add(traced(traces[0])));
    assertQuiet(await one.del(traced(traces[1])));
    return traces.map((trace) =>
      Deno.readTextFileSync(trace).split("\n").filter((line) => line.includes("sendto(")).length
    );
  };
  const [add, del] = await count(attachment(deviceId));
  // What the pod has, and whether the device has left; before Linux 7.3 the rename too. DEL: the same but for the first.
  const rename = MOVES_AND_RENAMES_AT_ONCE ? 0 : 1;
  assertEquals(await count(named(deviceId, "roce0")), [add! + 2 + rename, del! + 1 + rename]);
}, { needs: "auxiliaryBus" });
