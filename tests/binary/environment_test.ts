// The program runs as root with the environment of whoever calls it. What that can change is in docs/security.md.
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { call, type Outcome, start } from "../support/program.ts";
import { Trace } from "./strace.ts";

/** What the program reads of itself, where the runtime makes believe that it is. */
const EMBEDDED = ["main.js", "program.js", "program.cache", "config_schema.js.br"].map((name) => {
  return `deno-compile-rdma-cni/${name}`;
});

/** A directory where an attacker waits for the program. */
class Trap implements Disposable {
  readonly directory = Deno.makeTempDirSync();

  constructor() {
    for (
      const name of ["evil.cjs", "evil.mjs", "package.json", "deno.json", ...EMBEDDED]
    ) {
      Deno.mkdirSync(`${this.directory}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
      Deno.writeTextFileSync(`${this.directory}/${name}`, 'console.log("evil")');
    }
  }

  files(): string[] {
    return [...Deno.readDirSync(this.directory)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** Variables of the runtime, of its libraries and of the C library that change nothing, each with a hostile value. */
function inert({ directory }: Trap): Record<string, string> {
  const proxy = "http://127.0.0.1:1";
  return {
    DENO_AUDIT_PERMISSIONS: `${directory}/audit`,
    DENO_AUTH_TOKENS: "token@127.0.0.1:1",
    DENO_CACHE_LSC_ENDPOINT: `${proxy},token`,
    DENO_CERT: `${directory}/certificate`,
    DENO_COVERAGE_DIR: `${directory}/coverage`,
    DENO_DIR: `${directory}/deno`,
    DENO_INTERNAL_RT_USE_FILE_FALLBACK: "1",
    DENO_KV_DEFAULT_PATH: `${directory}/kv`,
    DENO_LOG_STYLE: "always",
    DENO_NO_PACKAGE_JSON: "0",
    DENO_NO_UPDATE_CHECK: "0",
    DENO_PERMISSION_BROKER_PATH: `${directory}/broker`,
    DENO_SERVE_ADDRESS: "tcp:127.0.0.1:18080",
    DENO_TLS_CA_STORE: "nonsense",
    DENO_TOKIO_EVENT_INTERVAL: "1",
    DENO_TOKIO_GLOBAL_QUEUE_INTERVAL: "1",
    DENO_TOKIO_MAX_IO_EVENTS_PER_TICK: "1",
    DENO_TOKIO_METRICS: "1",
    DENO_TRACE_PERMISSIONS: "1",
    DENO_UNSTABLE_BARE_NODE_BUILTINS: "1",
    DENO_UNSTABLE_CRON_SOCK: `unix:${directory}/cron`,
    DENO_UNSTABLE_SLOPPY_IMPORTS: "1",
    DENO_USR2_MEMORY_TRIM: "1",
    DENO_V8_FLAGS: "--nonsense,--trace-gc,--allow-natives-syntax",
    NODE_CHANNEL_FD: "0",
    NODE_DEBUG: "*",
    NODE_EXTRA_CA_CERTS: `${directory}/certificate`,
    NODE_OPTIONS: `--require ${directory}/evil.cjs --import ${directory}/evil.mjs --inspect=127.0.0.1:9229`,
    NODE_PATH: directory,
    NODE_V8_COVERAGE: `${directory}/coverage`,
    NPM_CONFIG_REGISTRY: proxy,
    NPM_CONFIG_USERCONFIG: `${directory}/npmrc`,
    OTEL_DENO: "true",
    OTEL_DENO_CONSOLE: "capture",
    OTEL_DENO_VSOCK: "1:1",
    OTEL_EXPORTER_OTLP_CERTIFICATE: `${directory}/certificate`,
    OTEL_EXPORTER_OTLP_ENDPOINT: proxy,
    OTEL_EXPORTER_OTLP_PROTOCOL: "nonsense",
    ICU_DATA: `${directory}/icu`,
    ICU_TIMEZONE_FILES_DIR: `${directory}/zones`,
    JUPYTER_PATH: directory,
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    ALL_PROXY: proxy,
    OPENSSL_CONF: `${directory}/openssl.cnf`,
    OPENSSL_ia32cap: "~0x0:~0x0",
    SSL_CERT_DIR: directory,
    SSL_CERT_FILE: `${directory}/certificate`,
    RUST_BACKTRACE: "full",
    RUST_LOG: "trace",
    RUST_MIN_STACK: "1",
    SIMDUTF_FORCE_IMPLEMENTATION: "fallback",
    HOME: directory,
    XDG_CACHE_HOME: directory,
    XDG_DATA_HOME: directory,
    TMPDIR: directory,
    PATH: directory,
    GCONV_PATH: directory,
    LOCPATH: directory,
    LANG: "tr_TR.UTF-8",
    LC_ALL: "tr_TR.UTF-8",
    LC_MESSAGES: "tr_TR.UTF-8",
    CI: "1",
    CLICOLOR: "1",
    CLICOLOR_FORCE: "1",
    COLORTERM: "truecolor",
    FORCE_COLOR: "3",
    NO_COLOR: "1",
    TERM: "xterm",
    TMUX: "1",
  };
}

/** Those that have an effect, though none on what is done; docs/security.md says which. */
function effective({ directory }: Trap): Record<string, string> {
  return {
    DENO_LOG: "trace",
    DENO_USE_CGROUPS: "1",
    SSLKEYLOGFILE: `${directory}/keys`,
    TZ: `:${directory}/zone`,
  };
}

/** A call that only answers, one that loads all checks of a configuration and logs, and one of the commands. */
const RUNS: Record<string, (env: Record<string, string>, by: string[]) => Promise<Outcome>> = {
  VERSION: (variables, by) => call("VERSION", { variables, by }),
  "ADD that fails": (variables, by) => call("ADD", { variables, by, config: { logLevel: "loud" } }),
  "--help": (env, by) => start({ env, by, args: ["--help"] }),
};

for (const [name, run] of Object.entries(RUNS)) {
  Deno.test(`${name}: hostile variables change no output, and no file is touched that otherwise is not`, async () => {
    using trap = new Trap();
    const before = trap.files();
    const [clean, hostile] = [await traced(run, {}), await traced(run, inert(trap))];
    assertEquals(hostile.output, clean.output);
    assertEquals(hostile.files.filter((line) => !clean.files.includes(line)), []);
    assertEquals(trap.files(), before);
  });

  Deno.test(`${name}: what other variables can do is that a file is read, lines are logged and an empty file is made`, async () => {
    using trap = new Trap();
    const before = trap.files();
    const [clean, hostile] = [await traced(run, {}), await traced(run, effective(trap))];
    assertEquals(hostile.output, clean.output);
    const places = hostile.files.filter((line) => line.includes(trap.directory)).map((line) =>
      line.replace(/^(\w+).*?"([^"]*)".*$/, (_, call, path) => `${call} ${path.slice(trap.directory.length)}`)
    );
    assertEquals(places.filter((place) => !["openat /keys", "openat /zone"].includes(place)), []);
    assertEquals(trap.files(), [...before, "keys"].sort());
    assertEquals(Deno.statSync(`${trap.directory}/keys`).size, 0);
  });
}

Deno.test("a TMPDIR that is not UTF-8 ends the program, which looks for none of its parts outside itself", async () => {
  using trap = new Trap();
  const asRead = `${trap.directory}/\ufffd`;
  Deno.mkdirSync(asRead);
  Deno.renameSync(`${trap.directory}/deno-compile-rdma-cni`, `${asRead}/deno-compile-rdma-cni`);
  const by = ["/bin/bash", "-c", `TMPDIR=$(printf '${trap.directory}/\\377') exec "$0"`];
  const { code, stdout, stderr } = await call("VERSION", { by });
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, "Cannot start: TMPDIR is not UTF-8");
});

Deno.test("a TMPDIR that leads through .. is the one variable of the runtime that names another program", async () => {
  using trap = new Trap();
  const { stdout } = await call("VERSION", { variables: { TMPDIR: `${trap.directory}/missing/..` } });
  assertEquals(stdout, "evil\n");
});

Deno.test("the program asks for no variables but those that these tests set, and its own", async () => {
  using trap = new Trap();
  const library = `${trap.directory}/getenv.so`;
  const source = fileURLToPath(new URL("getenv.c", import.meta.url));
  const args = ["-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source];
  assert((await new Deno.Command("gcc-14", { args }).output()).success);
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

Deno.test("it needs no environment at all", async () => {
  assertEquals((await start({})).code, 0);
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
