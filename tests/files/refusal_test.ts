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

type WithErrno = abstract new (...args: never[]) => Error & { errno: number };

/** Something is undefined for some errnos, and each other one is thrown. */
function assertAbsentFor(absent: readonly Name[], ask: (errno: number) => unknown, type: WithErrno): void {
  for (const [name, errno] of Object.entries(ERRNO)) {
    if (absent.includes(name as Name)) assertEquals(ask(errno), undefined, name);
    else assertEquals(assertThrows(() => ask(errno), type).errno, errno, name);
  }
}

Deno.test("a namespace is missing when its path leads nowhere; any other failure to open it is an error", () => {
  const states: Partial<Record<Name, "missing" | "other">> = {
    ...{ ENOENT: "missing", ENOTDIR: "missing", ENAMETOOLONG: "missing", ELOOP: "missing" },
    ...{ ENXIO: "other", ENODEV: "other" },
  };
  for (const [name, errno] of Object.entries(ERRNO)) {
    using _open = replaceCall("open", () => fail(errno));
    const error = assertThrows(() => openNetns("/run/netns/pod"));
    const found = error instanceof NetnsError ? error.state : error instanceof SyscallError && error.errno;
    assertEquals(found, states[name as Name] ?? errno, name);
  }
});

Deno.test("a path is no namespace when it cannot be asked for its kind; any other failure to ask is an error", () => {
  const before = openFds();
  for (const errno of [25, ERRNO.EINVAL, ERRNO.EIO, ERRNO.EACCES]) {
    using _ioctl = replaceCall("ioctl", () => fail(errno));
    const isOther = errno === 25 || errno === ERRNO.EINVAL;
    assertThrows<Error>(() => openNetns("/proc/self/ns/net"), isOther ? NetnsError : SyscallError);
  }
  assertEquals(openFds(), before);
});

/** Asks a kernel that refuses each request with an errno. */
function askRefusing(errno: number, ask: (socket: NetlinkSocket) => unknown): unknown {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const error = u32(-errno >>> 0);
  using _kernel = new ScriptedKernel((sequence) => [
    { port: 0, bytes: encodeMessage({ type: 2, flags: 0x100, sequence }, error, new Uint8Array(16)) },
  ]);
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
    assertAbsentFor(absent, (errno) => askRefusing(errno, ask), NetlinkError);
  });
}

Deno.test("a device has no ports when its directory is not there; any other failure to open it is an error", () => {
  assertAbsentFor(["ENOENT", "ENOTDIR", "ENAMETOOLONG"], (errno) => {
    using _open = replaceCall("open", () => fail(errno));
    return openPorts("/sys", "mlx5_2");
  }, SyscallError);
});

Deno.test("a lock is held by another when the kernel answers EAGAIN; any other failure is an error", () => {
  const kernel = new LinuxKernel();
  using root = new Root({});
  const before = openFds();
  assertAbsentFor(["EAGAIN"], (errno) => {
    using _flock = replaceCall("flock", () => fail(errno));
    return kernel.lock(root.path, 0);
  }, SyscallError);
  assertEquals(openFds(), before);
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

function replaceDeno<Name extends "mkdirSync" | "readTextFileSync">(
  name: Name,
  value: typeof Deno[Name],
): Disposable {
  const real = Deno[name];
  Deno[name] = value;
  return { [Symbol.dispose]: () => void (Deno[name] = real) };
}

Deno.test("a directory that another maker was quicker to make is used, one that cannot be made an error", () => {
  using root = new Root({});
  const { mkdirSync } = Deno;
  using _mkdir = replaceDeno("mkdirSync", (path, options) => {
    mkdirSync(path, options); // the other's
    mkdirSync(path, options);
  });
  using directory = openDirectoryBelow(root.path, ["a", "b"], true);
  Deno.writeTextFileSync(`${directory.path}/file`, "text");
  assertEquals(root.read("/a/b/file"), "text");
  using _refusing = replaceDeno("mkdirSync", () => {
    throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
  });
  assertThrows(() => openDirectoryBelow(root.path, ["c"], true), Deno.errors.PermissionDenied);
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
  let error = new Error("No such device (os error 19): readfile '/sys/a'");
  using _read = replaceDeno("readTextFileSync", () => {
    throw error;
  });
  assertEquals(readText("/sys/a"), undefined);
  for (const more of [{ code: "EMFILE" }, {}]) { // as Deno throws them: with a code or without
    error = Object.assign(new Error("Too many open files (os error 24): readfile '/sys/a'"), more);
    assertThrows(() => readText("/sys/a"), Error, error.message);
  }
});

// Directories that are opened one below the other, following no link; tests of device information files have the rest.

Deno.test("the base may be a link, nothing below it; what is missing is made only if that is wanted", () => {
  using root = new Root({ "/real/a/file": "text" });
  Deno.symlinkSync("real", `${root.path}/base`);
  Deno.symlinkSync("a", `${root.path}/real/link`);
  const before = openFds();
  {
    using directory = openDirectoryBelow(`${root.path}/base`, ["a"], true);
    assertEquals(Deno.readTextFileSync(`${directory.path}/file`), "text");
  }
  for (const names of [["link"], ["link", "b"], ["a", "file"]]) {
    const open = () => openDirectoryBelow(`${root.path}/base`, names, true);
    assertEquals(assertThrows(open, SyscallError, "/base/").errno, ERRNO.ENOTDIR);
  }
  assertThrows(() => openDirectoryBelow(`${root.path}/missing`, ["a"], true), SyscallError, "missing");
  const unwanted = () => openDirectoryBelow(root.path, ["real", "new"], false);
  assertEquals(assertThrows(unwanted, SyscallError, "/real/new").errno, ERRNO.ENOENT);
  assertEquals(openFds(), before);
  assertEquals([...Deno.readDirSync(`${root.path}/real/a`)].map(({ name }) => name), ["file"]);
});

Deno.test("a directory that is exchanged for a link while it is open is still the one that was opened", () => {
  using root = new Root({ "/a/b/file": "own", "/elsewhere/file": "foreign" });
  using directory = openDirectoryBelow(root.path, ["a", "b"], true);
  Deno.renameSync(`${root.path}/a/b`, `${root.path}/a/c`);
  Deno.symlinkSync("../elsewhere", `${root.path}/a/b`);
  assertEquals(Deno.readTextFileSync(`${directory.path}/file`), "own");
});

Deno.test("each directory is looked up in the one before it: the whole may be longer than a path can be", () => {
  using root = new Root({});
  using directory = openDirectoryBelow(root.path, Array(20).fill("x".repeat(250)), true);
  Deno.writeTextFileSync(`${directory.path}/file`, "text");
});
