// The executable with a delegate: shell scripts that record what they were given.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { ENVIRONMENT } from "../support/call.ts";
import { assertFailed, call, type Outcome } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { TestNetns } from "../support/test_netns.ts";
import { WITHOUT_RDMA } from "./strace.ts";

const RESULT = { cniVersion: "1.0.0", interfaces: [{ name: "net1", sandbox: "/run/netns/pod" }], dns: {} };
const PRINT = `echo '${JSON.stringify(RESULT)}'`;

/** Writes "COMMAND" and what came on standard input and in the environment into files beside it. */
const RECORD = `#!/bin/sh
cd "\${0%/*}" && echo $CNI_COMMAND >>commands && cat >$CNI_COMMAND.json && cp /proc/$$/environ $CNI_COMMAND.env
`;

const pod = await TestNetns.create();
addEventListener("unload", () => void pod[Symbol.asyncDispose]());

/** A delegate in a directory of its own. Calls have no RDMA, so an ADD moves nothing. */
class Delegate extends TestDirectory {
  readonly environment = { CNI_PATH: `/nonexistent:${this.path}`, CNI_NETNS: pod.path, A: "é" };

  constructor(script: string, mode = 0o755) {
    super();
    Deno.writeTextFileSync(`${this.path}/sriov`, script, { mode });
  }

  call(command: string, keys: object = {}): Promise<Outcome> {
    const config = { prevResult: undefined, delegate: { type: "sriov", vlan: 5 }, ...keys };
    return call(command, { config, variables: this.environment, by: WITHOUT_RDMA });
  }

  get commands(): string[] {
    return this.read("commands").trimEnd().split("\n");
  }

  read(name: string): string {
    return Deno.readTextFileSync(`${this.path}/${name}`);
  }
}

Deno.test("ADD, CHECK and DEL reach the delegate with its configuration and this environment", async () => {
  using delegate = new Delegate(`${RECORD}[ $CNI_COMMAND != ADD ] || ${PRINT}`);
  const keys = { optional: true, deviceID: "0000:3b:00.2" };
  const own = { type: "sriov", vlan: 5, cniVersion: "1.1.0", name: "net", deviceID: "0000:3b:00.2" };
  for (const command of ["ADD", "CHECK", "DEL"]) {
    const more = command === "ADD" ? {} : { prevResult: RESULT };
    const { code, stdout, json, stderr } = await delegate.call(command, { ...keys, ...more });
    assertEquals([code, json ?? stdout], [0, command === "ADD" ? RESULT : ""], stderr);
    assertEquals(JSON.parse(delegate.read(`${command}.json`)), { ...own, ...more });
    // PWD is of the shell that hides the machine's records from DEL.
    const variables = delegate.read(`${command}.env`).split("\0").filter((one) => !/^(PWD=|$)/.test(one));
    assertEquals(
      Object.fromEntries(variables.map((variable) => variable.split("="))),
      { ...ENVIRONMENT, ...delegate.environment, CNI_COMMAND: command },
    );
  }
  assertEquals(delegate.commands, ["ADD", "CHECK", "DEL"]);
});

Deno.test("the delegate's error is passed on as it is, and its messages", async () => {
  const error = { cniVersion: "0.4.0", code: 1234, msg: "no VF", details: "none is left" };
  using delegate = new Delegate(`${RECORD}echo something >&2; echo '${JSON.stringify(error)}'; exit 7`);
  for (const command of ["ADD", "DEL", "STATUS"]) {
    const { code, json, stderr } = await delegate.call(command);
    assertEquals([code, json], [1, { ...error, cniVersion: "1.1.0" }]);
    assertStringIncludes(stderr, "something\n");
  }
  assertEquals(delegate.commands, ["ADD", "DEL", "STATUS"]);
});

for (
  const [what, script, message, mode] of [
    ["prints no result", "#!/bin/sh\necho OK", /it printed no result, but "OK\\n"$/],
    ["fails with words", "#!/bin/sh\necho no; exit 3", /exited with 3 and printed no error, but "no\\n"$/],
    ["fails with a result", `#!/bin/sh\n${PRINT}; exit 3`, /exited with 3 and printed no error, but "\{/],
    ["is killed", "#!/bin/sh\nkill -9 $$", /SIGKILL killed it$/],
    ["is not executable", "#!/bin/sh\n", /EACCES \(13\), permission denied/, 0o644],
    ["is no program", "nonsense", /ENOEXEC \(8\), not a program/],
  ] as [string, string, RegExp, number?][]
) {
  Deno.test(`a delegate that ${what} is code 4`, async () => {
    using delegate = new Delegate(script, mode);
    const outcome = await delegate.call("ADD");
    assertFailed(outcome, 4, 'Cannot run ADD of plugin "sriov": ');
    assertMatch(outcome.json.msg, message);
  });
}

Deno.test("a delegate that is not in CNI_PATH is code 4; a directory is none", async () => {
  using delegate = new Delegate("");
  Deno.mkdirSync(`${delegate.path}/host-device`);
  const outcome = await delegate.call("ADD", { delegate: { type: "host-device" } });
  assertFailed(outcome, 4, `it is not in CNI_PATH "/nonexistent:${delegate.path}"`);
});

Deno.test("neither a long configuration nor a long result holds a call up", async () => {
  using delegate = new Delegate(
    `#!/bin/sh\n[ $CNI_COMMAND != ADD ] || { printf '{"a":"'; head -c 1000000 /dev/zero | tr '\\0' x; printf '"}'; }`,
  );
  const keys = { optional: true, delegate: { type: "sriov", a: "x".repeat(1_000_000) } };
  const { code, json, stderr } = await delegate.call("ADD", keys);
  assertEquals([code, json?.a.length], [0, 1_000_000], stderr);
});

Deno.test("a delegate that is just being written is tried again", async () => {
  using delegate = new Delegate(RECORD);
  const writer = Deno.openSync(`${delegate.path}/sriov`, { write: true });
  const start = performance.now();
  setTimeout(() => writer.close(), 500);
  const { code, stderr } = await delegate.call("DEL");
  assertEquals([code, delegate.commands], [0, ["DEL"]], stderr);
  assert(performance.now() - start >= 1000, "it was not refused at first");
});
