// The Helm chart, rendered by Helm: the same objects as the kustomizations', whatever the components, and every value where
// it belongs.
import { Ajv } from "ajv/dist/ajv.js";
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import type { IPodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import type { IContainer, IPodSpec } from "kubernetes-models/v1";
import { packChart } from "../../deployment/build/chart.ts";
import { makeChartReadme } from "../../deployment/build/chart_readme.ts";
import { VERSION } from "../../src/version.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../support/assert.ts";
import { PAGES } from "../support/documents.ts";
import { CHART, Helm } from "../support/helm.ts";
import {
  buildDirectory,
  buildWith,
  checkTypes,
  type Source,
  toSources,
  validate,
} from "../support/manifests.ts";
import { filesIn, PROJECT, ProjectCopy } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { parseAll } from "../support/yaml.ts";

type Values = Record<string, unknown>;

const HELMS = await Promise.all(Helm.VERSIONS.map((version) => Helm.get(version)));
const HELM = HELMS.at(-1)!;
const [DEFAULTS] = parseAll(Deno.readTextFileSync(`${CHART}/values.yaml`)) as [Values];

/** The values that stand for the kustomize components. */
const COMPONENTS = {
  "netns-mode-check": "netnsModeCheck",
  "vf-mac-init": "vfMacInit",
  openshift: "openshift",
  agent: "agent", // after openshift, whose directory it takes over
} as const;

/** Labels of objects that Helm has made, apart from those that they have without it. */
const HELM_LABELS = {
  "app.kubernetes.io/instance": "rdma-cni",
  "app.kubernetes.io/managed-by": "Helm",
  "app.kubernetes.io/version": VERSION,
  "helm.sh/chart": `rdma-cni-${VERSION}`,
};

function objects(sources: readonly Source[]) {
  const keyOf = ({ kind, metadata }: Source["manifest"]) => `${kind} ${metadata?.name}`;
  return sources.map(({ manifest }) => manifest).sort((one, other) => keyOf(one) < keyOf(other) ? -1 : 1);
}

/** What kustomize builds, as Helm labels it. */
function labelled(sources: readonly Source[]) {
  return objects(sources).map((manifest) => {
    const labels = { ...manifest.metadata!.labels, ...HELM_LABELS };
    return { ...manifest, metadata: { ...manifest.metadata, labels } };
  });
}

for (const helm of HELMS) {
  Deno.test(`Helm ${helm.version} has this version, and no fault to find with the chart`, async () => {
    assertEquals((await helm.run(["version", "--template", "{{ .Version }}"])).trim(), `v${helm.version}`);
    await helm.run(["lint", "--strict", CHART]);
  });

  Deno.test(`Helm ${helm.version}: whatever the components, the objects are those that kustomize builds`, async () => {
    const all = Object.keys(COMPONENTS) as (keyof typeof COMPONENTS)[];
    const directories = filesIn("deployment/kubernetes/components", "").map((path) => path.split("/")[3]!);
    assertEquals<string[]>(all.toSorted(), [...new Set(directories)].sort());
    for (const names of [[], ...all.map((name) => [name]), all]) {
      const values = Object.fromEntries(names.map((name) => [COMPONENTS[name], { enabled: true }]));
      const [rendered, built] = [objects(await helm.render(values)), labelled(await buildWith(names))];
      assertEquals<unknown>(rendered, built, names.join());
    }
  });
}

const listContainers = ({ initContainers = [], containers }: IPodSpec) => [...initContainers, ...containers];
const containerOf = (pod: IPodSpec, name: string) => listContainers(pod).find((one) => one.name === name);

/** The object of a kind, of which there is one. */
function findKind<T>(sources: readonly Source[], kind: string): T {
  return sources.find(({ manifest }) => manifest.kind === kind)!.manifest as T;
}

const unique = (values: unknown[]) => [...new Set(values.map((value) => JSON.stringify(value)))];

const pathOf = ({ volumes = [] }: IPodSpec, name: string) =>
  volumes.find((volume) => volume.name === name)?.hostPath?.path;

/** A value, and where in the DaemonSet it shows, whatever the other values are. */
interface Switch {
  readonly value: unknown;
  readonly shown?: (pod: IPodSpec, daemonSet: IDaemonSet) => unknown;
  /** The value itself if it is missing. */
  readonly want?: unknown;
}

const RESOURCES = { requests: { cpu: "2m", memory: "2Mi" }, limits: { cpu: 1, memory: "512Mi" } };
const METRICS = { enabled: true, port: 9999, podMonitor: { enabled: true } };
const DIRECTORY = "/var/lib/rancher/k3s/data/cni";
const RDMA = { "feature.node.kubernetes.io/rdma.capable": "true" };

/** One for each key of values.yaml. */
const SWITCHES: Record<string, Switch> = {
  image: {
    value: { repository: "registry.example.com:5000/rdma-cni", tag: "9.9.9", pullPolicy: "Always" },
    shown: (pod) => unique(listContainers(pod).map(({ image, imagePullPolicy }) => [image, imagePullPolicy])),
    want: unique([["registry.example.com:5000/rdma-cni:9.9.9", "Always"]]),
  },
  imagePullSecrets: { value: [{ name: "registry" }], shown: (pod) => pod.imagePullSecrets },
  cniBinDir: {
    value: DIRECTORY,
    shown: (pod) => unique([pathOf(pod, "cni-bin"), containerOf(pod, "agent")?.args?.[2] ?? DIRECTORY]),
    want: unique([DIRECTORY]),
  },
  // What the next three and the agent show is what kustomize builds.
  netnsModeCheck: { value: { enabled: true } },
  vfMacInit: { value: { enabled: true } },
  openshift: { value: { enabled: true } },
  agent: {
    value: { enabled: true, gcIntervalSeconds: 60, metrics: METRICS },
    shown: (pod) => {
      const { args, ports, env } = containerOf(pod, "agent")!;
      return [args!.slice(3), ports, env![0]!.valueFrom!.fieldRef];
    },
    want: [
      ["--gc-interval", "60s", "--metrics", "[$(POD_IP)]:9999"],
      [{ name: "metrics", containerPort: 9999 }],
      { fieldPath: "status.podIP" },
    ],
  },
  resources: {
    value: Object.fromEntries(Object.keys(DEFAULTS["resources"] as Values).map((name) => [name, RESOURCES])),
    shown: (pod) => unique(listContainers(pod).map(({ resources }: IContainer) => resources)),
    want: unique([{ limits: RESOURCES.limits, requests: RESOURCES.requests }]),
  },
  seLinuxOptions: {
    value: { type: "container_runtime_t", level: "s0" },
    shown: (pod) => pod.securityContext!.seLinuxOptions,
  },
  priorityClassName: { value: "node-agents", shown: (pod) => pod.priorityClassName },
  tolerations: {
    value: [{ key: "rdma", operator: "Equal", value: "only", effect: "NoSchedule" }],
    shown: (pod) => pod.tolerations,
  },
  nodeSelector: {
    value: RDMA,
    shown: (pod) => pod.nodeSelector,
    want: { "kubernetes.io/os": "linux", ...RDMA },
  },
  affinity: {
    value: { nodeAffinity: null, podAffinity: {} },
    shown: (pod) => pod.affinity,
    want: { podAffinity: {} },
  },
  updateStrategy: {
    value: { rollingUpdate: { maxUnavailable: 3 } },
    shown: (_, daemonSet) => daemonSet.spec!.updateStrategy,
    want: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 3 } },
  },
  podAnnotations: {
    value: { "example.com/team": "network: 1" },
    shown: (_, daemonSet) => daemonSet.spec!.template.metadata!.annotations,
  },
};

