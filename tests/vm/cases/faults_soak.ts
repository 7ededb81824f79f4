// Random steps of a node's life, several at once, against a model of what must be true after each of them. A sequence
// that fails is shrunk to a short one.
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  assertNothingLeft,
  assertQuiet,
  attachment,
  config,
  gc,
  readRecord,
  records,
  STATE_FOLDER,
} from "../guest/attachment.ts";
import {
  addNetns,
  type CniOutcome,
  deleteNetns,
  holdNetns,
  names,
  netnsCount,
  netnsNames,
  netnsPath,
  rebind,
  sfs,
  shOk,
  until,
  vfs,
  vmCase,
} from "../guest/harness.ts";
import { type Container, type Device, type Expectation, NodeModel } from "../guest/node_model.ts";
import { LONG, SEED } from "../guest/options.ts";

/** In the long form 2,000 steps, as several cases that can be run one by one. */
const CASES = LONG ? 10 : 1;
const STEPS = LONG ? 200 : 100;
const LIMIT_MS = 90 * 60_000;
const LONGEST_SEQUENCE = 25;
const SLOTS = 4;
/** For a sequence and, when it fails, for making it shorter. */
const SEQUENCE_LIMIT_MS = 10 * 60_000;
/** How many calls are made at the same time. */
const WORKERS = 4;

type Command = fc.AsyncCommand<NodeModel, SoakNode>;

/** The node as it really is. */
class SoakNode {
  steps = 0;
  readonly #holders = new Map<Container, Deno.ChildProcess>();

  /** Calls the plugin for a container. */
  async call(command: "add" | "del" | "check", model: NodeModel, container: Container, device: Device) {
    this.steps++;
    const { netns, id: containerId } = container;
    const { deviceId } = device;
    return await attachment(deviceId, {
      netns,
      containerId,
      ifname: model.ifname(device),
      config: config({ deviceID: deviceId, prevResult: {} }),
    })[command]();
  }

  async start(container: Container): Promise<void> {
    this.steps++;
    await addNetns(container.netns);
  }

  async end(container: Container): Promise<void> {
    this.steps++;
    await deleteNetns(container.netns);
  }

  /** Takes the path from a container's namespace while a process in it keeps it. */
  async losePath(container: Container): Promise<{ pid: number }> {
    this.steps++;
    const holder = await holdNetns(container.netns);
    this.#holders.set(container, holder);
    await shOk(`ip netns del ${container.netns}`);
    return holder;
  }

  async release(container: Container): Promise<void> {
    this.steps++;
    const before = netnsCount();
    const holder = this.#holders.get(container)!;
    holder.kill("SIGKILL");
    await holder.status;
    await until("the namespace is gone", () => netnsCount() < before);
  }

  async clear(): Promise<void> {
    for (const holder of this.#holders.values()) {
      try {
        holder.kill("SIGKILL");
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // it has ended
      }
    }
    for (const name of netnsNames()) await shOk(`ip netns del ${name}`);
    await until("only the initial network namespace is left", () => netnsCount() === 1);
    for (const name of records()) Deno.removeSync(`${STATE_FOLDER}/${name}`);
  }
}

/** Everything is where the model says, and nothing else is anywhere. */
async function assertAsModel(model: NodeModel): Promise<void> {
  const found = await whereabouts(model);
  const wanted = model.devices.map(({ deviceId, where }) => ({ deviceId, where: where?.id ?? "home" }));
  assert.deepEqual(found.map(({ deviceId, where }) => ({ deviceId, where })), wanted);
  assert.deepEqual(records(), [...model.records.keys()].sort());
  for (const [file, { device, container, generation }] of model.records) {
    const { deviceID, devices } = readRecord(file) as { deviceID: string; devices: { index: number }[] };
    assert.equal(deviceID, device.deviceId);
    if (device.where !== container || device.generation !== generation) continue;
    assert.deepEqual(devices.map(({ index }) => index), [found[model.devices.indexOf(device)]!.index], file);
  }
  assert.equal(netnsCount(), 1 + model.alive().length, "network namespaces");
}

