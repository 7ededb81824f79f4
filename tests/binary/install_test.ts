// `install` by the executable itself: what needs its own size, a file system of its own, or its process.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { assertFailed, byUser, call, HeldCall, otherBuild, PROGRAM, start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { until } from "../support/until.ts";
import { Trace } from "./strace.ts";

/** More than catatonit takes, and far less than the runtime does. */
const WAITING_LIMIT_KB = 1024;

const UPGRADES = 4;

/** Of what is started and left running. */
const LIMIT_MS = 60_000;

class PluginDirectory extends TestDirectory {
  readonly plugin = `${this.path}/rdma`;
  readonly libmnl = `${this.path}/.rdma-cni/libmnl.so.0`;

  command(...more: string[]): string[] {
    return ["install", "--cni-bin-dir", this.path, ...more];
  }

  install(...more: string[]) {
    return start({ args: this.command(...more) });
  }

  get program(): string {
    return `${this.path}/.rdma-cni/${Deno.readLinkSync(`${this.path}/.rdma-cni/current`)}`;
  }

  /** What is printed when all parts come to this. */
  outcome(state: string): string {
    const parts = [this.libmnl, this.program, `${this.path}/.rdma-cni/current`, this.plugin];
    return parts.map((part) => `${part}: ${state}\n`).join("");
  }

  /** Asserts that there is one plugin, and nothing that an installation left. */
  assertWhole(): void {
    assertEquals(this.names(), [".rdma-cni", "rdma"]);
    assertEquals(this.names(".rdma-cni"), ["current", "libmnl.so.0", this.program.split("/").at(-1)!]);
  }

  async assertAnswers(): Promise<void> {
    const { code, json, stderr } = await call("VERSION", { program: this.plugin });
    assertEquals([code, json?.supportedVersions.at(-1)], [0, "1.1.0"], stderr);
  }
}

Deno.test("installed it runs, knows that it is in place, and can be removed", async () => {
  using directory = new PluginDirectory();
  const { path, plugin } = directory;
  const installed = await directory.install();
  assertEquals([installed.code, installed.stdout, installed.stderr], [0, "", directory.outcome("installed")]);
  const checked = await directory.install("--check");
  assertEquals(checked.stdout, `ok: ${path} has this plugin and its library\n`);
  assertMatch((await start({ program: plugin, args: ["--version"] })).stdout, /^rdma-cni \d/);
  const { stdout } = await start({ program: "ldconfig", args: ["-p"] });
  const [, library] = /libmnl\.so\.0 .* => (\S+)/.exec(stdout)!;
  assertEquals(Deno.readFileSync(directory.libmnl), Deno.readFileSync(library!));
  // By the installed program itself, which knows what people call it.
  const again = await start({ program: plugin, args: directory.command() });
  assertEquals(again.stderr, directory.outcome("already there"));
  const removed = { code: 0, stdout: "", stderr: `${plugin}: removed\n${path}/.rdma-cni: removed\n` };
  assertEquals(await directory.install("--uninstall"), { ...removed, json: undefined });
  assertEquals(directory.names(), []);
});

for (const installer of ["install", "cp"] as const) {
  Deno.test(`a node without libmnl: one that "${installer}" put there finds its own`, async () => {
    using directory = new PluginDirectory();
    await directory.install();
    if (installer === "cp") {
      Deno.removeSync(directory.plugin); // a file that is run cannot be written to
      Deno.copyFileSync(PROGRAM, directory.plugin);
      for (const path of [directory.program, `${directory.path}/.rdma-cni/current`]) Deno.removeSync(path);
    }
    const script =
      "for file in $(ls /lib/*/libmnl.so.0 /usr/lib/*/libmnl.so.0 | xargs -n1 readlink -f | sort -u); " +
      'do mount --bind /dev/null "$file"; done; exec "$0" vf-mac list';
    const by = ["unshare", "--mount", "/bin/sh", "-c", script];
    const listVfs = () => start({ env: { PATH: "/usr/bin:/bin" }, by, program: directory.plugin });
    assertEquals((await listVfs()).code, 0);
    Deno.removeSync(directory.libmnl);
    assertMatch((await listVfs()).stderr, /Cannot open libmnl/);
  });
}

