/**
 * Devices of pods as OpenMetrics text, which node-exporter's textfile collector takes too: its parser is that of the
 * older text format, so there are no types that only OpenMetrics has.
 */
import type { Collected, PodDevice, PodPort, Status } from "./collect.ts";

/** The type of a family; without one it is of an unknown type. */
type Type = "counter" | "gauge" | undefined;

type Labels = Readonly<Record<string, string | number | undefined>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Formats what was collected, with "# EOF" at the end. */
export function formatMetrics({ devices, faults }: Collected): string {
  const ports = devices.flatMap((device) =>
    device.ports.map((port) => ({ port, labels: { ...listLabels(device), port: port.number } }))
  );
  const ofPorts = (value: (port: PodPort) => number | undefined) =>
    ports.flatMap(({ port, labels }) => sample(labels, value(port)));
  return [
    family("rdma_devices", "gauge", "RDMA devices that records say pods have.", countStatuses(devices)),
    family("rdma_read_errors", "gauge", "Records and devices that could not be read.", [
      { labels: {}, value: faults.length },
    ]),
    family(
      "rdma_device_info",
      "gauge",
      "An RDMA device that a pod has.",
      devices.map((device) => ({
        labels: {
          ...listLabels(device),
          network: device.network,
          device_id: device.deviceId,
          host_device: device.hostDevice,
          status: device.status,
        },
        value: 1,
      })),
    ),
    family(
      "rdma_device_start_time_seconds",
      "gauge",
      "When the pod got the device, in seconds since 1970.",
      devices.filter(({ status }) => ["present", "held"].includes(status)).map((device) => ({
        labels: listLabels(device),
        value: device.createdAt / 1000,
      })),
    ),
    family(
      "rdma_device_resources",
      "gauge",
      "Objects of a kind on the device, those of the kernel included.",
      devices.flatMap((device) =>
        Object.entries(device.resources).map(([kind, value]) => ({
          labels: { ...listLabels(device), kind },
          value,
        }))
      ),
    ),
    family(
      "rdma_port_state_id",
      "gauge",
      "State of the port: 1 down, 2 initializing, 3 armed, 4 active.",
      ofPorts(({ state }) => /^\d+(?=:)/.test(state) ? parseInt(state) : undefined),
    ),
    family(
      "rdma_port_rate_bytes_per_second",
      "gauge",
      "Speed of the port's link.",
      ofPorts(({ bitsPerSecond }) => bitsPerSecond === undefined ? undefined : bitsPerSecond / 8),
    ),
    ...TRAFFIC.map(([name, help, value]) => family(name, "counter", help, ofPorts(value))),
    family(
      "rdma_port_hw_counter",
      undefined,
      "A hardware counter of the port, by the driver's name for it.",
      ports.flatMap(({ port, labels }) =>
        Object.entries(port.counters).map(([counter, value]) => ({ labels: { ...labels, counter }, value }))
      ),
    ),
    "# EOF\n",
  ].join("");
}

const TRAFFIC: readonly [name: string, help: string, value: (port: PodPort) => number | undefined][] = [
  ["rdma_port_receive_bytes", "Bytes that the port received.", ({ traffic }) => traffic?.rxBytes],
  ["rdma_port_transmit_bytes", "Bytes that the port sent.", ({ traffic }) => traffic?.txBytes],
  ["rdma_port_receive_packets", "Packets that the port received.", ({ traffic }) => traffic?.rxPackets],
  ["rdma_port_transmit_packets", "Packets that the port sent.", ({ traffic }) => traffic?.txPackets],
];

const STATUSES: readonly Status[] = ["present", "missing", "held", "stale", "lost", "unknown"];

function countStatuses(devices: readonly PodDevice[]): Sample[] {
  return STATUSES.map((status) => ({
    labels: { status },
    value: devices.filter((device) => device.status === status).length,
  }));
}

/** No two devices have the same: of a record that has no container, the record's name takes its place. */
function listLabels(device: PodDevice): Labels {
  return {
    namespace: device.namespace,
    pod: device.pod,
    container_id: device.containerId ?? device.record,
    interface: device.interface,
    device: device.device,
  };
}

function sample(labels: Labels, value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels, value }];
}

/** A family with its samples; empty if there are none. */
function family(name: string, type: Type, help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return "";
  const [, unit] = /_(bytes|seconds)$/.exec(name) ?? [];
  const suffix = type === "counter" ? "_total" : "";
  return [
    ...type ? [`# TYPE ${name} ${type}`] : [],
    ...unit === undefined ? [] : [`# UNIT ${name} ${unit}`],
    `# HELP ${name} ${help}`,
    ...samples.map(({ labels, value }) => `${name}${suffix}${formatLabels(labels)} ${value}`),
  ].map((line) => `${line}\n`).join("");
}

/** A label that is absent means the same as an empty one. */
function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}="${escapeLabel(String(value))}"`]
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
