import { netnsPath } from "./netns.ts";
import { HOLD_CONTEXT } from "./programs.ts";
import { sh, shOk, startBackground, until } from "./sh.ts";

export interface RdmaDevice {
  index: number;
  name: string;
  /** Four groups of four hexadecimal digits. */
  nodeGuid: string;
  /** "smi" for a sub-device. */
  type?: string;
  parent?: string;
}

/** The RDMA devices that a network namespace sees, the initial one unless told. */
export async function rdmaDevices(netns?: string): Promise<RdmaDevice[]> {
  const devices = JSON.parse(await shOk(inNetns(netns, "rdma -j dev show")));
  return devices.map(
    ({ ifindex: index, ifname: name, node_guid: nodeGuid, type, parent }: Record<string, string>) => {
      return { index, name, nodeGuid, type, parent };
    },
  );
}

export async function rdmaNames(netns?: string): Promise<string[]> {
  return (await rdmaDevices(netns)).map(({ name }) => name);
}

export const rdmaToNetns = (device: string, netns: string) => shOk(`rdma dev set ${device} netns ${netns}`);

export async function hostRdmaDevices(device: string, netns: string): Promise<void> {
  // rdma knows namespaces by name only, and the initial one has none.
  await shOk(
    `ip netns attach initial $$ && nsenter --net=${netnsPath(netns)} rdma dev set ${device} netns initial;
     status=$?; ip netns del initial; exit $status`,
  );
}

/** The mode of RDMA network namespaces, asked without starting a program, which takes a tenth of a second. */
export function netnsMode(): "exclusive" | "shared" {
  const isShared = Deno.readTextFileSync("/sys/module/ib_core/parameters/netns_mode").startsWith("Y");
  return isShared ? "shared" : "exclusive";
}

export const setNetnsMode = (mode: string) => shOk(`rdma system set netns ${mode}`);

export async function holdContext(device: string): Promise<Deno.ChildProcess> {
  const uverbs = await shOk(`grep -lx ${device} /sys/class/infiniband_verbs/uverbs*/ibdev`);
  return await startBackground(`exec '${HOLD_CONTEXT}' /dev/infiniband/${uverbs.split("/").at(-2)}`, "held");
}

/** Waits until the kernel has put an address of a device's interface into the GID table of its port. */
export async function untilGid(device: string, gid: string): Promise<void> {
  const table = `/sys/class/infiniband/${device}/ports/1/gids`;
  await until(`${gid} is in the GID table`, async () => (await sh(`grep -x ${gid} ${table}/*`)).code === 0);
}

/** A command of the shell, to be run in a network namespace, the initial one unless told. */
export function inNetns(netns: string | undefined, command: string): string {
  return netns === undefined ? command : `nsenter --net=${netnsPath(netns)} ${command}`;
}
