// The executable with a delegate: shell scripts that record what they were given.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { ENVIRONMENT } from "../support/call.ts";
import { assertFailed, call, type Outcome } from "../support/program.ts";
import { TestNetns } from "../support/test_netns.ts";

const RESULT = { cniVersion: "1.0.0", interfaces: [{ name: "net1", sandbox: "/run/netns/pod" }], dns: {} };

/** Writes "COMMAND" and what came on standard input and in the environment into files beside it. */
const RECORD = `#!/bin/sh
cd "\${0%/*}" && echo $CNI_COMMAND >>commands && cat >$CNI_COMMAND.json && cp /proc/$$/environ $CNI_COMMAND.env
`;

/** A delegate in a directory of its own, and a pod. This machine has no RDMA, so an ADD moves nothing. */
class Delegate implements AsyncDisposable {
  private constructor(readonly directory: string, readonly pod: TestNetns) {}

  static async create(script: string, mode = 0o755): Promise<Delegate> {
    const directory = Deno.makeTempDirSync();
    Deno.writeTextFileSync(`${directory}/sriov`, script, { mode });
    return new Delegate(directory, await TestNetns.create());
  }

  call(command: string, keys: object = {}, by: string[] = []): Promise<Outcome> {
    const config = { prevResult: undefined, delegate: { type: "sriov", vlan: 5 }, ...keys };
    const variables = { CNI_PATH: `/nonexistent:${this.directory}`, CNI_NETNS: this.pod.path, A: "é" };
    return call(command, { config, variables, by });
  }

  /** The commands that it got. */
  commands(): string[] {
    try {
      return this.read("commands").trimEnd().split("\n");
    } catch {
      return [];
    }
  }

