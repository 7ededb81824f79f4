import type { Command } from "../../../src/cni/environment.ts";
import { CniError, ErrorCode } from "../../../src/cni/error.ts";
import { CNI_VERSIONS } from "../../../src/cni/version.ts";
import { type Call, parseConfig } from "../../../src/plugin/config/config.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { brokenPipe, call, CONFIG } from "../../support/call.ts";

const fail = () => {
  throw new CniError(ErrorCode.deviceInUse, "taken", "by another");
};

for (const command of ["ADD", "DEL", "CHECK", "GC", "STATUS"] as const) {
  const verb = command.toLowerCase();

  Deno.test(`${command} reads the input once, then runs its handler alone, with the call as it was understood`, async () => {
    const { code, done, output } = await call(command);
    assertEquals([code, done, output], [0, ["input", verb], command === "ADD" ? "{}\n" : ""]);
    const calls: Call[] = [];
    await call(command, { handlers: { [verb]: (call: Call) => void calls.push(call) } });
    const [{ environment, config, log }] = calls as [Call];
    const labels = { containerID: "container1", netns: "/run/netns/pod", ifname: "net1" };
    assertEquals([calls.length, environment.command, log.labels as unknown], [1, command, labels]);
    assertEquals(config, await parseConfig(JSON.stringify(CONFIG), command));
  });

  Deno.test(`a failing ${command} prints one error and exits 1`, async () => {
    const { code, json } = await call(command, { handlers: { [verb]: fail } });
    assertEquals([code, json], [1, { cniVersion: "1.1.0", code: 111, msg: "taken", details: "by another" }]);
  });

  Deno.test(`${command} of wrong keys: DEL and GC warn of those that they do not need, the others fail`, async () => {
    const wrong = {
      ...{ logLevel: "verbose", allowPF: 3, rdmaQoS: { tos: 960 }, prevResult: "none" },
      args: { cni: { debug: "yes", rdmaDeviceName: 7 } },
    };
    const { json, done, lines: [line, ...more] } = await call(command, { config: { ...CONFIG, ...wrong } });
    const isCleanup = command === "DEL" || command === "GC";
    assertEquals([json?.code, done, more], isCleanup ? [undefined, ["input", verb], []] : [7, ["input"], []]);
    assertStringIncludes(line!, isCleanup ? 'level="warning"' : 'level="error"');
    const paths = "logLevel allowPF rdmaQoS prevResult args.cni.debug args.cni.rdmaDeviceName".split(" ");
    for (const path of paths) assertStringIncludes(line!, path);
  });
}

Deno.test("VERSION reads no input and prints the versions", async () => {
  const { code, done, json } = await call("VERSION");
  assertEquals([code, done, json], [0, [], { cniVersion: "1.1.0", supportedVersions: CNI_VERSIONS }]);
});

for (
  const [command, refused, allowed] of [
    ["CHECK", "0.3.1", "0.4.0"],
    ["GC", "1.0.0", "1.1.0"],
    ["STATUS", "1.0.0", "1.1.0"],
  ] as const
) {
  Deno.test(`${command} is there from version ${allowed} on`, async () => {
    const late = await call(command, { config: { ...CONFIG, cniVersion: allowed } });
    assertEquals([late.code, late.done.at(-1)], [0, command.toLowerCase()]);
    const { code, json, done } = await call(command, { config: { ...CONFIG, cniVersion: refused } });
    assertEquals([code, json.code, json.cniVersion, done], [1, 1, refused, ["input"]]);
    assertStringIncludes(json.msg, `want "${allowed}" or newer`);
  });
}

Deno.test("in the plugin's own namespace ADD alone is code 8, unless CNI_NETNS_OVERRIDE is set", async () => {
  const handlers = { isOwnNetns: (path: string) => path === "/run/netns/pod" };
  const config = { ...CONFIG, cniVersion: "0.3.0" };
  const { json, done } = await call("ADD", { handlers, config });
  assertEquals([json.code, json.cniVersion, done], [8, "0.3.0", ["input"]]);
  const variables = { CNI_NETNS_OVERRIDE: "true" };
  assertEquals((await call("ADD", { handlers, variables })).done.at(-1), "add");
  for (const command of ["CHECK", "DEL"] as Command[]) {
    assertEquals((await call(command, { handlers })).done.at(-1), command.toLowerCase());
  }
});

