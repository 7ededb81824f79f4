// Hostile input on the executable: it ends with one JSON or none, in little memory, and without waiting for anyone.
import fc from "fast-check";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { timeWrapper } from "../support/gnu_time.ts";
import { assertFailed, call, type Outcome } from "../support/program.ts";
import { TestNetns } from "../support/test_netns.ts";
import { runs } from "./form.ts";
import { jsonText } from "./json.ts";

const INPUT_LIMIT = 2 * 1024 * 1024;
/** Nine times what the executable takes for a usual call. */
const MEMORY_LIMIT_KB = 512 * 1024;
/** Ends what would wait for ever; a call that has to be ended fails its test by its exit code, whatever the time. */
const WATCHDOG = ["timeout", "--signal=KILL", "120"];

/** A call in a namespace that has no RDMA device, watched; its memory is asserted. */
async function hostileCall(command: string, config: string, variables = {}, by: string[] = []) {
  await using pod = await TestNetns.create();
  const report = Deno.makeTempFileSync();
  try {
    const outcome = await call(command, {
      config,
      variables: { CNI_NETNS: pod.path, CNI_CONTAINERID: "hostile-input", ...variables },
      by: [...timeWrapper(report), ...WATCHDOG, ...by],
    });
    const [memoryKb] = /\d+$/.exec(Deno.readTextFileSync(report).trim()) ?? [];
    assert(Number(memoryKb) < MEMORY_LIMIT_KB, `${memoryKb} KB`);
    return outcome;
  } finally {
    Deno.removeSync(report);
  }
}

async function assertSucceeds(...hostile: Parameters<typeof hostileCall>): Promise<Outcome> {
  const outcome = await hostileCall(...hostile);
  assertEquals([outcome.code, outcome.stdout], [0, ""]);
  return outcome;
}

/** Codes of a call that is well-formed, on a machine without RDMA and on one with it. */
const UNDERSTOOD = [100, 101, 110];

function network(...keys: string[]): string {
  return `{${['"cniVersion":"1.1.0"', '"name":"net"', ...keys].join()}}`;
}

/** A text again and again, with commas between, as long as fits into an input that is read. */
function list(text: string): string {
  return `[${new Array(Math.floor((INPUT_LIMIT - 1000) / (text.length + 1))).fill(text).join()}]`;
}

const result = (keys: string) => network(`"prevResult":{${keys}}`);
const nest = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const long = "x".repeat(INPUT_LIMIT - 1000);

/** Without codes the call succeeds. */
const CONFIGURATIONS: [what: string, config: string, codes: number[] | undefined, command?: string][] = [
  ["50 MB", network(`"a":"${"x".repeat(50_000_000)}"`), [6]],
  ["a text that fills it", result(`"a":"${long}"`), UNDERSTOOD],
  ["as many empty objects as fit", result(`"a":${list("{}")}`), UNDERSTOOD],
  ["as many wrong interfaces as fit", result(`"interfaces":${list('{"name":1}')}`), [7]],
  [
    "as many valid attachments as fit",
    network(`"cni.dev/valid-attachments":${list('{"containerID":"a","ifname":"net1"}')}`),
    undefined,
    "GC",
  ],
  ["a result nested a million levels deep", result(`"a":${nest(1_000_000)}`), [6]],
  ["a version without end", `{"cniVersion":"${long}"}`, [1]],
  ["a name without end", `{"name":"${long}","prevResult":{}}`, UNDERSTOOD],
];

for (const [what, config, codes, command = "ADD"] of CONFIGURATIONS) {
  Deno.test(`a configuration with ${what} ends in one answer`, async () => {
    if (!codes) return void await assertSucceeds(command, config);
    const outcome = await hostileCall(command, config);
    assertFailed(outcome, codes.find((code) => code === outcome.json?.code) ?? codes[0]!);
  });
}

Deno.test("a configuration that comes byte by byte takes no more memory", async () => {
  // With O_DIRECT a pipe keeps what was written in one go apart (pipe(2)).
  const by = ["/bin/sh", "-c", 'dd bs=1 oflag=direct status=none | exec "$0"'];
  await assertSucceeds("GC", network(`"a":"${"x".repeat(20_000)}"`), {}, by);
});

Deno.test("a variable that is no UTF-8 is code 4, a directory for standard input is code 5", async () => {
  for (const name of ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]) {
    const by = ["/bin/sh", "-c", `${name}=$(printf '/a\\377b') exec "$0"`];
    assertFailed(await call("ADD", { by }), 4, name);
  }
  assertFailed(await call("ADD", { by: ["/bin/sh", "-c", 'exec "$0" </'] }), 5, "Cannot read standard input");
});

Deno.test("without a namespace at the pod's path DEL succeeds, and ADD is code 8; no log file is waited for", async () => {
  const directory = Deno.makeTempDirSync();
  const [fifo, loop, socket] = [`${directory}/fifo`, `${directory}/loop`, `${directory}/socket`] as const;
  assert(new Deno.Command("mkfifo", { args: [fifo] }).outputSync().success);
  Deno.symlinkSync(loop, loop);
  using _listener = Deno.listen({ transport: "unix", path: socket });
  for (const path of [fifo, loop, socket, directory, "/dev/null", "/a".repeat(5000)]) {
    const variables = { CNI_NETNS: path };
    assertFailed(await hostileCall("ADD", result(""), variables), 8, "Cannot open network namespace");
    await assertSucceeds("DEL", network(), variables);
  }
  for (const path of [fifo, loop, directory, `${directory}/a\0b`, `/${"x".repeat(300)}`]) {
    const { stderr } = await assertSucceeds("DEL", network(`"logFile":${JSON.stringify(path)}`));
    assertStringIncludes(stderr, "Logging to standard error only");
  }
  assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["fifo", "loop", "socket"]);
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("any input to any command ends in exit code 0 or 1, and one answer or none", () => {
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 100 }).map((bytes) => String.fromCharCode(...bytes)),
    jsonText,
    jsonText.map((value) => network(`"prevResult":${value}`)),
    jsonText.map((value) => network('"prevResult":{}', `"runtimeConfig":{"deviceID":${value}}`)),
  );
  const command = fc.constantFrom("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION");
  const property = fc.asyncProperty(command, input, async (command, config) => {
    const variables = { CNI_CONTAINERID: "hostile-input", CNI_NETNS: "/proc/self/ns/mnt" };
    const { code, stdout, stderr, json } = await call(command, { config, variables, by: WATCHDOG });
    assert(code === 0 || code === 1, `exit code ${code}: ${stderr}`);
    if (code === 1) assert(json.code !== 999 && json.msg !== "", stdout);
    else assertEquals(stdout === "", command !== "VERSION");
  });
  return fc.assert(property, runs(40, 2000));
});
