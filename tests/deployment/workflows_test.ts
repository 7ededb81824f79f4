// The workflows of the code host, which nothing here can run: a linter reads them, and what they name exists.
import { Ajv } from "ajv/dist/ajv.js";
import config from "../../deno.json" with { type: "json" };
import { extractFromNpm } from "../../deployment/build/npm_package.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { blockNamed } from "../support/documents.ts";
import { start } from "../support/program.ts";
import { filesIn, PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { parseAll } from "../support/yaml.ts";

interface Step {
  name?: string;
  uses?: string;
  run?: string;
  with?: Record<string, string>;
}

interface Workflow {
  permissions: object;
  jobs: Record<string, { permissions?: object; steps: Step[] }>;
}

const WORKFLOWS = filesIn(".github/workflows", ".yml").map((path) => {
  const text = Deno.readTextFileSync(PROJECT + path);
  const [workflow] = parseAll(text) as [Workflow];
  const jobs = Object.values(workflow.jobs);
  return { path, text, workflow, jobs, steps: jobs.flatMap(({ steps }) => steps) };
});

Deno.test("a linter finds nothing in the workflows", async () => {
  const args = ["run", "--allow-all", config.imports.actionlint, ".github/workflows/*.yml"];
  const env = { ...Deno.env.toObject(), NO_COLOR: "1" };
  const { code, stdout, stderr } = await start({ program: Deno.execPath(), args, cwd: PROJECT, env });
  assertMatch(`${code}: ${stdout}${stderr}`, new RegExp(`^0: [^]*${WORKFLOWS.length} workflow file\\(s\\)`));
});

for (const { path, text, workflow, jobs, steps } of WORKFLOWS) {
  Deno.test(`${path}: each job has the permissions that it needs, each step a name, each action a commit and version`, () => {
    assertEquals(workflow.permissions, {});
    for (const { permissions } of jobs) assert(permissions);
    assertEquals(steps.filter(({ name }) => !name), []);
    const used = text.match(/\buses: .*/g)!;
    assertEquals(used.length, steps.filter(({ uses }) => uses).length);
    assertEquals(used.filter((line) => !/^uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line)), []);
  });

  Deno.test(`${path}: a shell understands each step, and the tasks and files that it names exist`, async () => {
    const scripts = steps.flatMap(({ run = [] }) => run);
    for (const script of scripts) await run("bash", ["-n", "-c", script]);
    const tasks = scripts.join("\n").matchAll(/\bdeno(?:@\S+)? task ([\w:-]+)/g);
    const names = Array.from(tasks, ([, task]) => task!);
    assert(names.length > 0);
    assertEquals(names.filter((task) => !(task in config.tasks)), []);
    const files = text.match(/\b(?:deployment|docs|examples|tests)\/[\w/.-]+\w/g)!;
    for (const file of files) Deno.statSync(PROJECT + file);
  });
}

Deno.test("the release attests the executables, and all files that it publishes", () => {
  const [job] = WORKFLOWS.flatMap(({ jobs }) =>
    jobs.filter(({ steps }) => steps.some(({ uses }) => uses?.startsWith("actions/attest-build-provenance@")))
  );
  const { permissions, steps } = job!;
  assertEquals(permissions, { ...permissions, "id-token": "write", attestations: "write" });
  const attests = steps.findIndex(({ uses = "" }) => uses.startsWith("actions/attest-build-provenance@"));
  const files = steps[attests]!.with!["subject-path"]!.trim().split("\n");
  assertEquals(files, ["dist/rdma-cni", "dist/rdma-cni-aarch64", "dist/release/*"]);
  // Of what comes later, only checksums and signatures are published.
  const later = steps.slice(attests + 1).map(({ run = "" }) => run).join("\n");
  assertEquals(later.match(/\S*dist\/release\S*/g), ["dist/release"]);
});

const RENOVATE = {
  npmPackage: "renovate@44.121.2",
  integrity:
    "sha512-gNsY+POw2UN3B4e8x0B5UK3onH1qF7wMirKGaUnJcSx3+xEWH4n35RS4rvVEtTIIV/BoZoFbsIo7njTb9Mydxg==",
};

Deno.test("Renovate accepts its configuration, which pins base images and actions", async () => {
  using temporary = new TestDirectory();
  const schema = await extractFromNpm(RENOVATE, "package/renovate-schema.json", temporary.path);
  const accepts = new Ajv({ strict: false }).compile<object>(JSON.parse(Deno.readTextFileSync(schema)));
  const configuration: { extends: string[] } = JSON.parse(
    Deno.readTextFileSync(`${PROJECT}.github/renovate.json`),
  );
  assertEquals(accepts(configuration), true, JSON.stringify(accepts.errors));
  assertEquals(accepts({ ...configuration, packageRules: "none" }), false);
  assertEquals(configuration.extends.slice(1), ["docker:pinDigests", "helpers:pinGitHubActionDigests"]);
});

Deno.test("the tests are run by the command of the documents", () => {
  const ci = WORKFLOWS.find(({ path }) => path.endsWith("/ci.yml"))!;
  assert(ci.steps.some(({ run }) => run === blockNamed("all-tests")));
});
