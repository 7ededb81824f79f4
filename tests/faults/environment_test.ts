// Whatever stands in the environment, it is read or refused with code 4, and what is read makes no path but one name in
// the state directory.
import fc from "fast-check";
import { COMMANDS, parseEnvironment } from "../../src/cni/environment.ts";
import { CniError, ErrorCode } from "../../src/cni/error.ts";
import { parseConfig } from "../../src/plugin/config/config.ts";
import { State } from "../../src/plugin/record/state.ts";
import { assert } from "../support/assert.ts";
import { runs } from "./form.ts";

const hostile = fc.constantFrom(
  ...[
    "..",
    ".",
    "/",
    "../../etc/passwd",
    "a/../b",
    "a\0b",
    "a\nb",
    "-rf",
    "~",
    "$(id)",
    "%2e%2e%2f",
    "\ufffd",
  ],
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

/** What the work gives, or undefined when it is refused with a code. */
async function orRefused<T>(code: number, work: () => T): Promise<Awaited<T> | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CniError && error.code === code) return undefined;
    throw error;
  }
}

Deno.test("variables are read or refused, and lead to one file in the state directory", async () => {
  const state = new State("/state");
  let read = 0;
  const property = fc.asyncProperty(variables, name, async (values: Record<string, string>, network) => {
    const environment = await orRefused(
      ErrorCode.invalidEnvironment,
      () => parseEnvironment((key) => values[key]),
    );
    const config = await orRefused(
      ErrorCode.invalidConfig,
      () => parseConfig(JSON.stringify({ name: network })),
    );
    if (!environment || environment.command === "VERSION") return;
    const { containerId, ifname, netns } = environment;
    assert(netns === "" || netns.startsWith("/") && !netns.includes("\0"), netns);
    assert(new TextEncoder().encode(ifname).length <= 15, ifname);
    if (!config || containerId === "") return;
    read++;
    const file = state.fileOf({ network: config.name, containerID: containerId, ifname });
    assert(!/[/\0]/.test(file) && /^[a-zA-Z0-9]/.test(file), file);
  });
  await fc.assert(property, runs(5000, 200_000));
  assert(read > 20, `only ${read} were read`);
});
