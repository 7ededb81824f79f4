// What the cases about addresses of virtual functions share.
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import type { CaseFields } from "../kernels.ts";
import {
  assertCode,
  bind,
  type Outcome,
  pf,
  rdmaCni,
  rdmaDevices,
  shOk,
  unbind,
  until,
  vfs,
  vmCase,
} from "./harness.ts";

export const NEW_MAC = "02:03:00:00:77:01";
export const NEW_GUID = "0203:00ff:fe00:7701";
export const NO_MAC = "00:00:00:00:00:00";
/** What the rig gives the virtual functions. */
export const HOST_MACS = [0, 1, 2, 3, 4, 5, 6].map((number) => `02:03:00:00:48:5${number}`);

/** The physical function's netdev, taken before a case gives that function others. */
let pfNetdev = "";

/** A case that may change the administrative addresses, which nothing else would bring back. */
export function vfMacCase(
  name: string,
  run: (netdev: string) => Promise<void>,
  fields: CaseFields = {},
): void {
  vmCase(`vf-mac: ${name}`, async () => {
    const netdev = pfNetdev = pf().netdev!;
    try {
      await run(netdev);
    } finally {
      await Deno.remove("/run/rdma-cni/without-rdma", { recursive: true }).catch(() => {});
      await shOk(`ip link set ${netdev} up`);
      await until("the PF is up", () => operState(netdev) === "up");
      for (const [number, mac] of (await adminMacs()).entries()) {
        if (mac !== HOST_MACS[number]) await setAdminMac(number, HOST_MACS[number]!);
      }
    }
  }, { sets: ["surroundings"], ...fields });
}

interface Status {
  number: number;
  deviceID: string;
  adminMac: string;
  effectiveMac?: string;
  nodeGuid?: string;
  rdmaDevice?: string;
  ready: boolean;
  reason?: string;
  [key: string]: unknown;
}

export async function list(): Promise<Status[]> {
  return JSON.parse((await assertCode(0, rdmaCni("vf-mac list --json"))).stdout);
}

function operState(netdev: string): string {
  return Deno.readTextFileSync(`/sys/class/net/${netdev}/operstate`).trim();
}

/** Administrative addresses as iproute2 shows them, by the numbers of the functions. */
async function adminMacs(): Promise<string[]> {
  const [link] = JSON.parse(await shOk(`ip -j link show ${pfNetdev}`));
  return link.vfinfo_list.map(({ address }: { address: string }) => address);
}

export async function adminMac(number: number): Promise<string | undefined> {
  return (await adminMacs())[number];
}

export async function setAdminMac(number: number, mac: string): Promise<void> {
  await shOk(`ip link set ${pfNetdev} vf ${number} mac ${mac}`);
}

/** A virtual function that was given no address before its driver bound, so that it has a random one. */
export async function makeRandom(number: number): Promise<void> {
  const { deviceId } = vfs()[number]!;
  unbind(deviceId);
  await setAdminMac(number, NO_MAC);
  bind(deviceId);
}

export async function nodeGuid(number: number): Promise<string | undefined> {
  const [name] = vfs()[number]!.rdmaDevices;
  return (await rdmaDevices()).find((device) => device.name === name)?.nodeGuid;
}

export async function indexes(): Promise<number[]> {
  return (await rdmaDevices()).map(({ index }) => index).sort((a, b) => a - b);
}

/** Asserts that a command failed with words on standard error and nothing on standard output. */
export function assertRefused({ code, stdout, stderr }: Outcome, words: RegExp, wanted = 1): void {
  assertEquals([code, stdout], [wanted, ""], stderr);
  assertMatch(stderr.replaceAll("\n", " | "), words);
}

export async function assertUnchanged(run: () => Promise<void>): Promise<void> {
  const state = async () => [await indexes(), await adminMacs(), vfs()];
  const before = await state();
  await run();
  assertEquals(await state(), before);
}
