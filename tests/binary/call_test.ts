// Calls that a machine without RDMA can answer. The pod is a namespace of its own.
import { CNI_VERSIONS } from "../../src/cni/version.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { assertFailed, call, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { TestNetns } from "../support/test_netns.ts";
import { WITHOUT_RDMA } from "./strace.ts";

Deno.test("without CNI_COMMAND it tells people what it is and what it can do, and succeeds", async () => {
  const help = await start({ args: ["--help"] });
  assertEquals([help.code, help.stderr], [0, ""]);
  assertStringIncludes(help.stdout, `CNI protocol versions supported: ${CNI_VERSIONS.join(", ")}\n`);
  for (const env of [{}, { CNI_COMMAND: "" }]) assertEquals(await start({ env }), help);
});

Deno.test("VERSION needs nothing but itself: CNI_COMMAND counts, not the arguments", async () => {
  for (const args of [[], ["--version"]]) {
    const { code, json, stderr } = await start({ env: { CNI_COMMAND: "VERSION" }, args });
    const answer = { cniVersion: "1.1.0", supportedVersions: [...CNI_VERSIONS] };
    assertEquals({ code, json, stderr }, { code: 0, json: answer, stderr: "" });
  }
});

Deno.test("missing variables are code 4, the plugin's own namespace is code 8", async () => {
  const missing = await call("ADD", { variables: { CNI_IFNAME: undefined, CNI_NETNS: "" } });
  assertFailed(missing, 4, "NETNS,CNI_IFNAME]");
  assertFailed(await call("ADD", { variables: { CNI_NETNS: "/proc/self/ns/net" } }), 8, "self/ns/net");
});

Deno.test("input that is no UTF-8 is code 6", async () => {
  const env = { CNI_COMMAND: "STATUS", CNI_PATH: "/opt/cni/bin" };
  assertFailed(await start({ env, stdin: Uint8Array.of(0xff, 0xfe) }), 6);
});

Deno.test("input of almost 2 MiB is read", async () => {
  assertEquals((await call("DEL", { config: { padding: "x".repeat(2 * 1024 * 1024 - 1000) } })).code, 0);
});

Deno.test("without RDMA, ADD and CHECK are code 100 and STATUS is code 50", async () => {
  await using pod = await TestNetns.create();
  for (const [command, code] of [["ADD", 100], ["CHECK", 100], ["STATUS", 50]] as const) {
    const outcome = await call(command, { variables: { CNI_NETNS: pod.path }, by: WITHOUT_RDMA });
    assertFailed(outcome, code, "the kernel has none");
  }
});

Deno.test("the log goes to standard error and the file, each line with its labels", async () => {
  using directory = new TestDirectory();
  const logFile = `${directory.path}/rdma.log`;
  const { stdout, stderr } = await call("DEL", { config: { logFile } });
  assertStringIncludes(stderr, 'containerID="container1" netns="/run/netns/pod" ifname="net1"');
  const told = stderr + (await call("DEL", { config: { logFile } })).stderr;
  assertEquals([stdout, told.split("\n").length, Deno.readTextFileSync(logFile)], ["", 3, told]);
  assertEquals(Deno.statSync(logFile).mode! & 0o777, 0o600);
});

Deno.test("a log file that is a symbolic link is not written, nor one that is full, and the call succeeds", async () => {
  using directory = new TestDirectory();
  const [victim, logFile] = [`${directory.path}/victim`, `${directory.path}/rdma.log`];
  Deno.writeTextFileSync(victim, "untouched");
  Deno.symlinkSync(victim, logFile);
  const { code, stderr } = await call("DEL", { config: { logFile } });
  assertEquals([code, Deno.readTextFileSync(victim)], [0, "untouched"]);
  assertStringIncludes(stderr, "Logging to standard error only");
  assertStringIncludes(stderr, "ELOOP");
  assertEquals((await call("DEL", { config: { logFile: "/dev/full" } })).code, 0);
});
