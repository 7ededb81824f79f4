// The directories of src/ and deployment/ know only those below them, and each tier of tests only itself.
import { assert, assertEquals } from "../support/assert.ts";
import { filesIn, PROJECT } from "../support/project.ts";

/** What the files of each place may import besides itself, by paths from the project's directory on. */
const RULES: [place: string, allowed: RegExp][] = [
  // The floors of src/, the lowest first.
  ["src/version.ts", /^$/],
  ["src/printable.ts", /^$/],
  ["src/log.ts", /^src\/printable\.ts$/],
  ["src/sys/", /^$/],
  ["src/netlink/", /^src\/sys\//],
  ["src/kernel/", /^src\/(netlink|sys)\//],
  ["src/cni/", /^src\/(sys\/|log\.ts$)/],
  ["src/plugin/", /^src\/(cni\/|kernel\/kernel\.ts$|sys\/|log\.ts$)/],
  ["src/node/", /^src\/(plugin\/|cni\/error\.ts$|kernel\/(kernel|node_kernel)\.ts$|sys\/|log\.ts$)/],
  ["src/agent/", /^src\/(node\/|plugin\/|cni\/|kernel\/linux\.ts$|sys\/|log\.ts$|version\.ts$)/],
  [
    "src/cli/",
    /^src\/((agent|node|plugin|cni|kernel|sys)\/|netlink\/libmnl\.ts$|(log|printable|version)\.ts$)/,
  ],
  ["src/main.ts", /^src\//],
  // The rooms of src/plugin/, the lowest first. What all work on stands on top.
  ["src/plugin/config/", /^src\/(?!plugin\/)|\/plugin\/node\.ts$/],
  ["src/plugin/record/", /^src\/(?!plugin\/)|\/plugin\/(config\/|node\.ts$)/],
  ["src/plugin/device/", /^src\/(?!plugin\/)|\/plugin\/(config\/|record\/|node\.ts$)/],
  ["src/plugin/features/", /^src\/(?!plugin\/)|\/plugin\/(config\/|record\/|device\/|node\.ts$)/],
  ["deployment/build/", /^src\//],
  ["deployment/man/", /^(deployment\/build|src)\//],
  ["deployment/packages/", /^(deployment\/(build|man)|src)\//],
  // What the tiers of tests share.
  ["tests/support/", /^(?!tests\/)/],
  ["tests/rig/", /^(?!tests\/)|^tests\/support\//],
  ["tests/scenarios/", /^(?!tests\/)|^tests\/(support|rig)\//],
  ...[...Deno.readDirSync(`${PROJECT}tests`)].filter(({ name }) => !/^(support|rig|scenarios)$/.test(name))
    .filter(({ isDirectory }) => isDirectory).map(({ name }): [string, RegExp] => [
      `tests/${name}/`,
      /^(?!tests\/)|^tests\/(support|rig|scenarios)\//,
    ]),
];

interface Source {
  path: string;
  text: string;
}

const read = (path: string): Source => ({ path, text: Deno.readTextFileSync(PROJECT + path) });
const sources = filesIn("src", ".ts").map(read);
const deployment = filesIn("deployment", ".ts").map(read);
const all = [...sources, ...deployment, ...filesIn("tests", ".ts").map(read)];
const having = (pattern: RegExp) => sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);

function importsOf({ path, text }: Source): string[] {
  const specifiers = text.matchAll(/(?:from|import\(|import)\s*"(\.[^"]+)"/g);
  return Array.from(specifiers, ([, specifier]) => new URL(specifier!, `file:///${path}`).pathname.slice(1));
}

for (const [place, allowed] of RULES) {
  Deno.test(`${place} imports only what lies below it`, () => {
    const own = all.filter(({ path }) => path.startsWith(place));
    assert(own.length > 0);
    const wrong = own.flatMap((source) =>
      importsOf(source).filter((target) => !target.startsWith(place) && !allowed.test(target))
        .map((target) => `${source.path} -> ${target}`)
    );
    assertEquals(wrong, []);
  });
}

Deno.test("every file has a rule, and files import each other", () => {
  const places = RULES.map(([place]) => place);
  const isLoose = ({ path }: Source) => !places.some((place) => path.startsWith(place));
  assertEquals(all.filter(isLoose).map(({ path }) => path), ["tests/run.ts"]);
  const rooms = [...Deno.readDirSync(`${PROJECT}src/plugin`)].filter(({ isDirectory }) => isDirectory);
  assertEquals(rooms.filter(({ name }) => !places.includes(`src/plugin/${name}/`)), []);
  assert(sources.flatMap(importsOf).length > sources.length);
});

Deno.test("errno values stand in one file, and errno is fetched in one place", () => {
  assertEquals(having(/\bE[A-Z]{2,} = \d+;|\(os error [\d(]/), ["src/sys/errno.ts"]);
  assertEquals(having(/\.__errno_location\(/), ["src/sys/libc.ts"]);
});

Deno.test("a CNI call loads nothing of the commands and the agent, nor of any package", () => {
  const loaded = new Set(["src/main.ts"]);
  const packages = new Set<string>();
  for (const path of loaded) {
    const { text } = sources.find((source) => source.path === path)!;
    for (const [, specifier = ""] of text.matchAll(/^(?:import|export) (?!type )[^;]*?from "([^"]+)"/gm)) {
      if (specifier.startsWith(".")) loaded.add(new URL(specifier, `file:///${path}`).pathname.slice(1));
      else packages.add(specifier);
    }
  }
  assert(loaded.has("src/kernel/linux.ts"));
  const foreign = [...loaded].filter((path) => /^src\/(agent|cli|node)\//.test(path));
  assertEquals([foreign, [...packages]], [[], []]);
});

for (
  const [what, pattern, allowed] of [
    ["Deno.dlopen and Deno.Unsafe*", /Deno\.(dlopen|Unsafe)/, /^src\/(sys\/|netlink\/libmnl\.ts$)/],
    ["Deno.exit", /Deno\.exit\(/, /^src\/(agent\/)?main\.ts$/],
    ["Deno.serve", /Deno\.serve/, /^src\/agent\/http\.ts$/],
    ["Deno.Command", /Deno\.Command/, /^src\/(cli\/|sys\/program\.ts$)/],
    ["the environment", /Deno\.env/, /^src\/cni\/stdio\.ts$/],
  ] as const
) {
  Deno.test(`${what} is used in its place alone`, () => {
    const users = having(pattern);
    assert(users.length > 0);
    assertEquals(users.filter((path) => !allowed.test(path)), []);
  });
}

// The runtime grants all permissions or cannot read /proc and /sys, so this takes the place of a permission denied.
Deno.test("nothing uses the runtime's network, its workers or code made of text", () => {
  const forbidden =
    /\b(fetch|eval|Function|Worker|WebSocket|EventSource)\(|Deno\.(connect|listen|startTls|resolveDns|openKv)/;
  assertEquals(having(forbidden), []);
  const users = ["fetch(url)", "new Worker(url)", "Deno.connectTls()"];
  assertEquals(users.filter((text) => forbidden.test(text)), users);
});

Deno.test("the import graph has no circle", () => {
  const graph = new Map([...sources, ...deployment].map((source) => [source.path, importsOf(source)]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]) => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(" -> "));
    if (way.includes(path) || done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...way, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  assertEquals(circles, []);
});
