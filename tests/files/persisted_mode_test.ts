import { readPersistedMode } from "../../src/cli/netns_mode/persist.ts";
import { assertEquals } from "../support/assert.ts";
import { Root } from "./root.ts";

Deno.test("persisted mode: nothing says anything", () => {
  using root = new Root({});
  assertEquals(readPersistedMode(root.path), { sources: [] });
});

Deno.test("persisted mode: a file, with its line", () => {
  using root = new Root({ "/etc/modprobe.d/a.conf": "# mode\noptions ib_core netns_mode=0\n" });
  const sources = [{ file: "/etc/modprobe.d/a.conf", line: 2, mode: "exclusive" as const }];
  assertEquals(readPersistedMode(root.path), { mode: "exclusive", sources });
});

for (const directory of ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"]) {
  Deno.test(`persisted mode: ${directory}/modprobe.d is read`, () => {
    using root = new Root({ [`${directory}/modprobe.d/a.conf`]: "options ib_core netns_mode=0" });
    assertEquals(readPersistedMode(root.path).sources.map(({ file }) => file), [
      `${directory}/modprobe.d/a.conf`,
    ]);
  });
}

Deno.test("persisted mode: by name the last file counts, whatever its directory", () => {
  using root = new Root({
    "/etc/modprobe.d/b.conf": "options ib_core netns_mode=0",
    "/usr/lib/modprobe.d/c.conf": "options ib_core netns_mode=1",
    "/run/modprobe.d/a.conf": "options ib_core netns_mode=0",
  });
  const { mode, sources } = readPersistedMode(root.path);
  assertEquals([mode, ...sources.map(({ file }) => file)], [
    "shared",
    "/run/modprobe.d/a.conf",
    "/etc/modprobe.d/b.conf",
    "/usr/lib/modprobe.d/c.conf",
  ]);
});

Deno.test("persisted mode: a file hides those of its name in less important directories", () => {
  using root = new Root({
    "/lib/modprobe.d/a.conf": "options ib_core netns_mode=1",
    "/usr/lib/modprobe.d/a.conf": "options ib_core netns_mode=1",
    "/usr/local/lib/modprobe.d/a.conf": "options ib_core netns_mode=1",
    "/run/modprobe.d/a.conf": "options ib_core netns_mode=1",
    "/etc/modprobe.d/a.conf": "",
  });
  assertEquals(readPersistedMode(root.path), { sources: [] });
});

Deno.test("persisted mode: the kernel command line overrules the files", () => {
  using root = new Root({
    "/etc/modprobe.d/zzz.conf": "options ib_core netns_mode=0",
    "/proc/cmdline": "quiet ib_core.netns_mode=1\n",
  });
  const { mode, sources } = readPersistedMode(root.path);
  assertEquals([mode, sources.at(-1)], ["shared", { file: "/proc/cmdline", line: 1, mode: "shared" }]);
});

Deno.test("persisted mode: directories, hidden files and files of other names are passed over", () => {
  const text = "options ib_core netns_mode=0";
  using root = new Root({
    "/etc/modprobe.d/sub.conf/a.conf": text,
    "/etc/modprobe.d/a.conf.rpmsave": text,
    "/etc/modprobe.d/.a.conf": text,
  });
  assertEquals(readPersistedMode(root.path), { sources: [] });
});
