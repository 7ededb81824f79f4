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
async function hostileCall(
  command: string,
  config: string,
  variables = {},
  by: string[] = [],
): Promise<Outcome> {
  await using pod = await TestNetns.create();
  const directory = Deno.makeTempDirSync();
  try {
    const report = `${directory}/report`;
    const outcome = await call(command, {
      config,
      variables: { CNI_NETNS: pod.path, CNI_CONTAINERID: "hostile-input", ...variables },
      by: [...timeWrapper(report), ...WATCHDOG, ...by],
    });
    const [memoryKb] = /\d+$/.exec(Deno.readTextFileSync(report).trim()) ?? [];
    assert(Number(memoryKb) < MEMORY_LIMIT_KB, `${memoryKb} KB`);
    return outcome;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Codes of a call that is well-formed, on a machine without RDMA and on one with it. */
const UNDERSTOOD = [100, 101, 110];

function network(...keys: string[]): string {
  return `{${['"cniVersion":"1.1.0"', '"name":"net"', ...keys].join()}}`;
}

/** A text again and again, with commas between, as long as fits into an input that is read. */
function list(text: string, length = Math.floor((INPUT_LIMIT - 1000) / (text.length + 1))): string {
  return `[${new Array(length).fill(text).join()}]`;
}

const nest = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const long = "x".repeat(INPUT_LIMIT - 1000);

const CONFIGURATIONS: Record<string, { command?: string; config: string; codes: number[] }> = {
  "50 MB": { config: network(`"a":"${"x".repeat(50_000_000)}"`), codes: [6] },
  "a text that fills it": { config: network(`"prevResult":{"a":"${long}"}`), codes: UNDERSTOOD },
  "100,000 interfaces": {
    config: network(`"prevResult":{"interfaces":${list('{"name":"net1"}', 100_000)}}`),
    codes: UNDERSTOOD,
  },
  "as many empty objects as fit": { config: network(`"prevResult":{"a":${list("{}")}}`), codes: UNDERSTOOD },
  "as many numbers as fit": { config: network(`"prevResult":{"a":${list("1.0")}}`), codes: UNDERSTOOD },
  "as many wrong interfaces as fit": {
    config: network(`"prevResult":{"interfaces":${list('{"name":1}')}}`),
    codes: [7],
  },
  "as many wrong attachments as fit": {
    command: "GC",
    config: network(`"cni.dev/attachments":${list("{}")}`),
    codes: [7],
  },
  "a result nested a million levels deep": {
    config: network(`"prevResult":{"a":${nest(1_000_000)}}`),
    codes: [6],
  },
  "an unknown key nested 100,000 levels deep": {
    config: network(`"prevResult":{},"a":${nest(100_000)}`),
    codes: [6],
  },
  "a version nested 100,000 levels deep": { config: `{"cniVersion":${nest(100_000)}}`, codes: [6] },
  "a version without end": { config: `{"cniVersion":"${long}"}`, codes: [1] },
  "a name without end": { config: `{"name":"${long}","prevResult":{}}`, codes: UNDERSTOOD },
  "a device without end": { command: "DEL", config: network(`"deviceID":"${long}"`), codes: [] },
  "letters that no text has": {
    config: network(String.raw`"prevResult":{"a":"\ud800\u0000"}`),
    codes: UNDERSTOOD,
  },
  "__proto__": {
    config: network('"__proto__":{"name":1},"prevResult":{"__proto__":{"interfaces":1}}'),
    codes: UNDERSTOOD,
  },
};

for (const [what, { command = "ADD", config, codes }] of Object.entries(CONFIGURATIONS)) {
  Deno.test(`a configuration with ${what} ends in one answer`, async () => {
    const outcome = await hostileCall(command, config);
    if (codes.length === 0) assertEquals([outcome.code, outcome.stdout], [0, ""]);
    else assertFailed(outcome, codes.includes(outcome.json.code) ? outcome.json.code : codes[0]!);
  });
}

Deno.test("as many valid attachments as fit are read by GC", async () => {
  const config = network(`"cni.dev/valid-attachments":${list('{"containerID":"a","ifname":"net1"}')}`);
  const { code, stdout } = await hostileCall("GC", config);
  assertEquals([code, stdout], [0, ""]);
});

Deno.test("a configuration that comes byte by byte takes no more memory", async () => {
  // With O_DIRECT a pipe keeps what was written in one go apart (pipe(2)).
  const by = ["/bin/sh", "-c", 'dd bs=1 oflag=direct status=none | exec "$0"'];
  const { code, stdout } = await hostileCall("GC", network(`"a":"${"x".repeat(20_000)}"`), {}, by);
  assertEquals([code, stdout], [0, ""]);
});

for (const name of ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]) {
  Deno.test(`${name} that is no UTF-8 is code 4`, async () => {
    const by = ["/bin/sh", "-c", `${name}=$(printf '/a\\377b') exec "$0"`];
    assertFailed(await call("ADD", { by }), 4, name);
  });
}

Deno.test("a directory for standard input is code 5", async () => {
  const by = ["/bin/sh", "-c", 'exec "$0" </'];
  assertFailed(await call("ADD", { by }), 5, "Cannot read standard input");
});

/** What a namespace's path can lead to instead. */
const PATHS: Record<string, (directory: string) => string> = {
  "a FIFO": (directory) => {
    assert(new Deno.Command("mkfifo", { args: [`${directory}/fifo`] }).outputSync().success);
    return `${directory}/fifo`;
  },
  "a socket": (directory) => {
    using listener = Deno.listen({ transport: "unix", path: `${directory}/s` });
    Deno.renameSync(listener.addr.path, `${directory}/socket`);
    return `${directory}/socket`;
  },
  "a device": () => "/dev/null",
  "a directory": (directory) => directory,
  "a link to itself": (directory) => {
    Deno.symlinkSync(`${directory}/loop`, `${directory}/loop`);
    return `${directory}/loop`;
  },
  "a namespace of another kind": () => "/proc/self/ns/mnt",
  "a name that no file can have": () => `/${"x".repeat(300)}`,
  "a path that is too long": () => "/a".repeat(5000),
};

for (const [what, make] of Object.entries(PATHS)) {
  Deno.test(`with ${what} for the pod's namespace DEL succeeds, and ADD is code 8`, async () => {
    const directory = Deno.makeTempDirSync();
    try {
      const variables = { CNI_NETNS: make(directory) };
      assertFailed(
        await hostileCall("ADD", network('"prevResult":{}'), variables),
        8,
        "Cannot open network namespace",
      );
      const { code, stdout } = await hostileCall("DEL", network(), variables);
      assertEquals([code, stdout], [0, ""]);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  });
}

Deno.test("a log file that cannot be one is told, and waited for by nobody", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const fifo = PATHS["a FIFO"]!(directory);
    for (
      const path of [
        fifo,
        `${directory}/a\0b`,
        directory,
        PATHS["a link to itself"]!(directory),
        `/${"x".repeat(300)}`,
      ]
    ) {
      const { code, stderr } = await hostileCall("DEL", network(`"logFile":${JSON.stringify(path)}`));
      assertEquals(code, 0);
      assertStringIncludes(stderr, "Logging to standard error only");
    }
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["fifo", "loop"]);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
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
