// What people start when what it needs cannot be had: the run of the tests, and the demo. Both in a copy of the project
// that has nothing to build and one test in each tier that needs no kernel.
import { DEAD_MIRROR, Mirror, OwnApt } from "../support/own_apt.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";
import { run } from "../rig/vm/node/packages.ts";

const TIERS = ["unit", "files", "deployment", "binary", "faults", "image", "packages"];

const COPIED = [
  ...["src", "deployment", "deno.json", "deno.lock"],
  ...["run.ts", "rig", "support", "vm"].map((name) => `tests/${name}`),
];

const BUILD = `
export const parseBuildOptions = () => ({ output: "" });
export const build = () => Promise.resolve();
`;

/** Starts a program of the copy with an apt of its own. */
async function start(program: string, mirror = DEAD_MIRROR, by: string[] = []) {
  using apt = new OwnApt(mirror);
  const project = `${apt.directory}/project`;
  await Deno.mkdir(`${project}/tests`, { recursive: true });
  for (const path of COPIED) await run("cp", ["-r", PROJECT + path, `${project}/${path}`]);
  await Deno.writeTextFile(`${project}/deployment/build/build.ts`, BUILD);
  for (const tier of TIERS) {
    await Deno.mkdir(`${project}/tests/${tier}`);
    await Deno.writeTextFile(`${project}/tests/${tier}/one_test.ts`, 'Deno.test("one", () => {});\n');
  }
  const [first, ...args] = [...by, Deno.execPath(), "run", "-A", `${project}/tests/${program}`];
  const { code, stdout, stderr } = await new Deno.Command(first!, { args, env: apt.env }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("a run in which kernels are not to be had fails, and says how many tiers did not run", async () => {
  const { code, out } = await start("run.ts");
  const didNot = out.matchAll(/^(\S+): did not run: Cannot find this machine's mirror/gm);
  const nodes = Array.from(didNot, ([, name]) => name);
  assert(nodes.includes("vm"), out);
  const count = `${nodes.length} of ${TIERS.length + nodes.length} tiers`;
  const told = `${count} did not run, each a failure: ${nodes.join(", ")}`;
  const last = `${TIERS.length} passed, ${nodes.length} failed`;
  assertEquals([code, ...out.trimEnd().split("\n").slice(-2)], [1, told, last], out);
});

Deno.test("a run by root without CAP_SYS_ADMIN says that it lacks that, and what it leaves out", async () => {
  const without = ["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"];
  const { code, out } = await start("run.ts", DEAD_MIRROR, ["setpriv", ...without]);
  assertEquals(code, 1);
  assertMatch(out, /^files \| left out, since they need CAP_SYS_ADMIN: tests\/files\//m);
  assertMatch(out, /^vm: did not run: it needs CAP_SYS_ADMIN$/m);
});

const ASKING = "kernel: asking for the newest Linux";
const NOT_FOUND = "Cannot find this machine's mirror of Debian.*: apt has no list with this label; .*\n$";

Deno.test("the demo takes another kernel only when the mirror can be reached and does not have the newest", async () => {
  const { code, out, err } = await start("vm/demo.ts");
  assertEquals([code, out], [1, ""]);
  assertMatch(err, new RegExp(`^${ASKING} 7\\.3 \\.\\.\\.\n${NOT_FOUND}`));
  await using mirror = new Mirror(["trixie"]);
  const other = await start("vm/demo.ts", mirror.url);
  assertEquals([other.code, other.out], [1, ""]); // the other is not to be had from this mirror either
  const taking = `Linux 7\\.3 is not to be had: .*; taking 6\\.12\n${ASKING} 6\\.12 \\.\\.\\.\n`;
  assertMatch(other.err, new RegExp(`\n${taking}${NOT_FOUND}`));
});
