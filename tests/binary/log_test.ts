import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { call } from "../support/program.ts";

/** A directory that is removed at the end. */
class Directory implements Disposable {
  readonly path = Deno.makeTempDirSync();

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("the log goes to standard error and the file, each line with its labels", async () => {
  using directory = new Directory();
  const logFile = `${directory.path}/rdma.log`;
  for (let i = 0; i < 2; i++) {
    const { code, stdout } = await call("DEL", { config: { logFile } });
    assertEquals([code, stdout], [0, ""]);
  }
  const { stderr } = await call("DEL", { config: { logFile } });
  const lines = Deno.readTextFileSync(logFile).trimEnd().split("\n");
  assertEquals(`${lines.at(-1)}\n`, stderr);
  assertEquals(lines.length, 3);
  assertStringIncludes(lines[0]!, 'containerID="container1" netns="/run/netns/pod" ifname="net1"');
  assertEquals(Deno.statSync(logFile).mode! & 0o777, 0o600);
});

Deno.test("a log file that is a symbolic link is not written, and the call succeeds", async () => {
  using directory = new Directory();
  Deno.writeTextFileSync(`${directory.path}/victim`, "untouched");
  Deno.symlinkSync(`${directory.path}/victim`, `${directory.path}/rdma.log`);
  const { code, stderr } = await call("DEL", { config: { logFile: `${directory.path}/rdma.log` } });
  assertEquals(code, 0);
  assertStringIncludes(stderr, "Logging to standard error only");
  assertStringIncludes(stderr, "ELOOP");
  assertEquals(Deno.readTextFileSync(`${directory.path}/victim`), "untouched");
});

Deno.test("a log file in a directory that is missing, or that is a directory, does not fail the call", async () => {
  using directory = new Directory();
  for (const logFile of [`${directory.path}/missing/rdma.log`, directory.path, "/dev/full"]) {
    assertEquals((await call("DEL", { config: { logFile } })).code, 0);
  }
});

Deno.test("logLevel and args.cni.debug choose what is told", async () => {
  assertEquals((await call("DEL", { config: { logLevel: "error" } })).stderr, "");
  const { stderr } = await call("DEL", { config: { logLevel: "error", args: { cni: { debug: true } } } });
  assertStringIncludes(stderr, 'level="info"');
});
