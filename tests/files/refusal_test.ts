// What the kernel refuses: which errors mean that something is not there, while all others are errors. A device that
// is taken for absent because memory or descriptors ran out would be lost.
import { runPlugin } from "../../src/cni/invoke.ts";
import { CniError } from "../../src/cni/error.ts";
import { getLink } from "../../src/kernel/links.ts";
import { LinuxKernel } from "../../src/kernel/linux.ts";
import { getDevice, getNetdev, getUverbs, listCounters } from "../../src/kernel/rdma.ts";
import { openPorts } from "../../src/kernel/ports.ts";
import { exists, linkName, list, readText } from "../../src/kernel/sysfs.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { openLibmnl } from "../../src/netlink/libmnl.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../src/netlink/socket.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { openDirectoryBelow } from "../../src/sys/files.ts";
import { libc } from "../../src/sys/libc.ts";
import { NetnsError, openNetns } from "../../src/sys/netns.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { encodeMessage, u32 } from "../support/encode.ts";
import { ScriptedKernel } from "../support/scripted_kernel.ts";
import { fail, openFds, replaceCall } from "../support/system_calls.ts";
import { Root } from "./root.ts";

// Both stay open once they are; opened within a test they would be taken for leaks of that test.
libc();
openLibmnl();

/** uapi asm-generic/errno-base.h and errno.h. */
const ERRNO = {
  ...{ EPERM: 1, ENOENT: 2, EIO: 5, ENXIO: 6, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EBUSY: 16 },
  ...{ ENODEV: 19, ENOTDIR: 20, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENAMETOOLONG: 36, ENOLCK: 37, ELOOP: 40 },
  ...{ EOPNOTSUPP: 95, ETIMEDOUT: 110 },
} as const;

type Name = keyof typeof ERRNO;

/** Runs a check for each errno, and says which one it was. */
function forEachErrno(check: (name: Name, errno: number) => void): void {
  for (const [name, errno] of Object.entries(ERRNO)) check(name as Name, errno);
}

Deno.test("a namespace is missing when its path leads nowhere; any other failure to open it is an error", () => {
  const states: Partial<Record<Name, "missing" | "other">> = {
    ...{ ENOENT: "missing", ENOTDIR: "missing", ENAMETOOLONG: "missing", ELOOP: "missing" },
    ...{ ENXIO: "other", ENODEV: "other" },
  };
  forEachErrno((name, errno) => {
    using _open = replaceCall("open", () => fail(errno));
    const error = assertThrows(() => openNetns("/run/netns/pod"));
    const wanted = states[name];
    if (wanted) assertEquals(error instanceof NetnsError && error.state, wanted, name);
    else assertEquals(error instanceof SyscallError && error.errno, errno, name);
  });
});

Deno.test("a path is no namespace when it cannot be asked for its kind; any other failure to ask is an error", () => {
  const before = openFds();
  for (const errno of [25, ERRNO.EINVAL, ERRNO.EIO, ERRNO.EACCES]) {
    using _ioctl = replaceCall("ioctl", () => fail(errno));
    const error = assertThrows(() => openNetns("/proc/self/ns/net"));
    const isOther = errno === 25 || errno === ERRNO.EINVAL;
    assertEquals(
      [error instanceof NetnsError, error instanceof SyscallError],
      [isOther, !isOther],
      `${errno}`,
    );
  }
  assertEquals(openFds(), before);
});

/** Asks a kernel that refuses each request with an errno. */
function askRefusing<T>(errno: number, ask: (socket: NetlinkSocket) => T): T {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  using _kernel = new ScriptedKernel((sequence) => {
    const refusal = encodeMessage({ type: 2, flags: 0x100, sequence }, u32(-errno >>> 0), new Uint8Array(16));
    return [{ port: 0, bytes: refusal }];
  });
  return ask(socket);
}

const QUESTIONS: [what: string, ask: (socket: NetlinkSocket) => unknown, absent: Name[]][] = [
  ["an RDMA device", (socket) => getDevice(socket, 3), ["EINVAL"]],
  ["a uverbs device", (socket) => getUverbs(socket, 3), ["ENOENT", "ENODEV", "EOPNOTSUPP", "EINVAL"]],
  ["the netdev of an RDMA device", (socket) => getNetdev(socket, 3), ["EINVAL"]],
  ["a counter", (socket) => listCounters(socket, 3, 1)[0], ["EINVAL"]],
  ["a link", (socket) => getLink(socket, "net1"), ["ENODEV"]],
];

for (const [what, ask, absent] of QUESTIONS) {
  Deno.test(`${what} is absent when the kernel answers ${absent.join(", ")}; any other refusal is an error`, () => {
    forEachErrno((name, errno) => {
      if (absent.includes(name)) return assertEquals(askRefusing(errno, ask), undefined, name);
      assertEquals(assertThrows(() => askRefusing(errno, ask), NetlinkError).errno, errno, name);
    });
  });
}

