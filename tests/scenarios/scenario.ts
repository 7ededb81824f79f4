// The words that scenarios are written in. What they call runs on any rig.
import { assertEquals, assertMatch } from "../support/assert.ts";
import type { LackName, OtherSet } from "../rig/vm/kernels.ts";
import type { Async, NodeFunction, Rig, RigCall, RigOutcome } from "../rig/rig.ts";

/** A story with its expected end state. It begins on a node to which nothing has happened. */
export interface Scenario {
  readonly name: string;
  readonly run: (rig: Rig) => Async<void>;
  /** It takes a right from the call, which an agent would have. */
  readonly isExecutedOnly?: boolean;
  /** Sets for other kernels than Debian 13's, on which it is executed. */
  readonly sets?: readonly OtherSet[] | undefined;
  /** What a real kernel must have for it. */
  readonly needs?: LackName | undefined;
}

export function scenario(
  name: string,
  run: Scenario["run"],
  fields: Omit<Scenario, "name" | "run"> = {},
): Scenario {
  return { name, run, ...fields };
}

/** The record of the attachment that scenarios make unless they say otherwise. */
export const FILE = "net-container1-net1";
/** A path of the host's namespace. */
export const HOST = "/proc/1/ns/net";

/** What a plugin before ours may have given, with a key that no version of the specification knows. */
export const PREV_RESULT = { cniVersion: "1.1.0", interfaces: [], "example.org/unknown": { id: 7 } };

export const podPath = (name: string) => `/run/netns/${name}`;

/** A result before ours with these interfaces. */
export function interfaces(...list: object[]): { prevResult: object } {
  return { prevResult: { cniVersion: "1.1.0", interfaces: list } };
}

/** What may be different in a call. Undefined keys of the configuration are taken out. */
export type Change = Partial<Omit<RigCall, "command" | "config">> & { readonly config?: object };

/** The attachment of a function to a pod. */
export class Attachment {
  readonly #call: Change;

  constructor(readonly rig: Rig, readonly function_: NodeFunction, call: Change = {}) {
    this.#call = { netns: "pod", ...call };
  }

  /** Name of the function's first device on the host when the attachment was made. */
  get device(): string {
    return this.function_.rdmaDevices[0]!;
  }

