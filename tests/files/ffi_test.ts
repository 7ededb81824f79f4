import fc from "fast-check";
import { encodeMessage, findLibmnl, openLibmnl } from "../../src/netlink/libmnl.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { Fd, openForAppending, openForReading } from "../../src/sys/fd.ts";
import { check, cString, libc } from "../../src/sys/libc.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";
import * as reference from "../support/encode.ts";
import { replaceCall } from "../support/system_calls.ts";

// Both stay open once they are; opened within a test they would be taken for leaks of that test.
libc();
openLibmnl();

/** Without these there would be no descriptors, namespaces, netlink, locks and sysfs: tests of those use them for real. */
const USED_ELSEWHERE = [
  ...["open", "close", "write", "faccessat", "posix_fadvise", "ioctl", "setns", "flock", "syscall"],
  ...["socket", "sendto", "recvfrom", "getsockopt", "setsockopt"],
];

/** AF_UNIX, and a name that is no file, as it begins with a NUL. */
const ADDRESS = Uint8Array.of(1, 0, 0, ...new TextEncoder().encode(`rdma-cni-test-${Deno.pid}`));
const openUnixSocket = () => libc().socket(1, 5, 0); // AF_UNIX, SOCK_SEQPACKET
let listener = -1;

/** One successful call of each other symbol; returns what C returned, or how far that is from what it should be. */
const LIBC_CALLS: Record<string, () => unknown> = {
  __errno_location: () => libc().__errno_location() === null ? -1 : 0,
  // A socket gets a name and a connection, each call after those that it needs.
  bind: () => libc().bind(listener = openUnixSocket(), ADDRESS, ADDRESS.length),
  listen: () => libc().listen(listener, 1),
  connect: () => {
    using client = new Fd(openUnixSocket());
    return libc().connect(client.number, ADDRESS, ADDRESS.length);
  },
  accept4: () => {
    using _listener = new Fd(listener);
    using accepted = new Fd(libc().accept4(listener, null, null, 0));
    return Math.min(accepted.number, 0);
  },
  dup2: () => {
    using root = openForReading("/");
    return libc().dup2(0, root.number) - root.number;
  },
  execve: () =>
    runInChild(`replaceProcess("/bin/sh", ["sh", "-c", 'test "$#$2$HOME" = "2b c"', "-", "a", "b c"])`),
  malloc_trim: () => Math.min(libc().malloc_trim(0n), 0),
  memfd_create: () => {
    using file = new Fd(libc().memfd_create(cString("name"), 1));
    return Deno.readLinkSync(`/proc/self/fd/${file.number}`).startsWith("/memfd:name") ? 0 : -1;
  },
  clock_gettime: () => {
    const time = new BigInt64Array(2);
    assertEquals(libc().clock_gettime(7, time), 0);
    const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
    return Math.trunc((Number(time[0]) + Number(time[1]) / 1e9 - uptime) / 10);
  },
  abs: () => {
    const declaration = { parameters: ["i32"], result: "i32" } as const;
    const abs = libc().abs as Deno.PointerObject<typeof declaration>;
    return new Deno.UnsafeFnPointer(abs, declaration).call(-3) - 3;
  },
  setitimer: () => {
    const before = new BigInt64Array(4);
    assertEquals(libc().setitimer(0, BigInt64Array.of(0n, 0n, 1000n, 0n), null), 0);
    assertEquals(libc().setitimer(0, new BigInt64Array(4), before), 0);
    return Math.trunc((1000 - Number(before[2])) / 10);
  },
  sigaction: () => {
    const [action, found] = [new BigUint64Array(19), new BigUint64Array(19)];
    action[0] = Deno.UnsafePointer.value(libc().abs);
    assertEquals(libc().sigaction(12, action, null), 0); // SIGUSR2
    assertEquals(libc().sigaction(12, new BigUint64Array(19), found), 0);
    return Number(found[0]! - action[0]);
  },
  // Of SCHED_OTHER (0) the only priority is 0.
  sched_setscheduler: () =>
    libc().sched_setscheduler(0, 0, Int32Array.of(1)) + 1 ||
    libc().sched_setscheduler(0, 0, Int32Array.of(0)),
  sigprocmask: () => {
    const mask = new BigUint64Array(16);
    assertEquals(libc().sigprocmask(0, null, mask), 0);
    const blocked = /^SigBlk:\t(.*)$/m.exec(Deno.readTextFileSync("/proc/thread-self/status"))![1];
    return Number(mask[0]! - BigInt(`0x${blocked}`));
  },
  sigtimedwait: () =>
    runInChild(`
      const set = BigUint64Array.of(1n << 9n, ...new Array(15).fill(0n)); // SIGUSR1, which env blocked
      const signal = new Int32Array(32);
      Deno.kill(Deno.pid, "SIGUSR1");
      const timeout = BigInt64Array.of(5n, 0n);
      Deno.exit(libc().sigtimedwait(set, signal, timeout) - 10 || signal[0] - 10);`),
};

