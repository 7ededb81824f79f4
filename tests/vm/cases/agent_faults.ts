// The agent and its launchers are killed, or refused by the kernel, at each system call of an ADD and a DEL. The long
// form takes all of them, the short one a sample, another with another seed.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type RunningAgent, withAgent } from "../../rig/vm/guest/agent.ts";
import {
  again,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  casesWith,
  type CniOutcome,
  rebind,
  setSimParameter,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import {
  failIn,
  killAtNth,
  killIn,
  listLauncherCalls,
  listSystemCallsIn,
  type SystemCall,
} from "../../rig/vm/guest/injection.ts";
import { LONG, SEED } from "../../rig/vm/guest/options.ts";

const vmCase = casesWith({ sets: ["agent"] });

const METRICS = ["--metrics", "127.0.0.1:9567"];
const LIMIT_MS = (LONG ? 120 : 5) * 60_000;

/** Calls of every `nth` name, one of each. */
function sample(calls: SystemCall[], nth: number): SystemCall[] {
  if (LONG) return calls;
  return [...Map.groupBy(calls, (call) => call.name).values()].filter((_, i) => (i + SEED) % nth === 0)
    .map((group) => pick(group));
}

function pick(calls: SystemCall[]): SystemCall {
  assert(calls.length > 0, "no such system call");
  return calls[SEED % calls.length]!;
}

/** After which the agent is in another namespace if it fails, so that it has to end. */
function isReturn({ name, ordinal }: SystemCall): boolean {
  return name === "setns" && ordinal % 2 === 0;
}

/** With which the runtime wakes its own event loop: it aborts if that fails. */
function isWake({ name, text }: SystemCall): boolean {
  return name === "write" && text.includes(String.raw`"\1\0\0\0\0\0\0\0", 8`);
}

function isOfList({ name, text }: SystemCall): boolean {
  return name === "recvfrom" && text.includes("AF_NETLINK") && text.includes("NLM_F_MULTI");
}

/** A pod and a VF with two RDMA devices, so that there is something between two moves. */
class Pod {
  readonly #deviceId = vf(0).deviceId;
  readonly #attachment = attachment(this.#deviceId);

  static async create(): Promise<Pod> {
    await addNetns("pod");
    setSimParameter("devices_per_function", 2);
    const pod = new Pod();
    rebind(pod.#deviceId);
    return pod;
  }

  async add(wrapper: string[] = []): Promise<CniOutcome> {
    return await this.#attachment.add({ wrapper });
  }

  async del(wrapper: string[] = []): Promise<CniOutcome> {
    return await this.#attachment.del({ wrapper });
  }

  countOnHost(): number {
    return again({ deviceId: this.#deviceId }).rdmaDevices.length;
  }

  /** Adds and deletes, which must succeed. */
  async comeAndGo(): Promise<void> {
    assertResult(await this.add());
    assertEquals(this.countOnHost(), 0);
    await this.go();
  }

  async go(): Promise<void> {
    assertQuiet(await this.del());
    this.assertHome();
  }

  assertHome(): void {
    assertEquals(this.countOnHost(), 2);
    assertNothingLeft();
  }
}

/** Names the point in what is thrown there. */
async function at(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new Error(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** What the agent does for an ADD and a DEL. */
async function listPoints(agent: RunningAgent, pod: Pod): Promise<{ add: SystemCall[]; del: SystemCall[] }> {
  await pod.comeAndGo(); // from now on each call does the same
  const add = await listSystemCallsIn(agent.pid, async () => assertResult(await pod.add()));
  const del = await listSystemCallsIn(agent.pid, () => pod.go());
  return { add, del };
}

vmCase(
  "agent faults: the agent is killed at a system call: the launcher executes, and DEL brings all home",
  async () => {
    const pod = await Pod.create();
    const { add, del } = await withAgent((agent) => listPoints(agent, pod));
    const [addPoints, delPoints] = [sample(add, 4), sample(del, 4)];
    let killed = 0;
    const count = async (agent: RunningAgent, isHit: boolean) => {
      if (!isHit) return;
      killed++;
      assertEquals(await agent.ended, 137);
    };
    for (const point of addPoints) {
      await at(`ADD, killed at ${point.text}`, () =>
        withAgent(async (agent) => {
          const { ended, isHit } = await killIn(agent.pid, point, () => pod.add());
          assertResult(ended);
          await count(agent, isHit);
          assertEquals(pod.countOnHost(), 0);
          await pod.go();
        }));
    }
    for (const point of delPoints) {
      await at(`DEL, killed at ${point.text}`, () =>
        withAgent(async (agent) => {
          assertResult(await pod.add());
          const { ended, isHit } = await killIn(agent.pid, point, () => pod.del());
          assertQuiet(ended);
          await count(agent, isHit);
          pod.assertHome();
        }));
    }
    const tried = addPoints.length + delPoints.length;
    assert(killed > tried / 2, `${killed} of ${tried} killed`);
    return { seed: SEED, killed, tried, all: add.length + del.length };
  },
  { limitMs: LIMIT_MS },
);

vmCase(
  "agent faults: a system call of the agent fails: the next call is served, and DEL brings all home",
  async () => {
    const pod = await Pod.create();
    const { add, del } = await withAgent((agent) => listPoints(agent, pod));
    const before = await withAgent((agent) => Promise.resolve(agent.descriptors()));
    const choose = (calls: SystemCall[]) =>
      sample(calls.filter((call) => !isReturn(call) && !isWake(call)), 3);
    const [addPoints, delPoints] = [choose(add), choose(del)];
    // Always one of a list that is not read to its end, which must not answer what is asked next.
    if (!LONG) delPoints.push(pick(del.filter(isOfList)));
    let failed = 0;
    for (const [command, points] of [["ADD", addPoints], ["DEL", delPoints]] as const) {
      for (const point of points) {
        await at(`${command}, EIO at ${point.text}`, () =>
          withAgent(async (agent) => {
            if (command === "DEL") assertResult(await pod.add());
            const { ended: { code, json, stdout }, isHit } = await failIn(
              agent.pid,
              point,
              "EIO",
              async () => {
                const ended = command === "ADD" ? await pod.add() : await pod.del();
                // Only now: an undo is part of it.
                await agent.counts();
                return ended;
              },
            );
            if (isHit) failed++;
            if (code !== 0) assert(json?.msg && json.code !== undefined && json.code !== 999, stdout);
            await agent.servesAll(async () => {
              assertQuiet(await pod.del());
              await pod.comeAndGo();
            });
            await until("it has no descriptor more", () => agent.descriptors() <= before);
          }));
      }
    }
    const tried = addPoints.length + delPoints.length;
    assert(failed > tried / 2, `${failed} of ${tried} failed`);
    return { seed: SEED, failed, tried, all: add.length + del.length };
  },
  { limitMs: LIMIT_MS },
);

vmCase(
  "agent faults: a launcher is killed at a system call: ADD is undone, unless it was printed",
  async () => {
    const pod = await Pod.create();
    return await withAgent(async (agent) => {
      await pod.comeAndGo();
      const calls = await listLauncherCalls((wrapper) => pod.add(wrapper));
      await pod.go();
      const points = LONG ? calls : calls.filter((_, i) => (i + SEED) % 3 === 0 || i >= calls.length - 4);
      for (const point of points) {
        await at(`killed at ${point.text}`, async () => {
          const { code } = await pod.add(killAtNth(point.name, point.ordinal));
          assertEquals(code, 137);
          const isPrinted = point === calls.at(-1); // exit_group
          await agent.counts(); // after what came before
          if (isPrinted) assertEquals([pod.countOnHost(), records().length], [0, 1]);
          else pod.assertHome();
          await pod.go();
        });
      }
      await agent.servesAll(() => pod.comeAndGo());
      return { seed: SEED, tried: points.length, all: calls.length };
    });
  },
  { limitMs: LIMIT_MS },
);

vmCase(
  "agent faults: an agent that cannot leave a pod's namespace ends, and the launcher executes",
  async () => {
    const pod = await Pod.create();
    await withAgent(async (agent) => {
      await pod.comeAndGo();
      const second = { name: "setns", ordinal: 2, text: "setns(" };
      const { ended } = await failIn(agent.pid, second, "EPERM", () => pod.add());
      assertResult(ended);
      assertEquals(await agent.ended, 1);
      assertMatch(agent.log(), /enter network namespace ".*": EPERM/);
      assertEquals(pod.countOnHost(), 0);
      await pod.go();
    });
  },
);

vmCase("agent faults: an agent whose metrics cannot leave a pod's namespace ends", async () => {
  const pod = await Pod.create();
  await withAgent(async (agent) => {
    assertResult(await pod.add());
    const second = { name: "setns", ordinal: 2, text: "setns(" };
    await failIn(agent.pid, second, "EPERM", async () => {
      const response = await fetch("http://127.0.0.1:9567/metrics");
      await response.text();
    });
    assertEquals(await agent.ended, 1);
    await pod.go();
  }, METRICS);
});

vmCase("agent faults: metrics that fail in the midst of a list do not spoil the next", async () => {
  const pod = await Pod.create();
  await withAgent(async (agent) => {
    assertResult(await pod.add());
    const scrape = async () => {
      const response = await fetch("http://127.0.0.1:9567/metrics");
      return { status: response.status, text: await response.text() };
    };
    const { text } = await scrape();
    const receives = (await listSystemCallsIn(agent.pid, scrape))
      .filter(({ name, text }) => name === "recvfrom" && text.includes("AF_NETLINK"));
    assert(receives.length > 2, `${receives.length}`);
    for (const point of LONG ? receives : [receives[SEED % receives.length]!, receives[1]!]) {
      await failIn(agent.pid, point, "ENOBUFS", scrape).catch(() => {}); // it may hit the request itself
      const next = await scrape();
      assertEquals([next.status, countLines(next.text)], [200, countLines(text)], next.text);
      await agent.servesAll(async () => assertQuiet(await pod.del()));
      await agent.servesAll(async () => assertResult(await pod.add()));
    }
  }, METRICS);
});

function countLines(text: string): number {
  return text.split("\n").length;
}
