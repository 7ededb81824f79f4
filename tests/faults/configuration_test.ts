// Whatever the runtime sends and sets, configuration and environment are read or refused with one of CNI's codes, the
// result that came is the result that goes, and what is read makes no path but one name in the state directory.
import fc from "fast-check";
import { COMMANDS, parseEnvironment } from "../../src/cni/environment.ts";
import { CniError, ErrorCode } from "../../src/cni/error.ts";
import { formatResult } from "../../src/cni/result.ts";
import { parseConfig } from "../../src/plugin/config/config.ts";
import { State } from "../../src/plugin/record/state.ts";
import { assert, assertEquals, assertRejects } from "../support/assert.ts";
import { CONFIG } from "../support/call.ts";
import { placesIn } from "../support/places.ts";
import { runs } from "./form.ts";
import { jsonText, objectText } from "./json.ts";

const { undecodable, incompatibleVersion, invalidConfig, invalidEnvironment } = ErrorCode;
const REFUSALS: number[] = [undecodable, incompatibleVersion, invalidConfig];

/** Reads a configuration and gives the result it would be answered with, or the code it is refused with. */
async function read(text: string): Promise<string | number> {
  try {
    const config = await parseConfig(text);
    assert(config.name !== "", "no name");
    return config.prevResult ? formatResult(config) : "";
  } catch (error) {
    if (error instanceof CniError && REFUSALS.includes(error.code)) return error.code;
    throw error;
  }
}

const network = (more: string) => `{"cniVersion":"1.1.0","name":"net"${more}}`;

const GOOD = {
  ...{ ...CONFIG, deviceID: "0000:3b:00.2", logLevel: "info", logFile: "/var/log/rdma.log" },
  args: { cni: { debug: true } },
  runtimeConfig: { deviceID: "0000:3b:00.2" },
  "cni.dev/attachments": [{ containerID: "a", ifname: "net1" }],
  "cni.dev/valid-attachments": [],
};
/** What DEL and GC must understand. */
const NEEDED = ["name", "cniVersion", "cni.dev/valid-attachments"];

Deno.test("any text is read or refused", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    jsonText,
    jsonText.map((value) => network(`,"prevResult":${value}`)),
  );
  return fc.assert(fc.asyncProperty(text, async (value) => void await read(value)), runs(2000, 200_000));
});

Deno.test("a good configuration that is cut off, or has another letter or value somewhere, is read or refused; DEL and GC read it", () => {
  const good = JSON.stringify(GOOD);
  const letters = fc.string({ unit: "binary", maxLength: 2 });
  const change = fc.tuple(fc.nat(), fc.nat(2), letters, jsonText);
  const property = fc.asyncProperty(change, async ([at, length, text, value]) => {
    const from = at % good.length;
    await read(good.slice(0, from));
    await read(good.slice(0, from) + text + good.slice(from + length));
    const copy = structuredClone(GOOD);
    const places = placesIn(copy);
    const { holder, key } = places[at % places.length]!;
    holder[key] = "HERE";
    const changed = JSON.stringify(copy).replace('"HERE"', () => value);
    await read(changed);
    if (holder === copy as unknown && NEEDED.includes(key)) return;
    for (const command of ["DEL", "GC"] as const) {
      assertEquals((await parseConfig(changed, command)).name, "net");
    }
  });
  return fc.assert(property, runs(1000, 50_000));
});

Deno.test("the result leaves as it came, to the letter: numbers, order, and keys that mean something to JavaScript", () => {
  const property = fc.asyncProperty(objectText(jsonText), async (object) => {
    const version = '"cniVersion":"1.0.0"}';
    const result = object === "{}" ? `{${version}` : object.replace(/\}$/, `,${version}`);
    const answer = await read(network(`,"prevResult":${result}`));
    if (typeof answer === "string") assertEquals(answer, result);
    else assert(/"(cniVersion|interfaces)":/.test(object), `refused with ${answer}`);
  });
  return fc.assert(property, runs(2000, 200_000));
});

Deno.test("nothing of the input becomes a property of all objects", async () => {
  const polluted = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
  const answer = await read(network(`,"prevResult":${polluted},${polluted.slice(1, -1)}`));
  assertEquals(answer, polluted.replace(/\}$/, ',"cniVersion":"1.1.0"}'));
  assertEquals(({} as { polluted?: boolean }).polluted, undefined);
});

Deno.test("of a long list with a fault in each entry the first are named, by their places", async () => {
  const good = '{"containerID":"a","ifname":"net1"}';
  const list = [...new Array(7).fill(good), ...new Array(200_000).fill("1")].join();
  const text = network(`,"cni.dev/valid-attachments":[${list}]`);
  const { message } = await assertRejects(() => parseConfig(text), CniError);
  assertEquals(message.match(/\[\d+\]/g), Array.from({ length: 10 }, (_, i) => `[${i + 7}]`));
});

// The environment.

const hostile = fc.constantFrom(
  ...["..", ".", "/", "../../etc/passwd", "a/../b", "a\0b", "a\nb", "-rf", "$(id)", "%2e%2e%2f", "\ufffd"],
);
const text = fc.oneof(
  hostile,
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.stringMatching(/^[a-zA-Z0-9_.\-/]{1,20}$/),
  fc.tuple(hostile, fc.constantFrom("a", "net1", "/")).map((parts) => parts.join("")),
  fc.nat(200_000).map((length) => "a".repeat(length)),
);
/** Any text, but so many good ones that all of a call is good often enough. */
const mostly = (weight: number, good: fc.Arbitrary<string>) =>
  fc.oneof({ weight, arbitrary: good }, { weight: 1, arbitrary: text });
const name = mostly(2, fc.stringMatching(/^[a-zA-Z0-9_.\-]{1,15}$/));
const variables = fc.record({
  CNI_COMMAND: mostly(9, fc.constantFrom(...COMMANDS)),
  CNI_CONTAINERID: name,
  CNI_NETNS: fc.oneof(text, name.map((path) => `/run/netns/${path}`)),
  CNI_IFNAME: name,
  CNI_PATH: text,
  CNI_NETNS_OVERRIDE: text,
});

Deno.test("variables are read or refused, and lead to one file in the state directory", async () => {
  const state = new State("/state");
  let read = 0;
  const property = fc.asyncProperty(variables, name, async (values: Record<string, string>, network) => {
    try {
      const { command, containerId, ifname, netns } = parseEnvironment((key) => values[key]);
      if (command === "VERSION") return;
      assert(netns === "" || netns.startsWith("/") && !netns.includes("\0"), netns);
      assert(new TextEncoder().encode(ifname).length <= 15, ifname);
      const config = await parseConfig(JSON.stringify({ name: network }));
      if (containerId === "") return;
      read++;
      const file = state.fileOf({ network: config.name, containerID: containerId, ifname });
      assert(!/[/\0]/.test(file) && /^[a-zA-Z0-9]/.test(file), file);
    } catch (error) {
      const codes: number[] = [invalidEnvironment, invalidConfig];
      if (!(error instanceof CniError && codes.includes(error.code))) throw error;
    }
  });
  await fc.assert(property, runs(5000, 200_000));
  assert(read > 20, `only ${read} were read`);
});
