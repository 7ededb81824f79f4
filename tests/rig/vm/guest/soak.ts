/** Steps of a node's life, each done to the node and to a model of what must be true after it, without the plugin. */
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import {
  addNetns,
  assertCode,
  attachment,
  type CniOutcome,
  config,
  deleteNetns,
  deviceNames,
  endProcess,
  gc,
  holdNetns,
  netnsCount,
  netnsPath,
  rdmaCni,
  readRecord,
  rebind,
  records,
  sfs,
  shOk,
  until,
  vfs,
} from "./harness.ts";
import { readBaseline, resetNode } from "./reset.ts";

/** A pod or a device is one of several, by a number of any size; a step for which there is none is left out. */
export type Step =
  | { readonly what: "start"; readonly slot: number }
  | { readonly what: "end" | "lose the path of" | "end the processes of"; readonly pod: number }
  | { readonly what: "collect" }
  | { readonly what: "at once"; readonly calls: readonly Call[]; readonly withGc: boolean };

/** A call about a function; those that are made at once are about different ones. */
export interface Call {
  readonly what: "add" | "del" | "check" | "rebind";
  readonly pod: number;
  readonly device: number;
}

/** A container and its network namespace, which lives as long as its path or a process. */
interface Container {
  readonly id: string;
  readonly netns: string;
  readonly isNamed: boolean;
  hasPath: boolean;
  holder?: Deno.ChildProcess;
}

interface Device {
  readonly deviceId: string;
  readonly ifname: string;
  /** Where it is; undefined: on the host. */
  where?: Container;
  /** How often its driver was bound anew, each time making another device. */
  generation: number;
}

/** What a record tells, and the device's generation that was moved. */
interface Attachment {
  readonly container: Container;
  readonly device: Device;
  readonly generation: number;
}

/** A call, the CNI error code that it must end with (undefined: success), and what is true afterwards. */
interface Planned {
  readonly run: () => Promise<CniOutcome | void>;
  readonly code?: number | undefined;
  readonly apply?: () => void;
}

function pick<T>(all: readonly T[], number: number): T | undefined {
  return all[number % all.length];
}

