import { assertEquals, assertStringIncludes } from "../assert.ts";
import { call } from "./program.ts";

/** A folder that is removed at the end. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync();

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("the log goes to standard error and the file, each line with its labels", async () => {
  using folder = new Folder();
  const logFile = `${folder.path}/rdma.log`;
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
  using folder = new Folder();
  Deno.writeTextFileSync(`${folder.path}/victim`, "untouched");
  Deno.symlinkSync(`${folder.path}/victim`, `${folder.path}/rdma.log`);
  const { code, stderr } = await call("DEL", { config: { logFile: `${folder.path}/rdma.log` } });
  assertEquals(code, 0);
  assertStringIncludes(stderr, "Logging to standard error only");
  assertStringIncludes(stderr, "ELOOP");
  assertEquals(Deno.readTextFileSync(`${folder.path}/victim`), "untouched");
});

Deno.test("a log file in a folder that is missing, or that is a folder, does not fail the call", async () => {
  using folder = new Folder();
  for (const logFile of [`${folder.path}/missing/rdma.log`, folder.path, "/dev/full"]) {
    assertEquals((await call("DEL", { config: { logFile } })).code, 0);
  }
});

Deno.test("logLevel and args.cni.debug choose what is told", async () => {
  assertEquals((await call("DEL", { config: { logLevel: "error" } })).stderr, "");
  const { stderr } = await call("DEL", { config: { logLevel: "error", args: { cni: { debug: true } } } });
  assertStringIncludes(stderr, 'level="info"');
});
