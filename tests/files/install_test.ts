// `install` with files that stand for the program and its library, in temporary folders and on small file systems.
import { CommandError, ExitCode } from "../../src/admin/error.ts";
import { checkInstalled } from "../../src/admin/install/check.ts";
import { install } from "../../src/admin/install/install.ts";
import { uninstall } from "../../src/admin/install/uninstall.ts";
import { WAITER } from "../../src/admin/install/waiter.ts";
import { libc } from "../../src/ffi/libc.ts";
import { State } from "../../src/plugin/state.ts";
import { VERSION } from "../../src/version.ts";
import { ifPresent } from "../../src/durable_file.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { TestTerminal } from "../fixtures/terminal.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

const SCRIPT = `#!/bin/sh\necho rdma-cni ${VERSION}\nexit # one\n`;
const HOUR_MS = 3_600_000;

/** A folder of plugins, the files to install, and what the command printed. */
class InstallNode implements Disposable {
  readonly temporary = Deno.makeTempDirSync();
  readonly folder = `${this.temporary}/bin`;
  readonly plugin = `${this.folder}/rdma`;
  readonly libmnl = `${this.folder}/.rdma-cni/libmnl.so.0`;
  readonly sources = {
    executable: `${this.temporary}/rdma-cni`,
    libmnl: `${this.temporary}/libmnl.so.0.2.0`,
  };
  readonly state = new State(`${this.temporary}/state`);
  readonly terminal = new TestTerminal();

  constructor() {
    Deno.mkdirSync(this.folder);
    Deno.writeTextFileSync(this.sources.libmnl, "library");
    this.writeExecutable(SCRIPT);
  }

  writeExecutable(content: string | Uint8Array, mode = 0o755): void {
    Deno.writeFileSync(
      this.sources.executable,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    Deno.chmodSync(this.sources.executable, mode);
  }

  /** Returns what was printed for people. */
  install(options = {}): string {
    this.terminal.stderr = "";
    install(this.terminal, this.folder, this.sources, options);
    return this.terminal.stderr.replaceAll(`${this.folder}/`, "");
  }

  uninstall(options = {}): string {
    this.terminal.stderr = "";
    uninstall(this.terminal, this.folder, this.state, options);
    return this.terminal.stderr.replaceAll(`${this.folder}/`, "");
  }

  /** Returns the line that was printed, without the folder. */
  check(want: ExitCode): string {
    this.terminal.stdout = "";
    assertEquals(checkInstalled(this.terminal, this.folder, this.sources, {}), want, this.terminal.stdout);
    return this.terminal.stdout.replaceAll(`${this.folder}/`, "");
  }

  /** Asserts that installing fails with these words, and that the folder of plugins is as it was. */
  refuse(words: RegExp, advice: RegExp): void {
    const before = this.files();
    const error = assertThrows(() => this.install(), CommandError);
    assertMatch(error.message, words);
    assertMatch(error.advice!, advice);
    assertEquals(this.files(), before);
  }

  /** Names in the folder of plugins, hidden ones too, without the plugin's own folder. */
  files(): string[] {
    const entries = ifPresent(() => [...Deno.readDirSync(this.folder)]) ?? [];
    return entries.map(({ name }) => name).filter((name) => name !== ".rdma-cni").sort();
  }

  /** Makes a file in the folder of plugins that was written some time ago. */
  age(name: string, ageMs: number): void {
    const path = `${this.folder}/${name}`;
    Deno.writeTextFileSync(path, "");
    Deno.utimeSync(path, new Date(), new Date(Date.now() - ageMs));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.temporary, { recursive: true });
  }
}

const BOTH = (state: string) => `.rdma-cni/libmnl.so.0: ${state}\nrdma: ${state}\n`;

