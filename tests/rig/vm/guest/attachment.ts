import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import { allFunctions, names, type NetworkFunction, setSimParameter } from "./functions.ts";
import { netnsPath } from "./netns.ts";
import { type CniOutcome, isInMove, plugin, type PluginCall, startPlugin } from "./plugin.ts";
import { rdmaNames } from "./rdma.ts";
import { until } from "./sh.ts";

export const STATE_DIRECTORY = "/var/lib/cni/rdma";

/** The configuration that a runtime hands to the plugin; its network is "net". */
export function config(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { cniVersion: "1.0.0", name: "net", type: "rdma", prevResult: prevResult(), ...more };
}

export function prevResult(more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    cniVersion: "1.0.0",
    interfaces: [{ name: "net1", mac: "02:00:00:00:00:01", sandbox: netnsPath("pod"), mtu: 9000 }],
    ips: [{ address: "10.0.0.2/24", interface: 0 }],
    routes: [],
    "example.org/unknown": { id: 7 },
    ...more,
  };
}

/** One attachment of a function to a pod, as the plugin is asked to add and delete it. */
export function attachment(deviceId: string, more: Partial<PluginCall> = {}) {
  const call = { netns: "pod", config: config({ deviceID: deviceId }), ...more };
  const run = (command: string, change: Partial<PluginCall>) => plugin({ command, ...call, ...change });
  return {
    add: (change: Partial<PluginCall> = {}) => run("ADD", change),
    del: (change: Partial<PluginCall> = {}) => run("DEL", change),
    check: (change: Partial<PluginCall> = {}) => run("CHECK", change),
  };
}

/** Starts a call for pod "pod", and returns while the kernel moves its device. */
export async function startInMove(command: string, deviceId: string): Promise<Deno.ChildProcess> {
  setSimParameter("move_delay_ms", 3000);
  const call = await startPlugin({ command, netns: "pod", config: config({ deviceID: deviceId }) });
  await until("the kernel moves the device", () => isInMove(call.pid));
  setSimParameter("move_delay_ms", 0);
  return call;
}

/** Calls GC for network "net". `more` is put into the configuration: which attachments are valid. */
export async function gc(more: object, change: Partial<PluginCall> = {}): Promise<CniOutcome> {
  const config = { cniVersion: "1.1.0", name: "net", type: "rdma", ...more };
  const environment = { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined };
  return await plugin({ command: "GC", config, environment, ...change });
}

/** The files of the state directory but for the one that names the lock's holder, which a call that is killed leaves. */
export const records = () => names(STATE_DIRECTORY).filter((name) => name !== ".holder").sort();

export function readRecord(file: string): Record<string, unknown> {
  return JSON.parse(Deno.readTextFileSync(`${STATE_DIRECTORY}/${file}`));
}

/** Writes a record, or anything else, into the state directory. */
export function writeRecord(file: string, content: unknown): void {
  Deno.mkdirSync(STATE_DIRECTORY, { recursive: true, mode: 0o700 });
  const text = typeof content === "string" ? content : JSON.stringify(content);
  Deno.writeTextFileSync(`${STATE_DIRECTORY}/${file}`, text);
}

/** Asserts that a call succeeded and, as DEL, CHECK, GC and STATUS must, printed nothing. */
export function assertQuiet(outcome: CniOutcome): void {
  assertEquals({ code: outcome.code, stdout: outcome.stdout }, { code: 0, stdout: "" }, outcome.stderr);
}

export function assertResult(outcome: CniOutcome): void {
  assertEquals(outcome.code, 0, outcome.stdout + outcome.stderr);
  assert(outcome.json && !("code" in outcome.json), outcome.stdout);
}

/** Asserts that a call failed with a CNI code and a message that has these words. */
export function assertError(outcome: CniOutcome, code: number, words: RegExp): void {
  assertEquals(outcome.code, 1, outcome.stdout + outcome.stderr);
  assertEquals(outcome.json?.code, code, outcome.stdout);
  assertMatch(`${outcome.json?.msg} | ${outcome.json?.details}`, words);
}

export function assertNothingLeft(): void {
  const away = allFunctions().filter(({ rdmaDevices }) => rdmaDevices.length === 0);
  assertEquals(away, [], "functions whose RDMA device is not on the host");
  assertEquals(names(STATE_DIRECTORY), [], "records left");
}

/** Asserts that a function's device is on the host under its own name, and no record is left. */
export function assertOnHost(function_: { deviceId: string; rdmaDevice: string }): void {
  assertNothingLeft();
  assertEquals(again(function_).rdmaDevices, [function_.rdmaDevice]);
}

export async function assertInPod(devices: string[], netns = "pod"): Promise<void> {
  assertEquals((await rdmaNames(netns)).sort(), [...devices].sort());
}

export function again({ deviceId }: { deviceId: string }): NetworkFunction {
  return allFunctions().find((one) => one.deviceId === deviceId)!;
}
