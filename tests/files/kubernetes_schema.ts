/** Kubernetes' own schemas, on manifests. */
import { DaemonSet } from "kubernetes-models/apps/v1";
import { RoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1";
import { ConfigMap, Pod, ServiceAccount } from "kubernetes-models/v1";
import { PROJECT } from "./project.ts";
import type { Manifest, Source } from "./manifests.ts";

const MANIFESTS = new URL("manifests.ts", import.meta.url);
const MODELS = [DaemonSet, ConfigMap, Pod, RoleBinding, ServiceAccount];
const TYPES: Record<string, string> = {
  DaemonSet: `import("kubernetes-models/apps/v1").IDaemonSet`,
  ConfigMap: `import("kubernetes-models/v1").IConfigMap`,
  Pod: `import("kubernetes-models/v1").IPod`,
  RoleBinding: `import("kubernetes-models/rbac.authorization.k8s.io/v1").IRoleBinding`,
  ServiceAccount: `import("kubernetes-models/v1").IServiceAccount`,
  NetworkAttachmentDefinition: `import("${MANIFESTS}").NetworkAttachmentDefinition`,
};

/**
 * Validates a manifest of one of Kubernetes' own kinds: types, formats, enumerations, what is required.
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
 * What the compiler says of manifests as literals of their types: the schemas allow unknown keys, types do not.
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
