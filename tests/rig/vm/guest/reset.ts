import {
  allFunctions,
  bind,
  names,
  type NetworkFunction,
  pf,
  readdressed,
  setSimParameter,
  setSlowness,
  sfs,
  simParameters,
  unbind,
  vfs,
} from "./functions.ts";
import { netnsCount, netnsHolders, netnsNames } from "./netns.ts";
import { netnsMode, rdmaDevices, setNetnsMode } from "./rdma.ts";
import { endBackground, sh, shOk, until } from "./sh.ts";

/** What a node is like when nothing has happened to it. */
export interface Baseline {
  functions: NetworkFunction[];
  netdevs: string[];
  parameters: Record<string, string>;
  mode: string;
}

/** Those of the VFs' netdevs before the case, by device: each bind of a driver makes another. */
const ifindexes = new Map<string, string | undefined>();

function ifindexOf({ netdev }: NetworkFunction): string | undefined {
  return netdev && Deno.readTextFileSync(`/sys/class/net/${netdev}/ifindex`);
}

export function readBaseline(): Baseline {
  return {
    functions: allFunctions(),
    netdevs: names("/sys/class/net").sort(),
    parameters: Object.fromEntries(simParameters()),
    mode: netnsMode(),
  };
}

/** Brings the node back to what it was. @throws {Error} if the case left a process behind that had to be killed */
export async function resetNode(baseline: Baseline): Promise<void> {
  await endBackground();
  setSlowness({});
  if (names("/sys/module/ib_ipoib").length > 0) await shOk('modprobe --dirname "$MODULES" --remove ib_ipoib');
  if (netnsNames().length > 0) await shOk("ip -all netns delete");
  const holders = await endHolders();
  const parameters = simParameters();
  for (const [name, value] of Object.entries(baseline.parameters)) {
    if (parameters.get(name) !== value) setSimParameter(name, value);
  }
  // What a bind under other parameters, or with another address, made cannot be seen from outside.
  for (const now of vfs()) {
    if (ifindexOf(now) !== ifindexes.get(now.deviceId) || readdressed.has(now.deviceId)) unbind(now.deviceId);
  }
  readdressed.clear();
  if (netnsMode() !== baseline.mode) await setNetnsMode(baseline.mode);
  const known = baseline.functions.flatMap(({ rdmaDevices }) => rdmaDevices);
  if (names("/sys/class/infiniband").some((name) => !known.includes(name))) {
    for (const { name, type } of await rdmaDevices()) if (type === "smi") await shOk(`rdma dev del ${name}`);
  }
  await resetFunctions(baseline);
  await removeNetdevs(baseline);
  for (const directory of ["/var/lib/cni", "/etc/cni/net.d", "/run/k8s.cni.cncf.io"]) {
    for (const name of names(directory)) await Deno.remove(`${directory}/${name}`, { recursive: true });
  }
  if (holders.length > 0) throw new Error(`Namespaces were held by ${JSON.stringify(holders)}`);
  for (const one of vfs()) ifindexes.set(one.deviceId, ifindexOf(one));
  const now = JSON.stringify(readBaseline());
  const then = JSON.stringify(baseline);
  if (now !== then) throw new Error(`The node did not come back to what it was: ${now} instead of ${then}`);
}

/** Waits for the namespaces to go. @returns the processes that had to be killed for that */
async function endHolders() {
  const gone = () => until("only the initial network namespace is left", () => netnsCount() === 1);
  try {
    await gone();
    return [];
  } catch {
    const holders = netnsHolders();
    for (const { pid } of holders) Deno.kill(pid, "SIGKILL");
    await gone();
    return holders;
  }
}

/** VFs that are not as they were get new devices; PF and scalable functions can only have been renamed. */
async function resetFunctions(baseline: Baseline): Promise<void> {
  const wanted = new Map(baseline.functions.map((one) => [one.deviceId, one]));
  for (const now of [pf(), ...sfs()]) {
    const then = wanted.get(now.deviceId);
    if (then) await rename(now, then);
  }
  const changed = vfs().map((now, index) => ({ now, then: wanted.get(now.deviceId), index }))
    .filter(({ now, then }) => JSON.stringify(now) !== JSON.stringify(then));
  if (changed.length === 0) return;
  for (const { now } of changed) unbind(now.deviceId);
  const { netdev } = pf();
  const orders = changed.map(({ then, index }) => `link set ${netdev} vf ${index} mac ${then?.mac}`);
  await shOk(`ip -batch - <<'END'\n${orders.join("\n")}\nEND`);
  for (const { now } of changed) bind(now.deviceId);
}

async function rename(now: NetworkFunction, then: NetworkFunction): Promise<void> {
  const [device, wanted] = [now.rdmaDevices[0], then.rdmaDevices[0]];
  if (device !== wanted) await shOk(`rdma dev set ${device} name ${wanted}`);
  if (now.netdev !== then.netdev) {
    await shOk(`ip link set ${now.netdev} down && ip link set ${now.netdev} name ${then.netdev}`);
  }
}

/** Some go with others, as the ends of a veth pair do, so that not every order can succeed. */
async function removeNetdevs(baseline: Baseline): Promise<void> {
  const foreign = names("/sys/class/net").filter((name) => !baseline.netdevs.includes(name));
  const used = vfs().flatMap(({ netdev }) => netdev !== undefined && isUsed(netdev) ? [netdev] : []);
  if (foreign.length === 0 && used.length === 0) return;
  const orders = [
    ...foreign.map((name) => `link del ${name}`),
    ...used.flatMap((netdev) => [`addr flush dev ${netdev}`, `link set ${netdev} down`]),
  ];
  await sh(`ip -force -batch - <<'END'\n${orders.join("\n")}\nEND`);
}

/** Whether it is up or has an address. */
function isUsed(netdev: string): boolean {
  const isUp = (Number(Deno.readTextFileSync(`/sys/class/net/${netdev}/flags`)) & 1) !== 0;
  return isUp || Deno.networkInterfaces().some(({ name }) => name === netdev);
}
