import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { attachment, config, readRecord, records, STATE_DIRECTORY } from "./attachment.ts";
import { rdmaCni } from "./command.ts";
import {
  addNetns,
  deleteNetns,
  holdNetns,
  names,
  netnsCount,
  netnsNames,
  netnsPath,
  rdmaDevices,
  shOk,
  until,
} from "./harness.ts";
import type { Container, Device, NodeModel } from "./node_model.ts";

/** The node as it really is. */
export class SoakNode {
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
      config: config({
        deviceID: deviceId,
        prevResult: {},
        ...container.isNamed ? { rdmaDeviceName: "roce_{ifname}" } : {},
      }),
    })[command]();
  }

  /** Runs `rdma-cni gc`. */
  async collect(): Promise<void> {
    this.steps++;
    const { code, stderr } = await rdmaCni("gc");
    assertEquals(code, 0, stderr);
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
    for (const { index, name } of await rdmaDevices()) {
      if (!name.startsWith("mlx5_")) await shOk(`rdma dev set ${name} name mlx5_${100 + index}`);
    }
    for (const name of records()) Deno.removeSync(`${STATE_DIRECTORY}/${name}`);
  }
}

/** Everything is where the model says, and nothing else is anywhere. */
export async function assertAsModel(model: NodeModel): Promise<void> {
  const found = await whereabouts(model);
  const wanted = model.devices.map(({ deviceId, where }) => ({ deviceId, where: where?.id ?? "host" }));
  assertEquals(found.map(({ deviceId, where }) => ({ deviceId, where })), wanted);
  assertEquals(records(), [...model.records.keys()].sort());
  for (const [i, device] of model.devices.entries()) {
    if (!model.isRecorded(device)) assertMatch(`${found[i]!.name}`, /^mlx5_/); // the driver's, or one like it
  }
  for (const [file, { device, container, generation }] of model.records) {
    const { deviceID, devices } = readRecord(file) as {
      deviceID: string;
      devices: { index: number; podName: string }[];
    };
    assertEquals(deviceID, device.deviceId);
    if (device.where !== container || device.generation !== generation) continue;
    const { index, name } = found[model.devices.indexOf(device)]!;
    assertEquals(devices.map(({ index, podName }) => [index, podName]), [[index, name]], file);
    if (container.isNamed) assertEquals(name, model.nameOf(device), file);
  }
  assertEquals(netnsCount(), 1 + model.alive().length, "network namespaces");
}

/** Where each function's device is, in how many places ever, its index and its name. */
async function whereabouts(model: NodeModel) {
  const spaces = model.alive().map(({ id, hasPath, netns, holder }) => ({
    id,
    path: hasPath ? netnsPath(netns) : `/proc/${holder!.pid}/ns/net`,
  }));
  const all = [{ id: "host", path: "/proc/1/ns/net" }, ...spaces];
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
    return { deviceId, name, where: places.map(({ id }) => id).join(" and "), index: places[0]?.index };
  });
}

/** The names of a function's RDMA devices, in whatever namespace they are. */
function rdmaNamesOf(deviceId: string): string[] {
  const bus = deviceId.includes(":") ? "pci" : "auxiliary";
  const directory = `/sys/bus/${bus}/devices/${deviceId}/infiniband_verbs`;
  return names(directory).map((uverbs) => Deno.readTextFileSync(`${directory}/${uverbs}/ibdev`).trim());
}
