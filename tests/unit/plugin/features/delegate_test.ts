// Which configuration the delegate gets, and what runs in which order.
import type { Command } from "../../../../src/cni/environment.ts";
import { CniError } from "../../../../src/cni/error.ts";
import { type Call, type NetworkConfig, parseConfig } from "../../../../src/plugin/config/config.ts";
import { withDelegate } from "../../../../src/plugin/features/delegate.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { brokenPipe, call, PREV_RESULT } from "../../../support/call.ts";

const DELEGATE = { type: "sriov", vlan: 5, ipam: { type: "host-local" } };
const OUTER = { cniVersion: "1.1.0", name: "roce", type: "rdma" };
const DEVICE = { deviceID: "0000:3b:00.2" };
const CAPABLE = { capabilities: { ips: true, mac: false, bandwidth: true } };
const IPS = { ips: ["10.0.0.2/24"] };
const ATTACHMENTS = [{ containerID: "a", ifname: "net1" }];
const VALID = { "cni.dev/valid-attachments": ATTACHMENTS, "cni.dev/attachments": ATTACHMENTS };

const CONFIGS: Record<string, [keys: object, expected: object, command?: Command]> = {
  "name and version, and nothing of this plugin's": [{ logLevel: "debug", args: { cni: {} } }, {}],
  "the version that a missing one stands for": [{ cniVersion: undefined }, { cniVersion: "0.1.0" }],
  "name and version in the place of others": [
    { delegate: { ...DELEGATE, name: "b", cniVersion: "0.3.1" } },
    {},
  ],
  "prevResult for CHECK": [{ prevResult: PREV_RESULT }, { prevResult: PREV_RESULT }, "CHECK"],
  "both lists of attachments for GC": [VALID, VALID, "GC"],
  "deviceID in the place of another": [{ ...DEVICE, delegate: { ...DELEGATE, deviceID: "0" } }, DEVICE],
  "what is for the capabilities that it declares": [
    { runtimeConfig: { ...DEVICE, ...IPS, mac: "02:00:00:00:00:01" }, delegate: { ...DELEGATE, ...CAPABLE } },
    { ...CAPABLE, runtimeConfig: IPS },
  ],
  "nothing of a runtimeConfig without capabilities": [{ runtimeConfig: { ips: [] } }, {}],
};

for (const [what, [keys, expected, command]] of Object.entries(CONFIGS)) {
  Deno.test(`the delegate gets ${what}`, async () => {
    const text = JSON.stringify({ ...OUTER, delegate: DELEGATE, ...keys });
    const { delegate } = await parseConfig(text, command);
    assertEquals<unknown>(delegate, { ...DELEGATE, cniVersion: "1.1.0", name: "roce", ...expected });
  });
}

const RESULT = { interfaces: [{ name: "net1", mac: "02:00:00:00:00:07", sandbox: "/run/netns/pod" }] };

/** Runs a call with a delegate, and says in which order what was run: the plugin's handlers in lower case. */
async function run(
  command: Command,
  { failing = "", output = JSON.stringify(RESULT), delegate = DELEGATE as object | null, process = {} } = {},
) {
  const order: string[] = [];
  const configs: NetworkConfig[] = [];
  const step = (name: string) => {
    order.push(name);
    if (failing.split(" ").includes(name)) throw new CniError(120, `${name} failed`, `about ${name}`);
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
    ...{ del: handler("del"), check: handler("check"), gc: handler("gc"), status: handler("status") },
  }, (config, command) => {
    assertEquals(config.type, "sriov");
    step(command);
    return command === "ADD" ? output : "ignored";
  });
  const config = { ...OUTER, delegate, "cni.dev/valid-attachments": [] };
  const { json, lines } = await call(command, { config, handlers: plugin, process });
  return { order: order.join(" "), json, configs, lines: lines.join("") };
}

for (const order of ["ADD add", "del DEL", "CHECK check", "gc GC", "STATUS status"]) {
  const command = order.toUpperCase().split(" ")[0] as Command;
  Deno.test(`${command} runs ${order}, and without a delegate the plugin alone`, async () => {
    assertEquals((await run(command)).order, order);
    assertEquals((await run(command, { delegate: null })).order, command.toLowerCase());
  });
}

Deno.test("an ADD whose result cannot be printed is undone, and the delegate deletes", async () => {
  assertEquals((await run("ADD", { process: { writeOutput: brokenPipe } })).order, "ADD add undo DEL");
});

Deno.test("ADD gets the delegate's result as prevResult", async () => {
  assertEquals((await run("ADD")).configs.map(({ prevResult }) => prevResult), [RESULT]);
});

for (
  const [what, command, failing, order] of [
    ["the delegate's ADD fails: nothing is moved", "ADD", "ADD", "ADD"],
    ["a move fails: the delegate deletes", "ADD", "add", "ADD add DEL"],
    ["both fail: the move's error counts", "ADD", "add DEL", "ADD add DEL"],
    ["a device stays in the pod: the delegate's function too", "DEL", "del", "del"],
    ["the delegate's DEL fails", "DEL", "DEL", "del DEL"],
    ["GC fails: the delegate collects all the same", "GC", "gc", "gc GC"],
    ["both fail: the error of the plugin's GC counts", "GC", "gc GC", "gc GC"],
    ["the delegate's GC fails", "GC", "GC", "gc GC"],
    ["the delegate is not ready", "STATUS", "STATUS", "STATUS"],
  ] as const
) {
  Deno.test(what, async () => {
    const ended = await run(command, { failing });
    assertEquals(ended.order, order);
    const [first, ...more] = failing.split(" ");
    const told = { msg: `${first} failed`, details: `about ${first}` };
    assertEquals(ended.json, { cniVersion: "1.1.0", code: 120, ...told });
    for (const name of [first, ...more]) assertStringIncludes(ended.lines, `${name} failed`);
  });
}

for (const output of ["", "null", "[]", "OK", '{"interfaces":"net1"}', '{"interfaces":[{"name":1}]}']) {
  Deno.test(`a delegate that prints ${output || "nothing"} for ADD has failed and deletes`, async () => {
    const { order, json } = await run("ADD", { output });
    assertEquals([order, json.code], ["ADD DEL", 4]);
    assertStringIncludes(json.msg, 'ADD of plugin "sriov": it printed no result');
  });
}
