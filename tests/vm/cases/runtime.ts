// Pods as kubelet has them made: by containerd and runc, through the Container Runtime Interface, each on the network of
// one VF, which is a chain of host-device and rdma.
import { assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { Containerd } from "../../rig/vm/guest/containerd.ts";
import {
  addPod,
  again,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  casesWith,
  names,
  netnsNames,
  type NetworkFunction,
  plugin,
  rdmaNames,
  records,
  setSimParameter,
  until,
  vf,
  vfs,
} from "../../rig/vm/guest/harness.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

/** A container runtime is many programs, each slow to start on an emulated processor. */
function runtimeCase(name: string, run: () => unknown): void {
  vmCase(`runtime: ${name}`, run, { limitMs: 2 * 60_000 });
}

/** Asserts that all functions are as they were before, netdevs included, and that nothing else is left. */
function assertAsBefore(before: NetworkFunction[]): void {
  assertNothingLeft();
  assertEquals(vfs(), before);
  assertEquals(netnsNames(), []);
}

/**
 * Asks for a sandbox on VF 0, lets something happen in the midst of its ADD, when the record is written and the kernel
 * moves the device, and waits until the call has failed.
 */
async function interruptAdd(
  { containerd, name, signal }: { containerd: Containerd; name: string; signal?: AbortSignal },
  interrupt: () => unknown,
): Promise<void> {
  setSimParameter("move_delay_ms", 3000);
  const refused = assertRejects(() => containerd.runSandbox(name, 0, signal));
  await until("the record is written", () => records().length > 0);
  await interrupt();
  setSimParameter("move_delay_ms", 0);
  await refused;
}

function killPlugin(): void {
  const started = names("/proc").filter((name) =>
    /^\d+$/.test(name) && Deno.readTextFileSync(`/proc/${name}/comm`) === "rdma\n"
  );
  assertEquals(started.length, 1);
  Deno.kill(Number(started[0]), "SIGKILL");
}

/** Removes all that containerd knows, as kubelet does with what it has not asked for. */
async function removeSandboxes(containerd: Containerd): Promise<void> {
  for (const sandbox of await containerd.sandboxes()) await containerd.removeSandbox(sandbox);
  assertEquals(await containerd.sandboxes(), []);
  assertEquals(netnsNames(), []);
}

runtimeCase("two pods at once: each container sees its own device alone, until they go", async () => {
  const before = vfs();
  const containerd = await Containerd.start();
  const pods = await Promise.all([0, 1].map((number) => containerd.runPod(`pair${number}`, number)));
  for (const [number, pod] of pods.entries()) {
    const { rdmaDevices } = before[number]!;
    assertEquals(await containerd.listInfiniband(pod), rdmaDevices);
    await assertInPod(rdmaDevices, await containerd.netns(pod.sandboxId));
    assertEquals((await rdmaNames()).filter((name) => rdmaDevices.includes(name)), []);
  }
  await containerd.kill();
  const successor = await Containerd.start();
  await Promise.all(pods.map(({ sandboxId }) => successor.removeSandbox(sandboxId)));
  assertAsBefore(before);
});

runtimeCase("a pod whose ADD fails is told why, and nothing of it is left", async () => {
  const containerd = await Containerd.start();
  const { deviceId, rdmaDevice } = await addPod();
  assertResult(await attachment(deviceId).add());
  const before = vfs();
  const { message } = await assertRejects(() => containerd.runSandbox("second", 0));
  assertMatch(message, /plugin type="rdma" failed \(add\): .*container "container1" has it as "net1"/);
  assertEquals(await containerd.sandboxes(), []);
  assertEquals(vfs(), before);
  assertEquals(netnsNames(), ["pod"]);
  assertEquals(records(), ["net-container1-net1"]);
  await assertInPod([rdmaDevice]);
});

runtimeCase("an ADD that kubelet waits for no longer is killed, and its DEL restores all", async () => {
  const before = vfs();
  const containerd = await Containerd.start();
  const patience = new AbortController();
  await interruptAdd({ containerd, name: "late", signal: patience.signal }, () => patience.abort());
  await until("containerd has cleaned up", () => netnsNames().length === 0);
  await removeSandboxes(containerd);
  assertAsBefore(before);
});

runtimeCase("containerd is killed during ADD: with no one to tell, the plugin takes it back", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  const containerd = await Containerd.start();
  await interruptAdd({ containerd, name: "orphan" }, () => containerd.kill());
  await until("the record is gone", () => records().length === 0);
  assertEquals(again({ deviceId }).rdmaDevices, [rdmaDevice]);
  await removeSandboxes(await Containerd.start());
  assertNothingLeft();
});

runtimeCase("containerd and plugin are killed during ADD: the next pod gets the VF", async () => {
  const { deviceId, rdmaDevice } = vf(0);
  const containerd = await Containerd.start();
  await interruptAdd({ containerd, name: "crash" }, async () => {
    await containerd.kill();
    killPlugin();
  });
  const successor = await Containerd.start();
  // containerd calls no DEL for a sandbox whose ADD it saw no end of: the kernel takes its namespace apart.
  await removeSandboxes(successor);
  await until("the netdev is on the host", () => again({ deviceId }).netdev !== undefined);
  assertEquals(records().length, 1);
  const next = await successor.runSandbox("next", 0);
  await assertInPod([rdmaDevice], await successor.netns(next));
  await successor.removeSandbox(next);
  const config = { cniVersion: "1.1.0", name: "roce", type: "rdma", "cni.dev/valid-attachments": [] };
  assertQuiet(await plugin({ command: "GC", config }));
  assertNothingLeft();
  assertEquals(again({ deviceId }).rdmaDevices, [rdmaDevice]);
});
