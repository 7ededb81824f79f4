// Which configuration the delegate gets, and what runs in which order.
import type { Command } from "../../../../src/cni/environment.ts";
import { CniError } from "../../../../src/cni/error.ts";
import type { PluginConfig } from "../../../../src/cni/invoke.ts";
import { type Call, type NetworkConfig, parseConfig } from "../../../../src/plugin/config/config.ts";
import { withDelegate } from "../../../../src/plugin/features/delegate.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { call, PREV_RESULT } from "../../../support/call.ts";

const DELEGATE = { type: "sriov", vlan: 5, ipam: { type: "host-local" } };
const OUTER = { cniVersion: "1.1.0", name: "roce", type: "rdma" };

async function delegateConfig(keys: object, command: Command = "ADD"): Promise<PluginConfig | undefined> {
  return (await parseConfig(JSON.stringify({ ...OUTER, delegate: DELEGATE, ...keys }), command)).delegate;
}

for (
  const [what, keys, expected] of [
    ["name and version, and nothing of this plugin's", { logLevel: "debug", args: { cni: {} } }, {}],
    ["the version that a missing one stands for", { cniVersion: undefined }, { cniVersion: "0.1.0" }],
    ["name and version in the place of others", {
      delegate: { ...DELEGATE, name: "b", cniVersion: "0.3.1" },
    }, {}],
    ["prevResult", { prevResult: PREV_RESULT }, { prevResult: PREV_RESULT }],
    ["deviceID", { deviceID: "0000:3b:00.2" }, { deviceID: "0000:3b:00.2" }],
    [
      "deviceID in the place of another",
      { deviceID: "0000:3b:00.2", delegate: { ...DELEGATE, deviceID: "0000:3b:00.3" } },
      { deviceID: "0000:3b:00.2" },
    ],
    [
      "what is for the capabilities that it declares",
      {
        runtimeConfig: { deviceID: "0000:3b:00.2", ips: ["10.0.0.2/24"], mac: "02:00:00:00:00:01" },
        delegate: { ...DELEGATE, capabilities: { ips: true, mac: false, bandwidth: true } },
      },
      { capabilities: { ips: true, mac: false, bandwidth: true }, runtimeConfig: { ips: ["10.0.0.2/24"] } },
    ],
    ["nothing of a runtimeConfig without capabilities", { runtimeConfig: { ips: [] } }, {}],
  ] as const
) {
  Deno.test(`the delegate gets ${what}`, async () => {
    assertEquals(await delegateConfig(keys), { ...DELEGATE, cniVersion: "1.1.0", name: "roce", ...expected });
  });
}

