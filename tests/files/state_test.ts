import { CniError } from "../../src/cni/error.ts";
import { isRecord } from "../../src/plugin/record/state.ts";
import { FILE, TestNode } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

const ATTACHMENT = { network: "net", containerID: "container1", ifname: "net1" };

Deno.test("a record is a file that root alone can read, in a directory that root alone can enter", () => {
  using node = new TestNode();
  node.state.create();
  node.state.save({ ...node.record(), attachment: ATTACHMENT });
  assertEquals(Deno.statSync(node.directory).mode! & 0o777, 0o700);
  assertEquals(Deno.statSync(`${node.directory}/${FILE}`).mode! & 0o777, 0o600);
  assertEquals(node.files(), [FILE]);
  assertEquals(node.state.find(ATTACHMENT), { record: { file: FILE, ...node.record() } });
});

for (const umask of [0, 0o077]) {
  Deno.test(`modes do not depend on a umask of ${umask.toString(8)}`, () => {
    using node = new TestNode("cni/rdma");
    const before = Deno.umask(umask);
    try {
      node.state.create();
      node.state.save({ ...node.record(), attachment: ATTACHMENT });
      node.indexes.set("mlx5_2", "11");
    } finally {
      Deno.umask(before);
    }
    const modes = [
      node.directory,
      `${node.directory}/${FILE}`,
      node.indexes.directory,
      `${node.indexes.directory}/mlx5_2`,
    ]
      .map((path) => (Deno.statSync(path).mode! & 0o777).toString(8));
    assertEquals(modes, ["700", "600", "700", "600"]);
  });
}

for (
  const [what, spoil, rights] of [
    [
      "that its group can write to",
      (directory: string) => Deno.chmodSync(directory, 0o770),
      `its owner is ${Deno.uid()} and its mode 0770`,
    ],
    [
      "that everybody can write to",
      (directory: string) => Deno.chmodSync(directory, 0o1777),
      `its owner is ${Deno.uid()} and its mode 1777`,
    ],
    [
      "of another user",
      (directory: string) => Deno.chownSync(directory, 65534, 65534),
      "its owner is 65534 and its mode 0700",
    ],
  ] as const
) {
  Deno.test(`ADD uses no directory ${what}, writes nothing there and moves nothing; DEL goes on`, async () => {
    using node = await TestNode.added();
    spoil(node.directory);
    const { json } = await node.fail("ADD", 5, { variables: { CNI_CONTAINERID: "container2" } });
    assertStringIncludes(
      json.msg,
      `Cannot use "${node.directory}": others can write there: ${rights}, want 0 and 0700`,
    );
    assertEquals(node.files(), [FILE]);
    await node.succeed("DEL");
    node.assertForgotten();
  });
}

Deno.test("a directory of another user that a link leads to is not used either", async () => {
  using node = new TestNode();
  const elsewhere = `${node.temporary}/elsewhere`;
  Deno.mkdirSync(elsewhere);
  Deno.chownSync(elsewhere, 65534, 65534);
  Deno.symlinkSync(elsewhere, node.directory);
  await node.fail("ADD", 5);
  assertEquals([...Deno.readDirSync(elsewhere)], []);
  node.assertForgotten();
});

Deno.test("records are kept where a link of root's leads", async () => {
  using node = new TestNode();
  Deno.mkdirSync(`${node.temporary}/elsewhere`, { mode: 0o755 });
  Deno.symlinkSync("elsewhere", node.directory);
  await node.succeed("ADD");
  assertEquals(node.files(), [FILE]);
  await node.succeed("DEL");
});

Deno.test("a symbolic link in a record's place is replaced, not written to", () => {
  using node = new TestNode();
  const victim = `${node.temporary}/victim`;
  Deno.writeTextFileSync(victim, "untouched");
  node.state.create();
  Deno.symlinkSync(victim, `${node.directory}/${FILE}`);
  node.state.save({ ...node.record(), attachment: ATTACHMENT });
  assertEquals(Deno.readTextFileSync(victim), "untouched");
  assertEquals(Deno.lstatSync(`${node.directory}/${FILE}`).isFile, true);
});

Deno.test("a new record takes the old one's place at once: who has the old open reads the old", () => {
  using node = new TestNode();
  node.state.create();
  node.state.save({ ...node.record(), attachment: ATTACHMENT });
  using old = Deno.openSync(`${node.directory}/${FILE}`);
  node.state.save({ ...node.record({ createdAt: 2000 }), attachment: ATTACHMENT });
  const buffer = new Uint8Array(4096);
  const text = new TextDecoder().decode(buffer.subarray(0, old.readSync(buffer)!));
  assertStringIncludes(text, new Date(1000).toISOString());
  assertEquals(node.recorded().createdAt, 2000);
});

Deno.test("what a crash left of the temporary file does not keep a record from being written", () => {
  using node = new TestNode();
  node.write(`.${FILE}.tmp`, "half a rec");
  node.state.save({ ...node.record(), attachment: ATTACHMENT });
  assertEquals(node.files(), [FILE]);
});

Deno.test("a symbolic link in the temporary file's place is not followed", () => {
  using node = new TestNode();
  const victim = `${node.temporary}/victim`;
  Deno.writeTextFileSync(victim, "untouched");
  node.state.create();
  Deno.symlinkSync(victim, `${node.directory}/.${FILE}.tmp`);
  node.state.save({ ...node.record(), attachment: ATTACHMENT });
  assertEquals(Deno.readTextFileSync(victim), "untouched");
  assertEquals(node.files(), [FILE]);
  assertEquals(Deno.lstatSync(`${node.directory}/${FILE}`).isFile, true);
});

Deno.test("removing a record also removes what a crash left, and may be repeated", () => {
  using node = new TestNode();
  node.write(FILE, node.record());
  node.write(`.${FILE}.tmp`, "");
  node.state.remove(FILE);
  node.state.remove(FILE);
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

Deno.test("a symbolic link to a record is none", () => {
  using node = new TestNode();
  node.write(".elsewhere", node.record());
  Deno.symlinkSync(".elsewhere", `${node.directory}/${FILE}`);
  assertEquals(node.state.find(ATTACHMENT), {
    fault: `Cannot use record "${node.directory}/${FILE}": it is not a regular file`,
  });
});

Deno.test("the list has every file, records and those that are none, but no hidden ones", () => {
  using node = new TestNode();
  node.write(FILE, node.record());
  node.write("broken", "{");
  node.write(".hidden", "");
  Deno.mkdirSync(`${node.directory}/directory`);
  Deno.symlinkSync("/etc/hostname", `${node.directory}/link`);
  assertEquals(node.state.listFiles().map((found) => [found.file, isRecord(found)]), [
    ["broken", false],
    ["directory", false],
    ["link", false],
    [FILE, true],
  ]);
  assertEquals(node.state.list(), [{ file: FILE, ...node.record() }]);
});

Deno.test("a directory that is not there has no records", () => {
  using node = new TestNode();
  assertEquals(node.state.list(), []);
  assertEquals(node.state.find(ATTACHMENT), {});
  node.state.remove(FILE);
  node.state.removeLeftovers();
});

Deno.test("errors name the path and what to do", () => {
  using node = new TestNode("file/rdma");
  Deno.writeTextFileSync(`${node.temporary}/file`, "");
  const error = assertThrows(() => node.state.create(), CniError, `Cannot create "${node.directory}"`);
  assertEquals(error.code, 5);
  assertStringIncludes(error.details!, "must be writable");
});
