// Whatever stands in the state directory, calls end with success or one of CNI's codes, DEL and GC cope with it and say
// so, and nothing outside of the directory is followed, read or written.
import fc from "fast-check";
import { formatRecord } from "../../src/plugin/record/record.ts";
import { POD, TestNode } from "../rig/memory/node.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { placesIn } from "../support/places.ts";
import { runs } from "./form.ts";
import { jsonText } from "./json.ts";

/** As container runtimes make them, so that GC knows whose file it is by its name. */
const CONTAINER = "ab".repeat(32);
const FILE = `net-${CONTAINER}-net1`;
const VARIABLES = { CNI_CONTAINERID: CONTAINER };
const INTERNAL = 999;

/** A directory beside the state directory, with what must stay as it is. */
class Outside {
  readonly path: string;
  readonly record: string;

  constructor(node: TestNode) {
    this.path = `${node.temporary}/outside`;
    this.record = formatRecord(recordIn(node));
    Deno.mkdirSync(`${this.path}/directory`, { recursive: true });
    Deno.writeTextFileSync(`${this.path}/file`, this.record);
    Deno.writeTextFileSync(`${this.path}/directory/file`, "kept");
    run("mkfifo", `${this.path}/fifo`);
  }

  assertUntouched(): void {
    const names = (directory: string) => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
    assertEquals(names(this.path), ["directory", "fifo", "file"]);
    assertEquals(names(`${this.path}/directory`), ["file"]);
    assertEquals(Deno.readTextFileSync(`${this.path}/file`), this.record);
    assertEquals(Deno.readTextFileSync(`${this.path}/directory/file`), "kept");
  }
}

function recordIn(node: TestNode) {
  return node.record({ attachment: { network: "net", containerID: CONTAINER, ifname: "net1" } });
}

function run(program: string, ...args: string[]): void {
  assert(new Deno.Command(program, { args }).outputSync().success, `${program} failed`);
}

function sparse(path: string, length: number): void {
  using file = Deno.openSync(path, { write: true, create: true });
  file.truncateSync(length);
}

type Make = (path: string, outside: string, node: TestNode) => void;

/** What can stand in the place of a record, by name; none of it can be used. */
const THINGS: Record<string, Make> = {
  "an empty file": (path) => Deno.writeTextFileSync(path, ""),
  "half a record": (path, _, node) => Deno.writeTextFileSync(path, formatRecord(recordIn(node)).slice(0, 90)),
  "a record of version 2": (path, _, node) => {
    Deno.writeTextFileSync(path, formatRecord(recordIn(node)).replace('"1.1"', '"2.0"'));
  },
  "a record of 100 KB": (path, _, node) => {
    Deno.writeTextFileSync(path, formatRecord(recordIn(node)) + " ".repeat(100 * 1024));
  },
  "a record without end": (path) => sparse(path, 100 * 1024 * 1024),
  "a record nested 30,000 levels deep": (path) =>
    Deno.writeTextFileSync(path, "[".repeat(30_000) + "]".repeat(30_000)),
  "libcni's file": (path) =>
    Deno.writeTextFileSync(path, '{"kind":"cniCacheV1","containerId":"a","ifName":"net1"}'),
  "an address manager's file": (path) => Deno.writeTextFileSync(path, `${CONTAINER}\r\nnet1`),
  "bytes that are no text": (path) => Deno.writeFileSync(path, Uint8Array.of(0xff, 0, 0xfe, 0x7b)),
  "a directory": (path) => Deno.mkdirSync(path),
  "a FIFO": (path) => run("mkfifo", path),
  "a socket": (path, _, node) => {
    using listener = Deno.listen({ transport: "unix", path: `${node.temporary}/socket` });
    Deno.renameSync(listener.addr.path, path);
  },
  "a device": (path) => run("mknod", path, "c", "1", "5"),
  "a link to a record": (path, outside) => Deno.symlinkSync(`${outside}/file`, path),
  "a link to a directory": (path, outside) => Deno.symlinkSync(`${outside}/directory`, path),
  "a link to a FIFO": (path, outside) => Deno.symlinkSync(`${outside}/fifo`, path),
  "a link to an endless file": (path) => Deno.symlinkSync("/dev/zero", path),
  "a link to nothing": (path, outside) => Deno.symlinkSync(`${outside}/nothing`, path),
  "a link to itself": (path) => Deno.symlinkSync(path, path),
};

