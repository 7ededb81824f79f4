// What the build makes, made once more from a copy of the project.
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { appendedSize } from "../../deployment/build/runtime_stub.ts";
import { VERSION } from "../../src/version.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { assertRunsCompiledForm } from "../support/compiled_form.ts";
import { type Outcome, PROGRAM, start } from "../support/program.ts";
import { PROJECT, ProjectCopy } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";

const BYTES = Buffer.from(Deno.readFileSync(PROGRAM).buffer);
const STUB = BYTES.subarray(0, BYTES.length - appendedSize(BYTES));

/** A copy that is built with a runtime stub, that of the executable under test unless told. */
class Copy extends ProjectCopy {
  readonly output = `${this.project}/made/rdma-cni`;
  readonly #temporary = `${this.directory}/temporary`;

  constructor(stub: Uint8Array = STUB) {
    super();
    Deno.mkdirSync(this.#temporary);
    Deno.writeFileSync(`${this.directory}/denort`, stub, { mode: 0o755 });
  }

  /** Builds the executable, and makes sure that no temporary file is left. */
  async build(env: Record<string, string> = {}, args: readonly string[] = []): Promise<Outcome> {
    const own = { NO_COLOR: "1", TMPDIR: this.#temporary, DENORT_BIN: `${this.directory}/denort` };
    const outcome = await start({
      program: Deno.execPath(),
      args: ["run", "-A", "deployment/build/build.ts", "--output", this.output, ...args],
      cwd: this.project,
      env: { ...Deno.env.toObject(), ...own, ...env },
    });
    assertEquals([...Deno.readDirSync(this.#temporary)], []);
    return outcome;
  }
}

Deno.test("the same sources make the same executable, in another directory, at another time, in another zone", async () => {
  using copy = new Copy(); // which has no git to ask for the commit
  const { commit, date } = (await start({ args: ["version", "--json"] })).json;
  const env = { TZ: "Asia/Tokyo", LANG: "de_DE.UTF-8", HOME: copy.directory };
  const { code, stderr } = await copy.build(env, ["--commit", `${commit} ${date}`]);
  assertEquals(code, 0, stderr);
  for (const file of ["", ".cdx.json", ".licenses.txt"]) {
    const [made, wanted] = [copy.output, PROGRAM].map((path) => Deno.readFileSync(path + file));
    assert(Buffer.from(made!).equals(wanted!), `another rdma-cni${file}`);
  }
});

Deno.test("a runtime stub that was changed is refused, and nothing is left", async () => {
  const changed = Buffer.from(STUB);
  changed[changed.length - 1]! ^= 1;
  using copy = new Copy(changed);
  const { code, stderr } = await copy.build();
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^Cannot trust the runtime stub .*: its hash is "[0-9a-f]{64}", wanted "[0-9a-f]{64}"$/m,
  );
  assertEquals([...Deno.readDirSync(`${copy.project}/made`)], []);
});

Deno.test("a package that the lock file does not have is refused", async () => {
  using copy = new Copy();
  const lock = JSON.parse(Deno.readTextFileSync(`${copy.project}/deno.lock`));
  delete lock.specifiers["npm:zod@4.6.7"];
  Deno.writeTextFileSync(`${copy.project}/deno.lock`, JSON.stringify(lock));
  const { code, stderr } = await copy.build();
  assertEquals(code, 1);
  assertStringIncludes(stderr, "The lockfile is out of date");
});

Deno.test("calls run the compiled form, and the source where V8 refuses that", async () => {
  await assertRunsCompiledForm(PROGRAM, []);
});

type Component = Record<"type" | "name" | "version" | "purl", string> & {
  hashes?: [{ alg: string; content: string }];
  licenses: [{ license: { id: string } }];
};

const bill = JSON.parse(Deno.readTextFileSync(`${PROGRAM}.cdx.json`));
const components: Component[] = bill.components;

const componentsOf = (kind: string) => components.filter(({ purl }) => purl.startsWith(`pkg:${kind}/`));
const sha256 = (bytes: Uint8Array) => [
  { alg: "SHA-256", content: createHash("sha256").update(bytes).digest("hex") },
];

Deno.test("the bill of materials tells which executable it is of, with which runtime: Deno's stub, by its hash, and V8", () => {
  assertEquals([bill.bomFormat, bill.specVersion, bill.version], ["CycloneDX", "1.6", 1]);
  const { name, version, licenses, hashes } = bill.metadata.component;
  assertEquals([name, version, licenses], ["rdma-cni", VERSION, [{ license: { id: "Apache-2.0" } }]]);
  assertEquals(hashes, sha256(BYTES));
  const [deno, v8, ...others] = componentsOf("generic");
  assertEquals([deno!.name, deno!.version, deno!.hashes], ["deno", Deno.version.deno, sha256(STUB)]);
  assertEquals([v8!.name, v8!.version, others], ["v8", Deno.version.v8, []]);
  assert(BYTES.includes(Deno.version.v8));
});

Deno.test("the bill of materials lists the packages of which the bundle has modules, as they are locked", async () => {
  using directory = new TestDirectory();
  const args = ["bundle", "--quiet", "--code-splitting", "--outdir", directory.path, "src/main.ts"];
  await run(Deno.execPath(), args, PROJECT);
  // The bundler writes above each module, as a comment, where it is from.
  const code = directory.names().map((name) => Deno.readTextFileSync(`${directory.path}/${name}`)).join("");
  const paths = code.matchAll(/^\/\/ .*\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\/(\d[^/]*)\//gm);
  const bundled = new Set(Array.from(paths, ([, name, version]) => `${name}@${version}`));
  assert(bundled.size > 0);

  const packages = componentsOf("npm");
  assertEquals(packages.map(({ name, version }) => `${name}@${version}`), [...bundled].sort());
  const lock = JSON.parse(Deno.readTextFileSync(`${PROJECT}deno.lock`)).npm;
  for (const { type, name, version, purl, hashes, licenses } of packages) {
    assertEquals([type, decodeURIComponent(purl)], ["library", `pkg:npm/${name}@${version}`]);
    const key = Object.keys(lock).find((key) => key.split("_")[0] === `${name}@${version}`)!;
    const [{ alg, content }] = hashes!;
    const integrity = Buffer.from(content, "hex").toString("base64");
    assertEquals([alg, `sha512-${integrity}`], ["SHA-512", lock[key].integrity]);
    assertMatch(licenses[0].license.id, /^[\w.-]+$/);
  }
});

Deno.test("all that is depended on is listed once", () => {
  const refs = [bill.metadata.component, ...bill.components].map((each) => each["bom-ref"]);
  assertEquals(new Set(refs).size, refs.length);
  const dependencies: { dependsOn: string[] }[] = bill.dependencies;
  const reached = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn));
  assertEquals([...reached].sort(), refs.slice(1).sort());
});

Deno.test("each component has its licence in the text for people, with the copyright or the author", () => {
  const text = Deno.readTextFileSync(`${PROGRAM}.licenses.txt`);
  const sections = text.split(/^== /m).slice(1);
  const wanted = [bill.metadata.component, ...components].map(({ name, version, licenses }) =>
    `${name} ${version}: ${licenses[0].license.id}`
  );
  assertEquals(sections.map((section) => section.split("\n")[0]), wanted);
  for (const section of sections) assertMatch(section, /^Copyright |copyright notice|Its author: \S/m);
});
