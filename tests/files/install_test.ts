// `install` with files that stand for the program and its library, in temporary directories and on small file systems.
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { CommandError, ExitCode } from "../../src/cli/errors.ts";
import { checkInstalled, install } from "../../src/cli/install/install.ts";
import { findCommand, isProgramName, lockDirectory, programName } from "../../src/cli/install/layout.ts";
import { uninstall } from "../../src/cli/install/uninstall.ts";
import type { Result } from "../../src/cli/terminal.ts";
import { LinuxKernel } from "../../src/kernel/linux.ts";
import { State } from "../../src/plugin/record/state.ts";
import { ifPresent } from "../../src/sys/files.ts";
import { libc } from "../../src/sys/libc.ts";
import { EXECUTABLE_MARKER, VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { LAUNCHER } from "../support/launcher.ts";
import { TestTerminal } from "../support/terminal.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

/** A program that answers as this one does. */
const SCRIPT = `#!/bin/sh\necho rdma-cni ${VERSION}\nexit # one\n`;

const KERNEL = new LinuxKernel();

/** A directory of plugins, the files to install, and what the command printed. */
class InstallNode implements Disposable {
  readonly temporary = Deno.makeTempDirSync();
  readonly directory = `${this.temporary}/bin`;
  readonly plugin = `${this.directory}/rdma`;
  readonly own = `${this.directory}/.rdma-cni`;
  readonly libmnl = `${this.own}/libmnl.so.0`;
  readonly current = `${this.own}/current`;
  readonly sources = {
    executable: `${this.temporary}/rdma-cni`,
    libmnl: `${this.temporary}/libmnl.so.0.2.0`,
    launcher: LAUNCHER[Deno.build.arch],
  };
  readonly state = new State(`${this.temporary}/state`);
  readonly terminal = new TestTerminal();
  /** The last result for programs. */
  value: unknown;
  #code: ExitCode | undefined;

  constructor() {
    Deno.mkdirSync(this.directory);
    Deno.writeTextFileSync(this.sources.libmnl, "library");
    this.writeExecutable(SCRIPT);
  }

  writeExecutable(content: string | Uint8Array, mode = 0o755): void {
    Deno.writeFileSync(this.sources.executable, Buffer.from(content as string));
    Deno.chmodSync(this.sources.executable, mode);
  }

  install(options = {}): string {
    return this.#print(() => install(this.terminal, KERNEL, this.directory, this.sources, options));
  }

  uninstall(options = {}): string {
    return this.#print(() => uninstall(this.terminal, KERNEL, this.directory, this.state, options));
  }

  /** Returns what was printed, with names of programs cut short, and without the directory. */
  #print(run: () => Result): string {
    Object.assign(this.terminal, { stdout: "", stderr: "" });
    const result = run();
    this.#code = this.terminal.print(result);
    this.value = result.value;
    return (this.terminal.stdout + this.terminal.stderr)
      .replaceAll(`${this.directory}/`, "").replace(/rdma-cni-[^/]*-[0-9a-f]{12}/g, "PROGRAM");
  }

  check(want: ExitCode): string {
    const line = this.#print(() => checkInstalled(this.directory, this.sources));
    assertEquals(this.#code, want, line);
    return line;
  }

  /** Runs a script in the directory that has all others. */
  sh(script: string): void {
    const { success } = new Deno.Command("sh", { args: ["-euc", script], cwd: this.temporary }).outputSync();
    assert(success, script);
  }

  /** What the installed plugin prints, with the program that the link leads to. */
  version(): string {
    const { stdout } = new Deno.Command(this.plugin, { args: ["--version"] }).outputSync();
    return new TextDecoder().decode(stdout);
  }

  program(): string {
    return Deno.readTextFileSync(this.current);
  }

  ownFiles(): string[] {
    return [...Deno.readDirSync(this.own)].map(({ name }) => name).sort();
  }

  /** Asserts that installing fails with these words, and that the directory of plugins is as it was. */
  refuse(words: RegExp, advice: RegExp): void {
    const before = this.files();
    const error = assertThrows(() => this.install(), CommandError);
    assertMatch(error.message, words);
    assertMatch(error.advice!, advice);
    assertEquals(this.files(), before);
    const own = ifPresent(() => this.ownFiles()) ?? [];
    assertEquals(own.filter((name) => /^\.(rdma-cni|libmnl|current).*\.tmp$/.test(name)), []);
  }

  /** Names in the directory of plugins, hidden ones too, without the plugin's own directory. */
  files(): string[] {
    const entries = ifPresent(() => [...Deno.readDirSync(this.directory)]) ?? [];
    return entries.map(({ name }) => name).filter((name) => name !== ".rdma-cni").sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.temporary, { recursive: true });
  }
}

