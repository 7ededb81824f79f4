// What the executable does to the machine around it, and what that can do to the executable.
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { call, PROGRAM, start } from "../support/program.ts";
import { TestNetns } from "../support/test_netns.ts";
import { Trace } from "./strace.ts";

for (
  const [stream, redirection] of [
    ["a closed standard output", ">&-"],
    ["a full standard output", ">/dev/full"],
    ["a closed standard error", "2>&-"],
    ["a full standard error", "2>/dev/full"],
    ["a closed standard input", "<&-"],
    ["no open stream at all", "<&- >&- 2>&-"],
  ] as const
) {
  Deno.test(`${stream} leads to an end without a dump of the stack`, async () => {
    for (const command of ["VERSION", "DEL", "ADD", "FROB"]) {
      const by = ["/bin/sh", "-c", `exec "$0" ${redirection}`];
      const { code, stdout, stderr } = await call(command, { by });
      assert(code === 0 || code === 1, `${command}: exit code ${code}: ${stderr}`);
      assertEquals(/panicked|\\?n {4}at /.test(stdout + stderr), false, `${command}: ${stdout}${stderr}`);
    }
  });
}

Deno.test("an error that nobody reads ends the program all the same", async () => {
  const by = ["/bin/sh", "-c", '{ "$0"; echo "exit $?" >&2; } | :'];
  const { stderr } = await call("ADD", { by });
  assertStringIncludes(stderr, "exit 1");
});

/** System calls that change something besides what they are given an open file of, by their names on all machines. */
const CHANGES = [
  ...[
    "connect",
    "mount",
    "umount2",
    "move_mount",
    "pivot_root",
    "mknod",
    "mknodat",
    "mkdir",
    "mkdirat",
    "rmdir",
  ],
  ...["link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2"],
  ...[
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "truncate",
    "ftruncate",
  ],
  ...["utime", "utimes", "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr"],
];

Deno.test("one call is one process and one thread, and touches nothing else", async () => {
  await using pod = await TestNetns.create();
  const directory = Deno.makeTempDirSync();
  const logFile = `${directory}/rdma.log`;
  using trace = new Trace();
  const variables = { CNI_NETNS: pod.path };
  // Without RDMA, whatever this machine has: then it ends before it would make the state directory.
  const by = [...trace.by(), "--inject=socket:error=EPROTONOSUPPORT"];
  const { json } = await call("ADD", { by, variables, config: { logFile, deviceID: "0000:ff:1f.7" } });
  assertEquals(json.code, 100);
  Deno.removeSync(directory, { recursive: true });

  assertEquals(trace.calls("clone", "clone3", "fork", "vfork"), []);
  assertEquals(trace.calls("execve", "execveat").length, 1);
  assertEquals(trace.calls(...CHANGES), []);

  const opened = trace.calls("open", "openat", "creat");
  assertEquals(
    opened.filter((line) => /O_WRONLY|O_RDWR|O_CREAT|^creat/.test(line) && !line.includes(logFile)),
    [],
  );
  const own = [logFile, PROGRAM].map(quotedByStrace);
  assertEquals(
    opened.filter((line) => line.includes('"/tmp/') && !own.some((path) => line.includes(path))),
    [],
  );
  assert(opened.some((line) => line.includes(logFile)));
});

/** strace writes bytes beyond ASCII in octal. */
function quotedByStrace(path: string): string {
  const bytes = Array.from(new TextEncoder().encode(path), (byte) => {
    return byte < 0x80 ? String.fromCharCode(byte) : `\\${byte.toString(8)}`;
  });
  return `"${bytes.join("")}"`;
}

Deno.test("each system call that changes something would be found", async () => {
  using trace = new Trace();
  const directory = Deno.makeTempDirSync();
  const script =
    `cd ${directory}; touch a; ln a b; ln -s a c; mkdir d; rmdir d; chmod 600 a; mv a e; rm b; mkfifo f
    truncate -s 1 e; touch -r e e; chown 0 e`;
  await start({ program: "/bin/sh", args: ["-c", script], by: trace.by(), env: { PATH: "/usr/bin:/bin" } });
  Deno.removeSync(directory, { recursive: true });
  const kinds = [
    "link",
    "symlink",
    "mkdir",
    "rmdir",
    "chmod",
    "rename",
    "unlink",
    "mknod",
    "truncate",
    "utime",
    "chown",
  ];
  const found = trace.calls(...CHANGES);
  for (const kind of kinds) assert(found.some((line) => line.split("(")[0]!.includes(kind)), kind);
});

const NETWORK = {
  VERSION: (by: string[]) => call("VERSION", { by }),
  ADD: (by: string[], CNI_NETNS: string) => call("ADD", { by, variables: { CNI_NETNS } }),
  DEL: (by: string[], CNI_NETNS: string) => call("DEL", { by, variables: { CNI_NETNS } }),
  doctor: (by: string[]) => start({ by, args: ["doctor"] }),
  install: (by: string[], _: string, directory: string) =>
    start({ by, args: ["install", "--cni-bin-dir", directory] }),
};

for (const [name, run] of Object.entries(NETWORK)) {
  Deno.test(`${name} reaches for no network but the kernel's own netlink`, async () => {
    await using pod = await TestNetns.create();
    using trace = new Trace();
    const directory = Deno.makeTempDirSync();
    await run(trace.by("%network"), pod.path, directory);
    Deno.removeSync(directory, { recursive: true });
    assertEquals(trace.calls("socket").filter((line) => !line.includes("(AF_NETLINK, ")), []);
    const pairs = trace.calls("socketpair");
    assertEquals(pairs.filter((line) => !line.includes("(AF_UNIX, ")), []);
    assertEquals(trace.calls("connect", "listen", "accept", "accept4"), []);
    assertEquals(trace.calls("bind").filter((line) => !line.includes("sa_family=AF_NETLINK")), []);
    assert(pairs.length > 0, "the runtime makes one for its signals"); // so something was traced
  });
}
