// The dashboard and the documents ask for metrics that there are, with labels that these have.
import { formatMetrics } from "../../src/node/metrics.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { PAGES } from "../support/documents.ts";
import { DEVICE } from "../support/pod_device.ts";
import { PROJECT } from "../support/project.ts";

/** The labels of each metric. */
const METRICS = new Map(
  [...formatMetrics({ devices: [DEVICE], faults: [] }).matchAll(/^(rdma_\w+)(?:\{(.*)\})? /gm)]
    .map(([, name, labels = ""]) => [name!, [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label!)]),
);

interface Dashboard {
  panels: { id: number; title: string; targets: { expr: string; legendFormat: string }[] }[];
  templating: { list: { name: string; definition?: string }[] };
}

const dashboard: Dashboard = JSON.parse(
  Deno.readTextFileSync(`${PROJECT}deployment/monitoring/grafana-dashboard.json`),
);
const targets = dashboard.panels.flatMap(({ targets }) => targets);
const expressions = [
  ...targets.map(({ expr }) => expr),
  ...dashboard.templating.list.flatMap(({ definition }) => definition ?? []),
];

/** Asserts that the metrics of an expression are there with the labels that it selects. */
function assertKnown(expression: string): void {
  const found = [...expression.matchAll(/\b(rdma_\w+)(?:\{(.*?)\})?/g)];
  assert(found.length > 0, expression);
  for (const [, name, selectors = ""] of found) {
    const labels = METRICS.get(name!);
    assert(labels, `${name} is no metric`);
    for (const [, label] of selectors.matchAll(/(\w+)(?:=~|!=|!~|=)"/g)) {
      assert(labels.includes(label!), `${name} has no label ${label}`);
    }
  }
}

Deno.test("every expression of the dashboard asks for metrics and labels that there are", () => {
  expressions.forEach(assertKnown);
  for (const { expr, legendFormat } of targets) {
    const labels = METRICS.get(/rdma_\w+/.exec(expr)![0])!;
    const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
    assertEquals(named.filter((label) => !labels.includes(label)), []);
  }
});

Deno.test("every variable that the dashboard uses it has, and its panels have numbers of their own", () => {
  const variables = dashboard.templating.list.map(({ name }) => name);
  const used = expressions.flatMap((text) => [...text.matchAll(/\$(?!__)(\w+)/g)].map(([, name]) => name!));
  assertEquals(used.filter((name) => !variables.includes(name)), []);
  const ids = dashboard.panels.map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length);
});

Deno.test("the documents name every metric, and none that there is not", () => {
  const page = PAGES.get("docs/commands.md")!.split("### Monitoring\n")[1]!.split("\n## ")[0]!;
  const named = [...page.matchAll(/`(rdma_\w+)(?=[`{])/g)].map(([, name]) => name!);
  assertEquals(named.filter((name) => !METRICS.has(name)), []);
  assertEquals([...METRICS.keys()].filter((name) => !named.includes(name) && !/_packets_/.test(name)), []);
  for (const [, expression] of page.matchAll(/`((?:rate\()?rdma_[^`]*[<>!]=? \d)`/g)) {
    assertKnown(expression!);
  }
});
