// The agent with many pods at once, and after many calls.
import { assert, assertEquals } from "../../support/assert.ts";
import { CURRENT, SOCKET, withAgent } from "../../rig/vm/guest/agent.ts";
import {
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  prevResult,
  readRecord,
  records,
} from "../../rig/vm/guest/attachment.ts";
import { addNetns, casesWith, sfs, shOk, until, vf } from "../../rig/vm/guest/harness.ts";
import { LONG } from "../../rig/vm/guest/options.ts";

const vmCase = casesWith({ sets: ["agent"] });

const PODS = LONG ? 128 : 32;
const MANY_LIMIT_MS = 300_000;

vmCase(`agent: ${PODS} pods at once are served in the order in which they came`, async () => {
  await reloadFunctions(PODS);
  try {
    await shOk(`for number in $(seq 0 ${PODS - 1}); do ip netns add pod$number; done`);
    const pods = sfs().map(({ deviceId }, number) => {
      const name = `pod${number}`;
      return { name, ...attachment(deviceId, { netns: name, containerId: name }) };
    });
    assertEquals(pods.length, PODS);
    return await withAgent(async (agent) => {
      const start = performance.now();
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
      const addMs = Math.round(performance.now() - start);
      assertEquals(records().length, PODS);
      const times = pods.map(({ name }) => Number(readRecord(`net-${name}-net1`)["bootTimeUs"]));
      assertEquals(times, times.toSorted((a, b) => a - b));
      await agent.servesAll(async () => {
        for (const deleted of await Promise.all(pods.map(({ del }) => del()))) assertQuiet(deleted);
      });
      assertNothingLeft();
      return { addMs, ms: Math.round(performance.now() - start) };
    });
  } finally {
    await shOk("ip -all netns delete");
    await reloadFunctions(2);
  }
}, { limitMs: MANY_LIMIT_MS });

/** Loads our kernel module anew, with a number of scalable functions. */
async function reloadFunctions(count: number): Promise<void> {
  await until("no namespace is left", async () => {
    return await shOk("rmmod rdma_sim").then(() => true, () => false);
  });
  await shOk(`modprobe --dirname "$MODULES" rdma_sim sf_count=${count}`);
}

/** Connections to the agent, those included that it has not accepted. */
function countConnections(): number {
  // Lines of the listening socket have flag 10000 (__SO_ACCEPTCON), those of connections the path of the agent's end.
  return Deno.readTextFileSync("/proc/net/unix").split("\n")
    .filter((line) => line.endsWith(` ${SOCKET}`) && !/ 00010000 /.test(line)).length;
}

/** Each takes an emulated processor ten milliseconds and more. */
const CALLS = LONG ? 100_000 : 300;

vmCase(
  `agent: after ${CALLS} calls it has no descriptor more, and less than 80 MB`,
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const { deviceId } = vf(0);
      const pod = attachment(deviceId);
      assertResult(await pod.add());
      const check = JSON.stringify(
        config({ deviceID: deviceId, prevResult: prevResult({ interfaces: [] }) }),
      );
      // Straight to the agent: to start launchers takes longer than what is measured. One in ten asks the kernel.
      const client = `use Socket;
      my ($program, $root, $netns, $pod, $config, $count) = @ARGV;
      sub request { join("", map { "$_\\0" } "rdma-cni agent 1", $program, $root, $netns, $_[1], "CNI_COMMAND=$_[0]",
        "CNI_CONTAINERID=container1", "CNI_IFNAME=net1", "CNI_PATH=/opt/cni/bin", @_[2..$#_], "") }
      my $check = request("CHECK", $pod, "CNI_NETNS=/run/netns/pod") . $config;
      my $version = request("VERSION", "0:0");
      for (1..$count) {
        socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die $!;
        connect($s, pack_sockaddr_un("${SOCKET}")) or die $!;
        send($s, $_ % 10 ? $version : $check, 0) or die $!;
        sysread($s, my $answer, 1); $answer eq "a" or die "answered $answer";
        sysread($s, my $reply, 65536); $reply =~ /^\\0[^\\0]*\\0/ or die "replied $reply";
      }`;
      await Deno.writeTextFile("/run/client", client);
      const identity = async (path: string) => await shOk(`stat -L -c %d:%i ${path}`);
      const program = Deno.readLinkSync(CURRENT);
      const words = [
        program,
        await identity("/"),
        await identity("/proc/self/ns/net"),
        await identity("/run/netns/pod"),
      ];
      const call = (count: number) => shOk(`perl /run/client ${words.join(" ")} '${check}' ${count}`);
      await call(100);
      const before = agent.descriptors();
      const start = performance.now();
      const counts = await agent.counting(() => call(CALLS));
      const ms = (performance.now() - start) / CALLS;
      assertEquals(counts, { calls: CALLS, declined: 0, abandoned: 0 });
      assertEquals(agent.descriptors(), before);
      const mib = Math.round(agent.residentMiB());
      assert(mib < 80, `${mib} MiB`);
      await agent.servesAll(async () => assertQuiet(await pod.del()));
      return { descriptors: before, mib, msPerCall: Number(ms.toFixed(2)) };
    }),
  { limitMs: LONG ? 40 * 60_000 : MANY_LIMIT_MS },
);
