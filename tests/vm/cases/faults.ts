// ADD and DEL, the agent and its launchers are killed, or refused by the kernel, at each system call they make. The long
// form takes all of them, the short one a sample of the kinds of calls, others with another seed.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { basename, dirname } from "node:path";
import { type RunningAgent, withAgent } from "../../rig/vm/guest/agent.ts";
import {
  addNetns,
  again,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  type CniOutcome,
  gc,
  names,
  rebind,
  records,
  setSimParameter,
  STATE_DIRECTORY,
  until,
  vf,
  vmCase,
} from "../../rig/vm/guest/harness.ts";
import {
  assertHit,
  failAt,
  failIn,
  killAt,
  killAtNth,
  killIn,
  listLauncherCalls,
  listSystemCalls,
  listSystemCallsIn,
  type SystemCall,
} from "../../rig/vm/guest/injection.ts";
import { LONG, SEED } from "../../rig/vm/guest/options.ts";

const LIMIT_MS = (LONG ? 120 : 15) * 60_000;
const ERRORS = ["ENOSPC", "EIO", "EINTR", "ENOMEM", "EACCES", "EBUSY"];
const METRICS = ["--metrics", "127.0.0.1:9567"];

const COMMANDS = ["ADD", "DEL"] as const;

/** A system call that a call of the plugin makes, or has the agent make. */
interface Point {
  command: typeof COMMANDS[number];
  call: SystemCall;
}

/** A pod and a VF with two RDMA devices, so that there is something between two moves. */
class Pod {
  readonly #deviceId: string;
  readonly #devices: readonly string[];
  readonly #attachment;