const PARTS = [".rdma-cni/libmnl.so.0", ".rdma-cni/PROGRAM", ".rdma-cni/current", "rdma"];

const ALL = (state: string) => PARTS.map((name) => `${name}: ${state}\n`).join("");

const upgrade = (be: string) =>
  `.rdma-cni/libmnl.so.0: already there\n.rdma-cni/PROGRAM: ${be}installed\n` +
  `.rdma-cni/current: ${be}replaced\nrdma: ${be}replaced\n.rdma-cni/PROGRAM: ${be}removed\n`;

const modeOf = (path: string) => (Deno.statSync(path).mode! & 0o7777).toString(8);

Deno.test("install puts launcher, program, link and library there, with the permissions they need", () => {
  using node = new InstallNode();
  node.writeExecutable(SCRIPT, 0o6777);
  assertEquals(node.install(), ALL("installed"));
  assertEquals(Deno.readFileSync(node.plugin), LAUNCHER[Deno.build.arch]);
  assertEquals(node.version(), `rdma-cni ${VERSION}\n`);
  assertEquals([node.program(), Deno.readTextFileSync(node.libmnl)], [SCRIPT, "library"]);
  const modes = [node.plugin, node.current, node.libmnl, node.own].map(modeOf);
  assertEquals(modes, ["755", "755", "644", "755"]);
  assertEquals(node.files(), ["rdma"]);
  const sha256 = createHash("sha256").update(SCRIPT).digest("hex");
  const name = `rdma-cni-${VERSION}-${sha256.slice(0, 12)}`;
  assertEquals([node.ownFiles(), Deno.readLinkSync(node.current)], [["current", "libmnl.so.0", name], name]);
  const paths = [node.libmnl, `${node.own}/${name}`, node.current, node.plugin];
  assertEquals(node.value, { dryRun: false, files: paths.map((path) => ({ path, state: "installed" })) });
});

Deno.test("install a second time changes nothing, nor does an installed program that installs itself", () => {
  using node = new InstallNode();
  node.install();
  const inodes = () => [node.plugin, node.current, node.libmnl].map((path) => Deno.lstatSync(path).ino);
  const before = inodes();
  assertEquals(node.install(), ALL("already there"));
  assertEquals(inodes(), before);
  node.sources.executable = Deno.realPathSync(node.current);
  node.sources.libmnl = node.libmnl;
  assertEquals(node.install(), ALL("already there"));
});

Deno.test("an upgrade adds a program, exchanges the link and removes the older program", () => {
  using node = new InstallNode();
  node.install();
  const [old] = node.ownFiles().filter(isProgramName);
  node.writeExecutable(SCRIPT.replace("one", "two")); // as long as before
  const before = Deno.statSync(node.plugin).mtime!;
  // So that the times differ, whole seconds as they are.
  Deno.utimeSync(`${node.own}/${old}`, 1000, 1000);
  Deno.utimeSync(node.plugin, 1000, 1000);
  assertEquals(node.install(), upgrade(""));
  assertMatch(node.program(), /two/);
  assertEquals(node.files(), ["rdma"]);
  assertEquals(node.ownFiles().filter(isProgramName), [Deno.readLinkSync(node.current)]);
  assert(!node.ownFiles().includes(old!));
  assert(Deno.statSync(node.plugin).mtime! >= before);
});

Deno.test("the launcher has the time of the program, which shows when something else is in its place", () => {
  using node = new InstallNode();
  node.install();
  const timeOf = (path: string) =>
    new Deno.Command("stat", { args: ["-L", "-c", "%.9Y", path] }).outputSync();
  assertEquals(timeOf(node.plugin).stdout, timeOf(node.current).stdout);
  Deno.utimeSync(node.plugin, 1000, 1000);
  assertMatch(node.check(ExitCode.failed), /^failed: rdma was modified at 1970-01-01T00:16:40\.000Z, want 2/);
  assertMatch(node.install(), /^rdma: replaced$/m);
  assertEquals(timeOf(node.plugin).stdout, timeOf(node.current).stdout);
});

