import { formatMetrics } from "../../../src/node/metrics.ts";
import { assertEquals } from "../../support/assert.ts";
import { DEVICE } from "../../support/pod_device.ts";

const LABELS =
  'namespace="team-a",pod="trainer-0",container_id="container1",interface="net1",device="mlx5_0"';
const PORT = `${LABELS},port="1"`;

Deno.test("metrics: all that is known of a device, as OpenMetrics text", () => {
  assertEquals(
    formatMetrics({ devices: [DEVICE], faults: [] }),
    `# TYPE rdma_devices gauge
# HELP rdma_devices RDMA devices that records say pods have.
rdma_devices{status="present"} 1
rdma_devices{status="missing"} 0
rdma_devices{status="held"} 0
rdma_devices{status="stale"} 0
rdma_devices{status="lost"} 0
rdma_devices{status="unknown"} 0
# TYPE rdma_read_errors gauge
# HELP rdma_read_errors Records and devices that could not be read.
rdma_read_errors 0
# TYPE rdma_device_info gauge
# HELP rdma_device_info An RDMA device that a pod has.
rdma_device_info{${LABELS},network="net",device_id="0000:3b:00.2",host_device="mlx5_2",status="present"} 1
# TYPE rdma_device_start_time_seconds gauge
# UNIT rdma_device_start_time_seconds seconds
# HELP rdma_device_start_time_seconds When the pod got the device, in seconds since 1970.
rdma_device_start_time_seconds{${LABELS}} 1700000000.5
# TYPE rdma_device_resources gauge
# HELP rdma_device_resources Objects of a kind on the device, those of the kernel included.
rdma_device_resources{${LABELS},kind="qp"} 3
rdma_device_resources{${LABELS},kind="mr"} 4
# TYPE rdma_port_state_id gauge
# HELP rdma_port_state_id State of the port: 1 down, 2 initializing, 3 armed, 4 active.
rdma_port_state_id{${PORT}} 4
# TYPE rdma_port_rate_bytes_per_second gauge
# HELP rdma_port_rate_bytes_per_second Speed of the port's link.
rdma_port_rate_bytes_per_second{${PORT}} 12500000000
# TYPE rdma_port_receive_bytes counter
# UNIT rdma_port_receive_bytes bytes
# HELP rdma_port_receive_bytes Bytes that the port received.
rdma_port_receive_bytes_total{${PORT}} 400
# TYPE rdma_port_transmit_bytes counter
# UNIT rdma_port_transmit_bytes bytes
# HELP rdma_port_transmit_bytes Bytes that the port sent.
rdma_port_transmit_bytes_total{${PORT}} 800
# TYPE rdma_port_receive_packets counter
# HELP rdma_port_receive_packets Packets that the port received.
rdma_port_receive_packets_total{${PORT}} 1
# TYPE rdma_port_transmit_packets counter
# HELP rdma_port_transmit_packets Packets that the port sent.
rdma_port_transmit_packets_total{${PORT}} 2
# HELP rdma_port_hw_counter A hardware counter of the port, by the driver's name for it.
rdma_port_hw_counter{${PORT},counter="out_of_sequence"} 7
rdma_port_hw_counter{${PORT},counter="rx_write_requests"} 9007199254740992
# EOF
`,
  );
});

Deno.test("metrics: quotation marks, backslashes and line breaks in labels are escaped", () => {
  const text = formatMetrics({ devices: [{ ...DEVICE, pod: 'a"b\\c\nd' }], faults: [] });
  assertEquals(text.includes('pod="a\\"b\\\\c\\nd"'), true);
  assertEquals(text.split("\n").filter((line) => !/^(# |rdma_[a-z_]+(\{.*\})? \d)/.test(line)), [""]);
});

Deno.test("metrics: without devices there are the counts, and the end", () => {
  const lines = formatMetrics({ devices: [], faults: ["one"] }).split("\n");
  assertEquals(lines.filter((line) => !line.startsWith("# ")), [
    ...["present", "missing", "held", "stale", "lost", "unknown"].map((status) =>
      `rdma_devices{status="${status}"} 0`
    ),
    "rdma_read_errors 1",
    "",
  ]);
  assertEquals(lines.slice(-2), ["# EOF", ""]);
});

Deno.test("metrics: records without container, interface or pod never have the same labels", () => {
  const { namespace: _, pod: __, containerId: ___, interface: ____, ...device } = DEVICE;
  const devices = [{ ...device, record: "a" }, { ...device, record: "b" }];
  const samples = formatMetrics({ devices, faults: [] }).split("\n").filter((line) => /^rdma/.test(line));
  const series = samples.map((line) => line.slice(0, line.lastIndexOf(" ")));
  assertEquals(series.length, new Set(series).size);
  assertEquals(series.includes('rdma_port_state_id{container_id="a",device="mlx5_0",port="1"}'), true);
});

Deno.test("metrics: a device that is not in its pod has only its line of information", () => {
  const stale = { ...DEVICE, status: "stale" as const, resources: {}, ports: [] };
  const lines = formatMetrics({ devices: [stale], faults: [] }).split("\n");
  assertEquals(lines.filter((line) => line.includes("container_id")).length, 1);
  assertEquals(lines.includes('rdma_devices{status="stale"} 1'), true);
});