  private constructor(deviceId: string) {
    this.#deviceId = deviceId;
    this.#attachment = attachment(deviceId);
    this.#devices = this.#onHost();
    assertEquals(this.#devices.length, 2);
  }

  static async create(): Promise<Pod> {
    await addNetns("pod");
    const { deviceId } = vf(0);
    setSimParameter("devices_per_function", 2);
    rebind(deviceId);
    return new Pod(deviceId);
  }

  #onHost(): readonly string[] {
    return again({ deviceId: this.#deviceId }).rdmaDevices;
  }

  /** A call, ADD on a node where there was none before. */
  async run(command: "ADD" | "DEL", wrapper: string[] = []): Promise<CniOutcome> {
    if (command === "DEL") return await this.#attachment.del({ wrapper });
    const exists = names(dirname(STATE_DIRECTORY)).includes(basename(STATE_DIRECTORY));
    if (exists && records().length === 0) Deno.removeSync(STATE_DIRECTORY, { recursive: true });
    return await this.#attachment.add({ wrapper });
  }

  /** An ADD that must succeed. */
  async add(): Promise<void> {
    assertResult(await this.run("ADD"));
    this.assertDone("ADD");
  }

  /** A DEL that must succeed and leave nothing. */
  async del(): Promise<void> {
    assertQuiet(await this.run("DEL"));
    this.assertHome();
  }

  async comeAndGo(): Promise<void> {
    await this.add();
    await this.del();
  }

  assertDone(command: "ADD" | "DEL"): void {
    assertEquals(this.#onHost(), command === "ADD" ? [] : this.#devices, `${command} succeeded`);
  }

  assertHome(): void {
    this.assertDone("DEL");
    assertNothingLeft();
  }
}

/** Calls of every `nth` name, one of each. */
function sample(points: Point[], nth: number): Point[] {
  if (LONG) return points;
  return [...Map.groupBy(points, ({ command, call }) => `${command} ${call.name}`).values()]
    .filter((_, i) => (i + SEED) % nth === 0).map((group) => pick(group));
}

function pick(points: Point[]): Point {
  assert(points.length > 0, "no such system call");
  return points[SEED % points.length]!;
}

/** Does something at each point, and names the point in what is thrown there. */
async function atEach(
  points: Point[],
  work: (command: Point["command"], call: SystemCall, number: number) => Promise<void>,
): Promise<void> {
  for (const [i, { command, call }] of points.entries()) {
    try {
      await work(command, call, i);
    } catch (cause) {
      throw new Error(`${command} at ${call.text}: ${cause instanceof Error ? cause.message : cause}`, {
        cause,
      });
    }
  }
}

/** A call that could not do its work says why, in an error of its own. */
function assertExplained({ code, json, stdout, stderr }: CniOutcome): void {
  assertEquals(code, 1, stderr);
  assert(json?.msg && json.code !== undefined && json.code !== 999, stdout);
}

/** What ADD and DEL do, as `list` tells it of each, when all is as before each later call. */
async function listPoints(
  pod: Pod,
  list: (run: (wrapper?: string[]) => Promise<CniOutcome>) => Promise<SystemCall[]>,
): Promise<Point[]> {
  await pod.comeAndGo();
  const points: Point[] = [];
  for (const command of COMMANDS) {
    const calls = await list((wrapper) => pod.run(command, wrapper));
    points.push(...calls.map((call) => ({ command, call })));
  }
  pod.assertHome();
  return points;
}

vmCase("faults: ADD and DEL are killed at a system call: DEL, GC or the next ADD makes it good", async () => {
  const pod = await Pod.create();
  const all = await listPoints(pod, listSystemCalls);
  const points = sample(all, 5);
  await atEach(points, async (command, call, i) => {
    if (command === "DEL") await pod.add();
    const { code, stderr } = await pod.run(command, killAt(call));
    assertEquals(code, 137, stderr);
    assertHit(call);
    if (i % 3 === 0) assertQuiet(await gc({ "cni.dev/valid-attachments": [] }));
    if (i % 3 === 1) await pod.add();
    await pod.del();
  });
  return { seed: SEED, tried: points.length, all: all.length };
}, { limitMs: LIMIT_MS });

for (const errors of LONG ? ERRORS.map((error) => [error]) : [ERRORS]) {
  const what = LONG ? ` with ${errors}` : "";
  vmCase(`faults: a system call of ADD or DEL fails${what}: error or success, DEL restores all`, async () => {
    const pod = await Pod.create();
    const all = await listPoints(pod, listSystemCalls);
    const points = sample(all, 5);
    let failed = 0;
    await atEach(points, async (command, call, i) => {
      if (command === "DEL") await pod.add();
      const ended = await pod.run(command, failAt(call, errors[(SEED + i) % errors.length]!));
      assertHit(call);
      if (ended.code === 0) {
        pod.assertDone(command);
      } else {
        failed++;
        assertExplained(ended);
      }
      await pod.del();
    });
    return { seed: SEED, failed, tried: points.length, all: all.length };
  }, { limitMs: LIMIT_MS });
}

vmCase("faults: a result that cannot be written at first is not there before the error", async () => {
  await addNetns("pod");
  const injected =
    "strace -f --seccomp-bpf -o /dev/null -P /run/result -e trace=write -e inject=write:error=ENOSPC:when=1";
  const wrapper = ["sh", "-c", `exec ${injected} "$0" >/run/result`];
  assertEquals((await attachment(vf(0).deviceId).add({ wrapper })).code, 1);
  assertEquals(JSON.parse(Deno.readTextFileSync("/run/result")).code, 5);
  assertNothingLeft();
});

function agentCase(name: string, run: (pod: Pod) => Promise<unknown>): void {
  vmCase(`agent faults: ${name}`, async () => await run(await Pod.create()), {
    sets: ["agent"],
    limitMs: LIMIT_MS,
  });
}

const listPointsIn = (agent: RunningAgent, pod: Pod) =>
  listPoints(pod, (run) => listSystemCallsIn(agent.pid, async () => assertEquals((await run()).code, 0)));

agentCase("it is killed at a system call: the launcher executes, and DEL brings all home", async (pod) => {
  const all = await withAgent((agent) => listPointsIn(agent, pod));
  const points = sample(all, 5);
  let killed = 0;
  await atEach(points, (command, call) =>
    withAgent(async (agent) => {
      if (command === "DEL") await pod.add();
      const { ended, isHit } = await killIn(agent.pid, call, () => pod.run(command));
      assertEquals(ended.code, 0, ended.stdout + ended.stderr);
      if (isHit) {
        killed++;
        assertEquals(await agent.ended, 137);
      }
      pod.assertDone(command);
      await pod.del();
    }));
  assert(killed > points.length / 2, `${killed} of ${points.length} killed`);
  return { seed: SEED, killed, tried: points.length, all: all.length };
});

/** After which the agent is in another namespace if it fails, so that it has to end. */
const isReturn = ({ name, ordinal }: SystemCall) => name === "setns" && ordinal % 2 === 0;

/** With which the runtime wakes its own event loop: it aborts if that fails. */
const isWake = ({ name, text }: SystemCall) =>
  name === "write" && text.includes(String.raw`"\1\0\0\0\0\0\0\0", 8`);

const isReceive = ({ name, text }: SystemCall) => name === "recvfrom" && text.includes("AF_NETLINK");

agentCase("its system call fails: the next call is served, and DEL brings all home", async (pod) => {
  const all = await withAgent((agent) => listPointsIn(agent, pod));
  const before = await withAgent((agent) => Promise.resolve(agent.descriptors()));
  const points = sample(all.filter(({ call }) => !isReturn(call) && !isWake(call)), 4);
  // Always one of a list that is not read to its end, which must not answer what is asked next.
  const isOfList = ({ command, call }: Point) =>
    command === "DEL" && isReceive(call) && call.text.includes("NLM_F_MULTI");
  if (!LONG) points.push(pick(all.filter(isOfList)));
  let failed = 0;
  await atEach(points, (command, call) =>
    withAgent(async (agent) => {
      if (command === "DEL") await pod.add();
      const { ended, isHit } = await failIn(agent.pid, call, "EIO", async () => {
        const ended = await pod.run(command);
        await agent.counts(); // only now: an undo is part of it
        return ended;
      });
      if (isHit) failed++;
      if (ended.code !== 0) assertExplained(ended);
      await agent.servesAll(async () => {
        await pod.del();
        await pod.comeAndGo();
      });
      await until("it has no descriptor more", () => agent.descriptors() <= before);
    }));
  assert(failed > points.length / 2, `${failed} of ${points.length} failed`);
  return { seed: SEED, failed, tried: points.length, all: all.length };
});

agentCase(
  "a launcher is killed at a system call: ADD is undone, unless it was printed",
  (pod) =>
    withAgent(async (agent) => {
      await pod.comeAndGo();
      const calls = await listLauncherCalls((wrapper) => pod.run("ADD", wrapper));
      await pod.del();
      const chosen = LONG ? calls : calls.filter((_, i) => (i + SEED) % 3 === 0 || i >= calls.length - 4);
      const points = chosen.map((call): Point => ({ command: "ADD", call }));
      await atEach(points, async (command, call) => {
        const { code } = await pod.run(command, killAtNth(call.name, call.ordinal));
        assertEquals(code, 137);
        await agent.counts(); // after what came before
        if (call === calls.at(-1)) pod.assertDone("ADD"); // exit_group: it was printed
        else pod.assertHome();
        await pod.del();
      });
      await agent.servesAll(() => pod.comeAndGo());
      return { seed: SEED, tried: points.length, all: calls.length };
    }),
);

const SECOND_SETNS = { name: "setns", ordinal: 2, text: "setns(" };

async function scrape(): Promise<{ status: number; lines: number }> {
  const response = await fetch("http://127.0.0.1:9567/metrics");
  return { status: response.status, lines: (await response.text()).split("\n").length };
}

agentCase("an agent that cannot leave a pod's namespace ends, and the launcher executes", async (pod) => {
  await withAgent(async (agent) => {
    await pod.comeAndGo();
    const { ended } = await failIn(agent.pid, SECOND_SETNS, "EPERM", () => pod.run("ADD"));
    assertResult(ended);
    assertEquals(await agent.ended, 1);
    assertMatch(agent.log(), /enter network namespace ".*": EPERM/);
    pod.assertDone("ADD");
  });
  // In the same way its metrics, which have nobody to execute anything.
  await withAgent(async (agent) => {
    await failIn(agent.pid, SECOND_SETNS, "EPERM", scrape);
    assertEquals(await agent.ended, 1);
    await pod.del();
  }, METRICS);
});

agentCase(
  "metrics that fail in the midst of a list do not spoil the next",
  (pod) =>
    withAgent(async (agent) => {
      await pod.add();
      const good = await scrape();
      assertEquals(good.status, 200);
      const receives = (await listSystemCallsIn(agent.pid, scrape)).filter(isReceive);
      assert(receives.length > 2, `${receives.length}`);
      for (const point of LONG ? receives : [receives[SEED % receives.length]!, receives[1]!]) {
        await failIn(agent.pid, point, "ENOBUFS", scrape).catch(() => {}); // it may hit the request itself
        assertEquals(await scrape(), good, point.text);
        await agent.servesAll(async () => {
          await pod.del();
          await pod.add();
        });
      }
    }, METRICS),
);
