// Which namespaces there are, as this machine's /proc tells it, and one whose processes change.
import fc from "fast-check";
import type { Netns } from "../../src/kernel/kernel.ts";
import { LinuxNodeKernel } from "../../src/kernel/linux.ts";
import { listOtherNetns } from "../../src/kernel/processes.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals } from "../support/assert.ts";
import { changesOf, ChangingProc, HOST_INODE } from "../support/changing_proc.ts";
import { TestNetns } from "../support/test_netns.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test
const kernel = new LinuxNodeKernel();
const list = () => kernel.listOtherNetns(({ inode, path }) => ({ inode, path }));

Deno.test("a namespace is listed, with the processes that are in it or have it open; this one is not", async () => {
  await using netns = await TestNetns.create();
  const pid = Number(netns.path.split("/")[2]);
  const find = () => list().namespaces.find((one) => one.inode === netns.inode)!;
  const { processes, facts } = find();
  assertEquals(processes.map(({ pid, onlyOpen }) => [pid, onlyOpen]), [[pid, false]]);
  assertEquals(facts, { inode: netns.inode, path: `/proc/${pid}/ns/net` });
  const own = Deno.statSync("/proc/self/ns/net").ino;
  assertEquals(list().namespaces.some((one) => one.inode === own), false);
  using _file = Deno.openSync(netns.path);
  const opener = find().processes.find(({ pid }) => pid === Deno.pid)!;
  assertEquals([opener.onlyOpen, opener.command.includes("test")], [true, true]);
});

Deno.test("a namespace that cannot be opened is listed all the same", async () => {
  await using netns = await TestNetns.create();
  const { namespaces } = listOtherNetns(() => undefined, () => "read");
  const { processes, ...found } = namespaces.find((one) => one.inode === netns.inode)!;
  assertEquals(found, { inode: netns.inode, paths: [] });
  assertEquals(processes.length, 1);
});

/** Processes that are there all the time, by the namespaces that they are in. */
const STAYING = [[20, 100], [21, 101]] as const;

Deno.test("whatever processes do while they are looked at, a namespace that lives is listed, and what was read is its own", () => {
  const changes = changesOf([2, 3, 4, 30, 31, 32], [HOST_INODE, 100, 101, 102, 103]);
  fc.assert(
    fc.property(changes, changes, (changes, atOpen) => {
      using proc = new ChangingProc();
      for (const [pid, inode] of STAYING) proc.put(pid, inode);
      const open = (path: string): Netns | undefined => {
        proc.apply(atOpen.shift());
        const inode = proc.inodeAt(path);
        return inode === undefined ? undefined : { inode, [Symbol.dispose]() {} } as Netns;
      };
      const { namespaces, isComplete } = proc.during(
        changes,
        () => listOtherNetns(open, ({ inode }) => inode, proc.path),
      );
      for (const { inode, facts = inode } of namespaces) assertEquals(facts, inode);
      for (const [pid, inode] of STAYING) {
        const { facts, processes } = namespaces.find((one) => one.inode === inode)!;
        assertEquals([facts, processes.some((one) => one.pid === pid)], [inode, true]);
      }
      assertEquals([namespaces.some(({ inode }) => inode === HOST_INODE), isComplete], [false, true]);
    }),
    { numRuns: 60 },
  );
});

for (
  const [option, capabilities, isComplete] of [
    ...["", ",hidepid=0", ",hidepid=off"].map((option) => [option, "0", true] as const),
    ...[",hidepid=1", ",hidepid=ptraceable"].map((option) => [option, "0", false] as const),
    [",hidepid=invisible", "00000000fff7ffff", false],
    [",hidepid=invisible", "000001ffffffffff", true],
    [",hidepid=invisible", "0000000000080000", true],
  ] as const
) {
  Deno.test(`procfs with "${option}" and capabilities ${capabilities}: ${isComplete ? "" : "not "}all is seen`, () => {
    using proc = new ChangingProc();
    const mount = `24 29 0:22 / ${proc.path} rw,nosuid - proc proc rw${option}\n`;
    const earlier = `23 29 0:21 / /elsewhere rw - proc proc rw,hidepid=invisible\n`;
    Deno.writeTextFileSync(`${proc.path}/self/mountinfo`, earlier + mount);
    Deno.writeTextFileSync(`${proc.path}/self/status`, `CapEff:\t${capabilities}\n`);
    assertEquals(listOtherNetns(() => undefined, undefined, proc.path).isComplete, isComplete);
  });
}
