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
const INTERNAL = 999;

function run(program: string, ...args: string[]): void {
  assert(new Deno.Command(program, { args }).outputSync().success, `${program} failed`);
}

/** A node whose calls are about one container, and a directory beside that of the records, which must stay as it is. */
class HostileNode extends TestNode {
  readonly path = `${this.directory}/${FILE}`;
  readonly outside = `${this.temporary}/outside`;
  readonly text = formatRecord(
    this.record({ attachment: { network: "net", containerID: CONTAINER, ifname: "net1" } }),
  );

  constructor() {
    super();
    Deno.mkdirSync(this.outside);
    Deno.writeTextFileSync(`${this.outside}/file`, this.text);
    run("mkfifo", `${this.outside}/fifo`);
  }

  static override async added(): Promise<HostileNode> {
    const node = new HostileNode();
    await node.succeed("ADD");
    return node;
  }

  override call(command: string) {
    const config = command === "GC" ? { "cni.dev/valid-attachments": [] } : {};
    return super.call(command, { variables: { CNI_CONTAINERID: CONTAINER }, config });
  }

  assertOutsideUntouched(): void {
    const names = [...Deno.readDirSync(this.outside)].map(({ name }) => name).sort();
    assertEquals([names, Deno.readTextFileSync(`${this.outside}/file`)], [["fifo", "file"], this.text]);
  }
}

/** What can stand in the place of a record, by name; none of it can be used. */
const THINGS: Record<string, (path: string, node: HostileNode) => void> = {
  "half a record": (path, { text }) => Deno.writeTextFileSync(path, text.slice(0, 90)),
  "a record of version 2": (path, { text }) => Deno.writeTextFileSync(path, text.replace('"1.1"', '"2.0"')),
  "a record without end": (path) => run("truncate", "--size=100M", path),
  "a record nested 30,000 levels deep": (path) =>
    Deno.writeTextFileSync(path, "[".repeat(30_000) + "]".repeat(30_000)),
  "bytes that are no text": (path) => Deno.writeFileSync(path, Uint8Array.of(0xff, 0, 0xfe, 0x7b)),
  "a directory": (path) => Deno.mkdirSync(path),
  "a FIFO": (path) => run("mkfifo", path),
  "a socket": (path, { temporary }) => {
    using listener = Deno.listen({ transport: "unix", path: `${temporary}/socket` });
    Deno.renameSync(listener.addr.path, path);
  },
  "a device": (path) => run("mknod", path, "c", "1", "5"),
  "a link to a record": (path, { outside }) => Deno.symlinkSync(`${outside}/file`, path),
  "a link to a FIFO": (path, { outside }) => Deno.symlinkSync(`${outside}/fifo`, path),
  "a link to an endless file": (path) => Deno.symlinkSync("/dev/zero", path),
  "a link to itself": (path) => Deno.symlinkSync(path, path),
};

for (const [what, make] of Object.entries(THINGS)) {
  Deno.test(`calls cope with ${what} for a record: DEL and GC say so and remove it`, async () => {
    for (const command of ["DEL", "GC"]) {
      using node = await HostileNode.added();
      Deno.removeSync(node.path);
      make(node.path, node);
      const { lines } = await node.succeed(command);
      assertMatch(lines.join(""), /level="warning" msg="Cannot use record/);
      assertEquals([node.whereIs(node.device), node.files()], [command === "DEL" ? "host" : POD, []]);
      node.assertOutsideUntouched();
    }
    using node = new HostileNode();
    node.state.create();
    make(node.path, node);
    assertStringIncludes((await node.fail("CHECK", 113)).json.msg, "Cannot use record");
    const isReplaced = what !== "a directory";
    if (isReplaced) await node.succeed("ADD");
    else await node.fail("ADD", 5);
    const isFile = Deno.lstatSync(node.path).isFile;
    const found = [node.whereIs(node.device), node.files(), isFile];
    assertEquals(found, [isReplaced ? POD : "host", [FILE], isReplaced]);
    node.assertOutsideUntouched();
  });
}

Deno.test("DEL and GC cope with a record that cannot be read", async () => {
  const { readTextFileSync } = Deno;
  for (const command of ["DEL", "GC"]) {
    using node = await HostileNode.added();
    Deno.readTextFileSync = () => {
      throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
    };
    try {
      assertStringIncludes((await node.succeed(command)).lines.join(""), "EACCES (13), permission denied");
    } finally {
      Deno.readTextFileSync = readTextFileSync;
    }
    assertEquals(node.files(), []);
  }
});

Deno.test("GC goes on when a directory has the name of a temporary file, which it leaves", async () => {
  using node = await HostileNode.added();
  Deno.mkdirSync(`${node.directory}/.net-a-net1.tmp/kept`, { recursive: true });
  for (const name of [".net-b-net1.tmp", ".net-c\nnet1.tmp"]) node.write(name, "half a rec");
  await node.succeed("GC");
  assertEquals([node.whereIs(node.device), node.files()], ["host", [".net-a-net1.tmp"]]);
});

Deno.test("with a file, or a link to one, for a state directory DEL and GC succeed, and ADD says what is wrong", async () => {
  for (const isLink of [false, true]) {
    using node = new HostileNode();
    if (isLink) Deno.symlinkSync(`${node.outside}/file`, node.directory);
    else Deno.writeTextFileSync(node.directory, node.text);
    for (const command of ["DEL", "GC"]) await node.succeed(command);
    assertStringIncludes((await node.fail("ADD", 5)).json.msg, `Cannot create "${node.directory}"`);
    assertEquals(Deno.readTextFileSync(node.directory), node.text);
    node.assertOutsideUntouched();
  }
});

/** Values in a record that lead elsewhere, or that the kernel would take for others. */
const odd = fc.oneof(
  jsonText.map((text) => JSON.parse(text)),
  fc.constantFrom<unknown>(-1, 2 ** 32, 2 ** 32 + 2, 1e300, 0.5),
  fc.constantFrom("", "..", "/", "../../etc/passwd", "\0", "x".repeat(5000)),
);

Deno.test("a record with any value in some place leads to success or to one of CNI's codes", () => {
  const command = fc.constantFrom("DEL", "GC", "CHECK", "ADD");
  const property = fc.asyncProperty(fc.nat(), odd, command, async (at, value, command) => {
    using node = await HostileNode.added();
    const record = JSON.parse(Deno.readTextFileSync(node.path));
    const places = placesIn(record);
    const { holder, key } = places[at % places.length]!;
    holder[key] = value;
    node.write(FILE, JSON.stringify(record));
    const { code, json } = await node.call(command);
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
