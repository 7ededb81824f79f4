// The agent: what it serves and what it leaves to the launcher on a real node, results that nobody reads, and what it
// does between calls.
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { SOCKET, withAgent } from "../../rig/vm/guest/agent.ts";
import {
  addNetns,
  addPod,
  again,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  casesWith,
  type CniOutcome,
  deleteNetns,
  endBackground,
  holdNetns,
  type PluginCall,
  readRecord,
  records,
  shOk,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { AS_THICK_MULTUS } from "../../rig/vm/guest/programs.ts";

const vmCase = casesWith({ sets: ["agent"] });

const DECLINED = { calls: 0, declined: 1, abandoned: 0 };
const SERVED = { calls: 1, declined: 0, abandoned: 0 };

/** A root directory of its own, with all that the node's has. */
const OTHER_ROOT = `mkdir -p /tmp/root && mount -t tmpfs root /tmp/root && cd /tmp/root &&
   cp -P /bin /lib /lib64 /sbin . &&
   for directory in dev etc opt proc run sys usr var; do mkdir $directory && mount --rbind /$directory $directory; done &&
   exec chroot /tmp/root "$0" "$@"`;
const inOwnMounts = (script: string) => ["unshare", "--mount", "sh", "-c", script];

/** Callers whose ADD is served or declined, and succeeds either way. */
const CALLERS: { what: string; counts: typeof SERVED; call: Partial<PluginCall>; intoPod?: string }[] = [
  { what: "one in another root directory", counts: DECLINED, call: { wrapper: inOwnMounts(OTHER_ROOT) } },
  {
    what: "thick Multus, which changes to the node's root directory",
    counts: SERVED,
    call: { wrapper: AS_THICK_MULTUS },
  },
  {
    what: "one whose path leads to another namespace than the agent's",
    counts: DECLINED,
    call: { wrapper: inOwnMounts('mount --bind /run/netns/second /run/netns/pod && exec "$0" "$@"') },
    intoPod: "second",
  },
  {
    what: "one that alone has the path to the namespace",
    counts: DECLINED,
    call: { netns: "/proc/self/fd/9", wrapper: ["sh", "-c", 'exec "$0" "$@" 9</run/netns/pod'] },
  },
];

for (const { what, counts, call, intoPod = "pod" } of CALLERS) {
  vmCase(
    `agent: a call by ${what} is ${counts === SERVED ? "served" : "left to the launcher"}`,
    () =>
      withAgent(async (agent) => {
        const { deviceId, rdmaDevice } = await addPod();
        await addNetns("second");
        const pod = attachment(deviceId, call);
        assertEquals(await agent.counting(async () => assertResult(await pod.add())), counts);
        await assertInPod([rdmaDevice], intoPod);
        assertQuiet(await pod.del());
        assertNothingLeft();
      }),
  );
}

vmCase("agent: an ADD whose result cannot be printed is undone", () =>
  withAgent(async (agent) => {
    const { deviceId } = await addPod();
    const wrapper = ["sh", "-c", 'exec "$0" "$@" >/dev/full'];
    let added: CniOutcome | undefined;
    assertEquals(
      await agent.counting(async () => added = await attachment(deviceId).add({ wrapper })),
      SERVED,
    );
    assertEquals(added?.code, 1);
    await until("the ADD is undone", () => records().length === 0);
    await agent.counts();
    assertNothingLeft();
    assertMatch(agent.log(), /The result of an ADD was not printed/);
  }));

const READER_ENDS = "/run/reader-ends";
/** Standard output is a pipe that is full, whose reader reads nothing, and ends when told. */
const INTO_FULL_PIPE = [
  "perl",
  "-e",
  `pipe(R, W); syswrite(W, "x" x 65536);
   if (fork == 0) { close W; close STDOUT; until (-e "${READER_ENDS}") { select(undef, undef, undef, 0.05) } exit }
   close R; open(STDOUT, ">&", \\*W); close W; exec @ARGV`,
];

vmCase(
  "agent: a reader that hangs holds nobody up, and an adopted ADD stays when it ends",
  () =>
    withAgent(async (agent) => {
      const { deviceId, rdmaDevice } = await addPod();
      await addNetns("second");
      const pod = attachment(deviceId);
      await Deno.remove(READER_ENDS).catch(() => {});
      const stuck = pod.add({ wrapper: INTO_FULL_PIPE });
      await until("the device is in the pod", () => again({ deviceId }).rdmaDevices.length === 0);
      await agent.servesAll(async () => {
        const second = attachment(vf(1).deviceId, { netns: "second", containerId: "container2" });
        assertResult(await second.add());
        assertQuiet(await second.del());
        assertResult(await pod.add());
      });
      await Deno.writeTextFile(READER_ENDS, "");
      assertEquals((await stuck).code, 1);
      await until("the agent knows", () => agent.log().includes("The result of an ADD was not printed"));
      await agent.counts();
      await assertInPod([rdmaDevice]);
      assertEquals(records().length, 1);
      assertQuiet(await pod.del());
      assertNothingLeft();
    }),
);

/** Connections to the agent, those included that it has not accepted. */
function countConnections(): number {
  // Lines of the listening socket have flag 10000 (__SO_ACCEPTCON), those of connections the path of the agent's end.
  return Deno.readTextFileSync("/proc/net/unix").split("\n")
    .filter((line) => line.endsWith(` ${SOCKET}`) && !/ 00010000 /.test(line)).length;
}

vmCase("agent: pods at once are served in the order in which they came", () =>
  withAgent(async (agent) => {
    const pods = await Promise.all([0, 1, 2, 3, 4, 5, 6].map(async (number) => {
      const name = `pod${number}`;
      await addNetns(name);
      return { name, ...attachment(vf(number).deviceId, { netns: name, containerId: name }) };
    }));
    await agent.servesAll(async () => {
      agent.kill("SIGSTOP"); // until all are there, so that the order in which they came is known
      const adding = [];
      for (const [number, { add }] of pods.entries()) {
        adding.push(add());
        await until("the launcher has asked", () => countConnections() === number + 1);
      }
      agent.kill("SIGCONT");
      for (const added of await Promise.all(adding)) assertResult(added);
    });
    const times = pods.map(({ name }) => Number(readRecord(`net-${name}-net1`)["bootTimeUs"]));
    assertEquals(times, times.toSorted((a, b) => a - b));
    await agent.servesAll(async () => {
      for (const deleted of await Promise.all(pods.map(({ del }) => del()))) assertQuiet(deleted);
    });
    assertNothingLeft();
  }));

vmCase(
  "agent: --gc-interval removes what pods that are gone left, and moves nothing",
  () =>
    withAgent(async (agent) => {
      const pods = ["gone", "living", "hidden"].map((netns, number) => ({
        ...{ ...vf(number), netns },
        ...attachment(vf(number).deviceId, { netns, containerId: netns }),
      }));
      for (const { netns } of pods) await addNetns(netns);
      await agent.servesAll(async () => {
        for (const { add } of pods) assertResult(await add());
      });
      await deleteNetns("gone");
      await holdNetns("hidden");
      await shOk("ip netns del hidden");
      const [, living, hidden] = pods;
      const start = performance.now();
      while (records().length > 2 || performance.now() - start < 2500) {
        await agent.servesAll(async () => assertQuiet(await living!.check()));
        assert(performance.now() - start < 20_000, records().join());
      }
      assertEquals(records(), ["net-hidden-net1", "net-living-net1"]);
      assertMatch(agent.log(), /net-gone-net1: .*the record is removed/);
      await assertInPod([living!.rdmaDevice], "living");
      assertEquals(again(hidden!).rdmaDevices, []); // still where it was
      await endBackground();
      await until("the device came home", () => again(hidden!).rdmaDevices.length > 0);
    }, ["--gc-interval", "0.3s"]),
);
