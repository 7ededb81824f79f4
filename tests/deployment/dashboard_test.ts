// The metrics as promtool and a real Prometheus take them, and what the dashboard and the documents ask of them.
import type { IPodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { answer } from "../../src/agent/http.ts";
import { formatMetrics } from "../../src/node/metrics.ts";
import type { Collected, PodDevice } from "../../src/node/pods.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { PAGES } from "../support/documents.ts";
import { Helm } from "../support/helm.ts";
import { DEVICE } from "../support/pod_device.ts";
import { start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { Prometheus, type Sample } from "../support/prometheus.ts";

interface Target {
  expr: string;
  legendFormat: string;
}

interface Dashboard {
  panels: { id: number; title: string; type: string; targets: Target[] }[];
  templating: { list: { name: string; definition?: string }[] };
}

const dashboard: Dashboard = JSON.parse(
  Deno.readTextFileSync(`${PROJECT}deployment/monitoring/grafana-dashboard.json`),
);

/**
 * Serves the metrics of a node: a device that all is known of, one whose port is down, one whose pod is gone, and a record
 * that cannot be read. The counters grow from one read to the next.
 */
function serveMetrics(): Deno.HttpServer<Deno.NetAddr> {
  let reads = 0;
  const collect = (): Collected => {
    reads++;
    const traffic = { rxBytes: 400 * reads, txBytes: 800 * reads, rxPackets: reads, txPackets: reads };
    const counters = { out_of_sequence: reads, rx_write_requests: reads };
    const good = { ...DEVICE.ports[0]!, traffic, counters };
    const server: PodDevice = { ...DEVICE, namespace: "team-b", pod: "server-0", device: "mlx5_1" };
    return {
      devices: [
        { ...DEVICE, ports: [good] },
        { ...server, ports: [{ ...good, state: "1: DOWN", counters: {} }], resources: { qp: 1 } },
        { ...server, pod: "server-1", status: "stale", ports: [], resources: {} },
      ],
      faults: ["record"],
    };
  };
  return Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => answer(request, () => formatMetrics(collect())),
  );
}

const addressOf = ({ addr }: Deno.HttpServer<Deno.NetAddr>) => `${addr.hostname}:${addr.port}`;

Deno.test("promtool finds no fault with the metrics", async () => {
  await using server = serveMetrics();
  const { code, stdout, stderr } = await start({
    program: "promtool",
    args: ["check", "metrics"],
    stdin: await (await fetch(`http://${addressOf(server)}/metrics`)).text(),
  });
  assertEquals([code, stdout + stderr], [0, ""]);
});

/** Rules that take a label from what service discovery knows of a pod. */
const labels = (sources: Record<string, string>) =>
  Object.entries(sources).map(([target_label, source]) => ({
    source_labels: [`__meta_kubernetes_${source}`],
    target_label,
  }));

/** A scrape job that the Prometheus operator makes for a pod of a DaemonSet, as its pkg/prometheus/promcfg.go does. */
function job(address: string, pod: string, node: string, honorLabels: boolean, relabelings: object[]) {
  const known = {
    namespace: "network",
    pod_name: `${pod}-x7k2p`,
    pod_container_name: pod,
    service_name: pod,
  };
  const discovered = Object.entries({ ...known, pod_node_name: node });
  return {
    ...{ job_name: address, scrape_interval: "200ms", scrape_timeout: "200ms", honor_labels: honorLabels },
    static_configs: [{
      targets: [address],
      labels: Object.fromEntries(discovered.map(([name, value]) => [`__meta_kubernetes_${name}`, value])),
    }],
    relabel_configs: [
      ...labels({ namespace: "namespace", pod: "pod_name", container: "pod_container_name" }),
      { target_label: "job", replacement: pod },
      ...relabelings,
    ],
  };
}

/** What the chart's PodMonitor relabels. */
async function relabelingsOfChart(): Promise<object[]> {
  const helm = await Helm.get("4.1.4");
  const agent = { enabled: true, metrics: { enabled: true, podMonitor: { enabled: true } } };
  const monitor = (await helm.render({ agent })).find(({ manifest }) => manifest.kind === "PodMonitor")!;
  const [{ relabelings = [] } = {}] = (monitor.manifest as IPodMonitor).spec.podMetricsEndpoints!;
  return relabelings.map(({ sourceLabels, targetLabel }) => ({
    source_labels: sourceLabels,
    target_label: targetLabel,
  }));
}

/** A query with what a person chose for the dashboard's variables; a pattern for all of them unless told. */
function fill(query: string, choice: Record<string, string>): string {
  return query.replaceAll("$__rate_interval", "30s").replaceAll(/\$(\w+)/g, (_, name) => {
    assert(dashboard.templating.list.some((one) => one.name === name), `${query}: no variable ${name}`);
    return choice[name] ?? ".*";
  });
}

async function valuesOf(prometheus: Prometheus, name: string, choice: Record<string, string>) {
  const { definition } = dashboard.templating.list.find((one) => one.name === name)!;
  const [, series, wanted] = /^label_values\((.*), (\w+)\)$/.exec(definition!)!;
  return await prometheus.ask(`label/${wanted}/values`, { "match[]": fill(series!, choice) });
}

/** What a panel shows of a sample: a number for a stat, all labels of a table's row, the legend of a curve. */
function format(type: string, legend: string, { metric, value: [, value] }: Sample): string {
  if (type === "stat") return value;
  if (type === "table") {
    return Object.entries(metric).map(([name, text]) => `${name}=${text}`).sort().join(" ");
  }
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => metric[name] ?? "?");
}