Deno.test("each value of values.yaml shows in the objects, with and without each other one, and the objects stay valid", async () => {
  const all = Object.keys(SWITCHES);
  assertEquals(all.sort(), Object.keys(DEFAULTS).sort());
  const choices = [all];
  for (let bit = 1; bit < all.length; bit *= 2) {
    for (const half of [0, bit]) choices.push(all.filter((_, number) => (number & bit) === half));
  }
  const built: Source[] = [];
  for (const names of choices) {
    const sources = await HELM.render(Object.fromEntries(names.map((name) => [name, SWITCHES[name]!.value])));
    built.push(...sources);
    for (const { manifest } of sources) validate(manifest);
    const daemonSet = findKind<IDaemonSet>(sources, "DaemonSet");
    for (const name of names) {
      const { value, shown = () => want, want = value } = SWITCHES[name]!;
      assertEquals(shown(daemonSet.spec!.template.spec!, daemonSet), want, `${name} of ${names}`);
    }
  }
  assertEquals(await checkTypes(built), "");
});

Deno.test("the Prometheus operator finds the port of the metrics, and names the node", async () => {
  const agent = { enabled: true, metrics: { enabled: true, podMonitor: { enabled: true } } };
  const sources = await HELM.render({ agent }, { namespace: "network" });
  const { metadata, spec } = findKind<IPodMonitor>(sources, "PodMonitor");
  const { metadata: pod, spec: podSpec } = findKind<IDaemonSet>(sources, "DaemonSet").spec!.template;
  const relabelings = [{ sourceLabels: ["__meta_kubernetes_pod_node_name"], targetLabel: "instance" }];
  const port = containerOf(podSpec!, "agent")!.ports![0]!.name!;
  assertEquals([metadata!.namespace, spec.podMetricsEndpoints], ["network", [{ port, relabelings }]]);
  assertEquals({ ...pod!.labels, ...spec.selector.matchLabels }, pod!.labels);
  const without = await HELM.render({ agent: { ...agent, metrics: { enabled: true } } });
  assertEquals(without.map(({ manifest }) => manifest.kind), ["DaemonSet"]);
});