  read(name: string): string {
    return Deno.readTextFileSync(`${this.directory}/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Deno.removeSync(this.directory, { recursive: true });
    await this.pod[Symbol.asyncDispose]();
  }
}

/** Starts a program whose kernel has no RDMA subsystem, whatever this machine's has. */
const WITHOUT_RDMA = [
  ...["/usr/bin/strace", "-o", "/dev/null", "--trace=socket"],
  "--inject=socket:error=EPROTONOSUPPORT",
];

const PRINT = `echo '${JSON.stringify(RESULT)}'`;

Deno.test("ADD, CHECK and DEL reach the delegate with its configuration and this environment", async () => {
  await using delegate = await Delegate.create(`${RECORD}[ $CNI_COMMAND != ADD ] || ${PRINT}`);
  const keys = { optional: true, deviceID: "0000:3b:00.2" };
  const added = await delegate.call("ADD", keys, WITHOUT_RDMA);
  assertEquals([added.code, added.json], [0, RESULT], added.stderr);
  for (const [command, by] of [["CHECK", WITHOUT_RDMA], ["DEL", []]] as const) {
    const { code, stdout, stderr } = await delegate.call(command, { ...keys, prevResult: RESULT }, [...by]);
    assertEquals([code, stdout], [0, ""], stderr);
  }
  assertEquals(delegate.commands(), ["ADD", "CHECK", "DEL"]);
  const { CNI_PATH: _, CNI_NETNS: __, ...others } = ENVIRONMENT;
  const config = { type: "sriov", vlan: 5, cniVersion: "1.1.0", name: "net", deviceID: "0000:3b:00.2" };
  for (const command of ["ADD", "CHECK", "DEL"]) {
    const prevResult = command === "ADD" ? {} : { prevResult: RESULT };
    assertEquals(JSON.parse(delegate.read(`${command}.json`)), { ...config, ...prevResult });
    // PWD is of the shell that hides the machine's records from DEL.
    const variables = delegate.read(`${command}.env`).split("\0").filter((variable) =>
      !/^(PWD=|$)/.test(variable)
    );
    assertEquals(
      Object.fromEntries(variables.map((variable) => variable.split("="))),
      {
        ...others,
        CNI_COMMAND: command,
        CNI_PATH: `/nonexistent:${delegate.directory}`,
        CNI_NETNS: delegate.pod.path,
        A: "é",
      },
    );
  }
});

Deno.test("STATUS and GC reach the delegate", async () => {
  await using delegate = await Delegate.create(RECORD);
  await delegate.call("STATUS");
  const { code, stderr } = await delegate.call("GC", { "cni.dev/valid-attachments": [] });
  assertEquals([code, delegate.commands()], [0, ["STATUS", "GC"]], stderr);
  assertEquals(JSON.parse(delegate.read("GC.json"))["cni.dev/valid-attachments"], []);
});

Deno.test("an ADD that cannot move the device has the delegate delete, and reports its own error", async () => {
  await using delegate = await Delegate.create(`${RECORD}[ $CNI_COMMAND != ADD ] || ${PRINT}`);
  assertFailed(await delegate.call("ADD", {}, WITHOUT_RDMA), 100, "the kernel has none");
  assertEquals(delegate.commands(), ["ADD", "DEL"]);
  assertEquals(delegate.read("DEL.json"), delegate.read("ADD.json"));
});

Deno.test("the delegate's error is passed on as it is, and its messages", async () => {
  const error = { cniVersion: "0.4.0", code: 1234, msg: "no VF", details: "none is left" };
  await using delegate = await Delegate.create(
    `${RECORD}echo something >&2; echo '${JSON.stringify(error)}'; exit 7`,
  );
  for (const command of ["ADD", "DEL", "STATUS"]) {
    const { code, json, stderr } = await delegate.call(command);
    assertEquals([code, json], [1, { ...error, cniVersion: "1.1.0" }]);
    assertStringIncludes(stderr, "something\n");
  }
  assertEquals(delegate.commands(), ["ADD", "DEL", "STATUS"]);
});

for (
  const [what, script, mode, message] of [
    ["prints no result", "#!/bin/sh\necho OK", 0o755, /it printed no result, but "OK\\n"$/],
    [
      "fails with words",
      "#!/bin/sh\necho no; exit 3",
      0o755,
      /exited with 3 and printed no error, but "no\\n"$/,
    ],
    [
      "fails with a result",
      `#!/bin/sh\n${PRINT}; exit 3`,
      0o755,
      /exited with 3 and printed no error, but "\{/,
    ],
    ["is killed", "#!/bin/sh\nkill -9 $$", 0o755, /SIGKILL killed it$/],
    ["is not executable", "#!/bin/sh\n", 0o644, /EACCES \(13\), permission denied/],
    ["is no program", "nonsense", 0o755, /ENOEXEC \(8\), not a program/],
  ] as const
) {
  Deno.test(`a delegate that ${what} is code 4`, async () => {
    await using delegate = await Delegate.create(script, mode);
    const outcome = await delegate.call("ADD");
    assertFailed(outcome, 4, 'Cannot run ADD of plugin "sriov": ');
    assertMatch(outcome.json.msg, message);
  });
}

Deno.test("a delegate that is not in CNI_PATH is code 4; a directory is none", async () => {
  await using delegate = await Delegate.create("");
  Deno.mkdirSync(`${delegate.directory}/host-device`);
  for (const command of ["ADD", "DEL"]) {
    const outcome = await delegate.call(command, { delegate: { type: "host-device" } });
    assertFailed(outcome, 4, `it is not in CNI_PATH "/nonexistent:${delegate.directory}"`);
  }
});

Deno.test("neither a long configuration nor a long result holds a call up", async () => {
  await using delegate = await Delegate.create(
    `#!/bin/sh\n[ $CNI_COMMAND != ADD ] || { printf '{"a":"'; head -c 1000000 /dev/zero | tr '\\0' x; printf '"}'; }`,
  );
  const keys = { optional: true, delegate: { type: "sriov", a: "x".repeat(1_000_000) } };
  const { code, json, stderr } = await delegate.call("ADD", keys, WITHOUT_RDMA);
  assertEquals([code, json?.a.length], [0, 1_000_000], stderr);
});

Deno.test("a delegate that is just being written is tried again", async () => {
  await using delegate = await Delegate.create(RECORD);
  const writer = Deno.openSync(`${delegate.directory}/sriov`, { write: true });
  const start = performance.now();
  setTimeout(() => writer.close(), 500);
  const { code, stderr } = await delegate.call("DEL");
  assertEquals([code, delegate.commands()], [0, ["DEL"]], stderr);
  assert(performance.now() - start >= 1000, "it was not refused at first");
});
