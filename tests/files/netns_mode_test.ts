// netns-mode on a kernel in memory and files in a temporary directory.
import { type CommandError, toCommandError } from "../../src/cli/errors.ts";
import { checkMode, getMode } from "../../src/cli/netns_mode/command.ts";
import { checkInitramfs } from "../../src/cli/netns_mode/initramfs.ts";
import { OPTIONS_FILE, readPersistedMode } from "../../src/cli/netns_mode/persist.ts";
import { setMode, type SetOptions } from "../../src/cli/netns_mode/set.ts";
import type { Result } from "../../src/cli/terminal.ts";
import type { RdmaMode } from "../../src/kernel/kernel.ts";
import type { OtherNetns } from "../../src/kernel/node_kernel.ts";
import { NetlinkError } from "../../src/netlink/error.ts";
import { EINVAL, EPERM } from "../../src/sys/errno.ts";
import { BareNode } from "../rig/memory/bare_node.ts";
import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "../support/assert.ts";

const RELEASE = "6.12.0";
const IMAGE = `/boot/initrd.img-${RELEASE}`;
const EXCLUSIVE = '# Written by "netns-mode set --persist" of rdma-cni.\noptions ib_core netns_mode=0\n';
const PROCESS = { pid: 77, command: "sleep", containerId: "0123456789ab".padEnd(64, "c"), onlyOpen: false };
const POD: OtherNetns = { inode: 4026532210, paths: ["/run/netns/pod"], processes: [PROCESS] };

/** A node in mode shared. */
class Node extends BareNode {
  /** Files in the initramfs, or undefined when nothing here can list them. */
  image: string | undefined = "usr/lib/modules/6.12.0/kernel/fs/ext4.ko.xz\n";
  // deno-lint-ignore no-explicit-any -- tests look into it
  json: any;

  constructor(files: Record<string, string> = {}) {
    super({ "/etc/os-release": "ID=debian\n", [IMAGE]: "", ...files });
    this.kernel.mode = "shared";
    Deno.utimeSync(`${this.root}${IMAGE}`, 1, 1);
  }

  set(mode: RdmaMode, options: SetOptions = {}): number {
    const machine = { root: this.root, release: RELEASE, listImage: () => this.image };
    return this.print(setMode(this.kernel, mode, options, machine));
  }

  persist(options: SetOptions = {}): number {
    return this.set("exclusive", { persist: true, ...options });
  }

  get(options = {}): number {
    return this.print(getMode(this.kernel, options, this.root));
  }

  check(expect: RdmaMode, orNone = false): number {
    return this.print(checkMode(this.kernel, { expect, orNone }));
  }

  print(result: Result): number {
    this.terminal.stdout = this.terminal.stderr = "";
    this.json = result.value;
    return this.terminal.print(result);
  }

  assertTold(...parts: string[]): void {
    for (const part of parts) assertStringIncludes(this.terminal.stderr, part);
  }

  hasOptions(): boolean {
    return [...Deno.readDirSync(`${this.root}/etc`)].some(({ name }) => name === "modprobe.d");
  }
}

/** What people get to read when a command throws. */
function refusalOf(work: () => unknown): CommandError {
  return toCommandError(assertThrows(work)) as CommandError;
}

Deno.test("set changes the mode, tells it on standard error, and a second run changes nothing", () => {
  using node = new Node();
  assertEquals(node.set("exclusive"), 0);
  assertEquals([node.kernel.mode, node.terminal.stdout], ["exclusive", ""]);
  node.assertTold("now exclusive, was shared");
  assertEquals(node.set("exclusive"), 0);
  node.assertTold("already exclusive");
  assertEquals(node.hasOptions(), false);
});

Deno.test("set refused: exit code 1, with each namespace, its paths and its processes, for people and programs", () => {
  using node = new Node();
  node.kernel.others = [POD, { inode: 4026532300, paths: ["/run/netns/bare"], processes: [] }];
  assertEquals([node.set("exclusive"), node.kernel.mode], [1, "shared"]);
  node.assertTold(
    'network namespace 4026532210 at "/run/netns/pod"',
    'process 77 "sleep", container 0123456789ab\n',
    'network namespace 4026532300 at "/run/netns/bare"\n    no process in it',
    '"rdma-cni netns-mode set exclusive --persist" and reboot: ',
  );
  const { mode, wanted, otherNetns, fix } = node.json;
  assertEquals([mode, wanted, otherNetns], ["shared", "exclusive", node.kernel.others]);
  assertMatch(fix, /^Stop the pods .* or run "rdma-cni netns-mode set exclusive --persist" and reboot/);
});

