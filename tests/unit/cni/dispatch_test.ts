import type { Command } from "../../../src/cni/environment.ts";
import { CniError, ErrorCode } from "../../../src/cni/error.ts";
import { CNI_VERSIONS } from "../../../src/cni/version.ts";
import { type Call, parseConfig } from "../../../src/plugin/config/config.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { call, CONFIG } from "../../support/call.ts";

for (const command of ["ADD", "DEL", "CHECK", "GC", "STATUS"]) {
  Deno.test(`${command} reads the input once, then runs its handler alone`, async () => {
    const { code, done, output } = await call(command);
    assertEquals({ code, done, output }, {
      code: 0,
      done: ["input", command.toLowerCase()],
      output: command === "ADD" ? "{}\n" : "",
    });
  });

  Deno.test(`a failing ${command} prints one error and exits 1`, async () => {
    const fail = () => {
      throw new CniError(ErrorCode.deviceInUse, "taken", "by another");
    };
    const { code, json } = await call(command, { handlers: { [command.toLowerCase()]: fail } });
    assertEquals({ code, json }, {
      code: 1,
      json: { cniVersion: "1.1.0", code: 111, msg: "taken", details: "by another" },
    });
  });
}

for (const command of ["ADD", "DEL", "CHECK", "GC", "STATUS"]) {
  Deno.test(`${command}'s handler gets the call as it was understood`, async () => {
    const calls: Call[] = [];
    const handler = (call: Call) => void calls.push(call);
    await call(command, { handlers: { [command.toLowerCase()]: handler } });
    assertEquals(calls.map(({ environment }) => environment), [{
      command: command as Command,
      containerId: "container1",
      netns: "/run/netns/pod",
      ifname: "net1",
      pluginDirectories: ["/opt/cni/bin"],
      args: new Map(),
      netnsOverride: false,
    }]);
    assertEquals(calls.map(({ config }) => config), [
      await parseConfig(JSON.stringify(CONFIG), command as Command),
    ]);
    const labels = { containerID: "container1", netns: "/run/netns/pod", ifname: "net1" };
    assertEquals(calls.map(({ log }) => log.labels), [labels]);
  });
}

Deno.test("VERSION reads no input and prints the versions", async () => {
  const { code, done, json } = await call("VERSION");
  assertEquals({ code, done, json }, {
    code: 0,
    done: [],
    json: { cniVersion: "1.1.0", supportedVersions: CNI_VERSIONS },
  });
});

const GATES: [command: string, refused: string, allowed: string][] = [
  ["CHECK", "0.3.1", "0.4.0"],
  ["GC", "1.0.0", "1.1.0"],
  ["STATUS", "1.0.0", "1.1.0"],
];

for (const [command, refused, allowed] of GATES) {
  Deno.test(`${command} is there from version ${allowed} on`, async () => {
    const late = await call(command, { config: { ...CONFIG, cniVersion: allowed } });
    assertEquals([late.code, late.done.at(-1)], [0, command.toLowerCase()]);
    const early = await call(command, { config: { ...CONFIG, cniVersion: refused } });
    assertEquals([early.code, early.json.code, early.json.cniVersion, early.done], [1, 1, refused, [
      "input",
    ]]);
    assertStringIncludes(early.json.msg, `want "${allowed}" or newer`);
  });
}

const own = { isOwnNetns: (path: string) => path === "/run/netns/pod" };

Deno.test("ADD in the plugin's own namespace is code 8, before any handler", async () => {
  const { code, json, done } = await call("ADD", { handlers: own });
  assertEquals([code, json.code, done], [1, 8, ["input"]]);
});

Deno.test("ADD in the plugin's own namespace goes with CNI_NETNS_OVERRIDE", async () => {
  const { code, done } = await call("ADD", { handlers: own, variables: { CNI_NETNS_OVERRIDE: "true" } });
  assertEquals([code, done.at(-1)], [0, "add"]);
});

Deno.test("whose namespace it is stops neither CHECK nor DEL", async () => {
  for (const command of ["CHECK", "DEL"]) {
    const { code, done } = await call(command, { handlers: own });
    assertEquals([code, done.at(-1)], [0, command.toLowerCase()]);
  }
});

for (const command of ["DEL", "GC"]) {
  Deno.test(`${command} runs whatever is wrong in keys it does not need, and warns of each by its path`, async () => {
    const wrong = {
      ...{ logLevel: "verbose", allowPF: 3, rdmaQoS: { tos: 960 }, prevResult: "none" },
      args: { cni: { debug: "yes", rdmaDeviceName: 7 } },
    };
    const { code, done, lines } = await call(command, { config: { ...CONFIG, ...wrong } });
    assertEquals([code, done.at(-1), lines.length], [0, command.toLowerCase(), 1]);
    assertStringIncludes(lines[0]!, 'level="warning"');
    for (
      const path of [
        "logLevel",
        "allowPF",
        "rdmaQoS",
        "prevResult",
        "args.cni.debug",
        "args.cni.rdmaDeviceName",
      ]
    ) {
      assertStringIncludes(lines[0]!, path);
    }
  });
}

