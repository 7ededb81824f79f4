import { names, setSimParameter, simParameter } from "./functions.ts";
import { shOk } from "./sh.ts";

/** The links are a group, so that one order removes all. */
const GROUP = 7;

/**
 * How many RDMA devices the initial namespace has: "rdma dev" opens a socket for each and closes none, so that a
 * thousand are too many for it.
 */
export function countRdmaDevices(): number {
  return names("/sys/class/infiniband").length;
}

/**
 * Gives the node as many more RDMA devices and network links as make a number of each in the initial namespace. Those
 * of functions stay as they are, so there may be more than that.
 *
 * @returns how many more of each than the node has by itself
 */
export async function growNode(wanted: number): Promise<{ devices: number; links: number }> {
  const own = countRdmaDevices() - Number(simParameter("extra"));
  const devices = Math.max(wanted - own, 0);
  setSimParameter("extra", devices);
  if (names("/sys/class/net").includes("extra0")) await shOk(`ip link del group ${GROUP}`);
  const links = Math.max(wanted - names("/sys/class/net").length, 0);
  const orders = Array.from({ length: links }, (_, i) => `link add extra${i} group ${GROUP} type dummy`);
  await shOk(`ip -batch - <<'END'\n${orders.join("\n")}\nEND`);
  return { devices, links };
}