async function show(prometheus: Prometheus, choice: Record<string, string>) {
  const panels = dashboard.panels.map(async ({ title, type, targets: [target] }) => {
    const samples = await prometheus.query(fill(target!.expr, choice));
    return [title, samples.map((sample) => format(type, target!.legendFormat, sample)).sort()] as const;
  });
  return Object.fromEntries(await Promise.all(panels));
}

const row = (instance: string, device: string, namespace: string, pod: string, status: string) =>
  `device=${device} device_id=0000:3b:00.2 host_device=mlx5_2 instance=${instance} interface=net1 network=net ` +
  `pod_name=${pod} pod_namespace=${namespace} status=${status}`;

Deno.test("the dashboard shows the pods that have the devices, and obeys its variables, whatever relabels the metrics", async () => {
  await using first = serveMetrics();
  await using second = serveMetrics();
  await using third = serveMetrics();
  const [address, chart] = [addressOf(third), await relabelingsOfChart()];
  await using prometheus = await Prometheus.start({
    scrape_configs: [
      job(addressOf(first), "agent", "node-a", false, chart),
      job(addressOf(second), "agent", "node-b", true, chart), // as a PodMonitor of one's own may say
      job(address, "node-exporter", "node-c", false, labels({ service: "service_name" })),
    ],
  });
  const [trainer, server] = ["team-a/trainer-0 mlx5_0", "team-b/server-0 mlx5_1"];
  await prometheus.until(
    "rate(rdma_port_receive_bytes_total[30s])",
    (samples) => samples.length === 6 && samples.every(({ value }) => Number(value[1]) > 0),
  );

  assertEquals(await valuesOf(prometheus, "instance", {}), [address, "node-a", "node-b"]);
  for (const instance of ["node-a", "node-b", address]) {
    assertEquals(await valuesOf(prometheus, "namespace", { instance }), ["team-a", "team-b"]);
    assertEquals(await valuesOf(prometheus, "pod", { instance, namespace: "team-a" }), ["trainer-0"]);
    assertEquals(await show(prometheus, { instance }), {
      "Devices in pods": ["2"],
      "Not as recorded": ["1"],
      "Ports that are not active": ["1"],
      "Not readable": ["1"],
      "Who has which device": [
        row(instance, "mlx5_0", "team-a", "trainer-0", "present"),
        row(instance, "mlx5_1", "team-b", "server-0", "present"),
        row(instance, "mlx5_1", "team-b", "server-1", "stale"),
      ],
      "Received": [trainer, server],
      "Sent": [trainer, server],
      "Errors and retransmissions": [`${trainer} out_of_sequence`],
      "Queue pairs and memory regions": [`${trainer} mr`, `${trainer} qp`, `${server} qp`],
    });
    assertEquals(await show(prometheus, { instance, namespace: "team-a", pod: "trainer-0" }), {
      "Devices in pods": ["1"],
      "Not as recorded": ["0"],
      "Ports that are not active": ["0"],
      "Not readable": ["1"],
      "Who has which device": [row(instance, "mlx5_0", "team-a", "trainer-0", "present")],
      "Received": [trainer],
      "Sent": [trainer],
      "Errors and retransmissions": [`${trainer} out_of_sequence`],
      "Queue pairs and memory regions": [`${trainer} mr`, `${trainer} qp`],
    });
  }
  const all = await show(prometheus, {});
  assertEquals([all["Devices in pods"], all["Not readable"]], [["6"], ["3"]]);
});

Deno.test("the documents name every metric, and none that there is not", () => {
  const metrics = formatMetrics({ devices: [DEVICE], faults: [] }).matchAll(/^(rdma_\w+)/gm);
  const names = [...new Set(Array.from(metrics, ([, name]) => name!))];
  const page = PAGES.get("docs/commands.md")!.split("### Monitoring\n")[1]!.split("\n## ")[0]!;
  const named = [...page.matchAll(/`(?:rate\()?(rdma_\w+)(?=[`{[ ])/g)].map(([, name]) => name!);
  assertEquals(named.filter((name) => !names.includes(name)), []);
  assertEquals(names.filter((name) => !named.includes(name) && !/_packets_/.test(name)), []);
});
