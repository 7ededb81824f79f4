// The program runs as root with the environment of whoever calls it. What that can change is in docs/security.md.
import { run as runProgram } from "../rig/vm/node/packages.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { call, type Outcome, start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { Trace } from "./strace.ts";

/** What the program reads of itself, where the runtime makes believe that it is. */
const EMBEDDED = ["main.js", "program.js", "program.cache", "config_schema.js.br"].map((name) => {
  return `deno-compile-rdma-cni/${name}`;
});

/** A directory where an attacker waits for the program. */
class Trap extends TestDirectory {
  constructor() {
    super();
    for (const name of ["evil.cjs", "evil.mjs", "package.json", "deno.json", ...EMBEDDED]) {
      Deno.mkdirSync(`${this.path}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
      Deno.writeTextFileSync(`${this.path}/${name}`, 'console.log("evil")');
    }
  }
}

/** Variables of the runtime, of its libraries and of the C library that change nothing, each with a hostile value. */
function inert({ path }: Trap): Record<string, string> {
  const byValue = {
    [path]:
      "NODE_PATH JUPYTER_PATH SSL_CERT_DIR HOME XDG_CACHE_HOME XDG_DATA_HOME TMPDIR PATH GCONV_PATH LOCPATH",
    [`${path}/file`]: `DENO_AUDIT_PERMISSIONS DENO_CERT DENO_COVERAGE_DIR DENO_DIR DENO_KV_DEFAULT_PATH
      DENO_PERMISSION_BROKER_PATH NODE_EXTRA_CA_CERTS NODE_V8_COVERAGE NPM_CONFIG_USERCONFIG
      OTEL_EXPORTER_OTLP_CERTIFICATE ICU_DATA ICU_TIMEZONE_FILES_DIR OPENSSL_CONF SSL_CERT_FILE`,
    "http://127.0.0.1:1": "NPM_CONFIG_REGISTRY OTEL_EXPORTER_OTLP_ENDPOINT HTTP_PROXY HTTPS_PROXY ALL_PROXY",
    "1": `DENO_INTERNAL_RT_USE_FILE_FALLBACK DENO_TOKIO_EVENT_INTERVAL DENO_TOKIO_GLOBAL_QUEUE_INTERVAL
      DENO_TOKIO_MAX_IO_EVENTS_PER_TICK DENO_TOKIO_METRICS DENO_TRACE_PERMISSIONS
      DENO_UNSTABLE_BARE_NODE_BUILTINS DENO_UNSTABLE_SLOPPY_IMPORTS DENO_USR2_MEMORY_TRIM RUST_MIN_STACK
      CI CLICOLOR CLICOLOR_FORCE NO_COLOR TMUX`,
    "0": "DENO_NO_PACKAGE_JSON DENO_NO_UPDATE_CHECK NODE_CHANNEL_FD",
    nonsense: "DENO_TLS_CA_STORE OTEL_EXPORTER_OTLP_PROTOCOL",
    "tr_TR.UTF-8": "LANG LC_ALL LC_MESSAGES",
  };
  const variables = Object.entries(byValue).flatMap(([value, names]) =>
    names.split(/\s+/).map((name) => [name, value])
  );
  return {
    ...Object.fromEntries(variables),
    DENO_AUTH_TOKENS: "token@127.0.0.1:1",
    DENO_CACHE_LSC_ENDPOINT: "http://127.0.0.1:1,token",
    DENO_LOG_STYLE: "always",
    DENO_SERVE_ADDRESS: "tcp:127.0.0.1:18080",
    DENO_UNSTABLE_CRON_SOCK: `unix:${path}/cron`,
    DENO_V8_FLAGS: "--nonsense,--trace-gc,--allow-natives-syntax",
    NODE_DEBUG: "*",
    NODE_OPTIONS: `--require ${path}/evil.cjs --import ${path}/evil.mjs --inspect=127.0.0.1:9229`,
    OTEL_DENO: "true",
    OTEL_DENO_CONSOLE: "capture",
    OTEL_DENO_VSOCK: "1:1",
    OPENSSL_ia32cap: "~0x0:~0x0",
    RUST_BACKTRACE: "full",
    RUST_LOG: "trace",
    SIMDUTF_FORCE_IMPLEMENTATION: "fallback",
    COLORTERM: "truecolor",
    FORCE_COLOR: "3",
    TERM: "xterm",
  };
}

/** Those that have an effect, though none on what is done; docs/security.md says which. */
function effective({ path }: Trap): Record<string, string> {
  return {
    DENO_LOG: "trace",
    DENO_USE_CGROUPS: "1",
    SSLKEYLOGFILE: `${path}/keys`,
    TZ: `:${path}/zone`,
  };
}

/** A call that only answers, one that loads all checks of a configuration and logs, and one of the commands. */
const RUNS: Record<string, (env: Record<string, string>, by: string[]) => Promise<Outcome>> = {
  VERSION: (variables, by) => call("VERSION", { variables, by }),
  "ADD that fails": (variables, by) => call("ADD", { variables, by, config: { logLevel: "loud" } }),
  "--help": (env, by) => start({ env, by, args: ["--help"] }),
};

for (const [name, run] of Object.entries(RUNS)) {
  Deno.test(`${name}: hostile variables change no output; some have a file read, lines logged and an empty file made`, async () => {
    using trap = new Trap();
    const before = trap.names();
    const [clean, hostile] = [await traced(run, {}), await traced(run, inert(trap))];
    assertEquals(hostile.output, clean.output);
    assertEquals(hostile.files.filter((line) => !clean.files.includes(line)), []);
    assertEquals(trap.names(), before);
    const affected = await traced(run, effective(trap));
    assertEquals(affected.output, clean.output);
    const places = affected.files.filter((line) => line.includes(trap.path)).map((line) =>
      line.replace(/^(\w+).*?"([^"]*)".*$/, (_, call, path) => `${call} ${path.slice(trap.path.length)}`)
    );
    assertEquals(places.filter((place) => !["openat /keys", "openat /zone"].includes(place)), []);
    assertEquals(trap.names(), [...before, "keys"].sort());
    assertEquals(Deno.statSync(`${trap.path}/keys`).size, 0);
  });
}

Deno.test("a TMPDIR that is not UTF-8 ends the program, which looks for none of its parts outside itself", async () => {
  using trap = new Trap();
  const asRead = `${trap.path}/\ufffd`;
  Deno.mkdirSync(asRead);
  Deno.renameSync(`${trap.path}/deno-compile-rdma-cni`, `${asRead}/deno-compile-rdma-cni`);
  const by = ["/bin/bash", "-c", `TMPDIR=$(printf '${trap.path}/\\377') exec "$0"`];
  const { code, stdout, stderr } = await call("VERSION", { by });
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, "Cannot start: TMPDIR is not UTF-8");
});

Deno.test("a TMPDIR that leads through .. is the one variable of the runtime that names another program", async () => {
  using trap = new Trap();
  const { stdout } = await call("VERSION", { variables: { TMPDIR: `${trap.path}/missing/..` } });
  assertEquals(stdout, "evil\n");
});

Deno.test("the program asks for no variables but those that these tests set, and its own", async () => {
  using trap = new Trap();
  const library = `${trap.path}/getenv.so`;
  const source = `${PROJECT}tests/binary/getenv.c`;
  await runProgram("gcc-14", ["-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source]);
  const by = ["env", `LD_PRELOAD=${library}`];
  const own = /^(CNI_(COMMAND|CONTAINERID|NETNS|NETNS_OVERRIDE|IFNAME|ARGS|PATH)|TRACEPARENT)$/;
  const known = [...Object.keys(inert(trap)), ...Object.keys(effective(trap))];
  for (const run of Object.values(RUNS)) {
    const { stderr } = await run({ LD_BIND_NOW: "1" }, by);
    const asked = Array.from(stderr.matchAll(/^getenv: (.*)$/gm), ([, name]) => name!);
    assert(asked.includes("CNI_COMMAND"), stderr);
    assertEquals(asked.filter((name) => !own.test(name) && !known.includes(name)), []);
  }
});

interface Traced {
  /** What came out, without times and without the lines that DENO_LOG makes the runtime write. */
  output: object;
  /** Calls that name a file, or reach for a network. */
  files: string[];
}

async function traced(run: (typeof RUNS)[string], env: Record<string, string>): Promise<Traced> {
  using trace = new Trace();
  const { code, stdout, stderr } = await run(env, trace.by("%file", "%network"));
  const lines = trace.lines().filter((line) => line.includes('"') && !line.startsWith("execve("));
  const sockets = trace.calls("socket", "connect", "bind", "listen");
  const log = stderr.replace(/^time="[^"]*"/gm, "").replace(/^(TRACE|DEBUG) RS - .*\n/gm, "");
  return {
    output: { code, stdout, log },
    files: [...lines, ...sockets].map((line) => line.replace(/ = .*/, "")),
  };
}