Deno.test("every symbol of the C library has a test", () => {
  assertEquals([...Object.keys(LIBC_CALLS), ...USED_ELSEWHERE].sort(), Object.keys(libc()).sort());
});

for (const [name, run] of Object.entries(LIBC_CALLS)) {
  Deno.test(`${name} of the C library does as it is declared`, () => assertEquals(run(), 0));
}

Deno.test("the system's libmnl is known by its name", () => assertEquals(findLibmnl(), "libmnl.so.0"));

Deno.test("libmnl writes what the reference encoder writes", () => {
  const attribute = fc.record({
    type: fc.nat(0xffff),
    value: fc.uint8Array({ maxLength: 70 }).map((bytes) => bytes as Uint8Array<ArrayBuffer>),
  });
  const header = fc.record({ type: fc.nat(0xffff), flags: fc.nat(0xffff), sequence: fc.nat(0xffff_ffff) });
  const body = fc.constantFrom(0, 4, 16).chain((length) =>
    fc.uint8Array({ minLength: length, maxLength: length })
  );
  fc.assert(fc.property(header, body, fc.array(attribute, { maxLength: 8 }), (header, body, attributes) => {
    const encoded = attributes.map(({ type, value }) => reference.encodeAttribute(type, value));
    assertEquals(encodeMessage(header, body, attributes), reference.encodeMessage(header, body, ...encoded));
  }));
});

Deno.test("libmnl nests attributes as the reference encoder does, and marks them as nested", () => {
  const NESTED = 0x8000;
  const none = new Uint8Array(0);
  const inner = { type: 1, value: Uint8Array.of(1, 2, 3, 4, 5) };
  const outer = { type: 22, value: none, nested: [{ type: 1, value: none, nested: [inner, inner] }, inner] };
  const encodedInner = reference.encodeAttribute(inner.type, inner.value);
  const middle = reference.encodeAttribute(1 | NESTED, encodedInner, encodedInner);
  const encodedOuter = reference.encodeAttribute(22 | NESTED, middle, encodedInner);
  const header = { type: 19, flags: 5, sequence: 1 };
  const wanted = reference.encodeMessage(header, encodedOuter, encodedInner);
  assertEquals(encodeMessage(header, none, [outer, inner]), wanted);
});

Deno.test("an attribute or a nest that does not fit into a message is refused", () => {
  const full = { type: 1, value: new Uint8Array(4096 - 16 - 4) };
  const long = { type: 2, value: new Uint8Array(2100) };
  const nest = { type: 2, value: new Uint8Array(0), nested: [] };
  for (
    const [attributes, words] of [
      [[full, nest], "attribute 2 into a request: EMSGSIZE"],
      [[long, long], "attribute 2 of 2100 bytes into a request: EMSGSIZE"],
    ] as const
  ) {
    const header = { type: 1, flags: 0, sequence: 0 };
    assertThrows(() => encodeMessage(header, new Uint8Array(0), attributes), SyscallError, words);
  }
});