Deno.test("a device has no ports when its directory is not there; any other failure to open it is an error", () => {
  forEachErrno((name, errno) => {
    using _open = replaceCall("open", () => fail(errno));
    const open = () => openPorts("/sys", "mlx5_2");
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(name)) assertEquals(open(), undefined, name);
    else assertEquals(assertThrows(open, SyscallError).errno, errno, name);
  });
});

for (
  const [what, mode, isBusy, pauses] of [
    ["is always just being written is given up after six tries", 0o755, true, 5],
    ["is not executable is given up at once", 0o644, false, 0],
  ] as const
) {
  Deno.test(`a plugin that ${what}`, () => {
    using root = new Root({ "/sriov": "#!/bin/sh\n" });
    Deno.chmodSync(`${root.path}/sriov`, mode);
    using _writer = isBusy ? Deno.openSync(`${root.path}/sriov`, { write: true }) : undefined;
    using _dup2 = replaceCall("dup2", () => 0); // so that this process keeps its standard input
    let slept = 0;
    const { wait } = Atomics;
    Atomics.wait = () => (slept++, "timed-out");
    try {
      const run = () => runPlugin({ type: "sriov" }, "DEL", { pluginDirectories: [root.path] });
      assertThrows(run, CniError, isBusy ? "ETXTBSY" : "EACCES");
    } finally {
      Atomics.wait = wait;
    }
    assertEquals(slept, pauses);
  });
}

Deno.test("of a plugin that succeeds the outcome is what it printed", () => {
  using root = new Root({ "/sriov": '#!/bin/sh\nprintf "done: %s" "$CNI_COMMAND"\n' });
  Deno.chmodSync(`${root.path}/sriov`, 0o755);
  using _dup2 = replaceCall("dup2", () => 0); // so that this process keeps its standard input
  assertEquals(runPlugin({ type: "sriov" }, "ADD", { pluginDirectories: [root.path] }), "done: ADD");
});

Deno.test("a lock is held by another when the kernel answers EAGAIN; any other failure is an error", () => {
  const kernel = new LinuxKernel();
  using root = new Root({});
  const before = openFds();
  forEachErrno((name, errno) => {
    using _flock = replaceCall("flock", () => fail(errno));
    if (name === "EAGAIN") return assertEquals(kernel.lock(root.path, 0), undefined);
    assertEquals(assertThrows(() => kernel.lock(root.path, 0), SyscallError).errno, errno, name);
  });
  assertEquals(openFds(), before);
});

/** Until it is disposed of, one of Deno's functions is another. */
function replaceDeno<Name extends "mkdirSync" | "readTextFileSync">(
  name: Name,
  value: typeof Deno[Name],
): Disposable {
  const real = Deno[name];
  Deno[name] = value;
  return { [Symbol.dispose]: () => void (Deno[name] = real) };
}

Deno.test("a directory that another maker was quicker to make is used", () => {
  using root = new Root({});
  const { mkdirSync } = Deno;
  using _mkdir = replaceDeno("mkdirSync", (path, options) => {
    mkdirSync(path, options); // the other's
    mkdirSync(path, options);
  });
  using directory = openDirectoryBelow(root.path, ["a", "b"], true);
  Deno.writeTextFileSync(`${directory.path}/file`, "text");
  assertEquals(root.read("/a/b/file"), "text");
});

Deno.test("a directory that cannot be made is an error with the kernel's reason", () => {
  using root = new Root({});
  using _mkdir = replaceDeno("mkdirSync", () => {
    throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
  });
  assertThrows(() => openDirectoryBelow(root.path, ["a"], true), Deno.errors.PermissionDenied);
});

Deno.test("what cannot be a file's name, or is of another kind, is absent in sysfs", () => {
  using root = new Root({ "/file": "text" });
  Deno.symlinkSync("loop", `${root.path}/loop`);
  using _listener = Deno.listen({ transport: "unix", path: `${root.path}/socket` });
  const long = "x".repeat(256);
  const at = (name: string) => `${root.path}/${name}`;
  for (const name of ["missing", "file/below", "loop", long]) { // ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG
    assertEquals([exists(at(name)), readText(at(name)), list(at(name))], [false, undefined, []], name);
  }
  assertEquals(readText(root.path), undefined); // EISDIR
  assertEquals(readText(at("socket")), undefined); // ENXIO
  assertEquals(linkName(at("file")), undefined); // EINVAL
});

Deno.test("a device that is being removed is absent in sysfs; any other failure is an error", () => {
  const failures: [error: Error, isAbsent: boolean][] = [
    // As Deno throws them: with a code or without.
    [new Error("No such device (os error 19): readfile '/sys/a'"), true],
    [new Deno.errors.PermissionDenied("Permission denied (os error 13): readfile '/sys/a'"), false],
    [
      Object.assign(new Error("Too many open files (os error 24): readfile '/sys/a'"), { code: "EMFILE" }),
      false,
    ],
    [new Error("Input/output error (os error 5): readfile '/sys/a'"), false],
  ];
  for (const [error, isAbsent] of failures) {
    using _read = replaceDeno("readTextFileSync", () => {
      throw error;
    });
    if (isAbsent) assertEquals(readText("/sys/a"), undefined);
    else assertThrows(() => readText("/sys/a"), Error, error.message);
  }
});
