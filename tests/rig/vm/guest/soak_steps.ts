/** Steps of a node's life, each done to the node and to its model. */
import type fc from "fast-check";
import { assertEquals } from "../../../support/assert.ts";
import { gc } from "./attachment.ts";
import { type CniOutcome, rebind } from "./harness.ts";
import type { Container, Device, Expectation, NodeModel } from "./node_model.ts";
import { assertAsModel, type SoakNode } from "./soak_node.ts";

type Command = fc.AsyncCommand<NodeModel, SoakNode>;

/** One of several, by a number of any size. */
function pick<T>(all: readonly T[], number: number): T | undefined {
  return all[number % all.length];
}

/** Whom a call may be about. DEL comes late too, for containers that are gone; best where there is something to do. */
function containersFor(what: Step["what"], device: Device, model: NodeModel): readonly Container[] {
  if (what !== "del") return model.running();
  const owners = [...model.records.values()].filter((record) => record.device === device);
  return owners.length > 0 ? owners.map(({ container }) => container) : model.containers;
}

export class Start implements Command {
  constructor(readonly slot: number) {}

  check(model: Readonly<NodeModel>): boolean {
    return model.running().every(({ netns }) => netns !== `pod${this.slot}`);
  }

  async run(model: NodeModel, node: SoakNode): Promise<void> {
    const { length } = model.containers;
    const isNamed = length % 2 === 1;
    const container = { id: `c${length}`, netns: `pod${this.slot}`, isNamed, hasPath: true };
    await node.start(container);
    model.containers.push(container);
    await assertAsModel(model);
  }

  toString(): string {
    return `start pod${this.slot}`;
  }
}

export class End implements Command {
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

export class Release implements Command {
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

/** `rdma-cni gc`. */
export class Collect implements Command {
  check(): boolean {
    return true;
  }

  async run(model: NodeModel, node: SoakNode): Promise<void> {
    await node.collect();
    model.collect();
    await assertAsModel(model);
  }

  toString(): string {
    return "rdma-cni gc";
  }
}

export interface Step {
  what: "add" | "del" | "check" | "rebind";
  pod: number;
  device: number;
}

interface Planned {
  expected: Expectation;
  outcome: () => Promise<CniOutcome | undefined>;
}

/** Calls about different functions, all at once, and GC of what dead pods left of the other functions. */
export class AtOnce implements Command {
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
      if (outcome) assertEquals(outcome.json?.code, expected.code, outcome.stdout + outcome.stderr);
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
    const container = pick(containersFor(what, device, model), pod);
    if (!container || (what === "add" && !model.mayAdd(container, device))) return undefined;
    return {
      expected: model[what](container, device),
      outcome: () => node.call(what, model, container, device),
    };
  }

  #planGc(model: NodeModel, node: SoakNode): Planned {
    const touched = this.steps.map(({ device }) => model.devices[device]);
    const isValid = (container: Container, device: Device) => container.hasPath || touched.includes(device);
    const valid = model.containers.flatMap((container) =>
      model.devices.filter((device) => isValid(container, device))
        .map((device) => ({ containerID: container.id, ifname: model.ifname(device) }))
    );
    node.steps++;
    return {
      expected: model.gc(({ container, device }) => isValid(container, device)),
      outcome: () => gc({ "cni.dev/valid-attachments": valid }),
    };
  }

  toString(): string {
    const steps = this.steps.map(({ what, pod, device }) => `${what} device ${device} pod ${pod}`);
    return [...steps, ...(this.withGc ? ["gc"] : [])].join(" & ");
  }
}
