// What the executable does to the machine around it, and what that can do to the executable.
import { assert, assertEquals, assertStringIncludes } from "../assert.ts";
import { TestNetns } from "../fixtures/test_netns.ts";
import { call, type Outcome, PROGRAM, start } from "./program.ts";

Deno.test("a hostile environment changes nothing", async () => {
  const folder = Deno.makeTempDirSync();
  Deno.writeTextFileSync(`${folder}/evil.js`, 'console.log("evil")');
  const variables = {
    DENO_DIR: `${folder}/deno`,
    DENO_V8_FLAGS: "--nonsense",
    DENO_NO_UPDATE_CHECK: "",
    DENO_LOG: "debug",
    DENO_TLS_CA_STORE: "nonsense",
    DENO_UNSTABLE_SLOPPY_IMPORTS: "1",
    NODE_OPTIONS: `--require ${folder}/evil.js`,
    NODE_EXTRA_CA_CERTS: `${folder}/missing`,
    HOME: "/nonexistent",
    XDG_CACHE_HOME: "/nonexistent",
    TMPDIR: "/nonexistent",
    HTTPS_PROXY: "http://127.0.0.1:1",
    RUST_LOG: "trace",
    PATH: "",
  };
  for (const command of ["VERSION", "DEL", "ADD"]) {
    assertEquals(untimed(await call(command, { variables })), untimed(await call(command)));
  }
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["evil.js"]);
  Deno.removeSync(folder, { recursive: true });
});

for (
  const [stream, redirection] of [
    ["a closed standard output", ">&-"],
    ["a full standard output", ">/dev/full"],
    ["a closed standard error", "2>&-"],
    ["a full standard error", "2>/dev/full"],
    ["a closed standard input", "<&-"],
    ["no open stream at all", "<&- >&- 2>&-"],
  ] as const
) {
  Deno.test(`${stream} leads to an end without a dump of the stack`, async () => {
    for (const command of ["VERSION", "DEL", "ADD", "FROB"]) {
      const by = ["/bin/sh", "-c", `exec "$0" ${redirection}`];
      const { code, stdout, stderr } = await call(command, { by });
      assert(code === 0 || code === 1, `${command}: exit code ${code}: ${stderr}`);
      assertEquals(/panicked|\\?n {4}at /.test(stdout + stderr), false, `${command}: ${stdout}${stderr}`);
    }
  });
}

Deno.test("an error that nobody reads ends the program all the same", async () => {
  const by = ["/bin/sh", "-c", '{ "$0"; echo "exit $?" >&2; } | :'];
  const { stderr } = await call("ADD", { by });
  assertStringIncludes(stderr, "exit 1");
});

Deno.test("one call is one process and one thread, and touches nothing else", async () => {
  await using pod = await TestNetns.create();
  const folder = Deno.makeTempDirSync();
  const logFile = `${folder}/rdma.log`;
  const trace = await traceOf(`${folder}/trace`, {
    variables: { CNI_NETNS: pod.path },
    config: { logFile, deviceID: "0000:ff:1f.7" },
  });
  Deno.removeSync(folder, { recursive: true });

  const calls = (...names: string[]) =>
    trace.filter((line) => names.some((name) => line.startsWith(`${name}(`)));
  assertEquals(calls("clone", "clone3", "fork", "vfork"), []);
  assertEquals(calls("execve", "execveat").length, 1);
  assertEquals(
    calls("connect", "unlink", "unlinkat", "rename", "renameat2", "mkdir", "mkdirat", "chmod"),
    [],
  );

  const opened = calls("open", "openat", "creat");
  assertEquals(
    opened.filter((line) => /O_WRONLY|O_RDWR|O_CREAT|^creat/.test(line) && !line.includes(logFile)),
    [],
  );
  const outside = PROGRAM.startsWith("/tmp/")
    ? []
    : opened.filter((line) => line.includes('"/tmp/') && !line.includes(logFile));
  assertEquals(outside, []);
  assert(opened.some((line) => line.includes(logFile)));

  const sockets = calls("socket", "socketpair");
  assert(sockets.length > 0);
  assertEquals(sockets.filter((line) => !/\((AF_UNIX|AF_NETLINK), /.test(line)), []);
});

/** The system calls of one ADD, a line each, as strace tells them. */
async function traceOf(path: string, parts: Parameters<typeof call>[1]): Promise<string[]> {
  const by = ["strace", "--follow-forks", "--string-limit=200", `--output=${path}`];
  await call("ADD", { ...parts, by }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error("Cannot trace system calls: install the package strace", { cause: error });
  });
  return Deno.readTextFileSync(path).split("\n").map((line) => line.replace(/^\d+ +/, ""));
}

Deno.test("it needs no environment at all", async () => {
  assertEquals((await start({})).code, 0);
});

/** What came out, log lines without their time. The runtime may add lines of its own to standard error. */
function untimed({ code, stdout, stderr }: Outcome): object {
  return { code, stdout, log: stderr.match(/(?<=^time="[^"]*").*$/gm) };
}