const GONE = (name: string) =>
  `The value "${name}" is gone, because the agent does its work. Remove it, and set`;

for (
  const [values, sentence] of [
    [{ gc: {} }, GONE("gc")],
    [{ metrics: { enabled: false } }, GONE("metrics")],
    [{ agent: { metrics: { enabled: true } } }, "agent.metrics.enabled is true, but agent.enabled is false"],
    [
      { agent: { enabled: true, metrics: { podMonitor: { enabled: true } } } },
      "agent.metrics.podMonitor.enabled is true, but agent.metrics.enabled is false",
    ],
  ] as [Values, string][]
) {
  Deno.test(`${JSON.stringify(values)} is refused with a sentence`, async () => {
    for (const helm of HELMS) await assertRejects(() => helm.render(values), Error, sentence);
  });
}

/** What follows "helm upgrade" in docs/deployment.md, on one line each. */
const UPGRADES = PAGES.get("docs/deployment.md")!.replaceAll(/\\\n\s*/g, "").matchAll(
  /^(?:\$ )?helm (.+)$/gm,
);

for (const [, text] of UPGRADES) {
  Deno.test(`the documents' helm ${text} makes the objects of examples/cluster`, async () => {
    const [upgrade, install, release, chart, ...options] = text!.split(/\s+/);
    assertEquals([upgrade, install, release], ["upgrade", "--install", "rdma-cni"]);
    // A release's chart names its image itself.
    if (chart!.startsWith("oci:")) options.push("--set", "image.repository=registry.example.com/rdma-cni");
    else assertEquals(`${PROJECT}${chart}`, CHART);
    const yaml = await HELM.run(["template", "rdma-cni", CHART, ...options]);
    assertEquals<unknown>(
      objects(toSources("the chart", yaml)),
      labelled(await buildDirectory("examples/cluster")),
    );
  });
}

Deno.test("a digest takes the place of the tag", async () => {
  const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
  const [daemonSet] = await HELM.render({ image: { repository: "example.com/rdma-cni", tag: "1", digest } });
  const images = JSON.stringify(daemonSet).match(/"image":"[^"]+"/g)!;
  assertEquals(unique(images), unique([`"image":"example.com/rdma-cni@${digest}"`]));
});

Deno.test("all objects, and what they refer to, are in the release's namespace", async () => {
  const sources = await HELM.render({ openshift: { enabled: true } }, { namespace: "network" });
  assertEquals(unique(sources.map(({ manifest }) => manifest.metadata!.namespace)), ['"network"']);
  const namespaces = JSON.stringify(sources).match(/"namespace":"[^"]+"|kube-system/g)!;
  assertEquals([namespaces.length, unique(namespaces)], [4, unique(['"namespace":"network"'])]);
});

const SCHEMA = JSON.parse(Deno.readTextFileSync(`${CHART}/values.schema.json`));
const accepts = new Ajv({ strict: true, allowUnionTypes: true }).compile(SCHEMA);

Deno.test("the schema knows each value of values.yaml, and nothing else but what Helm itself adds", () => {
  const keysOf = ({ properties = {} }: { properties?: Values }) => Object.keys(properties).sort();
  const gone = ["gc", "metrics"]; // which the templates refuse
  assertEquals(keysOf(SCHEMA), [...Object.keys(DEFAULTS), "global", ...gone].sort());
  for (const name of ["image", "agent", "resources"]) {
    assertEquals(keysOf(SCHEMA.properties[name]), Object.keys(DEFAULTS[name] as Values).sort());
  }
  assert(accepts(DEFAULTS), JSON.stringify(accepts.errors));
});

