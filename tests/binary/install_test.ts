// `install` by the executable itself: what needs its own size, a file system of its own, or its process.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import {
  assertFailed,
  byUser,
  call,
  HeldCall,
  otherBuild,
  type Outcome,
  PROGRAM,
  start,
} from "../support/program.ts";
import { Trace } from "./strace.ts";

/** More than catatonit takes, and far less than the runtime does. */
const WAITING_LIMIT_KB = 1024;

const UPGRADES = 10;

/** Of what is started and left running. */
const LIMIT_MS = 60_000;

const PROJECT = new URL("../..", import.meta.url);

Deno.test("installed it runs, knows that it is in place, and can be removed", async () => {
  await withDirectory(async (directory) => {
    const installed = await install(directory);
    assertEquals([installed.code, installed.stdout], [0, ""]);
    assertEquals(installed.stderr, outcomeOf(directory, "installed"));
    assertEquals(
      (await install(directory, "--check")).stdout,
      `ok: ${directory} has this plugin and its library\n`,
    );
    const { stdout } = await new Deno.Command(`${directory}/rdma`, { args: ["--version"] }).output();
    assertMatch(new TextDecoder().decode(stdout), /^rdma-cni \d/);
    // By the installed program itself, which knows what people call it.
    const again = await start({
      program: `${directory}/rdma`,
      args: ["install", "--cni-bin-dir", directory],
    });
    assertEquals(again.stderr, outcomeOf(directory, "already there"));
    assertEquals(await install(directory, "--uninstall"), {
      code: 0,
      stdout: "",
      stderr: `${directory}/rdma: removed\n${directory}/.rdma-cni: removed\n`,
      json: undefined,
    });
    assertEquals(names(directory), []);
  });
});

