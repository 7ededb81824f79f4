// The kernel of the machine that runs the tests. It need not have RDMA.
import { LinuxKernel, LinuxNodeKernel } from "../../src/kernel/linux.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { openLibmnl } from "../../src/netlink/libmnl.ts";
import { decodeLink, linksRequest } from "../../src/netlink/rtnl.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../src/netlink/socket.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { openForReading } from "../../src/sys/fd.ts";
import { check, libc } from "../../src/sys/libc.ts";
import { mountSysfs } from "../../src/sys/mount.ts";
import * as netns from "../../src/sys/netns.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import * as encode from "../support/encode.ts";
import { fail, openFds, replaceCall } from "../support/system_calls.ts";
import { inodeOf, TestNetns } from "../support/test_netns.ts";

const { getHostNetns, inNetns, namesIn, NetnsError, openNetns } = netns;
const THREAD_NETNS = "/proc/thread-self/ns/net";
const kernel = new LinuxKernel();

// Both stay open once they are; opened inNetns a test they would be taken for leaks of that test.
libc();
openLibmnl();

function cookieOf(of: Parameters<typeof inNetns>[0]): string | undefined {
  using socket = inNetns(of, () => new NetlinkSocket(NETLINK_ROUTE));
  return socket.getNetnsCookie();
}

Deno.test("an open namespace tells its inode, and a socket in it a cookie that no other has", async () => {
  await using other = await TestNetns.create();
  using opened = openNetns(other.path);
  assertEquals([opened.path, opened.inode], [other.path, other.inode]);
  const cookie = cookieOf(opened);
  assertMatch(cookie!, /^\d+$/);
  assert(cookie !== cookieOf(getHostNetns()));
  using again = openNetns(other.path);
  assertEquals(cookieOf(again), cookie);
});

Deno.test("work in a namespace is done there, and only there, also when it throws", async () => {
  await using other = await TestNetns.create();
  using opened = openNetns(other.path);
  const before = inodeOf(THREAD_NETNS);
  assertEquals(inNetns(opened, () => inodeOf(THREAD_NETNS)), other.inode);
  assertEquals(inodeOf(THREAD_NETNS), before);
  const work = () => {
    throw new RangeError("inside");
  };
  assertThrows(() => inNetns(opened, work), RangeError, "inside");
  assertEquals(inodeOf(THREAD_NETNS), before);
});

Deno.test("a path that leads to no namespace is missing, or something else", () => {
  for (
    const [path, state] of [
      ["/run/netns/nonexistent", "missing"],
      ["/dev/null/netns", "missing"],
      ["/etc/passwd", "other"],
      ["/proc", "other"],
      ["/proc/self/ns/mnt", "other"],
    ] as const
  ) assertEquals(assertThrows(() => openNetns(path), NetnsError).state, state, path);
});

Deno.test("the list has each namespace, also one that only an open file keeps", async () => {
  await using processes = await TestNetns.create();
  const ending = await TestNetns.create();
  using kept = openNetns(ending.path);
  await ending[Symbol.asyncDispose]();
  const listed = [...netns.listNetns()];
  const inodes = listed.map(({ inode }) => inode);
  for (const { inode } of [getHostNetns(), processes, kept]) assert(inodes.includes(inode));
  const { path } = listed.find(({ inode }) => inode === kept.inode)!;
  assertMatch(path, /^\/proc\/\d+\/fd\/\d+$/);
  using opened = openNetns(path);
  assertEquals(cookieOf(opened), cookieOf(kept));
});

Deno.test("a link is looked up in the namespace that is asked, and its addresses with the GIDs that RoCE devices have", async () => {
  await using other = await TestNetns.create();
  using opened = kernel.openNetns(other.path);
  assertEquals(opened.getLink("lo"), { index: 1, name: "lo", isInfiniBand: false, vfMacs: new Map() });
  for (const name of ["nonexistent", "", "lo\0", "a name of more than 15 bytes", "x".repeat(5000)]) {
    assertEquals([opened.getLink(name), opened.openPorts(name)], [undefined, undefined]);
  }
  assertEquals(opened.listAddresses(1), []);
  const args = [`--net=${other.path}`, "ip", "link", "set", "lo", "up"];
  assert((await new Deno.Command("nsenter", { args }).output()).success);
  assertEquals(opened.listAddresses(1), [
    { text: "127.0.0.1", gid: "0000:0000:0000:0000:0000:ffff:7f00:0001" },
    { text: "0000:0000:0000:0000:0000:0000:0000:0001", gid: "0000:0000:0000:0000:0000:0000:0000:0001" },
  ]);
  assertEquals(opened.listAddresses(2), []);
});

