// The files of records, and those of remembered indexes.
import { OPTIONS_FILE } from "../../src/cli/netns_mode/persist.ts";
import { setMode } from "../../src/cli/netns_mode/set.ts";
import { CniError } from "../../src/cni/error.ts";
import { isRecord } from "../../src/plugin/record/state.ts";
import { FILE, POD, TestNode, VF } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

const ATTACHMENT = { network: "net", containerID: "container1", ifname: "net1" };

const save = (node: TestNode) => node.state.save({ ...node.record(), attachment: ATTACHMENT });

Deno.test("a file is one that root alone can read, in a directory that root alone can enter, whatever the umask", () => {
  using node = new TestNode("cni/rdma");
  const before = Deno.umask(0);
  try {
    node.state.create();
    save(node);
    node.indexes.set("mlx5_2", "11");
  } finally {
    Deno.umask(before);
  }
  const { directory } = node.indexes;
  const paths = [node.directory, `${node.directory}/${FILE}`, directory, `${directory}/mlx5_2`];
  const modes = paths.map((path) => (Deno.statSync(path).mode! & 0o777).toString(8));
  assertEquals([modes, node.files()], [["700", "600", "700", "600"], [FILE]]);
  assertEquals(node.state.find(ATTACHMENT), { record: { file: FILE, ...node.record() } });
});

for (
  const [what, spoil, rights] of [
    ["that its group can write to", (path) => Deno.chmodSync(path, 0o770), [Deno.uid(), "0770"]],
    ["that everybody can write to", (path) => Deno.chmodSync(path, 0o1777), [Deno.uid(), "1777"]],
    ["of another user", (path) => Deno.chownSync(path, 65534, 65534), [65534, "0700"]],
  ] as [string, (directory: string) => void, [number, string]][]
) {
  Deno.test(`ADD uses no directory ${what}, writes nothing there and moves nothing; DEL goes on`, async () => {
    using node = await TestNode.added();
    spoil(node.directory);
    const { json } = await node.fail("ADD", 5, { variables: { CNI_CONTAINERID: "container2" } });
    const found = `its owner is ${rights[0]} and its mode ${rights[1]}, want 0 and 0700`;
    assertStringIncludes(json.msg, `Cannot use "${node.directory}": others can write there: ${found}`);
    assertEquals(node.files(), [FILE]);
    await node.succeed("DEL");
    node.assertForgotten();
  });
}

Deno.test("records are kept where a link leads, if that is root's directory", async () => {
  using node = new TestNode();
  const elsewhere = `${node.temporary}/elsewhere`;
  Deno.mkdirSync(elsewhere, { mode: 0o755 });
  Deno.symlinkSync(elsewhere, node.directory);
  Deno.chownSync(elsewhere, 65534, 65534);
  await node.fail("ADD", 5);
  assertEquals([...Deno.readDirSync(elsewhere)], []);
  Deno.chownSync(elsewhere, 0, 0);
  await node.succeed("ADD");
  assertEquals(node.files(), [FILE]);
});

for (const name of [FILE, `.${FILE}.tmp`]) {
  Deno.test(`a symbolic link in the place of ${name} is replaced, not written to`, () => {
    using node = new TestNode();
    node.write(".victim", "untouched");
    Deno.symlinkSync(".victim", `${node.directory}/${name}`);
    save(node);
    assertEquals(Deno.readTextFileSync(`${node.directory}/.victim`), "untouched");
    const { isFile } = Deno.lstatSync(`${node.directory}/${FILE}`);
    assertEquals([isFile, ...node.files()], [true, ".victim", FILE]);
  });
}

Deno.test("what a crash left of the temporary file keeps no record from being written or removed, and goes with it", () => {
  using node = new TestNode();
  node.write(`.${FILE}.tmp`, "half a rec");
  save(node);
  assertEquals(node.files(), [FILE]);
  node.write(`.${FILE}.tmp`, "half a rec");
  for (let time = 0; time < 2; time++) node.state.remove(FILE);
  assertEquals(node.files(), []);
});

Deno.test("a name too long for a file is never there, and cannot be written: code 5", () => {
  using node = new TestNode();
  const attachment = { ...ATTACHMENT, containerID: "f".repeat(300) };
  node.state.create();
  assertEquals(node.state.find(attachment), {});
  node.state.remove(node.state.fileOf(attachment));
  assertEquals(assertThrows(() => node.state.save({ ...node.record(), attachment }), CniError).code, 5);
  assertEquals(node.files(), []);
});

Deno.test("the list has every file, records and those that are none, as links, but no hidden ones", () => {
  using node = new TestNode();
  node.write(FILE, node.record());
  node.write("broken", "{");
  node.write(".hidden", node.record());
  Deno.mkdirSync(`${node.directory}/directory`);
  Deno.symlinkSync(".hidden", `${node.directory}/link`);
  const found = node.state.listFiles().map((found) => [found.file, isRecord(found)]);
  assertEquals(found, [["broken", false], ["directory", false], ["link", false], [FILE, true]]);
  assertEquals(node.state.list(), [{ file: FILE, ...node.record() }]);
  Deno.renameSync(`${node.directory}/link`, `${node.directory}/${FILE}`);
  const fault = `Cannot use record "${node.directory}/${FILE}": it is not a regular file`;
  assertEquals(node.state.find(ATTACHMENT), { fault });
});