  /** Makes a call, whatever becomes of it. */
  call(command: string, change: Change = {}): Promise<RigOutcome> {
    const { deviceId } = this.function_;
    const config = {
      ...{ cniVersion: "1.1.0", name: "net", type: "rdma", deviceID: deviceId, prevResult: PREV_RESULT },
      ...this.#call.config,
      ...change.config,
    };
    return this.rig.call({ command, ...this.#call, ...change, config });
  }

  /** ADD succeeds and passes on the result before it. */
  async add(change?: Change): Promise<RigOutcome> {
    const outcome = await this.call("ADD", change);
    assertEquals(outcome.code, 0, outcome.output + outcome.log);
    const config: { prevResult?: unknown } = { ...this.#call.config, ...change?.config };
    assertEquals(outcome.json, config.prevResult ?? PREV_RESULT);
    return outcome;
  }

  /** CHECK succeeds and prints nothing. */
  async check(change?: Change): Promise<RigOutcome> {
    return assertQuiet(await this.call("CHECK", change));
  }

  /** DEL succeeds and prints nothing. */
  async del(change?: Change): Promise<RigOutcome> {
    return assertQuiet(await this.call("DEL", change));
  }

  /** DEL succeeds, and everything is as before ADD. */
  async leave(change?: Change): Promise<void> {
    await this.del(change);
    await assertNothingLeft(this.rig, this);
  }

  /** A call fails with a code and these words in message or details. */
  async fail(command: string, code: number, words: RegExp, change?: Change): Promise<RigOutcome> {
    return assertError(await this.call(command, change), code, words);
  }

  /** Asserts where the function's devices are, each by place and name. */
  async assertAt(...places: string[]): Promise<void> {
    assertEquals(await placesOf(this.rig, this.function_), places);
  }
}

/** An attachment of a function, virtual function 0 unless told, to a new namespace "pod". */
export async function newPod(rig: Rig, function_ = rig.vf(0), call: Change = {}): Promise<Attachment> {
  await rig.addNetns("pod");
  return new Attachment(rig, function_, call);
}

/** An attachment of virtual function 0 to a new namespace "pod", after ADD. */
export async function addedPod(rig: Rig, call: Change = {}): Promise<Attachment> {
  const pod = await newPod(rig, rig.vf(0), call);
  await pod.add();
  return pod;
}

/** As addedPod; the device's name in the pod is roce0. */
export async function namedPod(rig: Rig): Promise<Attachment> {
  const pod = await addedPod(rig, { config: { rdmaDeviceName: "roce0" } });
  await pod.assertAt("pod roce0");
  return pod;
}

/** Calls GC for network "net" with these keys, which say what attachments are valid. */
export function gc(rig: Rig, keys: object, change: Change = {}): Promise<RigOutcome> {
  const config = { cniVersion: "1.1.0", name: "net", type: "rdma", ...keys };
  const environment = { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined };
  return rig.call({ command: "GC", environment, ...change, config });
}

export function assertQuiet(outcome: RigOutcome): RigOutcome {
  assertEquals([outcome.code, outcome.output], [0, ""], outcome.log);
  return outcome;
}

export function assertError(outcome: RigOutcome, code: number, words: RegExp): RigOutcome {
  assertEquals([outcome.code, outcome.json?.code], [1, code], outcome.output + outcome.log);
  assertMatch(`${outcome.json.msg} | ${outcome.json.details}`, words);
  return outcome;
}

/** Asserts that the log has a line of level warning that these words are in. */
export function assertWarning({ log }: RigOutcome, words: RegExp): void {
  const warnings = log.split("\n").filter((line) => line.includes('level="warning"'));
  assertMatch(warnings.join("\n"), words);
}

/** Where a function's devices are, each by place and name. */
export async function placesOf(rig: Rig, { deviceId }: NodeFunction): Promise<string[]> {
  const devices = await rig.listDevices();
  return devices.filter((device) => device.deviceId === deviceId).map(({ place, name }) =>
    `${place} ${name}`
  );
}

/** Names of all devices that are in a namespace. */
export async function namesIn(rig: Rig, netns: string): Promise<string[]> {
  return (await rig.listDevices()).filter(({ place }) => place === netns).map(({ name }) => name).sort();
}

/** Asserts that all devices are on the host under their own names, those of the attachments, and no record is left. */
export async function assertNothingLeft(rig: Rig, ...pods: Attachment[]): Promise<void> {
  const devices = await rig.listDevices();
  assertEquals(devices.filter(({ place }) => place !== "host"), []);
  for (const { function_: { deviceId }, device } of pods) {
    const own = devices.filter((one) => one.deviceId === deviceId);
    assertEquals(own.map(({ name }) => name), [device]);
  }
  assertEquals(records(rig), []);
}

/** DELs succeed, and everything is as before the ADDs. */
export async function leaveAll(...pods: Attachment[]): Promise<void> {
  for (const pod of pods) await pod.del();
  await assertNothingLeft(pods[0]!.rig, ...pods);
}

/** Names of the files in the directory of records, which may be missing. */
export function records({ directory }: Rig): string[] {
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

// deno-lint-ignore no-explicit-any -- a record as it stands in its file
export function readRecord({ directory }: Rig, file = FILE): any {
  return JSON.parse(Deno.readTextFileSync(`${directory}/${file}`));
}

/** Writes a file into the directory of records: text as it is, anything else as JSON. */
export function writeRecord({ directory }: Rig, file: string, content: unknown): void {
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const text = typeof content === "string" ? content : JSON.stringify(content);
  Deno.writeTextFileSync(`${directory}/${file}`, text);
}

export function removeRecord({ directory }: Rig, file = FILE): void {
  Deno.removeSync(`${directory}/${file}`);
}

/** A record as the Go plugin writes it: it names no namespace. */
export function goRecord(
  { deviceId }: Pick<NodeFunction, "deviceId">,
  hostName: string,
  podName = hostName,
): object {
  return { version: "1.0", deviceID: deviceId, sandboxRdmaDevName: hostName, containerRdmaDevName: podName };
}