Deno.test("a sysfs that is mounted shows the namespace, is read-only and in no place", async () => {
  await using other = await TestNetns.create();
  using opened = openNetns(other.path);
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo");
  using sysfs = inNetns(opened, mountSysfs);
  const root = `/proc/self/fd/${sysfs.number}`;
  assertEquals(namesIn(`${root}/class/net`).filter((name) => name !== "bonding_masters"), ["lo"]);
  assertThrows(() => Deno.writeTextFileSync(`${root}/class/net/lo/mtu`, "1500"), Error, "Read-only");
  assertEquals(Deno.readTextFileSync("/proc/self/mountinfo"), mounts);
});

Deno.test("a sysfs that the kernel does not give leaves no descriptor open", () => {
  const real = libc().syscall;
  for (const [call, refused] of [["fsopen", 430n], ["fsconfig", 431n], ["fsmount", 432n]] as const) {
    using _replaced = replaceCall("syscall", (number, ...rest) => {
      return number === refused ? BigInt(fail(1)) : real(number, ...rest);
    });
    const before = openFds();
    const { message } = assertThrows(mountSysfs, SyscallError);
    assertEquals(message, `Cannot mount a sysfs: ${call}: EPERM (1), operation not permitted`);
    assertEquals(openFds(), before);
  }
});

Deno.test("a socket answers one request after the other; the links are those that sysfs shows", () => {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const first = socket.request("list links", linksRequest());
  const names = () => first.map(({ payload }) => decodeLink(payload).name).sort();
  const directories = [...Deno.readDirSync("/sys/class/net")].filter(({ isSymlink }) => isSymlink);
  assertEquals(names(), directories.map(({ name }) => name).sort());
  const second = socket.request("list links", linksRequest());
  assertEquals([names().length, first[0]!.sequence, second[0]!.sequence], [second.length, 1, 2]);
  assertEquals(names(), directories.map(({ name }) => name).sort());
});

Deno.test("a refusal has the kernel's errno and words", async () => {
  await using other = await TestNetns.create();
  using opened = openNetns(other.path);
  using socket = inNetns(opened, () => new NetlinkSocket(NETLINK_ROUTE));
  const attributes = [{ type: 3, value: encode.text("lo") }, { type: 4, value: encode.u8(1) }]; // an MTU of 8 bits
  const setLink = { type: 19, flags: 5, body: new Uint8Array(16), attributes };
  const error = assertThrows(() => socket.request("set the MTU", setLink), NetlinkError);
  assertEquals([error.errno, error.kernelText], [34, "Attribute failed policy validation"]);
});

Deno.test("a lock excludes another one until it is disposed of", () => {
  const directory = Deno.makeTempDirSync();
  {
    using lock = kernel.lock(directory, 0);
    assertEquals([lock !== undefined, kernel.lock(directory, 0)], [true, undefined]);
  }
  using again = kernel.lock(directory, 0);
  assert(again !== undefined);
  Deno.removeSync(directory);
  assertThrows(() => kernel.lock(directory, 0), SyscallError, "ENOENT");
});

Deno.test("what can be written is told from what cannot, and a sleep blocks for at least its time", () => {
  kernel.assertWritable("/dev/null");
  assertThrows(() => kernel.assertWritable("/nonexistent"), SyscallError, "ENOENT");
  const start = performance.now();
  kernel.sleep(20);
  assert(performance.now() - start >= 19);
});