Deno.test("a directory that is not there has no records; one that cannot be made is told, with what to do", () => {
  using node = new TestNode("file/rdma");
  assertEquals([node.state.list(), node.state.find(ATTACHMENT)], [[], {}]);
  node.state.remove(FILE);
  node.state.removeLeftovers();
  Deno.writeTextFileSync(`${node.temporary}/file`, "");
  const error = assertThrows(() => node.state.create(), CniError, `Cannot create "${node.directory}"`);
  assertEquals(error.code, 5);
  assertStringIncludes(error.details!, "must be writable");
});

// Which files wait for the disk.

/** What a directory has each time that work waits for the disk. */
function filesAtSync(directory: string, work: () => void): string[][] {
  const { syncSync } = Deno.FsFile.prototype;
  const found: string[][] = [];
  Deno.FsFile.prototype.syncSync = function () {
    found.push([...Deno.readDirSync(directory)].map(({ name }) => name).sort());
    syncSync.call(this);
  };
  try {
    work();
  } finally {
    Deno.FsFile.prototype.syncSync = syncSync;
  }
  return found;
}

Deno.test("a record, which means nothing after a reboot, does not wait for the disk", () => {
  using node = new TestNode();
  node.state.create();
  assertEquals(filesAtSync(node.directory, () => save(node)), []);
  assertEquals(node.recorded(), node.record());
});

Deno.test("a persisted mode is on the disk before it takes its name, and so is the name at the end", () => {
  using node = new TestNode();
  node.write("/etc/os-release", "ID=debian\n");
  node.write("/etc/modprobe.d/other.conf", "");
  const machine = { root: node.root, release: "6.12.0", listImage: () => undefined };
  const found = filesAtSync(`${node.root}/etc/modprobe.d`, () => {
    setMode(node.kernel, "exclusive", { persist: true }, machine);
  });
  const name = OPTIONS_FILE.slice(OPTIONS_FILE.lastIndexOf("/") + 1);
  assertEquals(found, [[`.${name}.tmp`, "other.conf"], ["other.conf", name].sort()]);
});

// The device of a function is found whatever its index, and listing all devices is done as rarely as can be.

/** Adds and deletes; returns how many listings ADD needed. */
async function countListings(node: TestNode): Promise<number> {
  const before = node.kernel.listings;
  await node.succeed("ADD");
  assertEquals(node.whereIs(node.device), POD);
  const needed = node.kernel.listings - before;
  await node.succeed("DEL");
  assertEquals(node.whereIs(node.device), "host");
  return needed;
}

/** A node whose device was made anew: its index is not the number of its uverbs device any more. */
class ReboundNode extends TestNode {
  override readonly device;
  readonly path = `${this.indexes.directory}/mlx5_2`;

  constructor() {
    super();
    this.kernel.devices.splice(0, 1);
    this.device = this.kernel.addDevice(VF, 11, { name: "mlx5_2", uverbs: "uverbs2" });
  }

  /** What is remembered is no index of the device: the list is asked for, and then it is. */
  async assertReplaced(what: string): Promise<void> {
    assertEquals([await countListings(this), this.indexes.get("mlx5_2")], [1, "11"], what);
  }
}

Deno.test("a device whose index is its uverbs device's number needs no list, and nothing is remembered", async () => {
  using node = new TestNode();
  assertEquals([await countListings(node), node.indexes.get("mlx5_2")], [0, undefined]);
});

Deno.test("another index is found in the list once and remembered; one that is wrong by now does no harm", async () => {
  using node = new ReboundNode();
  await node.assertReplaced("nothing");
  assertEquals(await countListings(node), 0);
  node.kernel.addFunction("0000:3b:00.3");
  const other = node.kernel.addDevice("0000:3b:00.3", 7);
  for (const text of ["7", "12", "", "x", "11\n", "-1", "1e3", "99999999999", "11".repeat(1000)]) {
    Deno.writeTextFileSync(node.path, text);
    await node.assertReplaced(text);
  }
  assertEquals(node.whereIs(other), "host");
});

Deno.test("a link in an index's place is replaced, not written to; where nothing can be remembered the list is asked for", async () => {
  using node = new ReboundNode();
  const victim = `${node.temporary}/victim`;
  Deno.writeTextFileSync(victim, "untouched");
  Deno.mkdirSync(node.indexes.directory);
  Deno.symlinkSync(victim, node.path);
  await node.assertReplaced("a link");
  assertEquals([Deno.readTextFileSync(victim), Deno.lstatSync(node.path).isFile], ["untouched", true]);
  Deno.removeSync(node.indexes.directory, { recursive: true });
  Deno.writeTextFileSync(node.indexes.directory, "a file where the directory would be");
  assertEquals([await countListings(node), await countListings(node)], [1, 1]);
});
