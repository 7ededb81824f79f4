/** What is handed to a cluster: the manifests of deployment/ and examples/, as they are and as kustomize builds them. */
import type { IDaemonSet } from "kubernetes-models/apps/v1";
import type { IRoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import type { IConfigMap, IPod, IServiceAccount } from "kubernetes-models/v1";
import { parseAll } from "../../src/cli/validate/source.ts";
import { filesIn, PROJECT } from "./project.ts";

/** Multus' own kind (its deployments/multus-daemonset.yml, CustomResourceDefinition). */
export interface NetworkAttachmentDefinition {
  apiVersion: "k8s.cni.cncf.io/v1";
  kind: "NetworkAttachmentDefinition";
  metadata: NonNullable<IPod["metadata"]>;
  spec: { config: string };
}

export type Manifest =
  | IDaemonSet
  | IPod
  | IConfigMap
  | IServiceAccount
  | IRoleBinding
  | NetworkAttachmentDefinition;

/** A manifest and where it is from. */
export interface Source {
  readonly from: string;
  readonly manifest: Manifest;
}

const DEPLOYMENT = "../../deployment";

/** The YAML files of both directories, except kustomize's own: what kustomizations are made of is seen in what they build. */
export const MANIFEST_FILES = [...filesIn("deployment", ".yaml"), ...filesIn("examples", ".yaml")]
  .filter((path) => !/\/(kustomization|patch)\.yaml$/.test(path));

export function readManifests(path: string): Source[] {
  return toSources(path, Deno.readTextFileSync(`${PROJECT}${path}`));
}

/** What `kubectl apply -k` of a directory would apply. @throws {Error} with kustomize's words, which refuses unknown keys */
export async function buildDirectory(directory: string): Promise<Source[]> {
  return toSources(`${directory} (built)`, await kustomize(`${PROJECT}${directory}`));
}

/** What deployment/ builds with these components. */
export async function buildWith(components: readonly string[]): Promise<Source[]> {
  const paths = components.map((name) => `${DEPLOYMENT}/components/${name}`);
  return await buildText(`resources: [${DEPLOYMENT}]\ncomponents: [${paths.join(", ")}]\n`);
}

/** What a kustomization.yaml two directories below the project's builds, as those of users are. */
export async function buildText(text: string): Promise<Source[]> {
  const directory = Deno.realPathSync(await Deno.makeTempDir());
  try {
    // kustomize takes no absolute paths, and YAML not every path as it is
    await Deno.symlink(`${PROJECT}deployment`, `${directory}/deployment`);
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

function toSources(from: string, yaml: string): Source[] {
  return parseAll(yaml).map((manifest) => ({ from, manifest: manifest as Manifest }));
}