Deno.test("an error of the environment comes before the input is read, in the newest version", async () => {
  const { code, json, done } = await call("ADD", { variables: { CNI_IFNAME: "", CNI_PATH: undefined } });
  const msg = "required env variables [CNI_IFNAME,CNI_PATH] missing";
  assertEquals([code, json, done], [1, { cniVersion: "1.1.0", code: 4, msg }, []]);
});

Deno.test("what nobody foresaw is code 999, with its stack as details if it has one", async () => {
  const throwing = (error: unknown) => ({
    del() {
      throw error;
    },
  });
  const { code, json } = await call("DEL", { handlers: throwing(new RangeError("no such thing")) });
  assertEquals([code, json.code, json.msg], [1, 999, "no such thing"]);
  assertMatch(json.details, /RangeError.*\n +at /);
  const told = { cniVersion: "1.1.0", code: 999, msg: "text" };
  assertEquals((await call("DEL", { handlers: throwing("text") })).json, told);
});

Deno.test("a failing read of the input is an error", async () => {
  assertEquals((await call("ADD", { process: { readInput: fail } })).json.code, 111);
});

Deno.test("an ADD whose result cannot be printed is undone, and fails", async () => {
  const { code, lines, done } = await call("ADD", { process: { writeOutput: brokenPipe } });
  assertEquals([code, done], [1, ["input", "add", "undo"]]);
  assertStringIncludes(lines.join(""), "Cannot write the error to standard output: Broken pipe");
});

Deno.test("an ADD whose result is printed is not undone, but can be later", async () => {
  const given: (undefined | (() => void))[] = [];
  const { code, done } = await call("ADD", { process: { writeOutput: (_text, undo) => given.push(undo) } });
  assertEquals([code, done, given.length], [0, ["input", "add"], 1]);
  given[0]!();
  assertEquals(done, ["input", "add", "undo"]);
});

Deno.test("errors go to the log with their details", async () => {
  const { lines: [line, ...more], json } = await call("ADD", { config: "{}" });
  assertEquals([json.code, more], [7, []]);
  assertMatch(line!, /level="error" .*correct these keys.* containerID="container1" netns=.* ifname="net1"/);
});

Deno.test("log lines go to the log file too, never to the output; one that cannot be opened is a warning", async () => {
  const config = { ...CONFIG, logFile: "/log", logLevel: "debug" };
  const handlers = { del: ({ log }: Call) => log.debug("deleting") };
  const { lines, fileLines, output } = await call("DEL", { config, handlers });
  assertEquals([lines.length, fileLines, output], [1, lines, ""]);
  const failed = await call("DEL", { config, process: { openLogFile: brokenPipe } });
  assertEquals([failed.code, failed.done.at(-1), failed.lines.length], [0, "del", 1]);
  assertStringIncludes(failed.lines[0]!, "Broken pipe");
});

Deno.test("the trace is in each line of the log and in the details of an error", async () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const variables = { TRACEPARENT: `00-${traceId}-00f067aa0ba902b7-01` };
  const handlers = {
    del({ log }: Call) {
      log.info("looking");
      fail();
    },
  };
  const { json, lines } = await call("DEL", { variables, handlers });
  assertEquals(json.details, `by another; trace ${traceId}`);
  assertEquals(lines.map((line) => line.endsWith(` traceID="${traceId}"\n`)), [true, true]);

  const refused = await call("DEL", { variables: { ...variables, CNI_IFNAME: undefined } });
  assertEquals(refused.json.details, `trace ${traceId}`);
  assertStringIncludes(refused.lines.join(""), `traceID="${traceId}"`);
});