Deno.test("DEL, CHECK and GC pass on what the runtime adds for them", async () => {
  const attachments = [{ containerID: "a", ifname: "net1" }];
  for (
    const [command, keys] of [
      ["DEL", { prevResult: PREV_RESULT }],
      ["CHECK", { prevResult: PREV_RESULT }],
      ["GC", { "cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments }],
    ] as const
  ) {
    const expected = { ...DELEGATE, cniVersion: "1.1.0", name: "roce", ...keys };
    assertEquals(await delegateConfig(keys, command), expected);
  }
});

Deno.test("numbers reach the delegate as they were written", async () => {
  const text = `{"name":"roce","delegate":{"type":"sriov","a":12345678901234567890},"prevResult":{"b":1.0}}`;
  for (const command of ["ADD", "DEL"] as const) {
    const { delegate } = await parseConfig(text, command);
    assertStringIncludes(JSON.stringify(delegate), '"a":12345678901234567890');
    assertStringIncludes(JSON.stringify(delegate), '"b":1.0');
  }
});

Deno.test("a pod's deeply nested arguments do not keep DEL from the delegate", async () => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  const text = `{ "name":"roce","delegate":{"type":"sriov"},"args":{"cni":{"deep":${deep}}}}`;
  const { delegate } = await parseConfig(text, "DEL");
  assertEquals(delegate, { type: "sriov", cniVersion: "0.1.0", name: "roce" });
});

for (
  const delegate of [
    "sriov",
    [],
    {},
    { type: 7 },
    { type: "" },
    { type: "rdma" },
    { type: "../sriov" },
    { type: "/bin/sh" },
  ]
) {
  Deno.test(`delegate ${JSON.stringify(delegate)} is code 7, and ignored by DEL and GC`, async () => {
    const error = await assertRejects(() => delegateConfig({ delegate }), CniError, "delegate");
    assertEquals(error.code, 7);
    for (const command of ["DEL", "GC"] as const) {
      const keys = { delegate, "cni.dev/valid-attachments": [] };
      const config = await parseConfig(JSON.stringify({ ...OUTER, ...keys }), command);
      const path = typeof delegate === "string" || Array.isArray(delegate) ? "delegate" : "delegate.type";
      assertEquals([config.delegate, config.ignoredKeys], [undefined, [path]]);
    }
  });
}

const RESULT = { interfaces: [{ name: "net1", mac: "02:00:00:00:00:07", sandbox: "/run/netns/pod" }] };

/** Runs a call with a delegate, and says in which order what was run: the plugin's handlers in lower case. */
async function run(
  command: Command,
  { failing = [], output = JSON.stringify(RESULT), delegate = DELEGATE as object | null, process = {} } = {},
) {
  const order: string[] = [];
  const configs: NetworkConfig[] = [];
  const step = (name: string) => {
    order.push(name);
    if ((failing as string[]).includes(name)) throw new CniError(120, `${name} failed`, `about ${name}`);
  };
  const handler = (name: string) => (call: Call) => {
    configs.push(call.config);
    step(name);
  };
  const plugin = withDelegate({
    parseConfig,
    isOwnNetns: () => false,
    add(call) {
      handler("add")(call);
      return { result: JSON.stringify(call.config.prevResult ?? {}), undo: () => order.push("undo") };
    },
    ...{ del: handler("del"), check: handler("check"), gc: handler("gc") },
    status: handler("status"),
  }, (config, command) => {
    assertEquals(config.type, "sriov");
    step(command);
    return command === "ADD" ? output : "ignored";
  });
  const config = { ...OUTER, delegate, "cni.dev/valid-attachments": [] };
  const { json, lines } = await call(command, { config, handlers: plugin, process });
  return { order, json, configs, lines: lines.join("") };
}

for (
  const [command, order] of [
    ["ADD", ["ADD", "add"]],
    ["DEL", ["del", "DEL"]],
    ["CHECK", ["CHECK", "check"]],
    ["GC", ["gc", "GC"]],
    ["STATUS", ["STATUS", "status"]],
  ] as const
) {
  Deno.test(`${command} runs ${order.join(", then ")}`, async () => {
    assertEquals((await run(command)).order, [...order]);
  });

  Deno.test(`${command} without a delegate runs the plugin alone`, async () => {
    assertEquals((await run(command, { delegate: null })).order, [command.toLowerCase()]);
  });
}

Deno.test("an ADD whose result cannot be printed is undone, and the delegate deletes", async () => {
  const writeOutput = () => {
    throw new Error("Broken pipe");
  };
  assertEquals((await run("ADD", { process: { writeOutput } })).order, ["ADD", "add", "undo", "DEL"]);
});

Deno.test("VERSION runs nothing", async () => {
  assertEquals((await run("VERSION")).order, []);
});

Deno.test("ADD gets the delegate's result as prevResult", async () => {
  assertEquals((await run("ADD")).configs.map(({ prevResult }) => prevResult), [RESULT]);
});

for (
  const [what, command, failing, order, msg] of [
    ["the delegate's ADD fails: nothing is moved", "ADD", ["ADD"], ["ADD"], "ADD failed"],
    ["a move fails: the delegate deletes", "ADD", ["add"], ["ADD", "add", "DEL"], "add failed"],
    ["both fail: the move's error counts", "ADD", ["add", "DEL"], ["ADD", "add", "DEL"], "add failed"],
    ["a device stays in the pod: the delegate's function too", "DEL", ["del"], ["del"], "del failed"],
    ["the delegate's DEL fails", "DEL", ["DEL"], ["del", "DEL"], "DEL failed"],
    ["the delegate's CHECK fails", "CHECK", ["CHECK"], ["CHECK"], "CHECK failed"],
    ["GC fails: the delegate collects all the same", "GC", ["gc"], ["gc", "GC"], "gc failed"],
    ["the delegate's GC fails", "GC", ["GC"], ["gc", "GC"], "GC failed"],
    ["the delegate is not ready", "STATUS", ["STATUS"], ["STATUS"], "STATUS failed"],
  ] as const
) {
  Deno.test(what, async () => {
    const ended = await run(command, { failing: [...failing] as never[] });
    assertEquals(ended.order, [...order]);
    const details = `about ${msg.split(" ")[0]}`;
    assertEquals(ended.json, { cniVersion: "1.1.0", code: 120, msg, details });
    for (const name of failing) assertStringIncludes(ended.lines, `${name} failed`);
  });
}

for (const output of ["", "null", "[]", "OK", '{"interfaces":"net1"}', '{"interfaces":[{"name":1}]}']) {
  Deno.test(`a delegate that prints ${output || "nothing"} for ADD has failed and deletes`, async () => {
    const { order, json } = await run("ADD", { output });
    assertEquals([order, json.code], [["ADD", "DEL"], 4]);
    assertStringIncludes(json.msg, 'ADD of plugin "sriov": it printed no result');
  });
}
