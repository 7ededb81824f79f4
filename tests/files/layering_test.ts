// The directories of src/ and deployment/ know only those below them, and each tier of tests only itself.
import { assert, assertEquals } from "../support/assert.ts";
import { filesIn, PROJECT } from "../support/project.ts";

/** For each directory or file of src/ what it may import besides itself: floors, the lowest first. */
const ALLOWED = {
  "version.ts": /^$/,
  "printable.ts": /^$/,
  "log.ts": /^printable\.ts$/,
  sys: /^$/,
  netlink: /^sys\//,
  kernel: /^(netlink|sys)\//,
  cni: /^(sys\/|log\.ts$)/,
  plugin: /^(cni\/|kernel\/kernel\.ts$|sys\/|log\.ts$)/,
  node: /^(plugin\/|cni\/error\.ts$|kernel\/(kernel|node_kernel)\.ts$|sys\/|log\.ts$)/,
  agent: /^(node\/|plugin\/|cni\/|kernel\/linux\.ts$|sys\/|log\.ts$|version\.ts$)/,
  cli:
    /^(agent\/|node\/|plugin\/|cni\/|kernel\/|netlink\/libmnl\.ts$|sys\/|log\.ts$|printable\.ts$|version\.ts$)/,
  "main.ts": /./,
};

/** The same for deployment/, by paths from the project's directory on. */
const DEPLOYMENT: Record<string, RegExp> = {
  build: /^src\//,
  man: /^(deployment\/build|src)\//,
  packages: /^(deployment\/(build|man)|src)\//,
};

/** The rooms of src/plugin/, the lowest first: each may import those before it. What all work on stands on top. */
const ROOMS = ["config", "record", "device", "features"];

interface Source {
  /** From the directory on. */
  path: string;
  text: string;
}

const read = (directory: string): Promise<Source[]> =>
  Promise.all(
    filesIn(directory, ".ts").map(async (path) => ({
      path: path.slice(directory.length + 1),
      text: await Deno.readTextFile(`${PROJECT}${path}`),
    })),
  );

const sources = await read("src");
const deployment = (await read("deployment")).map(({ path, text }) => ({ path: `deployment/${path}`, text }));

function importsOf({ path, text }: Source): string[] {
  const specifiers = text.matchAll(/(?:from|import\(|import)\s*"([^"]+)"/g);
  return Array.from(specifiers, ([, specifier]) => specifier!)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => new URL(specifier, `file:///${path}`).pathname.slice(1));
}

for (const [layer, allowed] of Object.entries(ALLOWED)) {
  Deno.test(`${layer} imports only what lies below it`, () => {
    const own = sources.filter(({ path }) => path.split("/")[0] === layer);
    assert(own.length > 0);
    const wrong = own.flatMap((source) =>
      importsOf(source).filter((target) => target.split("/")[0] !== layer && !allowed.test(target)).map((
        target,
      ) => `${source.path} -> ${target}`)
    );
    assertEquals(wrong, []);
  });
}

for (const [room, allowed] of Object.entries(DEPLOYMENT)) {
  Deno.test(`deployment/${room} imports only what lies below it`, () => {
    const inRoom = (path: string) => path.startsWith(`deployment/${room}/`);
    const own = deployment.filter(({ path }) => inRoom(path));
    assert(own.length > 0);
    const wrong = own.flatMap((source) =>
      importsOf(source).filter((target) => !inRoom(target) && !allowed.test(target))
        .map((target) => `${source.path} -> ${target}`)
    );
    assertEquals(wrong, []);
  });
}

Deno.test("the rooms of plugin/ import only those below them", () => {
  const roomOf = (path: string) => /^plugin\/(\w+)\//.exec(path)?.[1];
  const rank = (path: string) => ROOMS.indexOf(roomOf(path) ?? "");
  const inRooms = sources.filter(({ path }) => roomOf(path) !== undefined);
  assertEquals([...new Set(inRooms.map(({ path }) => roomOf(path)!))].sort(), [...ROOMS].sort());
  const wrong = inRooms.flatMap((source) =>
    importsOf(source).filter((target) => target.startsWith("plugin/") && target !== "plugin/node.ts")
      .filter((target) => rank(target) < 0 || rank(target) > rank(source.path))
      .map((target) => `${source.path} -> ${target}`)
  );
  assertEquals(wrong, []);
});

