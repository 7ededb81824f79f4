import { formatMetrics } from "../../../src/node/metrics.ts";
import type { PodDevice } from "../../../src/node/pods.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { DEVICE } from "../../support/pod_device.ts";

const POD = 'pod_namespace="team-a",pod_name="trainer-0"';
const LABELS = `${POD},interface="net1",device="mlx5_0"`;
const PORT = `${LABELS},port="1"`;

Deno.test("metrics: all that is known of a device, as text", () => {
  const text = formatMetrics({ devices: [DEVICE], faults: ["one"] });
  // Each metric is described before its type.
  const described = /^# HELP (\w+) [A-Z].*\.\n(?=# TYPE \1 )/gm;
  assertEquals(
    text.replaceAll(described, ""),
    `# TYPE rdma_devices gauge
rdma_devices{status="present"} 1
rdma_devices{status="missing"} 0
rdma_devices{status="held"} 0
rdma_devices{status="stale"} 0
rdma_devices{status="lost"} 0
rdma_devices{status="unknown"} 0
# TYPE rdma_read_errors gauge
rdma_read_errors 1
# TYPE rdma_pod_info gauge
rdma_pod_info{${POD},container_id="container1"} 1
# TYPE rdma_device_info gauge
rdma_device_info{${LABELS},network="net",device_id="0000:3b:00.2",host_device="mlx5_2",status="present"} 1
# TYPE rdma_device_start_time_seconds gauge
rdma_device_start_time_seconds{${LABELS}} 1700000000.5
# TYPE rdma_device_resources gauge
rdma_device_resources{${LABELS},kind="qp"} 3
rdma_device_resources{${LABELS},kind="mr"} 4
# TYPE rdma_port_state_id gauge
rdma_port_state_id{${PORT}} 4
# TYPE rdma_port_rate_bytes_per_second gauge
rdma_port_rate_bytes_per_second{${PORT}} 12500000000
# TYPE rdma_port_receive_bytes_total counter
rdma_port_receive_bytes_total{${PORT}} 400
# TYPE rdma_port_transmit_bytes_total counter
rdma_port_transmit_bytes_total{${PORT}} 800
# TYPE rdma_port_receive_packets_total counter
rdma_port_receive_packets_total{${PORT}} 1
# TYPE rdma_port_transmit_packets_total counter
rdma_port_transmit_packets_total{${PORT}} 2
# TYPE rdma_port_hw_counter untyped
rdma_port_hw_counter{${PORT},counter="out_of_sequence"} 7
rdma_port_hw_counter{${PORT},counter="rx_write_requests"} 9007199254740992
`,
  );
});

function samplesOf(...devices: Partial<PodDevice>[]): string[] {
  const all = devices.map((device, at) => ({ ...DEVICE, record: `record-${at}`, ...device }));
  return formatMetrics({ devices: all, faults: [] }).split("\n").filter((line) => /^rdma/.test(line));
}

const seriesOf = (...devices: Partial<PodDevice>[]) =>
  samplesOf(...devices).map((line) => line.slice(0, line.lastIndexOf(" ")));

Deno.test("metrics: quotation marks, backslashes and line breaks in labels are escaped", () => {
  const samples = samplesOf({ pod: 'a"b\\c\nd' });
  assertEquals(samples.filter((line) => !/^rdma_[a-z_]+(\{.*\})? \d/.test(line)), []);
  assertStringIncludes(samples.join("\n"), 'pod_name="a\\"b\\\\c\\nd"');
});

/** Devices beside DEVICE, and which of the two have the record in their labels. */
const OTHERS: Record<string, [other: Partial<PodDevice>, ...named: number[]]> = {
  "of an older sandbox": [{ containerId: "old", createdAt: 1 }, 0],
  "of an older sandbox, for another interface": [{ containerId: "old", createdAt: 1, interface: "net2" }, 0],
  "of a sandbox of the same age": [{ containerId: "old" }, 0, 1],
  "of the same interface of a sandbox": [{ network: "other" }, 0, 1],
  "of another interface of a sandbox": [{ interface: "net2" }],
  "of another pod": [{ pod: "trainer-1" }],
  "of a pod of that name in another namespace": [{ namespace: "team-b" }],
};

for (const [what, [other, ...named]] of Object.entries(OTHERS)) {
  Deno.test(`metrics: no two series are the same with a device ${what}`, () => {
    const series = seriesOf(other, {});
    assertEquals(series.length, new Set(series).size);
    const isNamed = (at: number) => series.some((one) => one.includes(`record="record-${at}"`));
    assertEquals([0, 1].filter(isNamed), named, series.join("\n"));
  });
}

Deno.test("metrics: records without container, interface or pod never have the same labels", () => {
  const { namespace: _, pod: __, containerId: ___, interface: ____, ...device } = DEVICE;
  const text = formatMetrics({ devices: ["a", "b"].map((record) => ({ ...device, record })), faults: [] });
  const series = text.split("\n").filter((line) => /^rdma/.test(line)).map((line) => line.split(" ")[0]);
  assertEquals(series.length, new Set(series).size);
  assertEquals(series.includes('rdma_port_state_id{record="a",device="mlx5_0",port="1"}'), true);
});

Deno.test("metrics: a container's ID is in one line of its sandbox's, and a new sandbox changes nothing else", () => {
  const [before, after] = ["container1", "container2"].map((containerId) =>
    seriesOf({ containerId }, { containerId, interface: "net2" })
  );
  const more = after!.filter((one) => !before!.includes(one));
  assertEquals(more, [`rdma_pod_info{${POD},container_id="container2"}`]);
});

Deno.test("metrics: a device that is not in its pod has only its line of information", () => {
  const samples = samplesOf({ status: "stale", resources: {}, ports: [] });
  assertEquals(samples.filter((line) => line.includes("device=")).length, 1);
  assertEquals(samples.includes('rdma_devices{status="stale"} 1'), true);
});
