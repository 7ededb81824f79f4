// ADD and DEL are killed, or refused by the kernel, at each system call they make. The long form takes all of them,
// the short one a sample: a third of the kinds of calls, others with another seed.
import { assert, assertEquals } from "../../support/assert.ts";
import { basename, dirname } from "node:path";
import {
  again,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  gc,
  records,
  STATE_DIRECTORY,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, names, rebind, setSimParameter, vf, vmCase } from "../../rig/vm/guest/harness.ts";
import { assertHit, failAt, killAt, listSystemCalls, type SystemCall } from "../../rig/vm/guest/injection.ts";
import { LONG, SEED } from "../../rig/vm/guest/options.ts";

const LIMIT_MS = (LONG ? 120 : 15) * 60_000;
const ERRORS = ["ENOSPC", "EIO", "EINTR", "ENOMEM", "EACCES", "EBUSY"];

/** A pod and a VF with two RDMA devices, so that there is something between two moves. */
class Victim {
  readonly #deviceId = vf(0).deviceId;
  readonly #devices: readonly string[];
  readonly #attachment = attachment(this.#deviceId);

  private constructor() {
    setSimParameter("devices_per_function", 2);
    rebind(this.#deviceId);
    this.#devices = again({ deviceId: this.#deviceId }).rdmaDevices;
    assertEquals(this.#devices.length, 2);
  }

  static async create(): Promise<Victim> {
    await addNetns("pod");
    const victim = new Victim();
    await victim.add();
    await victim.del(); // by now all is as before each later call
    return victim;
  }

  /** An ADD that must succeed, on a node where there was none before. */
  async add(): Promise<void> {
    assertResult(await this.run("ADD"));
    assertEquals(this.onHost(), []);
  }

  /** A DEL that must succeed and leave nothing. */
  async del(): Promise<void> {
    assertQuiet(await this.run("DEL"));
    this.assertNothingLeft();
  }

  async run(command: "ADD" | "DEL", wrapper: string[] = []) {
    if (command === "DEL") return await this.#attachment.del({ wrapper });
    const exists = names(dirname(STATE_DIRECTORY)).includes(basename(STATE_DIRECTORY));
    if (exists && records().length === 0) Deno.removeSync(STATE_DIRECTORY, { recursive: true });
    return await this.#attachment.add({ wrapper });
  }

  /** Which of its devices are on the host. */
  onHost(): readonly string[] {
    return again({ deviceId: this.#deviceId }).rdmaDevices;
  }

  assertNothingLeft(): void {
    assertEquals({ onHost: this.onHost(), records: records() }, { onHost: this.#devices, records: [] });
  }
}

/** What ADD and DEL do, as far as it is to be tried. */
async function listPoints(victim: Victim): Promise<{ add: SystemCall[]; del: SystemCall[]; all: number }> {
  const add = await listSystemCalls((wrapper) => victim.run("ADD", wrapper));
  const del = await listSystemCalls((wrapper) => victim.run("DEL", wrapper));
  victim.assertNothingLeft();
  return { add: LONG ? add : sample(add), del: LONG ? del : sample(del), all: add.length + del.length };
}

/** One call of every fourth name. */
function sample(calls: SystemCall[]): SystemCall[] {
  return [...Map.groupBy(calls, (call) => call.name).values()].filter((_, i) => (i + SEED) % 4 === 0)
    .map((group) => group[SEED % group.length]!);
}

/** Names the point in what is thrown there. */
async function at(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new Error(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

vmCase("faults: ADD and DEL are killed at a system call: DEL, GC or the next ADD makes it good", async () => {
  const victim = await Victim.create();
  const { add, del, all } = await listPoints(victim);
  const tried = add.length + del.length;
  for (let i = 0; add[i] ?? del[i]; i++) {
    if (add[i]) await at(`ADD killed at ${add[i]!.text}`, () => killed(victim, "ADD", add[i]!, i));
    await victim.add();
    if (del[i]) await at(`DEL killed at ${del[i]!.text}`, () => killed(victim, "DEL", del[i]!, i));
    else await victim.del();
  }
  return { seed: SEED, tried, all };
}, { limitMs: LIMIT_MS });

async function killed(victim: Victim, command: "ADD" | "DEL", point: SystemCall, i: number): Promise<void> {
  const { code, stderr } = await victim.run(command, killAt(point));
  assertEquals(code, 137, stderr);
  assertHit(point);
  if (i % 3 === 0) assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
  if (i % 3 === 1) await victim.add();
  await victim.del();
}

for (
  const [what, errors] of LONG
    ? ERRORS.map((error) => [` with ${error}`, [error]] as const)
    : [["", ERRORS] as const]
) {
  vmCase(`faults: a system call of ADD or DEL fails${what}: error or success, DEL restores all`, async () => {
    const victim = await Victim.create();
    const { add, del, all } = await listPoints(victim);
    const points = [
      ...add.map((call) => ({ command: "ADD" as const, call })),
      ...del.map((call) => ({ command: "DEL" as const, call })),
    ];
    const ended = { succeeded: 0, failed: 0 };
    const faults: string[] = [];
    for (const [i, { command, call }] of points.entries()) {
      const error = errors[(SEED + i) % errors.length]!;
      try {
        ended[await refused(victim, command, call, error)]++;
      } catch (fault) {
        faults.push(
          `${command} with ${error} at ${call.text}: ${fault instanceof Error ? fault.message : fault}`,
        );
        await victim.run("DEL");
      }
    }
    assertEquals(faults, []);
    return { seed: SEED, ...ended, all };
  }, { limitMs: LIMIT_MS });
}

async function refused(
  victim: Victim,
  command: "ADD" | "DEL",
  call: SystemCall,
  error: string,
): Promise<"succeeded" | "failed"> {
  if (command === "DEL") await victim.add();
  const { code, json, stdout, stderr } = await victim.run(command, failAt(call, error));
  assertHit(call);
  if (code === 0 && command === "ADD") assertEquals(victim.onHost(), [], "ADD succeeded");
  if (code === 0 && command === "DEL") assertEquals(victim.onHost().length, 2, "DEL succeeded");
  if (code !== 0) {
    assertEquals(code, 1, stderr);
    assert(json?.msg && json.code !== undefined && json.code !== 999, stdout);
  }
  await victim.del();
  return code === 0 ? "succeeded" : "failed";
}

vmCase("faults: a result that cannot be written at first is not there before the error", async () => {
  await addNetns("pod");
  const injected =
    "strace -f --seccomp-bpf -o /dev/null -P /run/result -e trace=write -e inject=write:error=ENOSPC:when=1";
  const wrapper = ["sh", "-c", `exec ${injected} "$0" >/run/result`];
  const added = await attachment(vf(0).deviceId, { wrapper }).add();
  assertEquals(added.code, 1);
  assertEquals(JSON.parse(Deno.readTextFileSync("/run/result")).code, 5);
  assertNothingLeft();
});
