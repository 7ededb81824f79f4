// Calls that a machine without RDMA can answer. The pod is a namespace of its own.
import { CNI_VERSIONS } from "../../src/cni/version.ts";
import { exists } from "../../src/kernel/sysfs.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { assertFailed, call, start } from "../support/program.ts";
import { TestNetns } from "../support/test_netns.ts";

const MACHINE_HAS_RDMA = await Deno.stat("/sys/module/ib_core").then(() => true, () => false);

Deno.test("without CNI_COMMAND it tells people what it is and what it can do, and succeeds", async () => {
  for (const env of [{}, { CNI_COMMAND: "" }]) {
    const { code, stdout, stderr } = await start({ env });
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, (await start({ args: ["--help"] })).stdout);
    assertStringIncludes(stdout, `CNI protocol versions supported: ${CNI_VERSIONS.join(", ")}\n`);
  }
});

Deno.test("an unknown argument is exit 2", async () => {
  const { code, stdout, stderr } = await start({ args: ["--frobnicate"] });
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, "unknown option '--frobnicate'");
});

Deno.test("VERSION needs nothing but itself", async () => {
  const { code, json, stderr } = await start({ env: { CNI_COMMAND: "VERSION" } });
  assertEquals({ code, json, stderr }, {
    code: 0,
    json: { cniVersion: "1.1.0", supportedVersions: [...CNI_VERSIONS] },
    stderr: "",
  });
});

Deno.test("CNI_COMMAND counts, not the arguments", async () => {
  const { code, json } = await start({ env: { CNI_COMMAND: "VERSION" }, args: ["--version"] });
  assertEquals([code, json.cniVersion], [0, "1.1.0"]);
});

Deno.test("missing variables are code 4", async () => {
  const outcome = await call("ADD", { variables: { CNI_IFNAME: undefined, CNI_NETNS: "" } });
  assertFailed(outcome, 4, "[CNI_NETNS,CNI_IFNAME]");
});

Deno.test("an unknown command is code 4", async () => {
  assertFailed(await call("FROB"), 4, "FROB");
});

Deno.test("input that is no JSON is code 6", async () => {
  for (const config of ["", "{", "[]", "\0"]) assertFailed(await call("ADD", { config }), 6);
});

Deno.test("input that is no UTF-8 is code 6", async () => {
  const env = { CNI_COMMAND: "STATUS", CNI_PATH: "/opt/cni/bin" };
  assertFailed(await start({ env, stdin: Uint8Array.of(0xff, 0xfe) }), 6);
});

Deno.test("input of more than 2 MiB is code 6", async () => {
  const padding = "x".repeat(2 * 1024 * 1024);
  assertFailed(await call("ADD", { config: { padding } }), 6, "longer than 2097152 bytes");
});

Deno.test("input of almost 2 MiB is read", async () => {
  const padding = "x".repeat(2 * 1024 * 1024 - 1000);
  const { code } = await call("DEL", { config: { padding } });
  assertEquals(code, 0);
});

Deno.test("an unknown version is code 1, and so is a command that a version lacks", async () => {
  assertFailed(await call("ADD", { config: { cniVersion: "9.9.9" } }), 1, "9.9.9");
  assertFailed(await call("CHECK", { config: { cniVersion: "0.3.1" } }), 1, "CHECK");
});

Deno.test("wrong keys are code 7, each named", async () => {
  const outcome = await call("ADD", {
    config: { logLevel: "loud", prevResult: { interfaces: [{ mac: 1 }] } },
  });
  assertFailed(outcome, 7, "logLevel: ");
  assertFailed(outcome, 7, "prevResult.interfaces[0].mac: ");
});

Deno.test("without a result before it ADD is code 7", async () => {
  assertFailed(await call("ADD", { config: { prevResult: undefined } }), 7, "no prevResult");
});

Deno.test("the plugin's own namespace, a missing one and what is none are code 8", async () => {
  for (const CNI_NETNS of ["/proc/self/ns/net", "/run/netns/nonexistent", "/etc/passwd"]) {
    assertFailed(await call("ADD", { variables: { CNI_NETNS } }), 8, CNI_NETNS);
  }
});

/** Starts a program whose kernel has no RDMA subsystem: where this machine's has one, it is made to say no. */
const WITHOUT_RDMA = MACHINE_HAS_RDMA
  ? ["/usr/bin/strace", "-f", "-o", "/dev/null", "--trace=socket", "--inject=socket:error=EPROTONOSUPPORT"]
  : [];

Deno.test("without RDMA, ADD and CHECK are code 100 and STATUS is code 50", async () => {
  await using pod = await TestNetns.create();
  for (const [command, code] of [["ADD", 100], ["CHECK", 100], ["STATUS", 50]] as const) {
    const outcome = await call(command, { variables: { CNI_NETNS: pod.path }, by: WITHOUT_RDMA });
    assertFailed(outcome, code, "the kernel has none");
  }
});

Deno.test("DEL and GC of what was never added succeed and print nothing", async () => {
  await using pod = await TestNetns.create();
  for (const CNI_NETNS of [pod.path, "/run/netns/nonexistent", undefined]) {
    const { code, stdout, stderr } = await call("DEL", { variables: { CNI_NETNS } });
    assertEquals([code, stdout], [0, ""], stderr);
  }
  const { code, stdout } = await call("GC", { config: { "cni.dev/valid-attachments": [] } });
  assertEquals([code, stdout], [0, ""]);
});

Deno.test("DEL and GC of these tests do not touch the records of this machine's pods", async () => {
  const file = `/var/lib/cni/rdma/net-${"0".repeat(64)}-net1`;
  const made = ["/var/lib/cni", "/var/lib/cni/rdma", file].find((path) => !exists(path))!;
  await Deno.mkdir("/var/lib/cni/rdma", { recursive: true, mode: 0o700 });
  try {
    await Deno.writeTextFile(file, "no record of this plugin", { createNew: true });
    await call("GC", { config: { "cni.dev/valid-attachments": [] } });
    await call("DEL", { variables: { CNI_CONTAINERID: "0".repeat(64) } });
    assertEquals(await Deno.readTextFile(file), "no record of this plugin");
  } finally {
    await Deno.remove(made, { recursive: true });
  }
});

Deno.test("DEL and GC succeed with wrong values in keys they do not need, and name them", async () => {
  const config = { "cni.dev/valid-attachments": [], logLevel: "verbose", args: { cni: { debug: "yes" } } };
  for (const command of ["DEL", "GC"]) {
    const { code, stdout, stderr } = await call(command, { config });
    assertEquals([code, stdout], [0, ""], stderr);
    assertStringIncludes(stderr, "logLevel, args.cni.debug");
  }
});
