/** The objects for a cluster: the manifests of deployment/ and examples/, as they are and as kustomize builds them. */
import * as monitoring from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { DaemonSet, type IDaemonSet } from "kubernetes-models/apps/v1";
import { type IRoleBinding, RoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import * as core from "kubernetes-models/v1";
import { parseAll } from "./yaml.ts";
import { filesIn, PROJECT } from "./project.ts";

/** Multus' own kind (its deployments/multus-daemonset.yml, CustomResourceDefinition). */
export interface NetworkAttachmentDefinition {
  apiVersion: "k8s.cni.cncf.io/v1";
  kind: "NetworkAttachmentDefinition";
  metadata: NonNullable<core.IPod["metadata"]>;
  spec: { config: string };
}

export type Manifest =
  | IDaemonSet
  | IRoleBinding
  | NetworkAttachmentDefinition
  | core.IPod
  | core.IConfigMap
  | core.IServiceAccount
  | monitoring.IPodMonitor;

export interface Source {
  readonly from: string;
  readonly manifest: Manifest;
}

const DEPLOYMENT = "../../deployment/kubernetes";

/** The manifests among the files of both directories: what kustomizations and the chart are made of is no manifest. */
export const MANIFEST_FILES = [...filesIn("deployment/kubernetes", ".yaml"), ...filesIn("examples", ".yaml")]
  .filter((path) => !/\/(kustomization|patch)\.yaml$/.test(path));

export function readManifests(path: string): Source[] {
  return toSources(path, Deno.readTextFileSync(`${PROJECT}${path}`));
}

/** Returns what `kubectl apply -k` of a directory would apply. @throws {Error} with kustomize's words, which refuses unknown keys */
export async function buildDirectory(directory: string): Promise<Source[]> {
  return toSources(`${directory} (built)`, await kustomize(`${PROJECT}${directory}`));
}

export async function buildWith(components: readonly string[]): Promise<Source[]> {
  const paths = components.map((name) => `${DEPLOYMENT}/components/${name}`);
  return await buildText(`resources: [${DEPLOYMENT}]\ncomponents: [${paths.join(", ")}]\n`);
}

/** Builds a kustomization.yaml two directories below the project's, as those of users are. */
export async function buildText(text: string): Promise<Source[]> {
  const directory = Deno.realPathSync(await Deno.makeTempDir());
  try {
    // kustomize takes no absolute paths, and YAML not every path as it is
    await Deno.symlink(`${PROJECT}deployment/kubernetes`, `${directory}/deployment`);
    await Deno.writeTextFile(`${directory}/kustomization.yaml`, text.replaceAll(DEPLOYMENT, "deployment"));
    return toSources("a kustomization", await kustomize(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function kustomize(directory: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("kustomize", { args: ["build", directory] })
    .output();
  if (!success) throw new Error(`kustomize build ${directory}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

export function toSources(from: string, yaml: string): Source[] {
  return parseAll(yaml).map((manifest) => ({ from, manifest: manifest as Manifest }));
}

const MANIFESTS = new URL("manifests.ts", import.meta.url);
const { ConfigMap, Pod, ServiceAccount } = core;
const MODELS = [DaemonSet, ConfigMap, Pod, monitoring.PodMonitor, RoleBinding, ServiceAccount];
const TYPES: Record<string, string> = {
  DaemonSet: `import("kubernetes-models/apps/v1").IDaemonSet`,
  ConfigMap: `import("kubernetes-models/v1").IConfigMap`,
  Pod: `import("kubernetes-models/v1").IPod`,
  RoleBinding: `import("kubernetes-models/rbac.authorization.k8s.io/v1").IRoleBinding`,
  ServiceAccount: `import("kubernetes-models/v1").IServiceAccount`,
  NetworkAttachmentDefinition: `import("${MANIFESTS}").NetworkAttachmentDefinition`,
  PodMonitor: `import("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1").IPodMonitor`,
};

/**
 * Validates a manifest of one of Kubernetes' own kinds, or the Prometheus operator's: types, formats, enumerations, what is required.
 *
 * @throws {Error} naming each wrong value
 */
export function validate(manifest: Manifest): void {
  const { apiVersion, kind } = manifest;
  const model = MODELS.find((one) => one.apiVersion === apiVersion && one.kind === kind);
  if (!model) {
    throw new Error(`Cannot validate kind ${JSON.stringify(kind)} of ${JSON.stringify(apiVersion)}`);
  }
  // deno-lint-ignore no-explicit-any -- it is what validate finds out
  new model(manifest as any).validate();
}

/**
 * Has the compiler check manifests as literals of their types: the schemas allow unknown keys, types do not.
 *
 * @returns its complaints; empty when there are none
 */
export async function checkTypes(sources: readonly Source[]): Promise<string> {
  const statements = sources.map(({ from, manifest }) => {
    const type = TYPES[String(manifest.kind)];
    if (!type) throw new Error(`Cannot check ${from}: kind ${JSON.stringify(manifest.kind)} is unknown`);
    return `// ${from}\n(${JSON.stringify(manifest, null, 2)}) satisfies ${type};\n`;
  });
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, `${statements.join("\n")}\nexport {};\n`);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", `${PROJECT}deno.json`, file],
      env: { NO_COLOR: "1" },
    }).output();
    return success ? "" : new TextDecoder().decode(stderr);
  } finally {
    await Deno.remove(file);
  }
}