export class Soak {
  done = 0;
  readonly #baseline = readBaseline();
  readonly #containers: Container[] = [];
  readonly #records = new Map<string, Attachment>();
  readonly #devices: readonly Device[] = [...vfs(), ...sfs()].map(({ deviceId }, i) => {
    return { deviceId, ifname: `net${i}`, generation: 0 };
  });

  /** Takes a step, and asserts that everything is as it must be after it. */
  async take(step: Step): Promise<void> {
    const before = this.done;
    if (step.what === "start") await this.#start(`pod${step.slot}`);
    else if (step.what === "collect") await this.#collect();
    else if (step.what === "at once") await this.#callAtOnce(step.calls, step.withGc);
    else await this.#end(step.what, step.pod);
    if (this.done > before) await this.#assertAsModel();
  }

  readonly clear = () => resetNode(this.#baseline);
  readonly #alive = (): Container[] => this.#containers.filter(({ hasPath, holder }) => hasPath || holder);
  readonly #running = (): Container[] => this.#containers.filter(({ hasPath }) => hasPath);

  async #start(netns: string): Promise<void> {
    if (this.#running().some((container) => container.netns === netns)) return;
    this.done++;
    await addNetns(netns);
    const { length } = this.#containers;
    this.#containers.push({ id: `c${length}`, netns, isNamed: length % 2 === 1, hasPath: true });
  }

  async #end(what: "end" | "lose the path of" | "end the processes of", pod: number): Promise<void> {
    const isPathless = what === "end the processes of";
    const container = pick(
      isPathless ? this.#alive().filter(({ hasPath }) => !hasPath) : this.#running(),
      pod,
    );
    if (!container) return;
    this.done++;
    container.hasPath = false;
    if (what === "lose the path of") {
      container.holder = await holdNetns(container.netns);
      await shOk(`ip netns del ${container.netns}`);
      return;
    }
    if (isPathless) {
      const before = netnsCount();
      endProcess(container.holder!, "SIGKILL");
      await container.holder!.status;
      await until("the namespace is gone", () => netnsCount() < before);
      delete container.holder;
    } else await deleteNetns(container.netns);
    for (const device of this.#devices) if (device.where === container) delete device.where;
  }

  /** `rdma-cni gc` ends what containers have left whose namespaces are gone. */
  async #collect(): Promise<void> {
    this.done++;
    await assertCode(0, rdmaCni("gc"));
    const alive = this.#alive();
    for (const [file, { container }] of this.#records) if (!alive.includes(container)) this.#forget(file);
  }

  /** Calls about different functions, and GC of what dead pods left of the other functions. */
  async #callAtOnce(calls: readonly Call[], withGc: boolean): Promise<void> {
    const planned = calls.flatMap((call) => this.#plan(call) ?? []);
    if (withGc) planned.push(this.#planGc(calls.map(({ device }) => this.#devices[device]!)));
    this.done += planned.length;
    const outcomes = await Promise.all(planned.map(({ run }) => run()));
    for (const [i, { code, apply }] of planned.entries()) {
      const outcome = outcomes[i];
      if (outcome) assertEquals(outcome.json?.code, code, outcome.stdout + outcome.stderr);
      apply?.();
    }
  }

  #plan({ what, pod, device: number }: Call): Planned | undefined {
    const device = this.#devices[number]!;
    if (what === "rebind") {
      if (!device.deviceId.includes(":")) return undefined; // scalable functions have no driver here
      const apply = () => {
        device.generation++;
        delete device.where;
      };
      return { run: () => Promise.resolve(rebind(device.deviceId)), apply };
    }
    const container = pick(this.#containersFor(what, device), pod);
    if (!container || (what === "add" && !this.#mayAdd(container, device))) return undefined;
    return { run: () => this.#call(what, container, device), ...this.#expect(what, container, device) };
  }

  /** Whom a call may be about. DEL comes late too, for containers that are gone; best where there is something to do. */
  #containersFor(what: "add" | "del" | "check", device: Device): readonly Container[] {
    if (what !== "del") return this.#running();
    const owners = [...this.#records.values()].filter((record) => record.device === device);
    return owners.length > 0 ? owners.map(({ container }) => container) : this.#containers;
  }

  #call(
    what: "add" | "del" | "check",
    { netns, id, isNamed }: Container,
    device: Device,
  ): Promise<CniOutcome> {
    const { deviceId, ifname } = device;
    const name = isNamed ? { rdmaDeviceName: "roce_{ifname}" } : {};
    const call = { netns, containerId: id, ifname };
    const own = attachment(deviceId, {
      ...call,
      config: config({ deviceID: deviceId, prevResult: {}, ...name }),
    });
    return own[what]();
  }

  /** What other containers' records tell of a device. */
  #claims(container: Container, device: Device): [file: string, Attachment][] {
    return [...this.#records].filter(([, record]) => {
      return record.device === device && record.container !== container;
    });
  }

  /** kubelet gives a device to a pod only when no other running pod still counts on it. */
  #mayAdd(container: Container, device: Device): boolean {
    return this.#claims(container, device).every(([, { container: owner }]) => {
      return !owner.hasPath || device.where === owner;
    });
  }

  #expect(what: "add" | "del" | "check", container: Container, device: Device): Omit<Planned, "run"> {
    const file = `net-${container.id}-${device.ifname}`;
    const { where, generation } = device;
    if (what === "del") return { apply: () => this.#forget(file) };
    if (what === "check") {
      const holds = this.#records.get(file)?.generation === generation && where === container;
      return { code: holds ? undefined : 113 };
    }
    const isElsewhere = where !== undefined && where !== container;
    if (isElsewhere && where.hasPath) return { code: 111 };
    const claims = this.#claims(container, device);
    // A pod that has ended left its name to the device, whose own it alone knows.
    const isMisnamed = !where && claims.some(([, record]) => {
      return record.container.isNamed && record.generation === generation;
    });
    return {
      apply: () => {
        if (isMisnamed || isElsewhere) { for (const [claim] of claims) this.#records.delete(claim); }
        device.where = container;
        this.#records.set(file, { container, device, generation });
      },
    };
  }

  #planGc(touched: readonly Device[]): Planned {
    const isValid = (container: Container, device: Device) => container.hasPath || touched.includes(device);
    const valid = this.#containers.flatMap((container) =>
      this.#devices.filter((device) => isValid(container, device))
        .map(({ ifname }) => ({ containerID: container.id, ifname }))
    );
    const stale = [...this.#records].filter(([, { container, device }]) => !isValid(container, device));
    return {
      run: () => gc({ "cni.dev/valid-attachments": valid }),
      apply: () => stale.forEach(([file]) => this.#forget(file)),
    };
  }

  /** A record goes, and with it the device from its container. */
  #forget(file: string): void {
    const record = this.#records.get(file);
    if (record && record.device.where === record.container) delete record.device.where;
    this.#records.delete(file);
  }

  /** Everything is where the model says, and nothing else is anywhere. */
  async #assertAsModel(): Promise<void> {
    const found = await this.#whereabouts();
    const wanted = this.#devices.map(({ deviceId, where }) => ({ deviceId, where: where?.id ?? "host" }));
    assertEquals(found.map(({ deviceId, where }) => ({ deviceId, where })), wanted);
    assertEquals(records(), [...this.#records.keys()].sort());
    for (const [i, device] of this.#devices.entries()) {
      const isRecorded = [...this.#records.values()].some((record) => {
        return record.device === device && record.generation === device.generation;
      });
      if (!isRecorded) assertMatch(`${found[i]!.name}`, /^mlx5_/); // the driver's, or one like it
    }
    for (const [file, { device, container, generation }] of this.#records) {
      const { deviceID, devices } = readRecord(file) as {
        deviceID: string;
        devices: { index: number; podName: string }[];
      };
      assertEquals(deviceID, device.deviceId);
      if (device.where !== container || device.generation !== generation) continue;
      const { index, name } = found[this.#devices.indexOf(device)]!;
      assertEquals(devices.map(({ index, podName }) => [index, podName]), [[index, name]], file);
      if (container.isNamed) assertEquals(name, `roce_${device.ifname}`, file);
    }
    assertEquals(netnsCount(), 1 + this.#alive().length, "network namespaces");
  }

  async #whereabouts() {
    const places = [
      { id: "host", path: "/proc/1/ns/net" },
      ...this.#alive().map(({ id, hasPath, netns, holder }) => {
        return { id, path: hasPath ? netnsPath(netns) : `/proc/${holder!.pid}/ns/net` };
      }),
    ];
    const show = places.map(({ path }) => `nsenter --net=${path} rdma -j dev show && echo =`);
    const listed: { ifindex: number; ifname: string }[][] = (await shOk(show.join("\n"))).split("=")
      .slice(0, -1).map((text) => JSON.parse(text));
    return this.#devices.map(({ deviceId }) => {
      const [name] = deviceNames(deviceId);
      const found = places.flatMap(({ id }, i) =>
        listed[i]!.filter(({ ifname }) => ifname === name).map(({ ifindex }) => ({ id, index: ifindex }))
      );
      return { deviceId, name, where: found.map(({ id }) => id).join(" and "), index: found[0]?.index };
    });
  }
}