for (const [what, make] of Object.entries(THINGS)) {
  for (const command of ["DEL", "GC"]) {
    Deno.test(`${command} copes with ${what} for a record, says so and removes it`, async () => {
      using node = new TestNode();
      const outside = new Outside(node);
      await node.succeed("ADD", { variables: VARIABLES });
      Deno.removeSync(`${node.directory}/${FILE}`);
      make(`${node.directory}/${FILE}`, outside.path, node);
      const config = { "cni.dev/valid-attachments": [] };
      const { lines } = await node.succeed(command, { variables: VARIABLES, config });
      assertMatch(lines.join(""), /level="warning" msg="Cannot use record/);
      assertEquals(node.files(), []);
      assertEquals(node.whereIs(node.device), command === "DEL" ? "host" : POD);
      outside.assertUntouched();
    });
  }

  Deno.test(`ADD and CHECK cope with ${what} for a record`, async () => {
    using node = new TestNode();
    const outside = new Outside(node);
    node.state.create();
    make(`${node.directory}/${FILE}`, outside.path, node);
    const { json } = await node.fail("CHECK", 113, { variables: VARIABLES });
    assertStringIncludes(json.msg, "Cannot use record");
    if (what === "a directory") {
      await node.fail("ADD", 5, { variables: VARIABLES });
      assertEquals([node.whereIs(node.device), node.files()], ["host", [FILE]]);
    } else {
      await node.succeed("ADD", { variables: VARIABLES });
      assertEquals([node.whereIs(node.device), node.files()], [POD, [FILE]]);
      assertEquals(Deno.lstatSync(`${node.directory}/${FILE}`).isFile, true);
    }
    outside.assertUntouched();
  });
}

Deno.test("DEL and GC cope with a record that cannot be read", async () => {
  for (const command of ["DEL", "GC"]) {
    using node = new TestNode();
    await node.succeed("ADD", { variables: VARIABLES });
    const { readTextFileSync } = Deno;
    Deno.readTextFileSync = () => {
      throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
    };
    try {
      const config = { "cni.dev/valid-attachments": [] };
      const { lines } = await node.succeed(command, { variables: VARIABLES, config });
      assertStringIncludes(lines.join(""), "EACCES (13), permission denied");
    } finally {
      Deno.readTextFileSync = readTextFileSync;
    }
    assertEquals(node.files(), []);
  }
});

Deno.test("a record of a later 1.x with keys that are new is used", async () => {
  using node = new TestNode();
  await node.succeed("ADD", { variables: VARIABLES });
  const record = JSON.parse(Deno.readTextFileSync(`${node.directory}/${FILE}`));
  node.write(
    FILE,
    JSON.stringify({ ...record, version: "1.99", ["__proto__"]: { deviceID: "x" }, new: [[]] }),
  );
  await node.succeed("DEL", { variables: VARIABLES, config: { deviceID: "" } });
  node.assertForgotten();
});

Deno.test("GC goes on when a directory has the name of a temporary file, which it leaves", async () => {
  using node = new TestNode();
  await node.succeed("ADD", { variables: VARIABLES });
  Deno.mkdirSync(`${node.directory}/.net-a-net1.tmp/kept`, { recursive: true });
  node.write(".net-b-net1.tmp", "half a rec");
  node.write(".net-c\nnet1.tmp", "");
  await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
  assertEquals([node.whereIs(node.device), node.files()], ["host", [".net-a-net1.tmp"]]);
});

for (const what of ["a file", "a link to a file"]) {
  Deno.test(`with ${what} for a state directory DEL and GC succeed, and ADD says what is wrong`, async () => {
    using node = new TestNode();
    const outside = new Outside(node);
    if (what === "a file") Deno.writeTextFileSync(node.directory, "kept");
    else Deno.symlinkSync(`${outside.path}/file`, node.directory);
    await node.succeed("DEL");
    await node.succeed("GC", { config: { "cni.dev/valid-attachments": [] } });
    const { json } = await node.fail("ADD", 5);
    assertStringIncludes(json.msg, `Cannot create "${node.directory}"`);
    if (what === "a file") assertEquals(Deno.readTextFileSync(node.directory), "kept");
    outside.assertUntouched();
  });
}

/** Values in a record that lead elsewhere, or that the kernel would take for others. */
const odd = fc.oneof(
  jsonText.map((text) => JSON.parse(text)),
  fc.constantFrom<unknown>(
    -1,
    2 ** 32,
    2 ** 32 + 2,
    1e300,
    0.5,
    "",
    "..",
    "/",
    "../../etc/passwd",
    "\0",
    "x".repeat(5000),
  ),
);

Deno.test("a record with any value in some place leads to success or to one of CNI's codes", () => {
  const command = fc.constantFrom("DEL", "GC", "CHECK", "ADD");
  const property = fc.asyncProperty(fc.nat(), odd, command, async (at, value, command) => {
    using node = new TestNode();
    await node.succeed("ADD", { variables: VARIABLES });
    const record = JSON.parse(Deno.readTextFileSync(`${node.directory}/${FILE}`));
    const places = placesIn(record);
    const { holder, key } = places[at % places.length]!;
    holder[key] = value;
    node.write(FILE, JSON.stringify(record));
    const config = command === "GC" ? { "cni.dev/valid-attachments": [] } : {};
    const { code, json } = await node.call(command, { variables: VARIABLES, config });
    assert(code === 0 || json.code !== INTERNAL, JSON.stringify(json));
    if (command !== "DEL") return;
    // With another name it is another attachment's. With another namespace DEL leaves the device where it is, and keeps
    // the record; with another boot the record means nothing.
    const isOwn = !["network", "containerID", "ifname"].includes(key) || typeof value !== "string";
    const isKept = !isOwn || node.device.space !== node.kernel.host && key !== "bootID";
    assertEquals([code, node.files()], [0, isKept ? [FILE] : []]);
  });
  return fc.assert(property, runs(300, 20_000));
});

Deno.test("any files in the state directory lead to success or to one of CNI's codes, and to nothing outside", () => {
  const name = fc.oneof(
    fc.constantFrom(
      FILE,
      `.${FILE}.tmp`,
      `other-${CONTAINER}-net1`,
      "net-container2-net1",
      ".tmp",
      "a\nb",
      "-rf",
    ),
    fc.string({ unit: "binary", minLength: 1, maxLength: 20 }).filter((text) =>
      !/^\.{1,2}$|[/\0]/.test(text)
    ),
  );
  const files = fc.uniqueArray(fc.tuple(name, fc.constantFrom(...Object.keys(THINGS))), {
    selector: ([name]) => name,
    maxLength: 6,
  });
  const commands = fc.array(fc.constantFrom("ADD", "DEL", "CHECK", "GC"), { minLength: 1, maxLength: 4 });
  const property = fc.asyncProperty(files, commands, async (files, commands) => {
    using node = new TestNode();
    const outside = new Outside(node);
    node.state.create();
    for (const [name, what] of files) THINGS[what]!(`${node.directory}/${name}`, outside.path, node);
    for (const command of commands) {
      const config = command === "GC" ? { "cni.dev/valid-attachments": [] } : {};
      const { code, json } = await node.call(command, { variables: VARIABLES, config });
      assert(code === 0 || json.code !== INTERNAL, JSON.stringify(json));
      if (command === "DEL" || command === "GC") assertEquals(code, 0);
    }
    outside.assertUntouched();
  });
  return fc.assert(property, runs(60, 5000));
});