Deno.test("install copies both files, with the permissions they need", () => {
  using node = new InstallNode();
  node.writeExecutable(SCRIPT, 0o6777);
  assertEquals(node.install(), BOTH("installed"));
  assertEquals(Deno.readTextFileSync(node.plugin), SCRIPT);
  assertEquals(Deno.readTextFileSync(node.libmnl), "library");
  const modes = [node.plugin, node.libmnl, `${node.folder}/.rdma-cni`].map((path) =>
    (Deno.statSync(path).mode! & 0o7777).toString(8)
  );
  assertEquals(modes, ["755", "644", "755"]);
  assertEquals(node.files(), ["rdma"]);
});

Deno.test("install a second time changes nothing", () => {
  using node = new InstallNode();
  node.install();
  const before = Deno.statSync(node.plugin).ino;
  assertEquals(node.install(), BOTH("already there"));
  assertEquals(Deno.statSync(node.plugin).ino, before);
});

Deno.test("install replaces what differs only", () => {
  using node = new InstallNode();
  node.install();
  node.writeExecutable(SCRIPT.replace("one", "two")); // as long as before
  assertEquals(node.install(), ".rdma-cni/libmnl.so.0: already there\nrdma: replaced\n");
  assertMatch(Deno.readTextFileSync(node.plugin), /two/);
  assertEquals(node.files(), ["rdma"]);
});

Deno.test("a difference beyond the first megabyte counts", () => {
  using node = new InstallNode();
  const long = `${SCRIPT}${"#".repeat(3_000_000)}`;
  node.writeExecutable(`${long}1`);
  node.install();
  node.writeExecutable(`${long}2`);
  assertMatch(node.check(ExitCode.failed), /^failed: rdma has another content$/m);
  assertMatch(node.install(), /rdma: replaced/);
  assertEquals(Deno.readTextFileSync(node.plugin), `${long}2`);
});

Deno.test("install from the plugin's own place leaves it alone", () => {
  using node = new InstallNode();
  Deno.copyFileSync(node.sources.executable, node.plugin);
  node.sources.executable = node.plugin;
  assertEquals(node.install(), ".rdma-cni/libmnl.so.0: installed\nrdma: already there\n");
});

Deno.test("a symbolic link in the plugin's place is replaced, and not followed", () => {
  using node = new InstallNode();
  const elsewhere = `${node.temporary}/elsewhere`;
  Deno.writeTextFileSync(elsewhere, "other");
  Deno.utimeSync(elsewhere, 0, 0);
  Deno.symlinkSync(elsewhere, node.plugin);
  assertMatch(node.install(), /^rdma: replaced$/m);
  assert(Deno.lstatSync(node.plugin).isFile);
  assertEquals(Deno.readTextFileSync(elsewhere), "other");
  assertEquals(Deno.statSync(elsewhere).mtime, new Date(0));
  assertEquals(node.files(), ["rdma"]);
});

Deno.test("--dry-run tells the same and changes nothing", () => {
  using node = new InstallNode();
  assertEquals(node.install({ dryRun: true }), BOTH("would be installed"));
  assertEquals([...Deno.readDirSync(node.folder)], []);
});

Deno.test("--json tells what became of each file", () => {
  using node = new InstallNode();
  node.install({ json: true });
  assertEquals(JSON.parse(node.terminal.stdout), {
    dryRun: false,
    files: [{ path: node.libmnl, state: "installed" }, { path: node.plugin, state: "installed" }],
  });
});

Deno.test("leftovers of crashes are removed, those of installers that may still run are not", () => {
  using node = new InstallNode();
  node.install();
  const leftover = (of: string, random: string, ageMs: number) => {
    const name = `.${of}.${random.repeat(36)}.tmp`;
    node.age(name, ageMs);
    return name;
  };
  leftover("rdma", "a", HOUR_MS);
  leftover("rdma-cni/.libmnl.so.0", "a", HOUR_MS);
  const kept = [leftover("rdma", "b", 0), leftover("other", "a", HOUR_MS), ".rdma.conf.tmp", "rdma"];
  node.age(".rdma.conf.tmp", HOUR_MS);
  node.install();
  assertEquals(node.files(), kept.sort());
  assertEquals([...Deno.readDirSync(`${node.folder}/.rdma-cni`)].map(({ name }) => name), ["libmnl.so.0"]);
});