Deno.test("a program that somebody runs stays, and the next installation removes it", async () => {
  using node = new InstallNode();
  const sleeper = Deno.readFileSync("/usr/bin/sleep");
  node.install();
  const running = `${node.own}/${programName("0.0.1", "0123456789abcdef")}`;
  Deno.writeFileSync(running, sleeper, { mode: 0o755 });
  const child = new Deno.Command(running, { args: ["60"] }).spawn();
  try {
    assertMatch(node.install(), /^\.rdma-cni\/PROGRAM: in use$/m);
    assert(Deno.statSync(running).isFile);
    assertEquals(Deno.readLinkSync(`/proc/${child.pid}/exe`), running);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
  assertMatch(node.install(), /^\.rdma-cni\/PROGRAM: removed$/m);
  assertEquals(node.ownFiles().filter(isProgramName).length, 1);
});

Deno.test("a difference beyond the first megabyte counts", () => {
  using node = new InstallNode();
  const long = `${SCRIPT}${"#".repeat(3_000_000)}`;
  node.writeExecutable(`${long}1`);
  node.install();
  node.writeExecutable(`${long}2`);
  assertMatch(node.check(ExitCode.failed), /^failed: \.rdma-cni\/PROGRAM is not there: install again$/m);
  assertMatch(node.install(), /^\.rdma-cni\/current: replaced$/m);
  assertEquals(node.program(), `${long}2`);
  // Of the same name, as after a crash of the disk; of what was written at another time all is compared.
  for (const content of [`${long}3`, `${long.replace("#", "%")}2`]) {
    Deno.writeTextFileSync(node.current, content);
    assertMatch(node.check(ExitCode.failed), /^failed: \.rdma-cni\/PROGRAM has different content: /);
    assertMatch(node.install(), /^\.rdma-cni\/PROGRAM: replaced$/m);
    assertEquals(node.program(), `${long}2`);
  }
});

Deno.test("people start an installed program by its launcher, any other by its path", () => {
  const installed = `/opt/cni/bin/.rdma-cni/${programName("0.1.0", "0123456789abcdef")}`;
  assertEquals(findCommand(installed), "/opt/cni/bin/rdma");
  for (const path of ["/usr/bin/rdma-cni", "/opt/cni/bin/rdma", "/a/.rdma-cni/other", "/rdma-cni"]) {
    assertEquals(findCommand(path), path);
  }
});

for (
  const [what, put] of [
    ["a copy of this program", (path) => Deno.writeTextFileSync(path, SCRIPT)],
    ["the Go plugin", (path) => Deno.copyFileSync("/usr/bin/true", path)],
    ["a symbolic link", (path) => Deno.symlinkSync("../elsewhere", path)],
  ] as [string, (path: string) => void][]
) {
  Deno.test(`${what} in the plugin's place is replaced, and not followed`, () => {
    using node = new InstallNode();
    const elsewhere = `${node.temporary}/elsewhere`;
    Deno.writeTextFileSync(elsewhere, "other");
    Deno.utimeSync(elsewhere, 0, 0);
    put(node.plugin);
    assertMatch(node.install(), /^rdma: replaced$/m);
    assertEquals([Deno.lstatSync(node.plugin).isFile, node.version()], [true, `rdma-cni ${VERSION}\n`]);
    assertEquals([Deno.readTextFileSync(elsewhere), Deno.statSync(elsewhere).mtime], ["other", new Date(0)]);
    assertEquals(node.files(), ["rdma"]);
  });
}

Deno.test("--dry-run says the same and changes nothing", () => {
  using node = new InstallNode();
  assertEquals(node.install({ dryRun: true }), ALL("would be installed"));
  assertEquals([...Deno.readDirSync(node.directory)], []);
  node.install();
  assertEquals(node.install({ dryRun: true }), ALL("already there"));
  node.writeExecutable(SCRIPT.replace("one", "two"));
  assertEquals(node.install({ dryRun: true }), upgrade("would be "));
  assertMatch(node.program(), /one/);
});

Deno.test("what crashes left of copies is removed, what others made is not", () => {
  using node = new InstallNode();
  node.install();
  const put = (path: string) => Deno.writeTextFileSync(`${node.directory}/${path}`, "");
  const temporary = (of: string) => `.${of}.${crypto.randomUUID()}.tmp`;
  put(temporary("rdma"));
  put(`.rdma-cni/${temporary("libmnl.so.0")}`);
  put(`.rdma-cni/${temporary(programName(VERSION, "0123456789abcdef"))}`);
  Deno.symlinkSync("nowhere", `${node.own}/${temporary("current")}`);
  const kept = [temporary("other"), ".rdma.conf.tmp", "rdma"];
  for (const name of kept.slice(0, 2)) put(name);
  const before = node.ownFiles().filter((name) => !name.endsWith(".tmp"));
  node.install();
  assertEquals(node.files(), kept.sort());
  assertEquals(node.ownFiles(), before);
});

Deno.test("an installation that cannot wait for another one says so", () => {
  using node = new InstallNode();
  using _other = lockDirectory(KERNEL, node.directory);
  const error = assertThrows(() => lockDirectory(KERNEL, node.directory, 0), CommandError);
  assertMatch(error.message, /Cannot lock "[^"]+\/bin": another process has held it for 0 s/);
  assertMatch(error.advice!, /fuser -v .*another installation/);
});

Deno.test("an installation and its removal wait until another one has ended", async () => {
  using node = new InstallNode();
  for (const work of [() => node.install(), () => node.uninstall({ force: true })]) {
    const ended = `${node.temporary}/ended`;
    const args = [node.directory, "sh", "-c", 'echo here; sleep 0.5; echo >"$0"', ended];
    const other = new Deno.Command("flock", { args, stdout: "piped" }).spawn();
    const reader = other.stdout.getReader();
    await reader.read();
    work();
    Deno.removeSync(ended); // is there
    await reader.cancel();
    await other.status;
  }
});

Deno.test("the copy is not run: only its loader is asked for its libraries", () => {
  using node = new InstallNode();
  const seen = `${node.temporary}/seen`;
  node.writeExecutable(`#!/bin/sh\necho run >${seen}\n`);
  node.install();
  assertEquals(ifPresent(() => Deno.readTextFileSync(seen)), undefined);
});

const WHO = /who created it/;

for (
  const [what, words, advice, script] of [
    ["a file as directory", /it is not a directory/, /bin_dir.*OpenShift/, "rm -r bin; touch bin"],
    ["a directory as plugin", /\/rdma": it is a dir/, /move it away/, "mkdir bin/rdma"],
    ["a link as own directory", /\.rdma-cni": it is a symbolic link, want/, WHO, "ln -s /tmp bin/.rdma-cni"],
    ["a file as own directory", /\.rdma-cni": it is not a directory, want/, WHO, "touch bin/.rdma-cni"],
    ["another user's own directory", /belongs to user 1000, want/, WHO, "install -d -o 1000 bin/.rdma-cni"],
    ["an open own directory", /others may write to it, want/, WHO, "install -d -m 777 bin/.rdma-cni"],
    ["a foreign program", /for another architecture/, /this machine's/, "cat foreign >rdma-cni"],
    ["a program without loader", /its loader is missing/, /musl/, "echo '#!/nonexistent' >rdma-cni"],
    ["a program without library", /libx.so.6 => not/, /glibc/, "sed s/libc.so/libx.so/ /bin/true >rdma-cni"],
    ["a program that a signal ends", /ended by SIGSEGV/, /too little memory/, "cat crashing >rdma-cni"],
  ] as const
) {
  Deno.test(`install refuses ${what}`, () => {
    using node = new InstallNode();
    const { x86_64, aarch64 } = LAUNCHER;
    const [own, foreign] = Deno.build.arch === "x86_64" ? [x86_64, aarch64] : [aarch64, x86_64];
    Deno.writeFileSync(`${node.temporary}/foreign`, foreign);
    // A static program that begins at address 0 (elf.h, e_entry).
    Deno.writeFileSync(`${node.temporary}/crashing`, own.slice().fill(0, 24, 32));
    node.sh(script);
    node.refuse(words, advice);
  });
}

Deno.test("--check says what is not so, and changes nothing", () => {
  using node = new InstallNode();
  assertEquals(node.check(ExitCode.failed), "failed: .rdma-cni/libmnl.so.0 is not there: install again\n");
  assertEquals(node.files(), []);
  node.install();
  assertEquals(node.check(ExitCode.ok), `ok: ${node.directory} has this plugin and its library\n`);
  for (
    const [words, script] of [
      ["rdma is not there", "rm rdma"],
      ["rdma has mode 644, want 755", "chmod 644 rdma"],
      ["rdma belongs to user 1000, want root", "chown 1000 rdma"],
      ["rdma has different content", ": >rdma"],
      ["rdma is a symbolic link", "ln -sf ../rdma-cni rdma"],
      [".rdma-cni/current is not there", "rm .rdma-cni/current"],
      ['.rdma-cni/current leads to "elsewhere", want "PROGRAM"', "ln -sfn elsewhere .rdma-cni/current"],
      [".rdma-cni/current is not a symbolic link", "rm .rdma-cni/current; touch .rdma-cni/current"],
      [".rdma-cni/PROGRAM is not there", "rm .rdma-cni/rdma-cni-*"],
      [".rdma-cni/PROGRAM has different content", ": >.rdma-cni/current"],
      [".rdma-cni/PROGRAM has mode 644, want 755", "chmod 644 .rdma-cni/current"],
      [".rdma-cni/PROGRAM belongs to user 1000, want root", "chown 1000 .rdma-cni/current"],
      [".rdma-cni/libmnl.so.0 has different content", "echo Librar >.rdma-cni/libmnl.so.0"],
      ["rdma is not a regular file", "rm rdma; mkdir rdma"],
    ] as const
  ) {
    node.install();
    node.sh(`cd bin; ${script}`);
    assertEquals(node.check(ExitCode.failed), `failed: ${words}: install again\n`);
  }
});

Deno.test("--check of a directory that is missing, or that others may write to, fails", () => {
  using node = new InstallNode();
  node.install();
  Deno.chmodSync(`${node.directory}/.rdma-cni`, 0o775);
  assertMatch(
    node.check(ExitCode.failed),
    /others may write to it.*\. Find out who created it, and remove it\.$/m,
  );
  Deno.removeSync(node.directory, { recursive: true });
  assertMatch(
    node.check(ExitCode.failed),
    /does not exist\. The configuration of the runtime names its directory/,
  );
});

/** What tells our executable from others: its marker, and the runtime's mark 24 bytes before its end. */
const OWN = `${SCRIPT}# ${EXECUTABLE_MARKER} ${"#".repeat(100)}d3n0l4nd${"#".repeat(16)}`;

function installed(): InstallNode {
  const node = new InstallNode();
  node.writeExecutable(OWN);
  node.install();
  return node;
}

Deno.test("--uninstall removes the plugin, also a copy by hand of another version, and what belongs to it", () => {
  using node = installed();
  for (const put of [() => {}, () => Deno.writeTextFileSync(node.plugin, `older ${OWN}`)]) {
    put();
    assertEquals(node.uninstall({ dryRun: true }), "rdma: would be removed\n.rdma-cni: would be removed\n");
    assertEquals(node.files(), ["rdma"]);
    assertEquals(node.uninstall(), "rdma: removed\n.rdma-cni: removed\n");
    const files = [node.plugin, node.own].map((path) => ({ path, state: "removed" }));
    assertEquals(node.value, { dryRun: false, files });
    assertEquals([...Deno.readDirSync(node.directory)], []);
    assertEquals(node.uninstall(), "rdma: not there\n.rdma-cni: not there\n");
    node.install();
  }
});

for (
  const [what, put] of [
    ["another program", (path) => Deno.writeTextFileSync(path, SCRIPT)],
    ["another of its runtime", (path) => Deno.writeTextFileSync(path, OWN.replace(EXECUTABLE_MARKER, ""))],
    ["a text about this one", (path) => Deno.writeTextFileSync(path, OWN.replace("d3n0", ""))],
    ["a program that is as small as the launcher", (path) => {
      const bytes = Buffer.from(LAUNCHER[Deno.build.arch]);
      bytes.write("another program", bytes.indexOf("rdma-cni launcher"));
      Deno.writeFileSync(path, bytes);
    }],
    ["an empty file", (path) => Deno.writeTextFileSync(path, "")],
    ["a link", (path) => Deno.symlinkSync(path.replace("/bin/rdma", "/rdma-cni"), path)],
    ["a directory", (path) => Deno.mkdirSync(path)],
  ] as [string, (path: string) => void][]
) {
  Deno.test(`--uninstall refuses ${what}, also with --force`, () => {
    using node = installed();
    Deno.removeSync(node.plugin);
    put(node.plugin);
    const error = assertThrows(() => node.uninstall({ force: true }), CommandError);
    assertMatch(error.message, /Cannot remove "[^"]+\/rdma": it is another program/);
    assertEquals(node.files(), ["rdma"]);
    assert(Deno.statSync(node.libmnl).isFile);
  });
}

Deno.test("--uninstall refuses while pods need the plugin for their DEL, unless --force", () => {
  using node = installed();
  node.state.create();
  for (const name of ["net-1-net1", "net-2-net1", "net-3-net1", "net-4-net1", ".net-5-net1.tmp"]) {
    Deno.writeTextFileSync(`${node.state.directory}/${name}`, "");
  }
  const error = assertThrows(() => node.uninstall({ dryRun: true }), CommandError);
  assertMatch(error.message, /has 4 records .*: net-1-net1, net-2-net1, net-3-net1, \.\.\.$/);
  assertMatch(error.advice!, /Drain the node.*--force/);
  assertEquals(node.files(), ["rdma"]);
  assertMatch(node.uninstall({ force: true }), /^rdma: removed$/m);
});
