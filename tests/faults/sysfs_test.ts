// Whatever stands where sysfs should, looking something up ends with a value of the right form.
import fc from "fast-check";
import { getFunctionDevices, getPfDeviceId, getVfDeviceId, listPfNetdevs } from "../../src/kernel/pci.ts";
import { getBusDevice } from "../../src/kernel/sysfs.ts";
import { directoryOf } from "../../src/sys/files.ts";
import { libc } from "../../src/sys/libc.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { runs } from "./form.ts";

libc(); // opened once for the process: a test would be blamed for the leak

const [PF, VF] = ["0000:01:00.0", "0000:01:10.4"];
const NO_NAMES = ["..", "a\nb", "é".repeat(200)];
const FUNCTIONS = [PF, VF, "mlx5_core.sf.4", "", ".", "\ud800", "x".repeat(300), "a\0", ...NO_NAMES];

/** Directories and files that are looked at, each of which may be anything. */
const PLACES = ["pci/devices/0000:01:00.0", "pci/devices/0000:01:10.4", "auxiliary/devices/mlx5_core.sf.4"]
  .flatMap((device) =>
    ["", "/driver", "/physfn", "/sriov_numvfs", "/sriov_totalvfs", "/net", "/net/eth0", "/net/a\nb"]
      .concat("/net/eth0/address", "/infiniband", "/infiniband/mlx5_0", "/infiniband/a\nb\u001b[2J")
      .concat("/infiniband_verbs", "/infiniband_verbs/uverbs0", "/infiniband_verbs/uverbs0/ibdev")
      .map((part) => `sys/bus/${device}${part}`)
  )
  .concat("sys/bus/pci/devices")
  .concat(["", "/device", "/device/virtfn0"].map((part) => `sys/class/net/eth0${part}`));

const content = fc.oneof(
  fc.constantFrom(
    "",
    "\n",
    "7\n",
    "-1",
    "0x10",
    "1e400",
    "NaN",
    "mlx5_0\n",
    "../../etc",
    "\0",
    "9".repeat(5000),
  ),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.uint8Array({ maxLength: 20 }),
);
/** None of them leads out of the tree to a place where something can be made. */
const target = fc.constantFrom(
  ...[".", "nowhere", "../infiniband", "/dev/null", "/proc/self", "../../drivers/mlx5_core", "self"],
);

/** Makes something at a path. */
type Thing = (path: string) => void;

const thing: fc.Arbitrary<Thing> = fc.oneof(
  fc.constant<Thing>((path) => Deno.mkdirSync(path)),
  content.map((content): Thing => (path) => write(path, content)),
  target.map((target): Thing => (path) => Deno.symlinkSync(target === "self" ? path : target, path)),
);
const tree = fc.array(fc.tuple(fc.constantFrom(...PLACES), thing), { maxLength: 25 });

function write(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  Deno.writeFileSync(path, bytes, { createNew: true });
}

/** A temporary directory with such things in it, as far as they can stand there together. */
class Tree implements Disposable {
  readonly root = Deno.makeTempDirSync();

  constructor(things: readonly (readonly [string, Thing])[]) {
    for (const [path, make] of things) {
      try {
        Deno.mkdirSync(directoryOf(`${this.root}/${path}`), { recursive: true });
        make(`${this.root}/${path}`);
      } catch {
        // Something else is in its place, or in that of a directory above.
      }
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

const isName = (name: string) => name !== "" && !name.includes("/");

Deno.test("devices are found or not, whatever the tree of a bus holds", () => {
  const property = fc.property(tree, (things) => {
    using tree = new Tree(things);
    for (const id of FUNCTIONS) {
      const device = getBusDevice(id, tree.root);
      if (!device) continue;
      const names = [...device.rdmaDevices, ...device.uverbs.map(({ name }) => name)];
      const isGood = [device.id === id, !Number.isNaN(device.enabledVfs), names.every(isName)];
      assertEquals(isGood, [true, true, true], JSON.stringify(device));
    }
    for (const name of listPfNetdevs(tree.root)) assert(isName(name), name);
    for (const netdev of ["eth0", ...NO_NAMES]) {
      for (const id of [getVfDeviceId(netdev, 0, tree.root), getPfDeviceId(netdev, tree.root)]) {
        assert(!id?.includes("/"), `${id}`);
      }
    }
    for (const id of [PF, VF]) assert(Array.isArray(getFunctionDevices(id, tree.root).netdevs));
  });
  fc.assert(property, runs(150, 5000));
});

Deno.test("a huge file is read to its end and is no number and no name of a device", () => {
  const directory = `sys/bus/pci/devices/${VF}`;
  const length = 16 * 1024 * 1024;
  const huge: Thing = (path) => write(path, new Uint8Array(length).fill(0x41));
  using tree = new Tree([
    [`${directory}/sriov_numvfs`, huge],
    [`${directory}/infiniband_verbs/uverbs0/ibdev`, huge],
  ]);
  const { enabledVfs, uverbs } = getBusDevice(VF, tree.root)!;
  assertEquals([enabledVfs, uverbs.map(({ rdmaDevice }) => rdmaDevice.length)], [0, [length]]);
});
