import { dropFromCache } from "../../src/sys/files.ts";
import { libc } from "../../src/sys/libc.ts";
import { assert, assertEquals } from "../support/assert.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

/** The pages of a file that are in the page cache. */
function pagesOf(path: string): number {
  const { stdout } = new Deno.Command("fincore", { args: ["-n", "-o", "PAGES", path] }).outputSync();
  return Number(new TextDecoder().decode(stdout));
}

Deno.test("a file that is on the disk leaves the page cache, another one stays", () => {
  // Not in the usual place, which may be a tmpfs: its pages have nowhere else to be.
  const directory = Deno.makeTempDirSync({ dir: "/var/tmp" });
  try {
    const [file, other] = [`${directory}/file`, `${directory}/other`];
    for (const path of [file, other]) {
      Deno.writeFileSync(path, new Uint8Array(1024 * 1024));
      using written = Deno.openSync(path, { write: true });
      written.syncSync();
      assert(pagesOf(path) > 0);
    }
    dropFromCache(file);
    assertEquals([pagesOf(file), pagesOf(other) > 0], [0, true]);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
