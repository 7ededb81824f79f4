/** Devices of pods as a table. */
import { formatColumns } from "../table.ts";
import type { PodDevice, PodPort } from "./collect.ts";

type Column = readonly [heading: string, cell: (device: PodDevice, port: PodPort | undefined) => string];

const COLUMNS: readonly Column[] = [
  ["POD", ({ namespace, pod }) => pod === undefined ? "-" : `${namespace}/${pod}`],
  ["CONTAINER", ({ containerId }) => containerId?.slice(0, 12) ?? "-"],
  ["INTERFACE", (device) => device.interface ?? "-"],
  ["NETWORK", ({ network }) => network ?? "-"],
  ["DEVICE ID", ({ deviceId }) => deviceId],
  ["DEVICE", ({ device }, port) => `${device}${port ? `/${port.number}` : ""}`],
  ["ON HOST", ({ hostDevice }) => hostDevice],
  ["STATE", ({ status }, port) => status === "present" ? stateOf(port) : status],
  ["RATE", (_, port) => port?.bitsPerSecond === undefined ? "-" : `${port.bitsPerSecond / 1e9} Gb/s`],
  ["GID", (_, port) => port?.gid ? `${port.gid.index}: ${shortenGid(port.gid.gid)}` : "-"],
  ["AGE", ({ createdAt }) => formatAge(Date.now() - createdAt)],
];

const WIDE_COLUMNS: readonly Column[] = [
  ["RX BYTES", (_, port) => count(port?.traffic?.rxBytes)],
  ["TX BYTES", (_, port) => count(port?.traffic?.txBytes)],
  ["RX PACKETS", (_, port) => count(port?.traffic?.rxPackets)],
  ["TX PACKETS", (_, port) => count(port?.traffic?.txPackets)],
  ...["qp", "cq", "mr", "pd"].map((kind): Column => [
    kind.toUpperCase(),
    ({ resources }) => count(resources[kind]),
  ]),
  ["ERRORS", (_, port) => port ? listErrors(port) : "-"],
];

/** Hardware counters of errors, losses and retransmissions, as the drivers of Linux 6.12 name them. */
const ERROR_COUNTER = /err|retr|retry|timeout|out_of|discard|drop|dup|nak|rnr|ooo|lost|cnp|ecn/i;

/**
 * A table with a line for each port of each device; a dash stands for a missing value.
 *
 * @param isWide with columns for traffic, resources and errors
 */
export function formatDevices(devices: readonly PodDevice[], isWide: boolean): string {
  const columns = isWide ? [...COLUMNS, ...WIDE_COLUMNS] : COLUMNS;
  const lines = devices.flatMap((device) => {
    const ports = device.ports.length === 0 ? [undefined] : device.ports;
    return ports.map((port) => columns.map(([, cell]) => cell(device, port)));
  });
  return formatColumns([columns.map(([heading]) => heading), ...lines]);
}

/** "ACTIVE" of "4: ACTIVE". */
function stateOf(port: PodPort | undefined): string {
  return port?.state.replace(/^\d+: /, "") ?? "-";
}

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

function count(value: number | undefined): string {
  return value === undefined ? "-" : String(value);
}

function listErrors({ counters }: PodPort): string {
  const some = Object.entries(counters).filter(([name, value]) => value > 0 && ERROR_COUNTER.test(name));
  return some.map(([name, value]) => `${name}=${value}`).join(" ") || "none";
}