Deno.test("set refused by what cannot be seen says so", () => {
  using node = new Node();
  node.kernel.isComplete = false;
  node.kernel.refusal = new NetlinkError("set the RDMA namespace mode to exclusive", 16);
  assertEquals(node.set("exclusive"), 1);
  node.assertTold("none found ", "there may be more: not all processes are visible");
});

Deno.test("a process cannot write to the terminal by its command line", () => {
  using node = new Node();
  const process = { pid: 77, command: `\x1b[2J${"x".repeat(200)}`, onlyOpen: true };
  node.kernel.others = [{ ...POD, processes: [process] }];
  node.set("exclusive");
  node.assertTold(`process 77 "\\u001b[2J${"x".repeat(76)}...", has it open\n`);
});

Deno.test("set refused for want of a right has its own message, and persists nothing", () => {
  using node = new Node();
  node.kernel.refusal = new NetlinkError("set the RDMA namespace mode to exclusive", EPERM);
  const error = refusalOf(() => node.persist());
  assertMatch(error.advice!, /CAP_NET_ADMIN/);
  assertEquals([error.exitCode, node.hasOptions()], [1, false]);
});

Deno.test("get, set and check on a kernel that cannot even tell the mode have the same message", () => {
  using node = new Node();
  node.kernel.getRdmaMode = () => {
    throw new NetlinkError("ask for the RDMA namespace mode", EINVAL);
  };
  assertMatch(refusalOf(() => node.set("exclusive")).advice!, /5\.3 or newer/);
  assertMatch(refusalOf(() => node.get()).advice!, /5\.3 or newer/);
  for (const orNone of [false, true]) {
    assertEquals(node.check("exclusive", orNone), 1);
    assertMatch(node.terminal.stdout, /^failed: .*5\.3 or newer, or .*; then reboot\.\n$/);
  }
});

Deno.test("set without ib_core has its own message; with --persist it is loaded in that mode", () => {
  using node = new Node();
  node.kernel.hasRdma = false;
  const error = refusalOf(() => node.set("exclusive"));
  assertMatch(`${error.message} ${error.advice}`, /the kernel has none.*modprobe -a ib_core mlx5_ib/);
  assertEquals(node.persist(), 0);
  node.assertTold("ib_core is not loaded: its mode will be exclusive");
  assertEquals(node.read(OPTIONS_FILE), EXCLUSIVE);
});

Deno.test("--persist writes the file once, for all to read, and leaves nothing else", () => {
  using node = new Node();
  assertEquals(node.persist(), 0);
  assertEquals(node.read(OPTIONS_FILE), EXCLUSIVE);
  assertEquals(node.terminal.stderr.split("\n").slice(1), [`persisted in "${OPTIONS_FILE}"`, ""]);
  const path = `${node.root}${OPTIONS_FILE}`;
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o644);
  const before = Deno.statSync(path).ino;
  assertEquals(node.persist(), 0);
  node.assertTold(`already persisted in "${OPTIONS_FILE}"`);
  assertEquals(Deno.statSync(path).ino, before);
  assertEquals([...Deno.readDirSync(`${node.root}/etc/modprobe.d`)].length, 1);
  assertEquals(node.set("shared", { persist: true }), 0);
  assertStringIncludes(node.read(OPTIONS_FILE), "options ib_core netns_mode=1\n");
});

Deno.test("--persist works when the change is refused: exit code 4, and a reboot is asked for", () => {
  using node = new Node();
  node.kernel.others = [POD];
  assertEquals(node.persist(), 4);
  node.assertTold("reboot this node");
  assertEquals(node.terminal.stderr.includes("Stop the pods"), false);
  assertEquals([node.json.rebootNeeded, node.json.mode, node.json.persisted.written], [true, "shared", true]);
  assertEquals(node.read(OPTIONS_FILE), EXCLUSIVE);
});

Deno.test("--persist names what it overrules, also when only the command line agrees, and succeeds", () => {
  using node = new Node({ "/etc/modprobe.d/mlnx.conf": "#\noptions ib_core netns_mode=1\n" });
  assertEquals(node.persist(), 0);
  node.assertTold(`"${OPTIONS_FILE}" overrules /etc/modprobe.d/mlnx.conf:2 (shared)`);
  node.write("/etc/modprobe.d/zz.conf", "options ib_core netns_mode=1");
  node.write("/proc/cmdline", "ib_core.netns_mode=0");
  assertEquals(node.persist(), 0);
  node.assertTold("/etc/modprobe.d/zz.conf:1 (shared)");
});