Deno.test("the boot has an id, which is read once, and a time", () => {
  const { readTextFileSync } = Deno;
  const read: unknown[] = [];
  Deno.readTextFileSync = (path) => {
    read.push(path);
    return readTextFileSync(path);
  };
  try {
    const asked = new LinuxKernel();
    assertMatch(asked.getBootId(), /^[0-9a-f-]{36}$/);
    assertEquals(asked.getBootId(), asked.getBootId());
  } finally {
    Deno.readTextFileSync = readTextFileSync;
  }
  assertEquals(read, ["/proc/sys/kernel/random/boot_id"]);
  const [, seconds] = /^btime (\d+)$/m.exec(Deno.readTextFileSync("/proc/stat"))!;
  const bootedAtMs = new LinuxNodeKernel().getBootedAtMs();
  assert(Math.abs(bootedAtMs - Number(seconds) * 1000) < 5000, `${bootedAtMs} instead of ${seconds} s`);
});

Deno.test("nothing leaves a descriptor open, whether it works or fails", async () => {
  await using other = await TestNetns.create();
  getHostNetns();
  const directory = Deno.makeTempDirSync();
  const before = openFds();
  for (let i = 0; i < 50; i++) {
    using opened = kernel.openNetns(other.path);
    opened.getLink("lo");
    using _socket = new NetlinkSocket(NETLINK_ROUTE);
    assertThrows(() => kernel.openNetns("/etc/passwd"));
    assertThrows(() => new NetlinkSocket(31));
    using _lock = kernel.lock(directory, 0);
    assertEquals(kernel.lock(directory, 0), undefined);
  }
  assertEquals(openFds(), before);
  Deno.removeSync(directory);
});

Deno.test("a thread that cannot come back from a namespace does nothing any more", async () => {
  // A module of its own, since what happens to it is for good.
  const stray: typeof netns = await import("../../src/sys/netns.ts?stray");
  await using other = await TestNetns.create();
  using there = stray.openNetns(other.path);
  const entered: number[] = [];
  using _setns = replaceCall("setns", (fd) => entered.push(fd) === 1 ? 0 : fail(1));
  assertEquals(stray.inNetns(stray.getHostNetns(), () => 7), 7); // it is there, and enters none
  let worked = 0;
  const work = () => stray.inNetns(there, () => ++worked);
  for (let time = 0; time < 2; time++) {
    assertThrows(work, SyscallError, 'enter network namespace "/proc/thread-self/ns/net": EPERM');
    assertEquals([worked, entered], [1, [there.fd, stray.getHostNetns().fd]]);
  }
  assertThrows(() => stray.inNetns(stray.getHostNetns(), () => ++worked), SyscallError);
  assertEquals([worked, entered.length], [1, 2]);
});

Deno.test("the own namespace is known by any path; a file with its number on another file system is none", async () => {
  await using other = await TestNetns.create();
  const paths = ["/proc/self/ns/net", other.path, "/etc/passwd", "/nonexistent"];
  assertEquals(paths.map((path) => kernel.isHostNetns(path)), [true, false, false, false]);
  using root = openForReading("/");
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${root.number}`), "/"); // as of an unmounted namespace
  assertEquals(netns.nsfsInode(`/proc/self/fd/${root.number}`), undefined);
  const { statSync } = Deno;
  const own = statSync(THREAD_NETNS);
  const answers = [own, { ...own, dev: own.dev + 1 }, { ...own, ino: own.ino! + 1 }];
  try {
    const found = answers.map((answer) => {
      Deno.statSync = () => answer;
      return kernel.isHostNetns("/some/path");
    });
    assertEquals(found, [true, false, false]);
  } finally {
    Deno.statSync = statSync;
  }
});

Deno.test("a socket waits 30 seconds for the kernel, and asks for its reasons", () => {
  const { socket } = libc();
  let fd = -1;
  using _socket = replaceCall("socket", (...of) => fd = socket(...of));
  using _asked = new NetlinkSocket(NETLINK_ROUTE);
  type Value = BigInt64Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
  const option = (level: number, name: number, value: Value) => {
    const length = Uint32Array.of(value.byteLength);
    check("read an option", (c) => c.getsockopt(fd, level, name, value, length));
    return [...value];
  };
  assertEquals(option(1, 20, new BigInt64Array(2)), [30n, 0n]); // SOL_SOCKET, SO_RCVTIMEO: struct timeval
  assertEquals(option(270, 10, new Int32Array(1)), [1]); // SOL_NETLINK, NETLINK_CAP_ACK
  assertEquals(option(270, 11, new Int32Array(1)), [1]); // SOL_NETLINK, NETLINK_EXT_ACK
});
