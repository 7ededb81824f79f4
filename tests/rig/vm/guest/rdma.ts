import { netnsPath } from "./netns.ts";
import { HOLD_CONTEXT } from "./programs.ts";
import { shOk, startBackground } from "./sh.ts";

/** An RDMA device as iproute2 tells it. */
export interface RdmaDevice {
  index: number;
  name: string;
  /** Four groups of four hexadecimal digits. */
  nodeGuid: string;
  /** "smi" for a sub-device. */
  type: string | undefined;
  parent: string | undefined;
}

/** The RDMA devices that a network namespace sees, the initial one unless told. */
export async function rdmaDevices(netns?: string): Promise<RdmaDevice[]> {
  const output = await shOk(inNetns(netns, "rdma -j dev show"));
  const devices: { ifindex: number; ifname: string; node_guid: string; type?: string; parent?: string }[] =
    JSON
      .parse(output);
  return devices.map(({ ifindex, ifname, node_guid, type, parent }) => ({
    index: ifindex,
    name: ifname,
    nodeGuid: node_guid,
    type,
    parent,
  }));
}

/** Names of the RDMA devices that a network namespace sees. */
export async function rdmaNames(netns?: string): Promise<string[]> {
  return (await rdmaDevices(netns)).map(({ name }) => name);
}

/** Moves an RDMA device of the initial network namespace into another one. */
export async function rdmaToNetns(device: string, netns: string): Promise<void> {
  await shOk(`rdma dev set ${device} netns ${netns}`);
}

/** Moves an RDMA device of another network namespace to the initial one. */
export async function hostRdmaDevices(device: string, netns: string): Promise<void> {
  // rdma knows namespaces by name only, and the initial one has none.
  await shOk(
    `ip netns attach initial $$ && nsenter --net=${netnsPath(netns)} rdma dev set ${device} netns initial;
     status=$?; ip netns del initial; exit $status`,
  );
}

/** The mode of RDMA network namespaces: "exclusive" or "shared". */
export async function netnsMode(): Promise<string> {
  const text = await shOk("rdma system show"); // it knows no JSON here
  return /^netns (\w+)/.exec(text)?.[1] ?? text;
}

/** Sets that mode, which the kernel refuses while other network namespaces exist. */
export async function setNetnsMode(mode: string): Promise<void> {
  await shOk(`rdma system set netns ${mode}`);
}

/** Takes a context of an RDMA device of the initial network namespace and keeps it, as a program using it would. */
export async function holdContext(device: string): Promise<Deno.ChildProcess> {
  const uverbs = await shOk(`grep -lx ${device} /sys/class/infiniband_verbs/uverbs*/ibdev`);
  return await startBackground(`exec '${HOLD_CONTEXT}' /dev/infiniband/${uverbs.split("/").at(-2)}`, "held");
}

/** A command of the shell, to be run in a network namespace, the initial one unless told. */
export function inNetns(netns: string | undefined, command: string): string {
  return netns === undefined ? command : `nsenter --net=${netnsPath(netns)} ${command}`;
}