function errnoOf(work: () => unknown): number {
  return assertThrows(work, SyscallError).errno;
}

Deno.test("a failed call throws its errno and names itself", () => {
  const error = assertThrows(() => openForReading("/nonexistent"), SyscallError);
  assertEquals(error.message, 'Cannot open("/nonexistent"): ENOENT (2), no such file or directory');
  assertEquals(errnoOf(() => openForReading("/dev/null/x")), 20);
  assertEquals(errnoOf(() => check("setns", (c) => c.setns(-1, 0))), 9);
  assertEquals(errnoOf(() => check("socket", (c) => c.socket(16, 3, 31))), 93);
});

Deno.test("a call that a signal interrupts is made again", () => {
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(libc().__errno_location()!, 4));
  let calls = 0;
  const result = check("wait", () => {
    errno[0] = 4;
    return ++calls < 3 ? -1 : 7;
  });
  assertEquals([result, calls], [7, 3]);
});

Deno.test("appending makes a file for its owner alone, and adds to one that is there, but to no link and no pipe that is full", () => {
  const directory = Deno.makeTempDirSync();
  const [path, link, pipe] = [`${directory}/log`, `${directory}/link`, `${directory}/pipe`] as const;
  for (const word of ["one", "two"]) {
    using file = openForAppending(path);
    file.write(new TextEncoder().encode(word));
  }
  assertEquals([Deno.readTextFileSync(path), Deno.statSync(path).mode! & 0o777], ["onetwo", 0o600]);
  Deno.symlinkSync(path, link);
  new Deno.Command("mkfifo", { args: [pipe] }).outputSync();
  assertEquals([link, directory, pipe].map((one) => errnoOf(() => openForAppending(one))), [40, 21, 6]);
  using _reader = Deno.openSync(pipe, { read: true, write: true });
  using file = openForAppending(pipe);
  const fill = () => {
    for (;;) file.write(new Uint8Array(4096));
  };
  assertEquals(errnoOf(fill), 11);
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("what the kernel takes only in part is written to its end, and what it never takes is an error", () => {
  const path = Deno.makeTempFileSync();
  const { write } = libc();
  const lengths: bigint[] = [];
  const writeWith = (limit: bigint, text: string) => {
    using file = openForAppending(path);
    using _partly = replaceCall("write", (fd, bytes, length) => {
      lengths.push(BigInt(length));
      return write(fd, bytes, BigInt(length) < limit ? length : limit);
    });
    file.write(new TextEncoder().encode(text));
  };
  writeWith(3n, "a line\n");
  assertEquals(errnoOf(() => writeWith(0n, "lost")), 5);
  assertEquals([Deno.readTextFileSync(path), lengths], ["a line\n", [7n, 4n, 1n, 4n]]);
  Deno.removeSync(path);
});

Deno.test("descriptors are not inherited by programs, and one that is disposed of twice does not close its successor", () => {
  const first = openForReading("/");
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${first.number}`);
  assert((parseInt(/flags:\s*(\d+)/.exec(info)![1]!, 8) & 0o2000000) !== 0);
  first[Symbol.dispose]();
  using second = openForReading("/");
  assertEquals(second.number, first.number);
  first[Symbol.dispose]();
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${second.number}`), "/");
});

/** Runs code that this process would not survive, with SIGUSR1 blocked in all threads; returns its exit code. */
function runInChild(code: string): number {
  const [signals, libc] = ["signals", "libc"].map((name) => import.meta.resolve(`../../src/sys/${name}.ts`));
  const imports = `import { replaceProcess } from "${signals}"; import { libc } from "${libc}";`;
  const args = ["--block-signal=USR1", Deno.execPath(), "eval", imports + code];
  return new Deno.Command("env", { args }).outputSync().code;
}
