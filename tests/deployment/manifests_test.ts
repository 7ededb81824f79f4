// Every manifest against Kubernetes' own schemas, and every file of examples/ and deployment/ against being forgotten.
import { assert, assertEquals } from "../support/assert.ts";
import {
  buildDirectory,
  buildWith,
  checkTypes,
  MANIFEST_FILES,
  readManifests,
  validate,
} from "../support/manifests.ts";
import { filesIn } from "../support/project.ts";

const COMPONENTS = [
  ...new Set(filesIn("deployment/kubernetes/components", "").map((path) => path.split("/")[3]!)),
];
const sources = [
  ...MANIFEST_FILES.flatMap(readManifests),
  ...await buildDirectory("deployment/kubernetes"),
  ...await buildDirectory("examples/cluster"),
  ...(await Promise.all(COMPONENTS.map((name) => buildWith([name])))).flat(),
];

for (const { from, manifest } of sources) {
  if (manifest.kind === "NetworkAttachmentDefinition") continue;
  Deno.test(`${from}: ${manifest.kind} ${manifest.metadata?.name} is valid`, () => validate(manifest));
}

Deno.test("no manifest has a key that its kind does not know", async () => {
  assertEquals(await checkTypes(sources), "");
});

/** Which files, besides the manifests, which test looks at. */
const CHECKED = [
  /^deployment\/kubernetes\/(components\/[^/]+\/)?(kustomization|patch)\.yaml$/, // here: they are built
  /^examples\/cluster\/kustomization\.yaml$/, // here
  /\.service$/, // tests/binary/units_test.ts
  /^deployment\/monitoring\/grafana-dashboard\.json$/, // dashboard_test.ts
  /^deployment\/monitoring\/node-problem-detector\.json$/, // doctor_summary_test.ts, tests/vm/cases/doctor.ts
  /^deployment\/packages\//, // tests/packages, man_test.ts
  /^deployment\/helm\/rdma-cni\//, // chart_test.ts
  /^deployment\/.*\.ts$/, // deno check
  /^deployment\/build\/licenses\/.*\.txt$/, // tests/binary/build_test.ts
  /^examples\/([^/]+\.conflist|perftest\/Dockerfile|README\.md)$/, // examples_test.ts
];

Deno.test("no file of examples/ and deployment/ is left without a test", () => {
  const files = [...filesIn("deployment", ""), ...filesIn("examples", "")];
  assert(files.length > 0);
  const others = files.filter((path) => !MANIFEST_FILES.includes(path));
  assertEquals(others.filter((path) => !CHECKED.some((pattern) => pattern.test(path))), []);
});
