import { names, rebind, setSimParameter, vfs } from "./functions.ts";
import { shOk } from "./sh.ts";

/** The links are a group, so that one order removes all. */
const GROUP = 7;

/** "rdma dev" opens a socket for each and closes none, so that a thousand are too many for it. */
export const countRdmaDevices = () => names("/sys/class/infiniband").length;

/**
 * Has at least so many RDMA devices and network links on the host. The last VF gets the devices, so that those of others
 * stay as they are, number and index included.
 */
export async function growNode(wanted: number): Promise<void> {
  const { deviceId, rdmaDevices } = vfs().at(-1)!;
  setSimParameter("devices_per_function", Math.max(wanted - countRdmaDevices() + rdmaDevices.length, 1));
  rebind(deviceId);
  setSimParameter("devices_per_function", 1);
  if (names("/sys/class/net").includes("extra0")) await shOk(`ip link del group ${GROUP}`);
  const links = Math.max(wanted - names("/sys/class/net").length, 0);
  const orders = Array.from({ length: links }, (_, i) => `link add extra${i} group ${GROUP} type dummy`);
  await shOk(`ip -batch - <<'END'\n${orders.join("\n")}\nEND`);
}