Deno.test("every file belongs to a layer, and files import each other", () => {
  assertEquals(sources.filter(({ path }) => !(path.split("/")[0]! in ALLOWED)), []);
  assertEquals(deployment.filter(({ path }) => !(path.split("/")[1]! in DEPLOYMENT)), []);
  assert(sources.flatMap(importsOf).length > sources.length);
});

Deno.test("errno values stand in one file, and errno is fetched in one place", () => {
  const having = (pattern: RegExp) =>
    sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
  assertEquals(having(/\bE[A-Z]{2,} = \d+;|\(os error [\d(]/), ["sys/errno.ts"]);
  assertEquals(having(/\bUnsafePointerView\(\w+\.__errno_location/), ["sys/libc.ts"]);
});

/** What every CNI call loads: modules of this program, and of packages. */
function loadedByCalls(): { loaded: string[]; packages: string[] } {
  const loaded = new Set(["main.ts"]);
  const packages = new Set<string>();
  for (const path of loaded) {
    const { text } = sources.find((source) => source.path === path)!;
    for (const [, specifier] of text.matchAll(/^(?:import|export) (?!type )[^;]*?from "([^"]+)"/gm)) {
      if (specifier!.startsWith(".")) loaded.add(new URL(specifier!, `file:///${path}`).pathname.slice(1));
      else packages.add(specifier!);
    }
  }
  assert(loaded.has("kernel/linux.ts"));
  return { loaded: [...loaded], packages: [...packages] };
}

Deno.test("a CNI call loads nothing of the commands and the agent, nor of their libraries", () => {
  const { loaded, packages } = loadedByCalls();
  assertEquals(loaded.filter((path) => /^(agent|cli|node)\//.test(path)), []);
  assertEquals(packages, []);
});

for (
  const { what, pattern, allowed } of [
    {
      what: "Deno.dlopen and Deno.Unsafe*",
      pattern: /Deno\.(dlopen|Unsafe)/,
      allowed: /^(sys\/|netlink\/libmnl\.ts$)/,
    },
    { what: "Deno.exit", pattern: /Deno\.exit\(/, allowed: /^(agent\/)?main\.ts$/ },
    { what: "Deno.serve", pattern: /Deno\.serve/, allowed: /^agent\/http\.ts$/ },
    { what: "Deno.Command", pattern: /Deno\.Command/, allowed: /^(cli\/|sys\/program\.ts$)/ },
    { what: "the environment", pattern: /Deno\.env/, allowed: /^cni\/stdio\.ts$/ },
  ]
) {
  Deno.test(`${what} is used in its place alone`, () => {
    const users = sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
    assert(users.length > 0);
    assertEquals(users.filter((path) => !allowed.test(path)), []);
  });
}

// The runtime grants all permissions or cannot read /proc and /sys, so this takes the place of a permission denied.
Deno.test("nothing uses the runtime's network, its workers or code made of text", () => {
  const forbidden =
    /\b(fetch|eval|Function|Worker|WebSocket|EventSource)\(|Deno\.(connect|listen|startTls|resolveDns|openKv)/;
  assertEquals(sources.filter(({ text }) => forbidden.test(text)).map(({ path }) => path), []);
  assertEquals(
    ["fetch(url)", "new Worker(url)", "Deno.connectTls()"].filter((text) => !forbidden.test(text)),
    [],
  );
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

/** What the tiers of tests share, and what each of it may import besides itself. */
const SHARED: Record<string, RegExp> = {
  support: /^$/,
  rig: /^support\//,
  scenarios: /^(support|rig)\//,
};

Deno.test("no tier of tests imports from another, and what they share from none", async () => {
  const tests = (await read("tests")).filter(({ path }) => path.includes("/"));
  const wrong = tests.flatMap((test) => {
    const [tier] = test.path.split("/") as [string];
    const allowed = SHARED[tier] ?? /^(support|rig|scenarios)\//;
    const targets = importsOf({ ...test, path: `tests/${test.path}` })
      .filter((target) => target.startsWith("tests/")).map((target) => target.slice("tests/".length));
    return targets.filter((target) => target.split("/")[0] !== tier && !allowed.test(target))
      .map((target) => `${test.path} -> ${target}`);
  });
  assertEquals(wrong, []);
  const tiers = new Set(tests.map(({ path }) => path.split("/")[0]!));
  assertEquals(Object.keys(SHARED).filter((name) => !tiers.has(name)), []);
});