for (
  const [file, text, source] of [
    ["/usr/lib/modprobe.d/zz.conf", "options ib_core netns_mode=1", "/usr/lib/modprobe.d/zz.conf:1 (shared)"],
    ["/proc/cmdline", "quiet ib_core.netns_mode=1", "/proc/cmdline:1 (shared)"],
  ] as const
) {
  Deno.test(`--persist fails when ${file} overrules it, also when the change is refused`, () => {
    using node = new Node({ [file]: text });
    for (const others of [[], [POD]]) {
      node.kernel.mode = "shared";
      node.kernel.others = others;
      assertEquals(node.persist(), 1);
      node.assertTold(`is overruled by ${source}`);
      assertEquals([node.json.rebootNeeded, node.json.persisted.overruledBy.length], [false, 1]);
    }
  });
}

Deno.test("--persist that cannot write is told, and fails, though the mode was set", () => {
  using node = new Node({ "/etc/modprobe.d": "a file" });
  assertEquals([node.persist(), node.kernel.mode], [1, "exclusive"]);
  assertMatch(
    node.terminal.stderr,
    /Cannot persist .*Cannot write .*rdma-cni\.conf.*\nThe directory must be/,
  );
  node.kernel.others = [POD];
  assertEquals(node.set("shared", { persist: true }), 1);
  assertEquals(node.terminal.stderr.includes("Stop the pods"), false);
});

Deno.test("--persist fails when ib_core is built into the kernel", () => {
  using node = new Node({
    [`/lib/modules/${RELEASE}/modules.builtin`]: "kernel/drivers/infiniband/core/ib_core.ko\n",
  });
  assertEquals(node.persist(), 1);
  node.assertTold("ib_core.netns_mode=0 (exclusive)");
  assertEquals(node.hasOptions(), false);
});

Deno.test("--persist warns when ib_core is in the initramfs, until that is rebuilt", () => {
  using node = new Node();
  node.image = "usr/lib/modules/6.12.0/kernel/drivers/infiniband/core/ib_core.ko.zst\n";
  const warning =
    `ib_core is in the initramfs "${IMAGE}", which has older module options: run update-initramfs -u`;
  for (const dryRun of [true, false, false]) {
    assertEquals(node.persist({ dryRun }), 0);
    node.assertTold(warning);
  }
  Deno.utimeSync(`${node.root}${IMAGE}`, Date.now() / 1000 + 5, Date.now() / 1000 + 5);
  assertEquals(node.persist(), 0);
  assertEquals(node.terminal.stderr.includes("initramfs"), false);
});

Deno.test("--persist says when it cannot tell what is in the initramfs", () => {
  using node = new Node();
  node.image = undefined;
  node.persist();
  node.assertTold(`ib_core may be in the initramfs "${IMAGE}"; if it is, run`);
  Deno.removeSync(`${node.root}${IMAGE}`);
  node.persist();
  node.assertTold("ib_core may be in the initramfs, which was not found");
});

Deno.test("--dry-run tells all and does nothing, with the exit code it would have", () => {
  using node = new Node();
  const options = { persist: true, dryRun: true };
  assertEquals(node.set("exclusive", options), 0);
  assertEquals(node.terminal.stdout.split("\n"), [
    "would change the RDMA namespace mode from shared to exclusive",
    `would persist it in "${OPTIONS_FILE}"`,
    "",
  ]);
  node.kernel.others = [POD];
  assertEquals(node.set("exclusive", { dryRun: true }), 1);
  node.assertTold("/run/netns/pod");
  assertEquals(node.set("exclusive", options), 4);
  assertEquals([node.json.mode, node.json.dryRun], ["shared", true]);
  assertEquals([node.kernel.mode, node.hasOptions()], ["shared", false]);
});

Deno.test("get prints the word alone, with --json also where it is persisted and whether it could be changed", () => {
  using node = new Node({ [OPTIONS_FILE]: EXCLUSIVE });
  assertEquals([node.get(), node.terminal.stdout, node.terminal.stderr], [0, "shared\n", ""]);
  const get = () => {
    assertEquals(node.get({ output: "json" }), 0);
    return node.json;
  };
  assertEquals(get(), {
    mode: "shared",
    persisted: { mode: "exclusive", sources: [{ file: OPTIONS_FILE, line: 2, mode: "exclusive" }] },
    changeable: true,
    otherNetns: [],
  });
  node.kernel.isComplete = false;
  assertEquals(get().changeable, null);
  node.kernel.others = [POD];
  assertEquals([get().changeable, get().otherNetns], [false, [POD]]);
  Deno.removeSync(`${node.root}${OPTIONS_FILE}`);
  assertEquals(get().persisted, { mode: null, sources: [] });
});

