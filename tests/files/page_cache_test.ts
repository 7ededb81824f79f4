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
  const files = [1, 2].map(() => Deno.makeTempFileSync({ dir: "/var/tmp" }));
  for (const path of files) {
    Deno.writeFileSync(path, new Uint8Array(1024 * 1024));
    using written = Deno.openSync(path, { write: true });
    written.syncSync();
    assert(pagesOf(path) > 0);
  }
  dropFromCache(files[0]!);
  assertEquals(files.map((path) => pagesOf(path) > 0), [false, true]);
  for (const path of files) Deno.removeSync(path);
});
