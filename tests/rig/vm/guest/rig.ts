import type { NodeFunction, PlacedDevice, Rig, RigCall, RigOutcome } from "../../rig.ts";
import { STATE_DIRECTORY } from "./attachment.ts";
import * as functions from "./functions.ts";
import * as netns from "./netns.ts";
import { plugin } from "./plugin.ts";
import * as rdma from "./rdma.ts";
import { isBefore, LACKS, parseRelease } from "../kernels.ts";
import { sh, shOk, until } from "./sh.ts";

const FOR_EVER_MS = 300_000;

/** The simulated node as scenarios use it. What they change the harness undoes. */
export class VmRig implements Rig {
  readonly directory = STATE_DIRECTORY;
  readonly hasNamesPerNetns = !isBefore(parseRelease(Deno.osRelease()), LACKS.namesPerNetns.since);

  readonly #guids = new Map<string, string>();

  readonly pf = () => functions.pf();
  readonly vf = (number: number) => functions.vfs()[number]!;
  readonly sf = (number: number) => functions.sfs()[number]!;

  async listDevices(): Promise<PlacedDevice[]> {
    const left: (rdma.RdmaDevice & { place: string })[] = [];
    for (const place of ["host", ...netns.netnsNames()]) {
      const devices = await rdma.rdmaDevices(place === "host" ? undefined : place);
      left.push(...devices.map((device) => ({ ...device, place })));
    }
    return functions.allFunctions().flatMap(({ deviceId, rdmaDevices }) =>
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
    for (const { deviceId, rdmaDevices } of functions.allFunctions()) {
      const device = onHost.find(({ name }) => name === rdmaDevices[0]);
      if (device) this.#guids.set(deviceId, device.nodeGuid);
    }
    await netns.addNetns(name);
  }

  readonly holdNetns = async (name: string) => void await netns.holdNetns(name);
  readonly removePath = async (name: string) => void await shOk(`ip netns del ${name}`);
  readonly endNetns = (name: string) => netns.deleteNetns(name);

  async beginEnd(name: string, comes: "soon" | "never"): Promise<void> {
    const inside = (await this.listDevices()).filter(({ place }) => place === name);
    functions.setSlowness({ removeMs: comes === "soon" ? 2500 : FOR_EVER_MS });
    await this.removePath(name);
    await until("the devices are in no class", () => {
      return inside.every(({ deviceId }) => functions.deviceNames(deviceId).length === 0);
    });
  }

  async finishEnd(): Promise<void> {
    functions.setSlowness({});
    await until("the namespace is gone", () => netns.netnsCount() === netns.netnsNames().length + 1, 20_000);
  }

  async addInterface({ deviceId }: NodeFunction, to: string, name: string): Promise<void> {
    const found = functions.allFunctions().find((one) => one.deviceId === deviceId);
    await netns.netdevToNetns(found!.netdev!, to, name);
  }

  readonly removeInterface = async (netns: string, name: string) =>
    void await shOk(`ip -n ${netns} link set ${name} down && ip -n ${netns} link set ${name} name other`);

  async getInterface(netns: string, name: string): Promise<unknown> {
    const { code, stdout } = await sh(`ip -n ${netns} -4 -json -details address show ${name}`);
    return code === 0 ? JSON.parse(stdout)[0] : undefined;
  }

  async makeInfiniBand(number: number): Promise<NodeFunction> {
    await functions.makeInfiniBand(this.vf(number).deviceId);
    return this.vf(number);
  }

  async moveIpoib(
    { deviceId }: NodeFunction,
    to: string,
    name: string,
    { isPartition = false } = {},
  ): Promise<void> {
    const netdev = functions.ipoibOf(deviceId);
    if (netdev === undefined) { // since Linux 6.17 (f1208b05574f) it is made where the device is
      const [{ ifname }] = JSON.parse(await shOk(`ip -n ${to} -json -details link show type ipoib`));
      await shOk(`ip -n ${to} link set ${ifname} name ${name} up`);
    } else if (isPartition) {
      await shOk(`ip link add link ${netdev} name partition type ipoib pkey 0x8001`);
      await netns.netdevToNetns("partition", to, name);
    } else await netns.netdevToNetns(netdev, to, name);
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

  readonly renameDevice = async (name: string, place: string, newName: string) =>
    void await shOk(inPlace(place, `rdma dev set ${name} name ${newName}`));
  readonly unbind = ({ deviceId }: NodeFunction) => functions.unbind(deviceId);

  rebind({ deviceId }: NodeFunction, deviceCount = 1): void {
    if (deviceCount === 0) functions.setSimParameter("no_rdma", true);
    if (deviceCount > 1) functions.setSimParameter("devices_per_function", deviceCount);
    functions.rebind(deviceId);
  }

  makeImmovable(of: NodeFunction, deviceCount = 1): void {
    functions.setSimParameter("immovable", deviceCount);
    this.rebind(of, deviceCount);
  }

  readonly addSubdevice = async (name: string, parent: string, netns = "host") =>
    void await shOk(inPlace(netns, `rdma dev add ${name} type SMI parent ${parent}`));
  readonly removeSubdevice = async (name: string) => void await shOk(`rdma dev del ${name}`);
  readonly useDevice = async (name: string) => void await rdma.holdContext(name);
  readonly setMode = async (mode: "exclusive" | "shared") => void await rdma.setNetnsMode(mode);

  async call({ isPowerless = false, ...call }: RigCall): Promise<RigOutcome> {
    const powerless = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    const wrapper = isPowerless ? powerless : [];
    const { code, stdout, json, stderr } = await plugin({ ...call, wrapper } as Parameters<typeof plugin>[0]);
    return { code, output: stdout, json, log: stderr };
  }
}

function inPlace(place: string, command: string): string {
  return rdma.inNetns(place === "host" ? undefined : place, command);
}
