// The launcher, for both architectures, where there is no agent.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { type Arch, LAUNCHER, wordsFor } from "../support/launcher.ts";
import { until } from "../support/until.ts";

/** A directory with a launcher as "rdma". */
class Place implements Disposable {
  readonly temporary = Deno.makeTempDirSync();
  readonly directory: string;
  readonly launcher: string;
  readonly current: string;

  constructor(readonly arch = Deno.build.arch as Arch, name = "bin") {
    this.directory = `${this.temporary}/${name}`;
    this.launcher = `${this.directory}/rdma`;
    this.current = `${this.directory}/.rdma-cni/current`;
    Deno.mkdirSync(`${this.directory}/.rdma-cni`, { recursive: true });
    Deno.writeFileSync(this.launcher, LAUNCHER[arch], { mode: 0o755 });
  }

  program(content: string | Uint8Array, mode = 0o755): this {
    const path = `${this.directory}/.rdma-cni/rdma-cni-1`;
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
    Deno.chmodSync(path, mode);
    Deno.symlinkSync("rdma-cni-1", this.current);
    return this;
  }

  async run(args: string[] = [], words = [...wordsFor(this.arch, this.launcher), ...args]) {
    const [first, ...rest] = words;
    const env = { WORD: "of the environment" };
    const command = new Deno.Command(first!, { args: rest, env, clearEnv: true, stdin: "null" });
    const { code, stdout, stderr } = await command.output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
    return { code, out, err };
  }

  /** Starts the launcher with system calls that end otherwise. */
  runInjecting(inject: string, ...args: string[]) {
    return this.run([], ["strace", "-o", "/dev/null", "-e", `inject=${inject}`, this.launcher, ...args]);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.temporary, { recursive: true });
  }
}

/** Asserts that the launcher has ended with one CNI error. @returns its details */
function assertFailed({ code, out, err }: Awaited<ReturnType<Place["run"]>>, message: RegExp): string {
  assertEquals([code, err], [1, ""], out);
  const { cniVersion, code: cniCode, msg, details, ...more } = JSON.parse(out);
  assertEquals([cniVersion, cniCode, more, out.at(-1)], ["1.1.0", 5, {}, "\n"]);
  assertMatch(msg, message);
  assert(details.length > 0);
  return details;
}

const ECHO = '#!/bin/sh\necho "$0 $* $WORD"\nexit 3\n';

for (const arch of ["x86_64", "aarch64"] as const) {
  Deno.test(`the launcher for ${arch} is small and static, and no memory can be both written and executed`, () => {
    const bytes = LAUNCHER[arch];
    assert(bytes.length < 6 * 1024, `${bytes.length}`);
    // elf.h, Elf64_Phdr: p_type PT_LOAD 1, PT_GNU_STACK 0x6474e551; p_flags PF_X 1, PF_W 2, PF_R 4.
    const view = new DataView(bytes.buffer);
    const headers = [0, 1].map((number) => 64 + 56 * number).map((at) => [
      view.getUint32(at, true),
      view.getUint32(at + 4, true),
    ]);
    assertEquals([view.getUint16(56, true), headers], [2, [[1, 5], [0x6474e551, 6]]]);
  });

  Deno.test(`the launcher for ${arch} says when there is no program`, async () => {
    using place = new Place(arch);
    const details = assertFailed(
      await place.run(),
      /^Cannot run "\/\S+\/bin\/\.rdma-cni\/current": ENOENT \(2\): it is missing/,
    );
    assertMatch(details, /DaemonSet.*--reinstall rdma-cni.*\.\/rdma-cni install --cni-bin-dir/);
  });
}

Deno.test("the launcher is the same process as the program, which has the name it was called by", async () => {
  using place = new Place().program(Deno.readFileSync("/usr/bin/sleep"));
  const child = new Deno.Command(place.launcher, { args: ["60"] }).spawn();
  const read = (file: string) => Deno.readTextFileSync(`/proc/${child.pid}/${file}`);
  // In the course of execve the kernel sets executable, name and command line in this order.
  await until(() => read("comm") === "rdma-cni-1\n" && read("cmdline") !== "");
  assertMatch(Deno.readLinkSync(`/proc/${child.pid}/exe`), /\/rdma-cni-1$/);
  assertEquals(read("cmdline"), `${place.launcher}\x0060\0`);
  assertEquals(Deno.readLinkSync(`/proc/${child.pid}/cwd`), "/");
  child.kill("SIGTERM");
  assertEquals((await child.status).signal, "SIGTERM");
});

Deno.test("the launcher finds the program behind symbolic links, also from a relative path", async () => {
  using place = new Place().program(ECHO);
  Deno.symlinkSync("bin/rdma", `${place.temporary}/rdma-cni`);
  Deno.symlinkSync("rdma-cni", `${place.temporary}/again`);
  for (const path of [`${place.temporary}/again`, "./again"]) {
    const { code, out } = await place.run([], ["env", "-C", place.temporary, "WORD=x", path, "yes"]);
    assertEquals([code, out], [3, `${place.directory}/.rdma-cni/rdma-cni-1 yes x\n`]);
  }
});

Deno.test("the launcher works in a chroot whose root the working directory lies outside of", async () => {
  using place = new Place().program("#!/busybox sh\n/busybox pwd; echo $1\n");
  Deno.copyFileSync("/bin/busybox", `${place.temporary}/busybox`);
  Deno.mkdirSync(`${place.temporary}/proc`);
  // perl's chroot does not change the directory, as Go's SysProcAttr.Chroot does not.
  const script = 'mount -t proc proc "$0/proc" && cd /usr && ' +
    `exec perl -e 'chroot shift or die; exec { "/bin/rdma" } "rdma", "here"; die' "$0"`;
  const ended = await place.run([], ["unshare", "--mount", "/bin/sh", "-c", script, place.temporary]);
  assertEquals(ended, { code: 0, out: "/\nhere\n", err: "" });
});

