// What the folders of src/ may know of each other, and of Deno.
import { assert, assertEquals } from "../assert.ts";
import { filesIn, PROJECT } from "./project.ts";

/** For each layer the files it may import, all others being forbidden. Layers know themselves. */
const ALLOWED: Record<string, RegExp> = {
  "log.ts": /^time\.ts$/,
  "text.ts": /^$/,
  "time.ts": /^$/,
  "version.ts": /^$/,
  "durable_file.ts": /^ffi\/(access|umask)\.ts$/,
  netlink: /^netlink\//,
  ffi: /^ffi\//,
  kernel: /^((kernel|netlink|ffi)\/|text\.ts$)/,
  cni: /^(cni\/|log\.ts$|text\.ts$)/,
  plugin: /^(plugin\/|cni\/|kernel\/(kernel|error)\.ts$|durable_file\.ts$|log\.ts$|text\.ts$|time\.ts$)/,
  admin: /^(admin\/|plugin\/|cni\/|kernel\/|durable_file\.ts$|log\.ts$|version\.ts$|process\.ts$)/,
  "process.ts": /^(cni\/|ffi\/fd\.ts$|log\.ts$)/,
  "main.ts": /./,
};

const sources = await Promise.all(
  filesIn("src", ".ts").map(async (path) => ({
    path: path.replace(/^src\//, ""),
    text: await Deno.readTextFile(`${PROJECT}${path}`),
  })),
);

function importsOf({ path, text }: { path: string; text: string }): string[] {
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
      importsOf(source).filter((target) => !allowed.test(target)).map((target) =>
        `${source.path} -> ${target}`
      )
    );
    assertEquals(wrong, []);
  });
}

Deno.test("every file belongs to a layer, and files import each other", () => {
  assertEquals(sources.filter(({ path }) => !(path.split("/")[0]! in ALLOWED)), []);
  assert(sources.flatMap(importsOf).length > sources.length);
});

Deno.test("errno values stand in one file, and errno is fetched in one place", () => {
  const having = (pattern: RegExp) =>
    sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
  assertEquals(having(/\bE[A-Z]{2,} = \d+;|\(os error [\d(]/), ["ffi/errno.ts"]);
  assertEquals(having(/\bUnsafePointerView\(\w+\.__errno_location/), ["ffi/libc.ts"]);
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

Deno.test("a CNI call loads nothing of the commands, nor of their library", () => {
  const { loaded, packages } = loadedByCalls();
  assertEquals(loaded.filter((path) => path.includes("admin")), []);
  assertEquals(packages, []);
});

// V8 reads one through where it stands, which takes a call 0.2 MB though it needs none.
Deno.test("a CNI call meets no regular expression outside the functions that use it", () => {
  const { loaded } = loadedByCalls();
  const outside = /^(?:export )?const [^=]*=\s*\//m;
  const users = sources.filter(({ path, text }) => loaded.includes(path) && outside.test(text));
  assertEquals(users.map(({ path }) => path), []);
  assert(outside.test("const A = /a/;") && outside.test("export const A: RegExp =\n  /a/;"));
});

for (
  const { what, pattern, allowed } of [
    { what: "Deno.dlopen and Deno.Unsafe*", pattern: /Deno\.(dlopen|Unsafe)/, allowed: /^ffi\// },
    { what: "Deno.exit", pattern: /Deno\.exit\(/, allowed: /^main\.ts$/ },
    { what: "Deno.Command", pattern: /Deno\.Command/, allowed: /^admin\// },
    { what: "the environment", pattern: /Deno\.env/, allowed: /^process\.ts$/ },
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
    /\b(fetch|eval|Function|Worker|WebSocket|EventSource)\(|Deno\.(connect|listen|serve|startTls|resolveDns|openKv)/;
  assertEquals(sources.filter(({ text }) => forbidden.test(text)).map(({ path }) => path), []);
  assertEquals(
    ["fetch(url)", "new Worker(url)", "Deno.connectTls()"].filter((text) => !forbidden.test(text)),
    [],
  );
});

Deno.test("the codec uses nothing of Deno", () => {
  const users = sources.filter(({ path, text }) => path.startsWith("netlink/") && /Deno\./.test(text));
  assertEquals(users.map(({ path }) => path), []);
});
