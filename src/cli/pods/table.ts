/** Devices of pods as a table. */
import type { Column, Table } from "../table.ts";
import { nameState } from "../../kernel/kernel.ts";
import type { PodDevice, PodPort } from "../../node/pods.ts";

/** A device, and one of its ports, if it has any. */
type Row = readonly [device: PodDevice, port: PodPort | undefined];

export const POD_TABLE: Table<Row> = {
  columns: [
    ["POD", ([{ namespace, pod }]) => pod && `${namespace}/${pod}`],
    ["INTERFACE", ([device]) => device.interface],
    ["DEVICE", ([{ device }, port]) => `${device}${port ? `/${port.number}` : ""}`],
    ["STATE", ([{ status }, port]) => status === "present" ? port && nameState(port) : status],
    [
      "RATE",
      ([, port]) => port?.bitsPerSecond === undefined ? undefined : `${port.bitsPerSecond / 1e9}G`,
    ],
    ["INDEX", ([, port]) => port?.gid?.index.toString()],
    ["GID", ([, port]) => port?.gid && shortenGid(port.gid.gid)],
    ["AGE", ([{ createdAt }]) => formatAge(Date.now() - createdAt)],
  ],
  wideColumns: [
    ["CONTAINER", ([{ containerId }]) => containerId?.slice(0, 12)],
    ["NETWORK", ([{ network }]) => network],
    ["PCI-ADDRESS", ([{ deviceId }]) => deviceId],
    ["ON-HOST", ([{ hostDevice }]) => hostDevice],
    ["RX-BYTES", ([, port]) => port?.traffic?.rxBytes.toString()],
    ["TX-BYTES", ([, port]) => port?.traffic?.txBytes.toString()],
    ["RX-PACKETS", ([, port]) => port?.traffic?.rxPackets.toString()],
    ["TX-PACKETS", ([, port]) => port?.traffic?.txPackets.toString()],
    ...["qp", "cq", "mr", "pd"].map((kind): Column<Row> => [
      kind.toUpperCase(),
      ([{ resources }]) => resources[kind]?.toString(),
    ]),
    ["ERRORS", ([, port]) => port && listErrors(port)],
  ],
  nothing: "No pods with RDMA devices found",
};

/** A row for each port of each device, and one for each device without ports. */
export function listRows(devices: readonly PodDevice[]): Row[] {
  return devices.flatMap((device) =>
    device.ports.length === 0 ? [[device, undefined]] : device.ports.map((port): Row => [device, port])
  );
}

/** Hardware counters of errors, losses and retransmissions, as the drivers of Linux 6.12 name them. */
const ERROR_COUNTER = /err|retr|retry|timeout|out_of|discard|drop|dup|nak|rnr|ooo|lost|cnp|ecn/i;

/** As the RoCE tools write it: IPv4 addresses with dots, others without leading zeros. */
function shortenGid(gid: string): string {
  const words = gid.split(":").map((word) => parseInt(word, 16));
  const [high = 0, low = 0] = words.slice(-2);
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return `::ffff:${[high >> 8, high & 0xff, low >> 8, low & 0xff].join(".")}`;
  }
  return words.map((word) => word.toString(16)).join(":");
}

const UNITS = [[86_400, "d"], [3600, "h"], [60, "m"]] as const;

/** The largest unit alone, as kubectl writes it: "3d", "45s". */
function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)}${unit}`;
}

function listErrors({ counters }: PodPort): string {
  const some = Object.entries(counters).filter(([name, value]) => value > 0 && ERROR_COUNTER.test(name));
  return some.map(([name, value]) => `${name}=${value}`).join(" ") || "none";
}
