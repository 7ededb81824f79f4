// Which files wait for the disk.
import { OPTIONS_FILE } from "../../src/cli/netns_mode/persist.ts";
import { setMode } from "../../src/cli/netns_mode/set.ts";
import { TestNode } from "../rig/memory/node.ts";
import { assertEquals } from "../support/assert.ts";

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
  const attachment = { network: "net", containerID: "container1", ifname: "net1" };
  assertEquals(filesAtSync(node.directory, () => node.state.save({ ...node.record(), attachment })), []);
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