Deno.test("a call by the launcher works in a working directory that was removed, a copy by hand does not", async () => {
  await withDirectory(async (directory) => {
    await install(directory);
    const by = ["/bin/sh", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$1"', `${directory}/gone`];
    const { code, json } = await call("VERSION", { program: `${directory}/rdma`, by });
    assertEquals([code, json?.supportedVersions.at(-1)], [0, "1.1.0"]);
    assertEquals((await call("VERSION", { by })).code, 1);
  });
});

for (const installer of ["install", "cp"] as const) {
  Deno.test(`a node without libmnl: one that "${installer}" put there finds its own`, async () => {
    await withDirectory(async (directory) => {
      const { stderr } = await install(directory);
      const library = `${directory}/.rdma-cni/libmnl.so.0`;
      assertMatch(stderr, /libmnl\.so\.0: installed/);
      if (installer === "cp") {
        Deno.copyFileSync(PROGRAM, `${directory}/other`); // a file that is run cannot be written to
        Deno.renameSync(`${directory}/other`, `${directory}/rdma`);
        for (const name of names(`${directory}/.rdma-cni`).filter((name) => !name.startsWith("libmnl"))) {
          Deno.removeSync(`${directory}/.rdma-cni/${name}`);
        }
      }
      const script =
        "for file in $(ls /lib/*/libmnl.so.0 /usr/lib/*/libmnl.so.0 | xargs -n1 readlink -f | sort -u); " +
        'do mount --bind /dev/null "$file"; done; exec "$0" vf-mac list';
      const by = ["unshare", "--mount", "/bin/sh", "-c", script];
      const listVfs = () => start({ env: { PATH: "/usr/bin:/bin" }, by, program: `${directory}/rdma` });
      assertEquals((await listVfs()).code, 0);
      Deno.removeSync(library);
      assertMatch((await listVfs()).stderr, /Cannot open libmnl/);
    });
  });
}

Deno.test("each part is on the disk before it has its name, and the name before the next part", async () => {
  await withDirectory(async (directory) => {
    using trace = new Trace();
    const args = ["install", "--cni-bin-dir", directory];
    await start({ args, by: [...trace.by("fsync", "rename", "renameat", "renameat2"), "--decode-fds=path"] });
    const steps = trace.lines().filter((line) => line.includes(directory)).map((line) => {
      const paths = line.matchAll(/[<"]([^<>"]*)[>"]/g);
      const shown = Array.from(
        paths,
        ([, path]) => path!.replace(`${directory}/`, "").replace(directory, "."),
      );
      return [line.split("(")[0]!.replace(/at2?$/, ""), ...shown].join(" ")
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
});

for (const [when, what] of ["library", "program", "link", "launcher"].entries()) {
  Deno.test(`an upgrade that is killed as it puts the ${what} there leaves a plugin that works`, async () => {
    await withDirectory(async (directory) => {
      await install(directory);
      await Deno.writeTextFile(`${directory}/.rdma-cni/libmnl.so.0`, "older"); // nobody needs it here
      Deno.utimeSync(`${directory}/rdma`, 1, 1); // else two programs of one second leave it as it is
      const other = await otherBuild(`${directory}/.other`);
      const strace = ["strace", "-f", "-o", "/dev/null", "-e", `inject=rename:signal=KILL:when=${when + 1}`];
      const { code } = await start({
        program: other,
        args: ["install", "--cni-bin-dir", directory],
        by: strace,
      });
      assertEquals(code, 137);
      const program = `${directory}/rdma`;
      assertEquals((await call("VERSION", { program })).code, 0);
      const again = await start({ program: other, args: ["install", "--cni-bin-dir", directory] });
      assertEquals(again.code, 0, again.stderr);
      assertEquals((await call("VERSION", { program })).code, 0);
      Deno.removeSync(other);
      assertEquals(names(directory), [".rdma-cni", "rdma"]);
      const installed = Deno.readLinkSync(`${directory}/.rdma-cni/current`);
      assertEquals(names(`${directory}/.rdma-cni`), ["current", "libmnl.so.0", installed]);
    });
  });
}

Deno.test("the library is a copy of the one that the program uses", async () => {
  await withDirectory(async (directory) => {
    await install(directory);
    const { stdout } = await new Deno.Command("ldconfig", { args: ["-p"] }).output();
    const [, path] = /libmnl\.so\.0 .* => (\S+)/.exec(new TextDecoder().decode(stdout))!;
    assertEquals(Deno.readFileSync(`${directory}/.rdma-cni/libmnl.so.0`), Deno.readFileSync(path!));
  });
});

Deno.test("four installers at once do not disturb each other", async () => {
  await withDirectory(async (directory) => {
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => install(directory)));
    assertEquals(outcomes.map(({ code }) => code), [0, 0, 0, 0], outcomes.map(({ stderr }) => stderr).join());
    assertEquals((await install(directory, "--check")).code, 0);
    assertEquals(names(directory), [".rdma-cni", "rdma"]);
    assertEquals(names(`${directory}/.rdma-cni`).length, 3);
  });
});

Deno.test("upgrades while runtimes call the plugin: every call succeeds, also one of the version that goes", async () => {
  await withDirectory(async (directory) => {
    await install(directory);
    const versions = [PROGRAM, await otherBuild(`${directory}/.other`)];
    const program = `${directory}/rdma`;
    let [upgrading, calls] = [true, 0];
    const upgrade = async () => {
      for (let count = 1; count <= UPGRADES; count++) {
        const old = await Deno.realPath(`${directory}/.rdma-cni/current`);
        using held = new HeldCall(program);
        await untilValue(() => Deno.readLinkSync(`/proc/${held.pid}/exe`) === old || undefined);
        const args = ["install", "--cni-bin-dir", directory];
        const installer = new Deno.Command(versions[count % 2]!, { args, stdout: "null", stderr: "piped" })
          .spawn();
        await untilValue(() =>
          Deno.readLinkSync(`${directory}/.rdma-cni/current`) !== old.split("/").at(-1) || undefined
        );
        // Long enough for the installer to have found several times that the file is busy (ETXTBSY).
        await new Promise((resolve) => setTimeout(resolve, 250));
        assertEquals(Deno.readLinkSync(`/proc/${held.pid}/exe`), old);
        assertFailed(await held.end(), 8, "/run/netns/");
        const { code, stderr } = await installer.output();
        assertEquals(code, 0);
        assertMatch(new TextDecoder().decode(stderr), new RegExp(`^${old}: removed\n$`, "m"));
      }
    };
    const callAgainAndAgain = async () => {
      for (; upgrading; calls++) {
        const { code, stdout, stderr } = await call("VERSION", { program });
        assertEquals([code, stderr], [0, ""]);
        assertMatch(stdout, /"supportedVersions"/);
        // Its namespace is missing, so it gets as far as opening that. tests/vm has ADDs that succeed.
        assertFailed(await call("ADD", { program }), 8, "/run/netns/");
      }
    };
    await Promise.all([
      upgrade().finally(() => upgrading = false),
      ...[1, 2].map(callAgainAndAgain),
    ]);
    assert(calls > UPGRADES, `only ${calls} calls were made`);
    Deno.removeSync(versions[1]!);
    assertEquals(names(directory), [".rdma-cni", "rdma"]);
    assertEquals(names(`${directory}/.rdma-cni`).length, 3);
  });
});

for (
  const [what, mount, prepare, words] of [
    [
      "a full disk",
      "size=20m",
      ":",
      /Cannot install ".*\/rdma-cni-[^"\/]+": ENOSPC \(28\), no space left on device.*\nFree some space there.*is unchanged/,
    ],
    [
      "a read-only file system",
      "size=200m",
      "mount -o remount,ro .",
      /EROFS \(30\), read-only file system.*\n.*writable/,
    ],
    ["a file system that forbids programs", "size=200m,noexec", ":", /permission denied\n.*mounted noexec/],
  ] as const
) {
  Deno.test(`${what} is told, and the plugin that was there stays`, async () => {
    await withDirectory(async (directory) => {
      const script = `
        mount -t tmpfs -o ${mount} tmpfs ${directory} && cd ${directory} && echo old >rdma && ${prepare} || exit 99
        "$0" install --cni-bin-dir ${directory}; code=$?
        cat rdma; ls -A | grep -v -x .rdma-cni; exit $code`;
      const { code, stdout, stderr } = await start({ by: ["unshare", "--mount", "sh", "-c", script] });
      assertEquals([code, stdout], [1, "old\nrdma\n"], stderr);
      assertMatch(stderr, words);
    });
  });
}

Deno.test("a copy that came out different does not become the plugin", async () => {
  await withDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/rdma`, "old");
    // One of the 93 writes is left out, and reported as done.
    const inject = "inject=write:retval=1048576:when=40";
    const args = ["install", "--cni-bin-dir", directory];
    const { code, stderr } = await start({ args, by: ["strace", "-o", "/dev/null", "-e", inject] });
    assertEquals(code, 1, stderr);
    assertMatch(stderr, /Cannot install "[^"]+\/rdma-cni-[^"\/]+": its copy has different content/);
    assertEquals([await Deno.readTextFile(`${directory}/rdma`), names(directory)], ["old", [
      ".rdma-cni",
      "rdma",
    ]]);
    assertEquals(names(`${directory}/.rdma-cni`), ["libmnl.so.0"]);
  });
});

Deno.test("it refuses to install for a user other than root", async () => {
  await withDirectory(async (directory) => {
    Deno.chmodSync(directory, 0o777);
    const { code, stderr } = await start({ args: ["install", "--cni-bin-dir", directory], by: byUser(1000) });
    assertEquals(code, 1);
    assertMatch(stderr, /Cannot install as user 1000.*\nRun this as root/);
    assertEquals(names(directory), []);
  });
});

Deno.test("run from its sources it refuses to install Deno", async () => {
  await withDirectory(async (directory) => {
    const args = ["run", "--allow-all", "src/main.ts", "install", "--cni-bin-dir", directory];
    const options = { args, cwd: PROJECT, env: { DENO_TLS_CA_STORE: "system,mozilla" } };
    const { code, stderr } = await new Deno.Command(Deno.execPath(), options).output();
    assertEquals(code, 1);
    assertMatch(new TextDecoder().decode(stderr), /it is Deno, .*\nCompile it first/);
    assertEquals(names(directory), []);
  });
});

Deno.test("--wait stays in next to no memory, with nothing open, until SIGTERM or SIGINT", async () => {
  await withDirectory(async (directory) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = spawn([PROGRAM, "install", "--cni-bin-dir", directory, "--wait"]);
      await untilWaiting(child.pid);
      const rollup = Deno.readTextFileSync(`/proc/${child.pid}/smaps_rollup`);
      const rssKb = Number(/^Rss: +(\d+) kB$/m.exec(rollup)![1]);
      assert(rssKb > 0 && rssKb < WAITING_LIMIT_KB, rollup);
      const open = names(`/proc/${child.pid}/fd`).map((fd) =>
        Deno.readLinkSync(`/proc/${child.pid}/fd/${fd}`)
      );
      const own = "anon_inode:[signalfd]"; // by which catatonit waits
      assertEquals(open.filter((path) => path !== own && /^anon_inode|^socket|rdma/.test(path)), []);
      assertEquals(Deno.readTextFileSync(`/proc/${child.pid}/environ`), "");
      child.kill(signal);
      assertEquals((await child.status).code, 0);
    }
    assertEquals(names(directory), [".rdma-cni", "rdma"]);
  });
});

for (
  const [what, prepare, waits] of [
    ["catatonit", ":", "catatonit"],
    ["no catatonit", "rm catatonit", "itself"],
    ["a catatonit that its group can write to", "chmod 775 catatonit", "itself"],
    ["a catatonit that everybody can write to", "chmod 757 catatonit", "itself"],
    ["a catatonit of another user", "chown 1000 catatonit", "itself"],
    ["a link to catatonit", "mv catatonit other; ln -s other catatonit", "itself"],
    ["a catatonit for no architecture", "head -c 4 /bin/sh >catatonit", "itself"],
  ] as const
) {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.test(`where there is ${what}, --wait as a container's first process ends by ${signal}`, async () => {
      await withDirectory(async (directory) => {
        const script = `
          mount -t tmpfs tmpfs /mnt; cd /mnt; install -m 755 /usr/bin/catatonit .; ${prepare}
          mount --bind /mnt /usr/bin; exec "$0" "$@"`;
        const unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        const install = [PROGRAM, "install", "--cni-bin-dir", directory, "--wait"];
        const child = spawn([...unshare, "sh", "-euc", script, ...install], "piped");
        const inner = await untilValue(() => childOf(child.pid));
        await untilWaiting(inner);
        const command = Deno.readTextFileSync(`/proc/${inner}/cmdline`).split("\0").slice(0, -1);
        assertEquals(command, waits === "itself" ? install : ["catatonit", "-P"]);
        Deno.kill(inner, signal);
        const { code, stderr } = await child.output();
        assertEquals([code, new TextDecoder().decode(stderr)], [0, outcomeOf(directory, "installed")]);
      });
    });
  }
}

Deno.test("a SIGTERM that comes before --wait waits is not lost, and comes after the installation", async () => {
  await withDirectory(async (directory) => {
    // Held for a second after the installation, before catatonit takes over.
    const strace = ["strace", "-D", "-o", "/dev/null", "-e", "inject=execve:delay_enter=1000000"];
    const unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const child = spawn([...unshare, ...strace, PROGRAM, "install", "--cni-bin-dir", directory, "--wait"]);
    const inner = await untilValue(() => childOf(child.pid));
    await untilValue(() => names(directory).includes("rdma") || undefined);
    Deno.kill(inner, "SIGTERM");
    assertEquals((await child.status).code, 0);
    assertEquals(names(directory), [".rdma-cni", "rdma"]);
  });
});

Deno.test("--wait --remove-on-exit removes the plugin when it is stopped", async () => {
  await withDirectory(async (directory) => {
    const child = spawn([PROGRAM, "install", "--cni-bin-dir", directory, "--wait", "--remove-on-exit"]);
    await untilWaiting(child.pid);
    assertEquals(names(directory), [".rdma-cni", "rdma"]);
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
    assertEquals(names(directory), []);
  });
});

Deno.test("--check --wait waits when all is installed, and fails at once when not", async () => {
  await withDirectory(async (directory) => {
    assertEquals((await install(directory, "--check", "--wait")).code, 1);
    await install(directory);
    const child = spawn([PROGRAM, "install", "--cni-bin-dir", directory, "--check", "--wait"]);
    await untilWaiting(child.pid);
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
  });
});

Deno.test("--check reads little of the program, since it runs often, and yet knows another build", async () => {
  await withDirectory(async (directory) => {
    await install(directory);
    using trace = new Trace();
    const args = ["install", "--cni-bin-dir", directory, "--check"];
    const { code, stdout } = await start({ args, by: trace.by("read", "pread64") });
    assertEquals([code, stdout], [0, `ok: ${directory} has this plugin and its library\n`]);
    const bytes = trace.calls("read", "pread64").map((line) => Number(/ = (\d+)$/.exec(line)?.[1] ?? 0));
    assert(bytes.reduce((sum, one) => sum + one) < 20e6, `${bytes.join("+")} bytes`);
    // What builds differ in is at the end; the rest is the runtime.
    const program = await Deno.realPath(`${directory}/.rdma-cni/current`);
    const { mtime, size } = await Deno.stat(program);
    const file = await Deno.open(program, { write: true });
    await file.seek(size - 10_000, Deno.SeekMode.Start);
    await file.write(new Uint8Array(100));
    file.close();
    await Deno.utime(program, mtime!, mtime!);
    assertEquals(
      (await install(directory, "--check")).stdout,
      `failed: ${program} has different content: install again\n`,
    );
  });
});

/** What is printed when all parts come to this. */
function outcomeOf(directory: string, state: string): string {
  const program = Deno.readLinkSync(`${directory}/.rdma-cni/current`);
  const parts = [".rdma-cni/libmnl.so.0", `.rdma-cni/${program}`, ".rdma-cni/current", "rdma"];
  return parts.map((part) => `${directory}/${part}: ${state}\n`).join("");
}

function install(directory: string, ...args: string[]): Promise<Outcome> {
  return start({ args: ["install", "--cni-bin-dir", directory, ...args] });
}

function spawn([program, ...args]: string[], stderr: "null" | "piped" = "null"): Deno.ChildProcess {
  const child = new Deno.Command(program!, { args, stdin: "null", stdout: "null", stderr }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  child.status.finally(() => clearTimeout(timer));
  return child;
}

/** The numbers of the system calls in which the two wait: read, from a signalfd, and rt_sigtimedwait. */
const CALLS = {
  x86_64: { catatonit: "0", itself: "128" },
  aarch64: { catatonit: "63", itself: "137" },
}[Deno.build.arch];

/** Waits until catatonit has taken a process's place, or its program waits for a signal itself. */
async function untilWaiting(pid: number): Promise<void> {
  await untilValue(() => {
    const isCatatonit = Deno.readTextFileSync(`/proc/${pid}/cmdline`).startsWith("catatonit\0");
    const [call] = Deno.readTextFileSync(`/proc/${pid}/syscall`).split(" ");
    return call === CALLS[isCatatonit ? "catatonit" : "itself"] || undefined;
  });
}

/** The first child of a process, once there is one. */
function childOf(pid: number): number | undefined {
  const [child] = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).split(" ");
  return child ? Number(child) : undefined;
}

/** Asks again and again. @throws {Error} after half a minute */
async function untilValue<T>(find: () => T | undefined): Promise<T> {
  for (let tries = 0; tries < 3000; tries++) {
    const found = find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Waited in vain: ${find}`);
}

function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
