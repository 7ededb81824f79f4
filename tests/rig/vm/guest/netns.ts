import { ifPresent } from "../../../../src/sys/files.ts";
import { type CompleteFunction, names, simParameter, vf } from "./functions.ts";
import { shOk, startBackground, until } from "./sh.ts";

export const netnsPath = (name: string) => `/run/netns/${name}`;

export async function addNetns(name: string): Promise<string> {
  await shOk(`ip netns add ${name}`);
  return netnsPath(name);
}

/** Makes the network namespace "pod". @returns VF 0, which is to go there */
export async function addPod(): Promise<CompleteFunction> {
  await addNetns("pod");
  return vf(0);
}

/** Deletes a network namespace and waits until the kernel has taken it apart, so that its devices are on the host. */
export async function deleteNetns(name: string): Promise<void> {
  const before = netnsCount();
  await shOk(`ip netns del ${name}`);
  await until(`network namespace ${name} is gone`, () => netnsCount() < before);
}

export const netnsNames = () => [...Deno.readDirSync("/run/netns")].map(({ name }) => name);

/** How many network namespaces are alive, the initial one and those without a path included. */
export const netnsCount = () => Number(simParameter("netns_count"));

/** Keeps a network namespace alive from a process in it, whatever becomes of its path. */
export async function holdNetns(name: string): Promise<Deno.ChildProcess> {
  const command = `exec nsenter --net=${netnsPath(name)} sh -c "echo in; exec sleep infinity"`;
  return await startBackground(command, "in");
}

/** Processes, other than this one, that are in another network namespace or have a namespace open. */
export function netnsHolders(): { pid: number; command: string }[] {
  const own = Deno.statSync("/proc/self/ns/net");
  const pids = names("/proc").map(Number).filter((pid) => pid > 0 && pid !== Deno.pid);
  return pids.flatMap((pid) => {
    // By device and inode, since an open file's link tells "/" once its path is gone; it may have ended.
    const links = ["ns/net", ...names(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
    const files = links.flatMap((link) => ifPresent(() => Deno.statSync(`/proc/${pid}/${link}`)) ?? []);
    if (!files.some(({ dev, ino }) => dev === own.dev && ino !== own.ino)) return [];
    const command = ifPresent(() => Deno.readTextFileSync(`/proc/${pid}/cmdline`)) ?? "";
    return [{ pid, command: command.replaceAll("\0", " ").trim() }];
  });
}

export async function netdevToNetns(netdev: string, netns: string, name = netdev): Promise<void> {
  await shOk(`ip link set ${netdev} netns ${netns} name ${name} && ip -n ${netns} link set ${name} up`);
}
