/** Devices of pods as text for Prometheus. */
import type { Collected, PodDevice, PodPort } from "./pods.ts";
import type { FateState } from "./fate.ts";

/** OpenMetrics 1.0, or Prometheus's own older text format. */
export type MetricsFormat = "openmetrics" | "classic";

/** The type of a family; without one it is of an unknown type. */
type Type = "counter" | "gauge" | undefined;

type Labels = Readonly<Record<string, string | number | undefined>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Formats what was collected. */
export function formatMetrics({ devices, faults }: Collected, format: MetricsFormat = "openmetrics"): string {
  const ports = devices.flatMap((device) =>
    device.ports.map((port) => ({ port, labels: { ...listLabels(device), port: port.number } }))
  );
  const ofPorts = (value: (port: PodPort) => number | undefined) =>
    ports.flatMap(({ port, labels }) => sample(labels, value(port)));
  const families = [
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
  ];
  return `${families.map((one) => formatFamily(one, format)).join("")}${
    format === "classic" ? "" : "# EOF\n"
  }`;
}

const TRAFFIC: readonly [name: string, help: string, value: (port: PodPort) => number | undefined][] = [
  ["rdma_port_receive_bytes", "Bytes that the port received.", ({ traffic }) => traffic?.rxBytes],
  ["rdma_port_transmit_bytes", "Bytes that the port sent.", ({ traffic }) => traffic?.txBytes],
  ["rdma_port_receive_packets", "Packets that the port received.", ({ traffic }) => traffic?.rxPackets],
  ["rdma_port_transmit_packets", "Packets that the port sent.", ({ traffic }) => traffic?.txPackets],
];

const STATUSES: readonly FateState[] = ["present", "missing", "held", "stale", "lost", "unknown"];

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

interface Family {
  readonly name: string;
  readonly type: Type;
  readonly help: string;
  readonly samples: readonly Sample[];
}

function family(name: string, type: Type, help: string, samples: readonly Sample[]): Family {
  return { name, type, help, samples };
}

/** A family with its samples; nothing if there are none. Only OpenMetrics has units, and counters without "_total". */
function formatFamily({ name, type, help, samples }: Family, format: MetricsFormat): string {
  if (samples.length === 0) return "";
  const series = type === "counter" ? `${name}_total` : name;
  const [title, unit] = format === "classic" ? [series] : [name, /_(bytes|seconds)$/.exec(name)?.[1]];
  return [
    ...type ? [`# TYPE ${title} ${type}`] : [],
    ...unit === undefined ? [] : [`# UNIT ${title} ${unit}`],
    `# HELP ${title} ${help}`,
    ...samples.map(({ labels, value }) => `${series}${formatLabels(labels)} ${value}`),
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