Deno.test("each part is on the disk before it has its name, and the name before the next part", async () => {
  using directory = new PluginDirectory();
  using trace = new Trace();
  const by = [...trace.by("fsync", "rename", "renameat", "renameat2"), "--decode-fds=path"];
  await start({ args: directory.command(), by });
  const steps = trace.lines().filter((line) => line.includes(directory.path)).map((line) => {
    const paths = Array.from(line.matchAll(/[<"]([^<>"]*)[>"]/g), ([, path]) => path!);
    return [line.split("(")[0]!.replace(/at2?$/, ""), ...paths].join(" ")
      .replaceAll(`${directory.path}/`, "").replaceAll(directory.path, ".")
      .replace(/rdma-cni-[^/ ]*-[0-9a-f]{12}/g, "PROGRAM").replace(/\.[0-9a-f-]{36}\.tmp/g, ".tmp");
  });
  assertEquals(steps, [
    "fsync .rdma-cni/.libmnl.so.0.tmp",
    "rename .rdma-cni/.libmnl.so.0.tmp .rdma-cni/libmnl.so.0",
    "fsync .rdma-cni",
    "fsync .rdma-cni/.PROGRAM.tmp",
    "rename .rdma-cni/.PROGRAM.tmp .rdma-cni/PROGRAM",
    "fsync .rdma-cni",
    "rename .rdma-cni/.current.tmp .rdma-cni/current",
    "fsync .rdma-cni",
    "fsync .rdma.tmp",
    "rename .rdma.tmp rdma",
    "fsync .",
  ]);
});

for (const [when, what] of ["library", "program", "link", "launcher"].entries()) {
  Deno.test(`an upgrade that is killed as it puts the ${what} there leaves a plugin that works`, async () => {
    using directory = new PluginDirectory();
    await directory.install();
    await Deno.writeTextFile(directory.libmnl, "older"); // nobody needs it here
    Deno.utimeSync(directory.plugin, 1, 1); // else two programs of one second leave it as it is
    const other = { program: await otherBuild(`${directory.path}/.other`), args: directory.command() };
    const by = ["strace", "-f", "-o", "/dev/null", "-e", `inject=rename:signal=KILL:when=${when + 1}`];
    assertEquals((await start({ ...other, by })).code, 137);
    await directory.assertAnswers();
    assertEquals((await start(other)).code, 0);
    await directory.assertAnswers();
    Deno.removeSync(other.program);
    directory.assertWhole();
  });
}

Deno.test("upgrades while runtimes call the plugin: every call succeeds, also one of the version that goes", async () => {
  using directory = new PluginDirectory();
  await directory.install();
  const { plugin } = directory;
  const versions = [PROGRAM, await otherBuild(`${directory.path}/.other`)];
  let [upgrading, calls] = [true, 0];
  const upgrade = async () => {
    for (let count = 1; count <= UPGRADES; count++) {
      const old = await Deno.realPath(directory.program);
      using held = new HeldCall(plugin);
      const exe = () => Deno.readLinkSync(`/proc/${held.pid}/exe`);
      await until(() => exe() === old);
      const installer = start({ program: versions[count % 2]!, args: directory.command() });
      const switched = until(() => Deno.realPathSync(directory.program) !== old);
      await Promise.race([switched, installer.then(({ code, stderr }) => assertEquals(code, 0, stderr))]);
      // Long enough for the installer to have found several times that the file is busy (ETXTBSY).
      await new Promise((resolve) => setTimeout(resolve, 250));
      assertEquals(exe(), old);
      assertFailed(await held.end(), 8, "/run/netns/");
      const { code, stderr } = await installer;
      assertEquals(code, 0);
      assertMatch(stderr, new RegExp(`^${old}: removed\n$`, "m"));
    }
  };
  const callAgainAndAgain = async () => {
    for (; upgrading; calls++) {
      await directory.assertAnswers();
      // Its namespace is missing, so it gets as far as opening that. tests/vm has ADDs that succeed.
      assertFailed(await call("ADD", { program: plugin }), 8, "/run/netns/");
    }
  };
  await Promise.all([upgrade().finally(() => upgrading = false), ...[1, 2].map(callAgainAndAgain)]);
  assert(calls > UPGRADES, `only ${calls} calls were made`);
  Deno.removeSync(versions[1]!);
  directory.assertWhole();
});

for (
  const [what, mount, prepare, words] of [
    ["a full disk", "size=20m", ":", /\/rdma-cni-[^"\/]+": ENOSPC \(28\).*\nFree some space there/],
    ["a read-only file system", "size=200m", "mount -o remount,ro .", /EROFS \(30\).*\n.*writable/],
    ["a file system that forbids programs", "size=200m,noexec", ":", /permission denied\n.*mounted noexec/],
  ] as const
) {
  Deno.test(`${what} is told, and the plugin that was there stays`, async () => {
    using directory = new PluginDirectory();
    const script = `
      mount -t tmpfs -o ${mount} tmpfs . && cd "$PWD" && echo old >rdma && ${prepare} || exit 99
      "$0" install --cni-bin-dir "$PWD"; code=$?
      cat rdma; ls -A | grep -v -x .rdma-cni; exit $code`;
    const by = ["unshare", "--mount", "sh", "-c", script];
    const { code, stdout, stderr } = await start({ by, cwd: directory.path });
    assertEquals([code, stdout], [1, "old\nrdma\n"], stderr);
    assertMatch(stderr, words);
  });
}

Deno.test("a copy that came out different does not become the plugin", async () => {
  using directory = new PluginDirectory();
  Deno.writeTextFileSync(directory.plugin, "old");
  // One of the 93 writes is left out, and reported as done.
  const by = ["strace", "-o", "/dev/null", "-e", "inject=write:retval=1048576:when=40"];
  const { code, stderr } = await start({ args: directory.command(), by });
  assertEquals(code, 1, stderr);
  assertMatch(stderr, /Cannot install "[^"]+\/rdma-cni-[^"\/]+": its copy has different content/);
  assertEquals(Deno.readTextFileSync(directory.plugin), "old");
  assertEquals([directory.names(), directory.names(".rdma-cni")], [[".rdma-cni", "rdma"], ["libmnl.so.0"]]);
});

Deno.test("it refuses to install for a user other than root, and from its sources", async () => {
  using directory = new PluginDirectory();
  Deno.chmodSync(directory.path, 0o777);
  const byAnother = await start({ args: directory.command(), by: byUser(1000) });
  assertEquals(byAnother.code, 1);
  assertMatch(byAnother.stderr, /Cannot install as user 1000.*\nRun this as root/);
  const fromSources = await start({
    program: Deno.execPath(),
    args: ["run", "--allow-all", "src/main.ts", ...directory.command()],
    cwd: PROJECT,
    env: { ...Deno.env.toObject(), DENO_TLS_CA_STORE: "system,mozilla" },
  });
  assertEquals(fromSources.code, 1);
  assertMatch(fromSources.stderr, /it is Deno, .*\nCompile it first/);
  assertEquals(directory.names(), []);
});

Deno.test("--wait stays in next to no memory, with nothing open", async () => {
  using directory = new PluginDirectory();
  const child = spawn([PROGRAM, ...directory.command("--wait")]);
  const proc = `/proc/${child.pid}`;
  await untilWaiting(child.pid);
  const rollup = Deno.readTextFileSync(`${proc}/smaps_rollup`);
  const rssKb = Number(/^Rss: +(\d+) kB$/m.exec(rollup)![1]);
  assert(rssKb > 0 && rssKb < WAITING_LIMIT_KB, rollup);
  const fds = Array.from(Deno.readDirSync(`${proc}/fd`), ({ name }) => `${proc}/fd/${name}`);
  const own = "anon_inode:[signalfd]"; // by which catatonit waits
  const open = fds.map((fd) => Deno.readLinkSync(fd)).filter((path) => path !== own);
  assertEquals(open.filter((path) => /^anon_inode|^socket|rdma/.test(path)), []);
  assertEquals(Deno.readTextFileSync(`${proc}/environ`), "");
  child.kill("SIGTERM");
  assertEquals((await child.output()).code, 0);
  directory.assertWhole();
});

for (
  const [what, prepare, waits, signal] of [
    ["catatonit", ":", "catatonit", "SIGTERM"],
    ["catatonit", ":", "catatonit", "SIGINT"],
    ["no catatonit", "rm catatonit", "itself", "SIGTERM"],
    ["no catatonit", "rm catatonit", "itself", "SIGINT"],
    ["a catatonit that its group can write to", "chmod 775 catatonit", "itself", "SIGTERM"],
    ["a catatonit that everybody can write to", "chmod 757 catatonit", "itself", "SIGTERM"],
    ["a catatonit of another user", "chown 1000 catatonit", "itself", "SIGTERM"],
    ["a link to catatonit", "mv catatonit other; ln -s other catatonit", "itself", "SIGTERM"],
    ["a catatonit for no architecture", "head -c 4 /bin/sh >catatonit", "itself", "SIGTERM"],
  ] as const
) {
  Deno.test(`where there is ${what}, --wait as a container's first process ends by ${signal}`, async () => {
    using directory = new PluginDirectory();
    const script = `
      mount -t tmpfs tmpfs /mnt; cd /mnt; install -m 755 /usr/bin/catatonit .; ${prepare}
      mount --bind /mnt /usr/bin; exec "$0" "$@"`;
    const command = [PROGRAM, ...directory.command("--wait")];
    const child = spawn([...FIRST_PROCESS, "--mount", "sh", "-euc", script, ...command]);
    const inner = await until(() => childOf(child.pid));
    await untilWaiting(inner);
    const seen = Deno.readTextFileSync(`/proc/${inner}/cmdline`).split("\0").slice(0, -1);
    assertEquals(seen, waits === "itself" ? command : ["catatonit", "-P"]);
    Deno.kill(inner, signal);
    const { code, stderr } = await child.output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, directory.outcome("installed")]);
  });
}

Deno.test("a SIGTERM that comes before --wait waits is not lost, and comes after the installation", async () => {
  using directory = new PluginDirectory();
  // Held for a second after the installation, before catatonit takes over.
  const strace = ["strace", "-D", "-o", "/dev/null", "-e", "inject=execve:delay_enter=1000000"];
  const child = spawn([...FIRST_PROCESS, ...strace, PROGRAM, ...directory.command("--wait")]);
  const inner = await until(() => childOf(child.pid));
  await until(() => directory.names().includes("rdma"));
  Deno.kill(inner, "SIGTERM");
  assertEquals((await child.output()).code, 0);
  directory.assertWhole();
});

Deno.test("--check --wait waits when all is installed, --remove-on-exit removes it when it is stopped", async () => {
  using directory = new PluginDirectory();
  assertEquals((await directory.install("--check", "--wait")).code, 1);
  await directory.install();
  const checking = spawn([PROGRAM, ...directory.command("--check", "--wait")]);
  await untilWaiting(checking.pid);
  checking.kill("SIGTERM");
  assertEquals((await checking.output()).code, 0);
  const child = spawn([PROGRAM, ...directory.command("--wait", "--remove-on-exit")]);
  await untilWaiting(child.pid);
  directory.assertWhole();
  child.kill("SIGTERM");
  assertEquals([(await child.output()).code, directory.names()], [0, []]);
});

Deno.test("--check reads little of the program, since it runs often", async () => {
  using directory = new PluginDirectory();
  await directory.install();
  using trace = new Trace();
  const { code } = await start({ args: directory.command("--check"), by: trace.by("read", "pread64") });
  assertEquals(code, 0);
  const bytes = trace.calls("read", "pread64").map((line) => Number(/ = (\d+)$/.exec(line)?.[1] ?? 0));
  assert(bytes.reduce((sum, one) => sum + one) < 20e6, `${bytes.join("+")} bytes`);
});

/** Starts a program as the first process of a container. */
const FIRST_PROCESS = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

function spawn([program, ...args]: string[]): Deno.ChildProcess {
  const options = { args, stdin: "null", stdout: "null", stderr: "piped" } as const;
  const child = new Deno.Command(program!, options).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  child.status.finally(() => clearTimeout(timer));
  return child;
}

/** The numbers of the system calls in which catatonit waits, read from a signalfd, and the program, rt_sigtimedwait. */
const [READ, WAIT] = Deno.build.arch === "x86_64" ? ["0", "128"] : ["63", "137"];

/** Waits until catatonit has taken a process's place, or its program waits for a signal itself. */
async function untilWaiting(pid: number): Promise<void> {
  await until(() => {
    const isCatatonit = Deno.readTextFileSync(`/proc/${pid}/cmdline`).startsWith("catatonit\0");
    return Deno.readTextFileSync(`/proc/${pid}/syscall`).split(" ")[0] === (isCatatonit ? READ : WAIT);
  });
}

/** The first child of a process, once there is one. */
function childOf(pid: number): number | undefined {
  const [child] = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).split(" ");
  return child ? Number(child) : undefined;
}
