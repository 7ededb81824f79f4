import type { NodeFunction, PlacedDevice, Rig, RigCall, RigOutcome } from "../../rig.ts";
import { STATE_DIRECTORY } from "./attachment.ts";
import * as functions from "./functions.ts";
import { ipoibOf, makeInfiniBand } from "./infiniband.ts";
import * as netns from "./netns.ts";
import { plugin } from "./plugin.ts";
import * as rdma from "./rdma.ts";
import { isBefore, LACKS, parseRelease } from "../kernels.ts";
import { sh, shOk, until } from "./sh.ts";

/** Until the scenario lets go. */
const FOR_EVER_MS = 300_000;

/** The simulated node as scenarios use it. What they change the harness undoes. */
export class VmRig implements Rig {
  readonly directory = STATE_DIRECTORY;
  readonly hasNamesPerNetns = !isBefore(parseRelease(Deno.osRelease()), LACKS.namesPerNetns.since);

  readonly #guids = new Map<string, string>();

  pf(): NodeFunction {
    return functions.pf();
  }

  vf(number: number): NodeFunction {
    return functions.vfs()[number]!;
  }

  sf(number: number): NodeFunction {
    return functions.sfs()[number]!;
  }

  async listDevices(): Promise<PlacedDevice[]> {
    const left: { name: string; place: string; index: number; nodeGuid: string }[] = [];
    for (const place of ["host", ...netns.netnsNames()]) {
      for (const { name, index, nodeGuid } of await rdma.rdmaDevices(place === "host" ? undefined : place)) {
        left.push({ name, place, index, nodeGuid });
      }
    }
    return [functions.pf(), ...functions.vfs(), ...functions.sfs()].flatMap(({ deviceId, rdmaDevices }) =>
      functions.deviceNames(deviceId).map((name) => {
        // The host and pods may have devices of one name. Sysfs shows the functions of the host's; those of pods are
        // known by the GUIDs that they had on the host.
        const isHere = rdmaDevices.includes(name);
        const named = left.filter((one) => one.name === name && (one.place === "host") === isHere);
        const found = named.find(({ nodeGuid }) => nodeGuid === this.#guids.get(deviceId)) ?? named[0];
        if (found) left.splice(left.indexOf(found), 1);
        return { deviceId, name, place: found?.place ?? "away", index: found?.index };
      })
    );
  }

  async addNetns(name: string): Promise<void> {
    const onHost = await rdma.rdmaDevices();
    for (
      const { deviceId, rdmaDevices: [first] } of [functions.pf(), ...functions.vfs(), ...functions.sfs()]
    ) {
      const device = onHost.find(({ name }) => name === first);
      if (device) this.#guids.set(deviceId, device.nodeGuid);
    }
    await netns.addNetns(name);
  }

  async holdNetns(name: string): Promise<void> {
    await netns.holdNetns(name);
  }

  async removePath(name: string): Promise<void> {
    await shOk(`ip netns del ${name}`);
  }

  endNetns(name: string): Promise<void> {
    return netns.deleteNetns(name);
  }

  async beginEnd(name: string, comes: "soon" | "never"): Promise<void> {
    const inside = (await this.listDevices()).filter(({ place }) => place === name);
    functions.setSlowness({ removeMs: comes === "soon" ? 2500 : FOR_EVER_MS });
    await this.removePath(name);
    await until(
      "the devices are in no class",
      () => inside.every(({ deviceId }) => functions.deviceNames(deviceId).length === 0),
    );
  }

  async finishEnd(): Promise<void> {
    functions.setSlowness({});
    await until("the namespace is gone", () => netns.netnsCount() === netns.netnsNames().length + 1, 20_000);
  }

  async addInterface({ deviceId }: NodeFunction, to: string, name: string): Promise<void> {
    const found = [...functions.vfs(), ...functions.sfs()].find((one) => one.deviceId === deviceId);
    await netns.netdevToNetns(found!.netdev!, to, name);
  }

  async removeInterface(netns: string, name: string): Promise<void> {
    await shOk(`ip -n ${netns} link set ${name} down && ip -n ${netns} link set ${name} name other`);
  }

  async getInterface(netns: string, name: string): Promise<unknown> {
    const { code, stdout } = await sh(`ip -n ${netns} -4 -json -details address show ${name}`);
    return code === 0 ? JSON.parse(stdout)[0] : undefined;
  }

  async makeInfiniBand(number: number): Promise<NodeFunction> {
    await makeInfiniBand(this.vf(number).deviceId);
    return this.vf(number);
  }

  async moveIpoib(
    { deviceId }: NodeFunction,
    to: string,
    name: string,
    { isPartition = false } = {},
  ): Promise<void> {
    // Since Linux 6.17 (f1208b05574f) the interface is made where the device is, so it may be in the namespace already.
    let netdev = ipoibOf(deviceId);
    if (netdev === undefined) {
      const [{ ifname }] = JSON.parse(await shOk(`ip -n ${to} -json -details link show type ipoib`));
      await shOk(`ip -n ${to} link set ${ifname} name ${name} up`);
      await shOk(`ip -n ${to} address add 10.0.0.2/24 dev ${name}`);
      return;
    }
    if (isPartition) {
      await shOk(`ip link add link ${netdev} name partition type ipoib pkey 0x8001`);
      netdev = "partition";
    }
    await netns.netdevToNetns(netdev, to, name);
    await shOk(`ip -n ${to} address add 10.0.0.2/24 dev ${name}`);
  }

  async setMac(number: number, mac: string): Promise<void> {
    functions.readdressed.add(this.vf(number).deviceId);
    await shOk(`ip link set ${functions.pf().netdev} vf ${number} mac ${mac}`);
  }

  async moveDevice(name: string, from: string, to: string): Promise<void> {
    if (to === "host") await rdma.hostRdmaDevices(name, from);
    else await shOk(inPlace(from, `rdma dev set ${name} netns ${to}`));
  }

  async renameDevice(name: string, place: string, newName: string): Promise<void> {
    await shOk(inPlace(place, `rdma dev set ${name} name ${newName}`));
  }

  unbind({ deviceId }: NodeFunction): void {
    functions.unbind(deviceId);
  }

  rebind({ deviceId }: NodeFunction, deviceCount = 1): void {
    if (deviceCount === 0) functions.setSimParameter("no_rdma", true);
    if (deviceCount > 1) functions.setSimParameter("devices_per_function", deviceCount);
    functions.rebind(deviceId);
  }

  makeImmovable(of: NodeFunction, deviceCount = 1): void {
    functions.setSimParameter("immovable", deviceCount);
    this.rebind(of, deviceCount);
  }

  async addSubdevice(name: string, parent: string, netns = "host"): Promise<void> {
    await shOk(inPlace(netns, `rdma dev add ${name} type SMI parent ${parent}`));
  }

  async removeSubdevice(name: string): Promise<void> {
    await shOk(`rdma dev del ${name}`);
  }

  async useDevice(name: string): Promise<void> {
    await rdma.holdContext(name);
  }

  setMode(mode: "exclusive" | "shared"): Promise<void> {
    return rdma.setNetnsMode(mode);
  }

  async call({ isPowerless = false, ...call }: RigCall): Promise<RigOutcome> {
    const wrapper = isPowerless
      ? ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
      : [];
    const { code, stdout, json, stderr } = await plugin({ ...call, wrapper } as Parameters<typeof plugin>[0]);
    return { code, output: stdout, json, log: stderr };
  }
}

/** A command of the shell, to be run on the host or in a namespace. */
function inPlace(place: string, command: string): string {
  return rdma.inNetns(place === "host" ? undefined : place, command);
}
