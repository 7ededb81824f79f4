/** Devices of pods as text for Prometheus. */
import type { Collected, PodDevice, PodPort } from "./pods.ts";
import type { FateState } from "./fate.ts";

type Type = "counter" | "gauge" | "untyped";

type Labels = Readonly<Record<string, string | number | undefined>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/**
 * Formats what was collected, in Prometheus' text format, version 0.0.4: all that collect metrics read it, node-exporter
 * from files too.
 */
export function formatMetrics({ devices, faults }: Collected): string {
  const labelled = devices.map((device) => ({ device, labels: listLabels(device, devices) }));
  const ports = labelled.flatMap(({ device, labels }) =>
    device.ports.map((port) => ({ port, labels: { ...labels, port: port.number } }))
  );
  const ofPorts = (value: (port: PodPort) => number | undefined) =>
    ports.flatMap(({ port, labels }) => sample(labels, value(port)));
  const families = [
    family("rdma_devices", "gauge", "RDMA devices that records say pods have.", countStatuses(devices)),
    family("rdma_read_errors", "gauge", "Records and devices that could not be read.", [
      { labels: {}, value: faults.length },
    ]),
    family(
      "rdma_pod_info",
      "gauge",
      "A pod that has RDMA devices, with the container ID of its sandbox.",
      listPods(labelled),
    ),
    family(
      "rdma_device_info",
      "gauge",
      "An RDMA device that a pod has.",
      labelled.map(({ device, labels }) => ({
        labels: {
          ...labels,
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
      labelled.filter(({ device }) => ["present", "held"].includes(device.status)).map((
        { device, labels },
      ) => ({ labels, value: device.createdAt / 1000 })),
    ),
    family(
      "rdma_device_resources",
      "gauge",
      "Objects of a kind on the device, those of the kernel included.",
      labelled.flatMap(({ device, labels }) =>
        Object.entries(device.resources).map(([kind, value]) => ({ labels: { ...labels, kind }, value }))
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
      "untyped", // a few drivers have gauges among them
      "A hardware counter of the port, by the driver's name for it.",
      ports.flatMap(({ port, labels }) =>
        Object.entries(port.counters).map(([counter, value]) => ({ labels: { ...labels, counter }, value }))
      ),
    ),
  ];
  return families.map(formatFamily).join("");
}

const TRAFFIC: readonly [name: string, help: string, value: (port: PodPort) => number | undefined][] = [
  ["rdma_port_receive_bytes_total", "Bytes that the port received.", ({ traffic }) => traffic?.rxBytes],
  ["rdma_port_transmit_bytes_total", "Bytes that the port sent.", ({ traffic }) => traffic?.txBytes],
  ["rdma_port_receive_packets_total", "Packets that the port received.", ({ traffic }) => traffic?.rxPackets],
  ["rdma_port_transmit_packets_total", "Packets that the port sent.", ({ traffic }) => traffic?.txPackets],
];

const STATUSES: readonly FateState[] = ["present", "missing", "held", "stale", "lost", "unknown"];

function countStatuses(devices: readonly PodDevice[]): Sample[] {
  return STATUSES.map((status) => ({
    labels: { status },
    value: devices.filter((device) => device.status === status).length,
  }));
}

/**
 * Names a device by its pod, so that a new sandbox of the pod begins no new series. Where that does not tell it from
 * others, the record is a label too: no two devices have the same.
 */
function listLabels(device: PodDevice, all: readonly PodDevice[]): Labels {
  return {
    pod_namespace: device.namespace,
    pod_name: device.pod,
    ...(isToldByPod(device, all) ? {} : { record: device.record }),
    interface: device.interface,
    device: device.device,
  };
}

/** Tells whether a device is of the newest sandbox of a pod, and no other record is about the same interface there. */
function isToldByPod(device: PodDevice, all: readonly PodDevice[]): boolean {
  const { namespace, pod, containerId } = device;
  const others = all.filter((one) =>
    one.record !== device.record && one.namespace === namespace && one.pod === pod
  );
  return pod !== undefined &&
    others.every((one) =>
      one.containerId === containerId ? one.interface !== device.interface : one.createdAt < device.createdAt
    );
}

interface LabelledDevice {
  readonly device: PodDevice;
  readonly labels: Labels;
}

/** A line for each sandbox: its container ID is in no other metric. */
function listPods(devices: readonly LabelledDevice[]): Sample[] {
  const pods = devices.flatMap(({ device: { containerId }, labels: { interface: _, device: __, ...pod } }) =>
    containerId === undefined ? [] : [{ ...pod, container_id: containerId }]
  );
  const distinct = new Map(pods.map((labels) => [formatLabels(labels), labels]));
  return [...distinct.values()].map((labels) => ({ labels, value: 1 }));
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

/** A family with its samples; nothing if there are none. */
function formatFamily({ name, type, help, samples }: Family): string {
  if (samples.length === 0) return "";
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(({ labels, value }) => `${name}${formatLabels(labels)} ${value}`),
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
