// What the executable does to the machine around it, and what that can do to the executable.
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { call, PROGRAM, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { TestNetns } from "../support/test_netns.ts";
import { Trace } from "./strace.ts";

for (
  const redirection of [">&-", ">/dev/full", "2>&-", "2>/dev/full", "<&-", "<&- >&- 2>&-"]
) {
  Deno.test(`a stream that is closed or full (${redirection}) leads to an end without a dump of the stack`, async () => {
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
  ...["connect", "mount", "umount2", "move_mount", "pivot_root", "mknod", "mknodat"],
  ...["mkdir", "mkdirat", "rmdir"],
  ...["link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2"],
  ...["chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"],
  ...["truncate", "ftruncate", "utime", "utimes", "futimesat", "utimensat"],
  ...["setxattr", "lsetxattr", "fsetxattr", "removexattr"],
];

Deno.test("one call is one process and one thread, and touches nothing else", async () => {
  await using pod = await TestNetns.create();
  using directory = new TestDirectory();
  using trace = new Trace();
  const logFile = `${directory.path}/rdma.log`;
  // Without RDMA, whatever this machine has: then it ends before it would make the state directory.
  const by = [...trace.by(), "--inject=socket:error=EPROTONOSUPPORT"];
  const config = { logFile, deviceID: "0000:ff:1f.7" };
  const { json } = await call("ADD", { by, variables: { CNI_NETNS: pod.path }, config });
  assertEquals(json.code, 100);

  assertEquals(trace.calls("clone", "clone3", "fork", "vfork", ...CHANGES), []);
  assertEquals(trace.calls("execve", "execveat").length, 1);
  const opened = trace.calls("open", "openat", "creat");
  const [log, program] = [logFile, PROGRAM].map(quotedByStrace) as [string, string];
  const others = opened.filter((line) => !line.includes(log));
  assert(others.length < opened.length);
  assertEquals(others.filter((line) => /O_WRONLY|O_RDWR|O_CREAT|^creat/.test(line)), []);
  assertEquals(others.filter((line) => line.includes('"/tmp/') && !line.includes(program)), []);
});

/** strace writes bytes beyond ASCII in octal. */
function quotedByStrace(path: string): string {
  const bytes = Array.from(new TextEncoder().encode(path), (byte) => {
    return byte < 0x80 ? String.fromCharCode(byte) : `\\${byte.toString(8)}`;
  });
  return `"${bytes.join("")}"`;
}

for (const command of ["ADD", "doctor", "install"]) {
  Deno.test(`${command} reaches for no network but the kernel's own netlink`, async () => {
    await using pod = await TestNetns.create();
    using trace = new Trace();
    using directory = new TestDirectory();
    const by = trace.by("%network");
    const more = command === "install" ? ["--cni-bin-dir", directory.path] : [];
    if (command === "ADD") await call(command, { by, variables: { CNI_NETNS: pod.path } });
    else await start({ by, args: [command, ...more] });
    const foreign = (name: string, own: string) => trace.calls(name).filter((line) => !line.includes(own));
    assertEquals(foreign("socket", "(AF_NETLINK, "), []);
    assertEquals(foreign("socketpair", "(AF_UNIX, "), []);
    assertEquals(foreign("bind", "sa_family=AF_NETLINK"), []);
    assertEquals(trace.calls("connect", "listen", "accept", "accept4"), []);
    assert(trace.calls("socketpair").length > 0, "the runtime makes one for its signals"); // so something was traced
  });
}
