/** The ports of an RDMA device as sysfs shows them, with more than a CNI call needs. */
import type { PortDetails, Traffic } from "./node_kernel.ts";
import { listPorts } from "./ports.ts";
import { isFileName, readText } from "./sysfs.ts";

/**
 * The ports of a device; none when the sysfs does not show it.
 *
 * @param sysfs where a sysfs is mounted, which shows one network namespace
 * @param gidLimit how many entries of a RoCE port's GID table to read
 */
export function listPortDetails(sysfs: string, name: string, gidLimit: number): PortDetails[] {
  if (!isFileName(name)) return [];
  const device = `${sysfs}/class/infiniband/${name}`;
  return listPorts(device, gidLimit).map((port) => {
    const directory = `${device}/ports/${port.number}`;
    const bitsPerSecond = parseRate(readText(`${directory}/rate`) ?? "");
    const traffic = readTraffic(`${directory}/counters`);
    const first = port.isRoce ? undefined : readText(`${directory}/gids/0`);
    return {
      ...port,
      ...(first === undefined ? {} : { gids: [{ index: 0, gid: first, isRoceV2: false }] }),
      ...(bitsPerSecond === undefined ? {} : { bitsPerSecond }),
      ...(traffic ? { traffic } : {}),
    };
  });
}

/** "100 Gb/sec (4X EDR)", "2.5 Gb/sec (1X SDR)" (drivers/infiniband/core/sysfs.c, rate_show). */
function parseRate(text: string): number | undefined {
  const [, gigabits] = /^([\d.]+) Gb\/sec/.exec(text) ?? [];
  return gigabits === undefined ? undefined : Number(gigabits) * 1e9;
}

/** The files count data in units of four bytes (Documentation/ABI/stable/sysfs-class-infiniband). */
const WORD_BYTES = 4;

/** Undefined where the driver does not count: then the files are absent, or read "N/A (no PMA)". */
function readTraffic(directory: string): Traffic | undefined {
  const files = ["port_rcv_data", "port_xmit_data", "port_rcv_packets", "port_xmit_packets"];
  const texts = files.map((file) => readText(`${directory}/${file}`) ?? "");
  if (!texts.every((text) => /^\d+$/.test(text))) return undefined;
  const [rxWords = 0, txWords = 0, rxPackets = 0, txPackets = 0] = texts.map(Number);
  return { rxBytes: rxWords * WORD_BYTES, txBytes: txWords * WORD_BYTES, rxPackets, txPackets };
}