/** Where each function's device is, in how many places ever, and its index. */
async function whereabouts(model: NodeModel) {
  const spaces = model.alive().map(({ id, hasPath, netns, holder }) => ({
    id,
    path: hasPath ? netnsPath(netns) : `/proc/${holder!.pid}/ns/net`,
  }));
  const all = [{ id: "home", path: "/proc/1/ns/net" }, ...spaces];
  const output = await shOk(
    all.map(({ path }) => `nsenter --net=${path} rdma -j dev show && echo =`).join("\n"),
  );
  const listed: { ifindex: number; ifname: string }[][] = output.split("=").slice(0, -1).map((text) =>
    JSON.parse(text)
  );
  return model.devices.map(({ deviceId }) => {
    const [name] = rdmaNamesOf(deviceId);
    const places = all.flatMap(({ id }, i) =>
      listed[i]!.filter(({ ifname }) => ifname === name).map(({ ifindex }) => ({ id, index: ifindex }))
    );
    return { deviceId, where: places.map(({ id }) => id).join(" and "), index: places[0]?.index };
  });
}

/** The names of a function's RDMA devices, in whatever namespace they are. */
function rdmaNamesOf(deviceId: string): string[] {
  const bus = deviceId.includes(":") ? "pci" : "auxiliary";
  const folder = `/sys/bus/${bus}/devices/${deviceId}/infiniband_verbs`;
  return names(folder).map((uverbs) => Deno.readTextFileSync(`${folder}/${uverbs}/ibdev`).trim());
}

/** One of several, by a number of any size. */
function pick<T>(all: readonly T[], number: number): T | undefined {
  return all[number % all.length];
}

class Start implements Command {
  constructor(readonly slot: number) {}

  check(model: Readonly<NodeModel>): boolean {
    return model.running().every(({ netns }) => netns !== `pod${this.slot}`);
  }

  async run(model: NodeModel, node: SoakNode): Promise<void> {
    const container = { id: `c${model.containers.length}`, netns: `pod${this.slot}`, hasPath: true };
    await node.start(container);
    model.containers.push(container);
    await assertAsModel(model);
  }

  toString(): string {
    return `start pod${this.slot}`;
  }
}

class End implements Command {
  constructor(readonly pod: number, readonly isHeld: boolean) {}

  check(model: Readonly<NodeModel>): boolean {
    return model.running().length > 0;
  }

  async run(model: NodeModel, node: SoakNode): Promise<void> {
    const container = pick(model.running(), this.pod)!;
    if (this.isHeld) {
      const { pid } = await node.losePath(container);
      container.holder = { pid };
      container.hasPath = false;
    } else {
      await node.end(container);
      container.hasPath = false;
      model.netnsEnded(container);
    }
    await assertAsModel(model);
  }

  toString(): string {
    return `${this.isHeld ? "take the path from" : "end"} running pod ${this.pod}`;
  }
}

class Release implements Command {
  constructor(readonly pod: number) {}

  #chosen(model: Readonly<NodeModel>): Container | undefined {
    return pick(model.alive().filter(({ hasPath }) => !hasPath), this.pod);
  }

  check(model: Readonly<NodeModel>): boolean {
    return this.#chosen(model) !== undefined;
  }

  async run(model: NodeModel, node: SoakNode): Promise<void> {
    const container = this.#chosen(model)!;
    await node.release(container);
    delete container.holder;
    model.netnsEnded(container);
    await assertAsModel(model);
  }

  toString(): string {
    return `end the process of pod ${this.pod} without path`;
  }
}

interface Step {
  what: "add" | "del" | "check" | "rebind";
  pod: number;
  device: number;
}

interface Planned {
  expected: Expectation;
  outcome: () => Promise<CniOutcome | undefined>;
}

/** Calls about different functions, all at once, and GC of what dead pods left of the other functions. */
class AtOnce implements Command {
  constructor(readonly steps: readonly Step[], readonly withGc: boolean) {}

  check(): boolean {
    return true;
  }