Deno.test("the launcher is found by its directory even when it was just replaced", async () => {
  using place = new Place().program(ECHO);
  // Held by strace before its first system call, until its file has another name's.
  const ended = place.runInjecting("readlinkat:delay_enter=300000:when=1");
  await new Promise((resolve) => setTimeout(resolve, 100));
  Deno.writeFileSync(`${place.directory}/new`, LAUNCHER[place.arch], { mode: 0o755 });
  Deno.renameSync(`${place.directory}/new`, `${place.directory}/rdma`);
  assertEquals((await ended).code, 3);
});

for (
  const [errno, times, code] of [["ENOENT", 1, 3], ["ETXTBSY", 1, 3], ["ENOENT", 2, 1], ["EACCES", 1, 1]]
) {
  Deno.test(`the launcher meets ${errno} ${times} times: exit code ${code}`, async () => {
    using place = new Place().program(ECHO);
    const ended = await place.runInjecting(`execve:error=${errno}:when=1..${times}`); // strace's own is not among them
    assertEquals(ended.code, code, ended.out);
    if (code === 1) assertFailed(ended, new RegExp(`rdma-cni-1": ${errno} `));
  });
}

const FOREIGN = LAUNCHER[Deno.build.arch === "x86_64" ? "aarch64" : "x86_64"];

for (
  const [what, message, script] of [
    ["a link that leads nowhere", /-1": ENOENT \(2\): it is missing, or the loader of glibc is$/, "rm *-1"],
    ["one that is not executable", /-1": EACCES \(13\): it is not exec.* noexec$/, "chmod 644 rdma-cni-1"],
    ["one for another architecture", /-1": ENOEXEC .*: it is for another/, "cat ../../foreign >rdma-cni-1"],
    ["a file as its directory", /current": ENOTDIR \(20\)$/, "rm -r ../.rdma-cni; touch ../.rdma-cni"],
    ["a link that is too long", /0{255}": ENOENT|: ENAMETOOLONG \(36\)$/, "ln -sfn $(printf %0300d) current"],
  ] as const
) {
  Deno.test(`the launcher meets ${what}, and says so`, async () => {
    using place = new Place().program(ECHO);
    Deno.writeFileSync(`${place.temporary}/foreign`, FOREIGN);
    await place.run([], ["/bin/sh", "-c", `cd "$0/.rdma-cni"; ${script}`, place.directory]);
    const ended = await place.run();
    assertFailed(ended, message);
    assertStringIncludes(JSON.parse(ended.out).msg, `Cannot run "${place.directory}/.rdma-cni/`);
  });
}

Deno.test("the launcher cannot do without /proc, and says so", async () => {
  using place = new Place().program(ECHO);
  const script = 'while umount -l /proc 2>/dev/null; do :; done; exec "$0"'; // one may be mounted over another
  const ended = await place.run([], ["unshare", "--mount", "/bin/sh", "-c", script, place.launcher]);
  assertFailed(ended, /^Cannot read "\/proc\/self\/exe": ENOENT \(2\)$/);
});

Deno.test("the launcher may have a root that it cannot enter, and says so", async () => {
  using place = new Place().program(ECHO);
  assertFailed(await place.runInjecting("chdir:error=EACCES"), /^Cannot change to "\/": EACCES \(13\)$/);
});

Deno.test("the launcher names a directory as it is", async () => {
  for (const name of [`a space, ü, 漢 and 😀, "quotes" and \\`, "a\nb\tc\x7f\x1b"]) {
    using place = new Place(undefined, name);
    const { msg } = JSON.parse((await place.run()).out);
    assertEquals(msg.split(": ENOENT")[0], `Cannot run "${place.current}"`);
  }
});

Deno.test("the launcher's error stays JSON where a directory's name is not UTF-8", async () => {
  using place = new Place();
  // Truncated, overlong, a surrogate, beyond Unicode, a lone continuation.
  const script = String.raw`
    name=$(printf 'a\303(\300\257\340\200\200\360\200\200\200\355\240\200\364\220\200\200\200z'); mkdir "$0/$name" && cp "$0/bin/rdma" "$0/$name/rdma"
    exec "$0/$name/rdma"`;
  const command = new Deno.Command("/bin/sh", { args: ["-c", script, place.temporary] });
  const text = new TextDecoder("utf-8", { fatal: true }).decode((await command.output()).stdout);
  const [, name] = /"[^"]*\/(a[^/]*z)\/\.rdma-cni\/current"/.exec(JSON.parse(text).msg)!;
  assertEquals(name, `a\ufffd(${"\ufffd".repeat(17)}z`);
});

Deno.test("the launcher's error is whole when little of it can be written at a time", async () => {
  using place = new Place();
  // A pipe's reader may be slow and its writer be told that only one byte went through; strace plays that.
  const { out } = await place.runInjecting("write:retval=1:when=1..3");
  const whole = (await place.run()).out;
  // What was told as written was not: the rest begins with the fourth character.
  assertEquals(out, whole.slice(3));
});

Deno.test("a directory of any depth can be named: the longest path that Linux has", async () => {
  using place = new Place();
  const names = Array(16).fill("x".repeat(240)).join(" ");
  const script = "cp bin/rdma . && " +
    `for name in ${names}; do mkdir $name && mv rdma $name && cd $name || exit; done; exec ./rdma`;
  const { code, out } = await place.run([], ["env", "-C", place.temporary, "/bin/sh", "-c", script]);
  assertEquals(code, 1);
  assertMatch(JSON.parse(out).msg, /^Cannot run ".*x\/\.rdma-cni\/current": ENOENT/);
});
