// What the build makes, made once more from a copy of the project.
import { Buffer } from "node:buffer";
import { appendedSize } from "../../deployment/build/runtime_stub.ts";
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { assertRunsCompiledForm } from "../support/compiled_form.ts";
import { PROGRAM, start } from "../support/program.ts";
import { PROJECT, ProjectCopy } from "../support/project.ts";

/** A copy that is built with the stub of the executable under test. */
class Copy extends ProjectCopy {
  readonly stub = `${this.directory}/denort`;

  constructor() {
    super();
    const program = Deno.readFileSync(PROGRAM);
    Deno.writeFileSync(this.stub, program.subarray(0, program.length - appendedSize(program)), {
      mode: 0o755,
    });
  }

  override async build(
    env: Record<string, string> = {},
    args: readonly string[] = [],
  ): ReturnType<ProjectCopy["build"]> {
    return await super.build({ DENORT_BIN: this.stub, ...env }, args);
  }
}

Deno.test("the same sources make the same executable, in another directory, at another time, in another zone", async () => {
  using copy = new Copy(); // which has no git to ask for the commit
  const { commit, date } = (await start({ args: ["version", "--json"] })).json;
  const { success, stderr, output } = await copy.build({
    TZ: "Asia/Tokyo",
    LANG: "de_DE.UTF-8",
    HOME: copy.directory,
  }, ["--commit", `${commit} ${date}`]);
  assert(success, stderr);
  for (const file of ["", ".cdx.json", ".licenses.txt"]) {
    const [made, wanted] = [output, PROGRAM].map((path) =>
      Buffer.from(Deno.readFileSync(path + file).buffer)
    );
    assert(made!.equals(wanted!), `another rdma-cni${file}`);
  }
});

Deno.test("a runtime stub that was changed is refused, and nothing is left", async () => {
  using copy = new Copy();
  const stub = Deno.readFileSync(copy.stub);
  stub[stub.length - 1]! ^= 1;
  Deno.writeFileSync(copy.stub, stub);
  const { success, stderr, output } = await copy.build();
  assertEquals(success, false);
  assertMatch(
    stderr,
    /^Cannot trust the runtime stub .*: its hash is "[0-9a-f]{64}", wanted "[0-9a-f]{64}"$/m,
  );
  assertEquals([...Deno.readDirSync(output.replace(/[^/]*$/, ""))], []);
});

Deno.test("a package that the lock file does not have is refused", async () => {
  using copy = new Copy();
  const lock = JSON.parse(Deno.readTextFileSync(`${copy.project}/deno.lock`));
  delete lock.specifiers["npm:zod@4.6.7"];
  Deno.writeTextFileSync(`${copy.project}/deno.lock`, JSON.stringify(lock));
  const { success, stderr } = await copy.build();
  assertEquals(success, false);
  assertStringIncludes(stderr, "The lockfile is out of date");
});

Deno.test("calls run the compiled form, and the source where V8 refuses that", async () => {
  await assertRunsCompiledForm(PROGRAM, []);
});

interface Component {
  type: string;
  name: string;
  version: string;
  purl: string;
  hashes?: { alg: string; content: string }[];
  licenses: { license: { id: string } }[];
}

const bill = JSON.parse(Deno.readTextFileSync(`${PROGRAM}.cdx.json`));
const components: Component[] = bill.components;

Deno.test("the bill of materials tells which executable it is of", async () => {
  assertEquals([bill.bomFormat, bill.specVersion, bill.version], ["CycloneDX", "1.6", 1]);
  const { name, version, hashes } = bill.metadata.component;
  assertEquals([name, version], ["rdma-cni", VERSION]);
  assertEquals(bill.metadata.component.licenses, [{ license: { id: "Apache-2.0" } }]);
  assertEquals(hashes, [{ alg: "SHA-256", content: await sha256(Deno.readFileSync(PROGRAM)) }]);
});

Deno.test("the bill of materials lists the packages of which the bundle has modules, as they are locked", async () => {
  const directory = Deno.makeTempDirSync();
  const args = ["bundle", "--quiet", "--code-splitting", "--outdir", directory, "src/main.ts"];
  await new Deno.Command(Deno.execPath(), { args, cwd: PROJECT }).output();
  // The bundler writes above each module, as a comment, where it is from.
  const code = [...Deno.readDirSync(directory)].map(({ name }) =>
    Deno.readTextFileSync(`${directory}/${name}`)
  )
    .join("");
  Deno.removeSync(directory, { recursive: true });
  const paths = code.matchAll(/^\/\/ .*\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\/(\d[^/]*)\//gm);
  const bundled = new Set(Array.from(paths, ([, name, version]) => `${name}@${version}`));
  assert(bundled.size > 0);

  const packages = components.filter(({ purl }) => purl.startsWith("pkg:npm/"));
  assertEquals(packages.map(({ name, version }) => `${name}@${version}`), [...bundled].sort());
  const lock = JSON.parse(Deno.readTextFileSync(`${PROJECT}deno.lock`)).npm;
  for (const { type, name, version, purl, hashes, licenses } of packages) {
    assertEquals([type, decodeURIComponent(purl)], ["library", `pkg:npm/${name}@${version}`]);
    const key = Object.keys(lock).find((key) => key.split("_")[0] === `${name}@${version}`)!;
    const [{ alg, content }] = hashes as [{ alg: string; content: string }];
    const integrity = (content.match(/../g) ?? []).map((byte) => String.fromCharCode(parseInt(byte, 16)))
      .join("");
    assertEquals([alg, `sha512-${btoa(integrity)}`], ["SHA-512", lock[key].integrity]);
    assertMatch(licenses[0]!.license.id, /^[\w.-]+$/);
  }
});

Deno.test("the bill of materials has the runtime: Deno's stub, by its hash, and V8", async () => {
  const program = Deno.readFileSync(PROGRAM);
  const stub = await sha256(program.subarray(0, program.length - appendedSize(program)));
  const runtime = components.filter(({ purl }) => purl.startsWith("pkg:generic/"));
  assertEquals(runtime.map(({ name, version }) => [name, version]), [
    ["deno", Deno.version.deno],
    ["v8", Deno.version.v8],
  ]);
  assertEquals(runtime[0]!.hashes, [{ alg: "SHA-256", content: stub }]);
  assert(Buffer.from(program.buffer).includes(Deno.version.v8));
});

Deno.test("all that is depended on is listed once", () => {
  const refs = [bill.metadata.component, ...bill.components].map((each) => each["bom-ref"]);
  assertEquals(new Set(refs).size, refs.length);
  const dependencies: { ref: string; dependsOn: string[] }[] = bill.dependencies;
  const reached = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn));
  assertEquals([...reached].sort(), refs.slice(1).sort());
});

Deno.test("each component has its licence in the text for people, with the copyright or the author", () => {
  const text = Deno.readTextFileSync(`${PROGRAM}.licenses.txt`);
  const sections = text.split(/^== /m).slice(1);
  assertEquals(
    sections.map((section) => section.split("\n")[0]),
    [bill.metadata.component, ...components].map(({ name, version, licenses }) =>
      `${name} ${version}: ${licenses[0]!.license.id}`
    ),
  );
  for (const section of sections) assertMatch(section, /^Copyright |copyright notice|Its author: \S/m);
});

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