  async run(model: NodeModel, node: SoakNode): Promise<void> {
    const planned = this.steps.map((step) => this.#plan(step, model, node)).filter((one) =>
      one !== undefined
    );
    if (this.withGc) planned.push(this.#planGc(model, node));
    const outcomes = await Promise.all(planned.map(({ outcome }) => outcome()));
    for (const [i, { expected }] of planned.entries()) {
      const outcome = outcomes[i];
      if (outcome) assert.equal(outcome.json?.code, expected.code, outcome.stdout + outcome.stderr);
      expected.apply();
    }
    await assertAsModel(model);
  }

  #plan({ what, pod, device: number }: Step, model: NodeModel, node: SoakNode): Planned | undefined {
    const device = model.devices[number]!;
    if (what === "rebind") {
      if (!device.deviceId.includes(":")) return undefined; // scalable functions have no driver here
      node.steps++;
      return {
        expected: { apply: () => model.rebind(device) },
        outcome: () => Promise.resolve(rebind(device.deviceId)).then(() => undefined),
      };
    }
    const owners = [...model.records.values()].filter((record) => record.device === device);
    const candidates = what === "del" && owners.length > 0
      ? owners.map(({ container }) => container)
      : what === "del"
      ? model.containers
      : model.running();
    const container = pick(candidates, pod);
    if (!container || (what === "add" && !model.mayAdd(container, device))) return undefined;
    return {
      expected: model[what](container, device),
      outcome: () => node.call(what, model, container, device),
    };
  }

  #planGc(model: NodeModel, node: SoakNode): Planned {
    const touched = this.steps.map(({ device }) => model.devices[device]);
    const valid = model.running().flatMap(({ id }) =>
      model.devices.map((device) => ({ containerID: id, ifname: model.ifname(device) }))
    );
    for (const device of touched) {
      valid.push(
        ...model.containers.map(({ id }) => ({ containerID: id, ifname: model.ifname(device!) })),
      );
    }
    node.steps++;
    return {
      expected: model.gc(({ container, device }) => container.hasPath || touched.includes(device)),
      outcome: () => gc({ "cni.dev/valid-attachments": valid }),
    };
  }

  toString(): string {
    const steps = this.steps.map(({ what, pod, device }) => `${what} device ${device} pod ${pod}`);
    return [...steps, ...(this.withGc ? ["gc"] : [])].join(" & ");
  }
}

const anyPod = fc.nat(11);
const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom("add" as const, "add" as const, "del" as const, "check" as const, "rebind" as const),
  pod: anyPod,
  device: fc.nat(vfs().length + sfs().length - 1),
});
const atOnce = fc.tuple(
  fc.uniqueArray(step, { selector: ({ device }) => device, minLength: 1, maxLength: WORKERS, size: "max" }),
  fc.integer({ min: 0, max: 3 }),
).map(([steps, gc]) => new AtOnce(steps, gc === 0));
const start = fc.nat(SLOTS - 1).map((slot) => new Start(slot));
const end = fc.tuple(anyPod, fc.boolean()).map(([pod, isHeld]) => new End(pod, isHeld));
const release = anyPod.map((pod) => new Release(pod));
const sequence = fc.commands<NodeModel, SoakNode, false>(
  [start, start, end, release, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce],
  { maxCommands: LONGEST_SEQUENCE, size: "max" },
);

for (let number = 1; number <= CASES; number++) {
  const name = CASES === 1 ? "" : ` (${number} of ${CASES})`;
  vmCase(`faults: many steps, several at once, leave all as it must be${name}`, async () => {
    let [steps, sequences] = [0, 0];
    const property = fc.asyncProperty(sequence, async (commands) => {
      const node = new SoakNode();
      const model = new NodeModel([...vfs(), ...sfs()].map(({ deviceId }) => deviceId));
      try {
        await fc.asyncModelRun(() => ({ model, real: node }), commands);
        assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
        assertNothingLeft();
      } finally {
        await node.clear();
        steps += node.steps;
      }
    });
    for (let seed = SEED + number * 1000; steps < STEPS; seed++, sequences++) {
      await fc.assert(property, {
        seed,
        numRuns: 1,
        includeErrorInReport: true,
        interruptAfterTimeLimit: SEQUENCE_LIMIT_MS,
        markInterruptAsFailure: true,
      });
    }
    return { seed: SEED, steps, sequences };
  }, LIMIT_MS);
}