const WRONG: Record<string, unknown[]> = {
  images: [{}],
  image: [
    ...[{ tag: 1 }, { tag: "1 2" }, { repository: "" }, { repository: "example.com/rdma-cni@sha256:0" }],
    ...[{ digest: "sha256:123" }, { pullPolicy: "Sometimes" }],
  ],
  imagePullSecrets: [["registry"], [{}]],
  cniBinDir: ["opt/cni/bin", "/opt/cni/bin/"],
  netnsModeCheck: [true],
  vfMacInit: [{ enabled: "true" }],
  agent: [
    ...[{ enable: true }, { gcIntervalSeconds: -1 }, { gcIntervalSeconds: "15m" }],
    ...[{ metrics: { port: 0 } }, { metrics: { port: 65536 } }, { metrics: { podMonitor: true } }],
  ],
  openshift: [{ enabled: 1 }],
  resources: [
    ...[{ limits: { memory: "1Gi" } }, { gc: {} }, { agent: { limit: {} } }],
    ...[{ agent: { limits: { memory: "lots" } } }, { agent: { limits: { memory: 0 } } }],
  ],
  seLinuxOptions: [{ kind: "spc_t" }],
  priorityClassName: [1],
  tolerations: [{}, [{ operator: "Exist" }]],
  nodeSelector: [{ rdma: true }],
  affinity: [{ nodeAffinities: {} }],
  updateStrategy: [{ rollingUpdate: { maxUnavailable: "10" } }, { rollingUpdate: { maxUnavailable: -1 } }],
  podAnnotations: [{ rdma: 1 }],
};

for (const [name, wrong] of Object.entries(WRONG)) {
  Deno.test(`wrong values of ${name} are refused by the schema, and by Helm, which says where`, async () => {
    assertEquals(wrong.filter((value) => accepts({ [name]: value })), []);
    for (const helm of HELMS) {
      const error = await assertRejects(() => helm.render({ [name]: wrong[0] }), Error, "schema");
      assertStringIncludes(error.message, name);
    }
  });
}

Deno.test("Helm prints where the plugin goes, and what is left to do", async () => {
  const install = async (values: Values) => {
    const options = ["--dry-run=client", "--namespace", "network", "--values", "-"];
    return (await HELM.run(["install", "rdma-cni", CHART, ...options], values)).split("NOTES:\n")[1]!;
  };
  const plain = await install({});
  assertStringIncludes(plain, "kubectl --namespace network rollout status daemonset/rdma-cni");
  assertStringIncludes(plain, "/opt/cni/bin/rdma install --uninstall --cni-bin-dir /opt/cni/bin");
  assertStringIncludes(plain, "Set image.repository");
  const other = await install({
    image: { repository: "example.com/rdma-cni" },
    openshift: { enabled: true },
    agent: { enabled: true, metrics: { enabled: true, port: 9999 } },
  });
  assertStringIncludes(other, "/var/lib/cni/bin/rdma install --uninstall --cni-bin-dir /var/lib/cni/bin");
  assertStringIncludes(other, "http://ADDRESS:9999/metrics");
  assertEquals([plain.includes("metrics"), other.includes("Set image.repository")], [false, false]);
});

Deno.test("the chart's README is that of its values", () => {
  const [chart, values, readme] = ["Chart.yaml", "values.yaml", "README.md"].map((name) =>
    Deno.readTextFileSync(`${CHART}/${name}`)
  ) as [string, string, string];
  assertEquals(readme, makeChartReadme(chart, values), 'run "deno task chart"');
});

Deno.test("the packed chart is the chart, with the name that Helm gives it", async () => {
  using directory = new TestDirectory();
  const path = await packChart(`${directory.path}/packed`);
  await HELM.run(["package", CHART, "--destination", directory.path]);
  const name = path.split("/").at(-1)!;
  assertEquals(directory.names(), ["packed", name].sort());
  const listOf = async (archive: string) =>
    (await run("tar", ["-tzf", archive])).split("\n").filter((name) => !name.endsWith("/")).sort();
  assertEquals(await listOf(path), await listOf(`${directory.path}/${name}`));
  for (const helm of HELMS) {
    await helm.run(["lint", "--strict", path]);
    assertEquals(objects(await helm.render({}, { chart: path })), objects(await helm.render({})));
  }
});

Deno.test("the packed chart has the same bytes in another directory, with other times and modes", async () => {
  using copy = new ProjectCopy();
  await Deno.chmod(`${copy.project}/deployment/helm/rdma-cni/values.yaml`, 0o600);
  const path = await run(Deno.execPath(), ["run", "-A", "deployment/build/chart.ts"], copy.project);
  using directory = new TestDirectory();
  assertEquals(await Deno.readFile(await packChart(directory.path)), await Deno.readFile(path.trim()));
});