const OTHER_MODE = "the RDMA namespace mode is shared, want exclusive";
const NO_RDMA = "this kernel has no RDMA subsystem, so it has no RDMA namespace mode";

Deno.test("check tells by exit code and one line; --or-none passes without an RDMA subsystem and says so", () => {
  using node = new Node();
  const check = (expect: RdmaMode, orNone?: boolean) => [node.check(expect, orNone), node.terminal.stdout];
  assertEquals(check("shared"), [0, "ok: the RDMA namespace mode is shared\n"]);
  for (const orNone of [false, true]) {
    assertEquals(check("exclusive", orNone), [1, `failed: ${OTHER_MODE}\n`]);
    const fix = "rdma-cni netns-mode set exclusive --persist";
    assertEquals(node.json, { ok: false, mode: "shared", expected: "exclusive", reason: OTHER_MODE, fix });
    assertEquals(node.terminal.stderr, "");
  }
  node.kernel.hasRdma = false;
  assertEquals(node.check("exclusive"), 1);
  assertMatch(
    node.terminal.stdout,
    /^failed: Cannot reach the RDMA subsystem.*modprobe -a ib_core mlx5_ib.*\n$/,
  );
  assertEquals(check("exclusive", true), [0, `ok: ${NO_RDMA}\n`]);
  assertEquals(node.json, { ok: true, mode: null, expected: "exclusive", reason: NO_RDMA, fix: null });
});

/** Where the mode at the next load of ib_core comes from, and the files that say so. */
function persistedBy(files: Record<string, string>): (string | undefined)[] {
  using node = new BareNode(files);
  const { mode, sources } = readPersistedMode(node.root);
  return [mode, ...sources.map(({ file }) => file)];
}

const [SHARED, ISOLATED] = ["options ib_core netns_mode=1", "options ib_core netns_mode=0"];

Deno.test("persisted mode: files of each directory are read, and hide those of their name in the next", () => {
  const directories = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"];
  const paths = directories.map((directory) => `${directory}/modprobe.d/a.conf`);
  for (const [index, path] of paths.entries()) {
    const hidden = paths.slice(index + 1).map((one) => [one, SHARED]);
    assertEquals(persistedBy({ [path]: ISOLATED, ...Object.fromEntries(hidden) }), ["exclusive", path]);
  }
  assertEquals(persistedBy({ [paths[0]!]: "", [paths[4]!]: SHARED }), [undefined]);
});

Deno.test("persisted mode: the last file by name counts, of those that modprobe reads, and the command line after it", () => {
  const files = {
    "/run/modprobe.d/a.conf": ISOLATED,
    "/etc/modprobe.d/b.conf": ISOLATED,
    "/usr/lib/modprobe.d/c.conf": SHARED,
  };
  const others = ["sub.conf/d.conf", "d.conf.rpmsave", ".d.conf"].map((
    name,
  ) => [`/etc/modprobe.d/${name}`, ISOLATED]);
  assertEquals(persistedBy({ ...files, ...Object.fromEntries(others) }), ["shared", ...Object.keys(files)]);
  const more = { ...files, "/proc/cmdline": "quiet ib_core.netns_mode=0\n" };
  assertEquals(persistedBy(more), ["exclusive", ...Object.keys(more)]);
});

Deno.test("an image's files are listed by the program that the distribution has", () => {
  // It is given the path of the image and nothing else.
  const script =
    `#!/bin/sh\ncase "$#$1" in 1/*${IMAGE}) echo usr/lib/modules/${RELEASE}/kernel/ib_core.ko.xz ;; esac\n`;
  const path = Deno.env.get("PATH")!;
  for (const lister of ["lsinitramfs", "lsinitrd", "lsinitcpio"]) {
    using node = new BareNode({ [IMAGE]: "", [`/bin/${lister}`]: script });
    Deno.chmodSync(`${node.root}/bin/${lister}`, 0o755);
    Deno.env.set("PATH", `${node.root}/bin`);
    try {
      assertEquals(checkInitramfs(undefined, { root: node.root, release: RELEASE }).state, "older", lister);
    } finally {
      Deno.env.set("PATH", path);
    }
  }
});