for (
  const [what, prepare, words, advice] of [
    [
      "a missing folder",
      (node) => Deno.removeSync(node.folder),
      /"[^"]+\/bin": it does not exist/,
      /bin_dir.*OpenShift/,
    ],
    [
      "a file in the folder's place",
      (node) => (Deno.removeSync(node.folder), Deno.writeTextFileSync(node.folder, "")),
      /it is no folder/,
      /bin_dir/,
    ],
    [
      "a folder in the plugin's place",
      (node) => Deno.mkdirSync(node.plugin),
      /Cannot install "[^"]+\/rdma": a folder of that name is there/,
      /move it away/,
    ],
    [
      "a link in the own folder's place",
      (node) => Deno.symlinkSync("/tmp", `${node.folder}/.rdma-cni`),
      /\.rdma-cni": it is a symbolic link, want/,
      /who made it/,
    ],
    [
      "a file in the own folder's place",
      (node) => Deno.writeTextFileSync(`${node.folder}/.rdma-cni`, ""),
      /\.rdma-cni": it is no folder, want/,
      /who made it/,
    ],
    [
      "an own folder of another user",
      (node) => {
        Deno.mkdirSync(`${node.folder}/.rdma-cni`);
        Deno.chownSync(`${node.folder}/.rdma-cni`, 1000, 1000);
      },
      /it belongs to user 1000, want/,
      /who made it/,
    ],
    [
      "an own folder that others may write to",
      (node) => {
        Deno.mkdirSync(`${node.folder}/.rdma-cni`);
        Deno.chmodSync(`${node.folder}/.rdma-cni`, 0o777);
      },
      /others may write to it, want/,
      /who made it/,
    ],
    [
      "a program for another architecture",
      (node) => node.writeExecutable(WAITER[Deno.build.arch === "x86_64" ? "aarch64" : "x86_64"]),
      /built for another architecture/,
      /this machine's/,
    ],
    [
      "a program whose loader is missing",
      (node) => node.writeExecutable("#!/nonexistent\n"),
      /its loader is missing/,
      /musl/,
    ],
    [
      "a program whose library is missing",
      (node) => node.writeExecutable(withoutLibrary()),
      /libx\.so\.6: cannot open shared object/,
      /glibc/,
    ],
    [
      "a program that a signal ends",
      (node) => node.writeExecutable("#!/bin/sh\nkill -KILL $$\n"),
      /SIGKILL ended it/,
      /more memory/,
    ],
    [
      "a program that is another version",
      (node) => node.writeExecutable("#!/bin/sh\necho rdma-cni 0.0.1\n"),
      /it answers "rdma-cni 0\.0\.1\\n" to --version/,
      /Build it anew/,
    ],
  ] as [string, (node: InstallNode) => void, RegExp, RegExp][]
) {
  Deno.test(`install refuses ${what}`, () => {
    using node = new InstallNode();
    prepare(node);
    node.refuse(words, advice);
  });
}

/** A program that wants a library which does not exist. */
function withoutLibrary(): Uint8Array {
  const text = Deno.readFileSync("/usr/bin/true");
  const at = new TextDecoder("latin1").decode(text).indexOf("libc.so.6");
  text[at + 3] = "x".charCodeAt(0);
  return text;
}

Deno.test("--check says what is not so, and changes nothing", () => {
  using node = new InstallNode();
  assertEquals(node.check(ExitCode.failed), "failed: .rdma-cni/libmnl.so.0 is not there\n");
  assertEquals(node.files(), []);
  node.install();
  assertEquals(node.check(ExitCode.ok), `ok: ${node.folder} has this plugin and its library\n`);
  const faults: [spoil: () => void, words: string][] = [
    [() => Deno.removeSync(node.plugin), "rdma is not there"],
    [() => Deno.chmodSync(node.plugin, 0o644), "rdma has mode 644, want 755"],
    [() => Deno.chownSync(node.plugin, 1000, 1000), "rdma belongs to user 1000, want root"],
    [() => Deno.writeTextFileSync(node.plugin, ""), "rdma has another content"],
    [() => Deno.writeTextFileSync(node.libmnl, "Library"), ".rdma-cni/libmnl.so.0 has another content"],
    [() => (Deno.removeSync(node.plugin), Deno.mkdirSync(node.plugin)), "rdma is no regular file"],
    [() => Deno.symlinkSync(node.sources.executable, node.plugin), "rdma is a symbolic link"],
  ];
  for (const [spoil, words] of faults) {
    spoil();
    assertEquals(node.check(ExitCode.failed), `failed: ${words}\n`);
    if (words.includes("no regular")) Deno.removeSync(node.plugin);
    else node.install();
  }
});

