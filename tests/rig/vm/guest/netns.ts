import { type CompleteFunction, names, simParameter, vf } from "./functions.ts";
import { shOk, startBackground, until } from "./sh.ts";

/** The path of a network namespace, for CNI_NETNS. */
export function netnsPath(name: string): string {
  return `/run/netns/${name}`;
}

/** Makes a network namespace. @returns its path */
export async function addNetns(name: string): Promise<string> {
  await shOk(`ip netns add ${name}`);
  return netnsPath(name);
}

/** Makes the network namespace "pod". @returns VF 0, which is to go there */
export async function addPod(): Promise<CompleteFunction> {
  await addNetns("pod");
  return vf(0);
}

/**
 * Deletes a network namespace and waits until the kernel has taken it apart, so that its devices are on the host.
 *
 * @throws {Error} if that does not happen within 30 s, because something holds it
 */
export async function deleteNetns(name: string): Promise<void> {
  const before = netnsCount();
  await shOk(`ip netns del ${name}`);
  await until(`network namespace ${name} is gone`, () => netnsCount() < before);
}

/** Names of the network namespaces that have a path. */
export function netnsNames(): string[] {
  return [...Deno.readDirSync("/run/netns")].map(({ name }) => name);
}

/** How many network namespaces are alive, the initial one and those without a path included. */
export function netnsCount(): number {
  return Number(simParameter("netns_count"));
}

/** Keeps a network namespace alive from a process in it, whatever becomes of its path. */
export async function holdNetns(name: string): Promise<Deno.ChildProcess> {
  return await startBackground(
    `exec nsenter --net=${netnsPath(name)} sh -c "echo in; exec sleep infinity"`,
    "in",
  );
}

/** Processes, other than this one, that are in another network namespace or have a namespace open. */
export function netnsHolders(): { pid: number; command: string }[] {
  const own = Deno.statSync("/proc/self/ns/net");
  const pids = names("/proc").map(Number).filter((pid) => pid > 0 && pid !== Deno.pid);
  return pids.flatMap((pid) => {
    try {
      // By device and inode, since an open file's link tells "/" once its path is gone.
      const links = ["ns/net", ...names(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
      const held = links.map((link) => Deno.statSync(`/proc/${pid}/${link}`))
        .some(({ dev, ino }) => dev === own.dev && ino !== own.ino);
      if (!held) return [];
      return [{ pid, command: Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim() }];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return []; // it has ended
      throw error;
    }
  });
}

/** Moves a network interface of the initial namespace into another one, renames it on request and brings it up. */
export async function netdevToNetns(netdev: string, netns: string, name = netdev): Promise<void> {
  await shOk(`ip link set ${netdev} netns ${netns} name ${name} && ip -n ${netns} link set ${name} up`);
}
