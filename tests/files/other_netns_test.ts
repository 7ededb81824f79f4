// Which namespaces there are, as this machine's /proc tells it.
import { listOtherNetns } from "../../src/kernel/processes.ts";
import { assertEquals } from "../support/assert.ts";
import { TestNetns } from "../support/test_netns.ts";

Deno.test("a namespace with a process in it is listed, with the process; this one is not", async () => {
  await using netns = await TestNetns.create();
  const found = listOtherNetns().namespaces.find((one) => one.inode === netns.inode)!;
  assertEquals(found.processes.map(({ pid, onlyOpen }) => [pid, onlyOpen]), [[
    Number(netns.path.split("/")[2]),
    false,
  ]]);
  const own = Deno.statSync("/proc/self/ns/net").ino;
  assertEquals(listOtherNetns().namespaces.some((one) => one.inode === own), false);
});

Deno.test("a namespace that a process has open is listed, with the process", async () => {
  await using netns = await TestNetns.create();
  using _file = Deno.openSync(netns.path);
  const { processes } = listOtherNetns().namespaces.find((one) => one.inode === netns.inode)!;
  const own = processes.find(({ pid }) => pid === Deno.pid)!;
  assertEquals([own.onlyOpen, own.command.includes("test")], [true, true]);
});