for (const command of ["ADD", "CHECK", "STATUS"]) {
  Deno.test(`${command} reports a wrong key`, async () => {
    const { json, done } = await call(command, { config: { ...CONFIG, args: { cni: { debug: "yes" } } } });
    assertEquals([json.code, done], [7, ["input"]]);
    assertStringIncludes(json.msg, "args.cni.debug: ");
  });
}

Deno.test("an error of the environment comes before the input is read, in the newest version", async () => {
  const { code, json, done } = await call("ADD", { variables: { CNI_IFNAME: "", CNI_PATH: undefined } });
  assertEquals({ code, json, done }, {
    code: 1,
    json: { cniVersion: "1.1.0", code: 4, msg: "required env variables [CNI_IFNAME,CNI_PATH] missing" },
    done: [],
  });
});

Deno.test("an error is told in the version of the configuration", async () => {
  const config = { ...CONFIG, cniVersion: "0.3.0" };
  const { json } = await call("ADD", { config, handlers: { isOwnNetns: () => true } });
  assertEquals(json.cniVersion, "0.3.0");
});

Deno.test("what nobody foresaw is code 999 with its stack as details", async () => {
  const del = () => {
    throw new RangeError("no such thing");
  };
  const { code, json } = await call("DEL", { handlers: { del } });
  assertEquals([code, json.code, json.msg], [1, 999, "no such thing"]);
  assertMatch(json.details, /RangeError.*\n +at /);
});

Deno.test("what is thrown but no error is told too", async () => {
  const del = () => {
    throw "text";
  };
  assertEquals((await call("DEL", { handlers: { del } })).json, {
    cniVersion: "1.1.0",
    code: 999,
    msg: "text",
  });
});

Deno.test("a failing read of the input is an error", async () => {
  const readInput = () => {
    throw new CniError(ErrorCode.undecodable, "too long");
  };
  assertEquals((await call("ADD", { process: { readInput } })).json.code, 6);
});

Deno.test("an ADD whose result cannot be printed is undone, and fails", async () => {
  const writeOutput = () => {
    throw new Error("Broken pipe");
  };
  const { code, lines, done } = await call("ADD", { process: { writeOutput } });
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
  const { lines, json } = await call("ADD", { config: "{}" });
  assertEquals(json.code, 7);
  assertEquals(lines.length, 1);
  assertStringIncludes(lines[0]!, 'level="error"');
  assertStringIncludes(lines[0]!, "correct these keys");
  assertStringIncludes(lines[0]!, 'containerID="container1" netns="/run/netns/pod" ifname="net1"');
});

Deno.test("log lines go to the log file too, never to the output", async () => {
  const { lines, fileLines, output } = await call("DEL", {
    config: { ...CONFIG, logFile: "/log", logLevel: "debug" },
    handlers: { del: ({ log }) => log.debug("deleting") },
  });
  assertEquals(lines, fileLines);
  assertStringIncludes(lines[0]!, 'containerID="container1" netns="/run/netns/pod" ifname="net1"');
  assertEquals(output, "");
});

Deno.test("a log file that cannot be opened is a warning", async () => {
  const openLogFile = () => {
    throw new Error("too many levels of symbolic links");
  };
  const { code, done, lines } = await call("DEL", {
    config: { ...CONFIG, logFile: "/log" },
    process: { openLogFile },
  });
  assertEquals([code, done.at(-1)], [0, "del"]);
  assert(lines.length === 1 && lines[0]!.includes("too many levels of symbolic links"));
});

Deno.test("the trace is in each line of the log and in the details of an error", async () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const variables = { TRACEPARENT: `00-${traceId}-00f067aa0ba902b7-01` };
  const del = ({ log }: { log: { info(msg: string): void } }) => {
    log.info("looking");
    throw new CniError(ErrorCode.deviceInUse, "taken", "by another");
  };
  const { json, lines } = await call("DEL", { variables, handlers: { del } });
  assertEquals(json.details, `by another; trace ${traceId}`);
  assertEquals([lines.length, lines.every((line) => line.endsWith(` traceID="${traceId}"\n`))], [2, true]);

  const refused = await call("DEL", { variables: { ...variables, CNI_IFNAME: undefined } });
  assertEquals(refused.json.details, `trace ${traceId}`);
  assertStringIncludes(refused.lines.join(""), `traceID="${traceId}"`);
});