Deno.test("--check of a folder that is missing, or that others may write to, fails", () => {
  using node = new InstallNode();
  node.install();
  Deno.chmodSync(`${node.folder}/.rdma-cni`, 0o775);
  assertMatch(node.check(ExitCode.failed), /others may write to it/);
  Deno.removeSync(node.folder, { recursive: true });
  assertMatch(node.check(ExitCode.failed), /does not exist/);
});

/** What tells our executable from others: words of it, and the runtime's mark 24 bytes before its end. */
const OWN = `${SCRIPT}# People type "rdma-cni --help".${"#".repeat(100)}d3n0l4nd${"#".repeat(16)}`;

function installed(): InstallNode {
  const node = new InstallNode();
  node.writeExecutable(OWN);
  node.install();
  return node;
}

Deno.test("--uninstall removes the plugin, of another version too, and its library", () => {
  using node = installed();
  Deno.writeTextFileSync(node.plugin, `older ${OWN}`);
  assertEquals(node.uninstall({ dryRun: true }), "rdma: would be removed\n.rdma-cni: would be removed\n");
  assertEquals(node.files(), ["rdma"]);
  assertEquals(node.uninstall({ json: true }), "rdma: removed\n.rdma-cni: removed\n");
  assertEquals(JSON.parse(node.terminal.stdout).files[0], { path: node.plugin, state: "removed" });
  assertEquals([...Deno.readDirSync(node.folder)], []);
  assertEquals(node.uninstall(), "rdma: not there\n.rdma-cni: not there\n");
});

for (
  const [what, put] of [
    ["another program", (path) => Deno.writeTextFileSync(path, SCRIPT)],
    [
      "another program of the same runtime",
      (path) => Deno.writeTextFileSync(path, OWN.replace("rdma-cni --help", "cni --help")),
    ],
    ["a text about this one", (path) => Deno.writeTextFileSync(path, OWN.replace("d3n0", ""))],
    ["an empty file", (path) => Deno.writeTextFileSync(path, "")],
    ["a link", (path) => Deno.symlinkSync(path.replace("/bin/rdma", "/rdma-cni"), path)],
    ["a folder", (path) => Deno.mkdirSync(path)],
  ] as [string, (path: string) => void][]
) {
  Deno.test(`--uninstall refuses ${what}, also with --force`, () => {
    using node = installed();
    Deno.removeSync(node.plugin);
    put(node.plugin);
    const error = assertThrows(() => node.uninstall({ force: true }), CommandError);
    assertMatch(error.message, /Cannot remove "[^"]+\/rdma": it is no copy of this program/);
    assertEquals(node.files(), ["rdma"]);
    assert(Deno.statSync(node.libmnl).isFile);
  });
}

Deno.test("--uninstall refuses while pods need the plugin for their DEL, unless --force", () => {
  using node = installed();
  node.state.create();
  for (const name of ["net-1-net1", "net-2-net1", "net-3-net1", "net-4-net1", ".net-5-net1.tmp"]) {
    Deno.writeTextFileSync(`${node.state.folder}/${name}`, "");
  }
  const error = assertThrows(() => node.uninstall({ dryRun: true }), CommandError);
  assertMatch(error.message, /has 4 records .*: net-1-net1, net-2-net1, net-3-net1, \.\.\.$/);
  assertMatch(error.advice!, /Drain the node.*--force/);
  assertEquals(node.files(), ["rdma"]);
  assertMatch(node.uninstall({ force: true }), /^rdma: removed$/m);
});
