/** Writes the man pages of the program and its commands into dist/man. */
import { messageOf } from "../../src/sys/errno.ts";
import { VERSION } from "../../src/version.ts";
import { PROJECT } from "../build/child.ts";
import { readTime } from "../build/commit.ts";
import { commandPages } from "./commands.ts";
import { formatPage, reference, section } from "./roff.ts";
import { settingsPage } from "./settings.ts";

/** Pages of others. */
const SEE_ALSO = [
  { name: "devlink", volume: 8 },
  { name: "ip-link", volume: 8 },
  { name: "modprobe.d", volume: 5 },
  { name: "rdma", volume: 8 },
];

/**
 * Writes the man pages into a directory, which is made if it is not there. The same commit makes the same pages.
 *
 * @param time their date, in seconds since 1970; without one they have none
 * @returns the names of the files
 * @throws {Error} if a page cannot be made or written
 */
export async function writeManPages(directory: string, time: number | undefined): Promise<string[]> {
  const read = (path: string) => Deno.readTextFileSync(`${PROJECT}${path}`);
  const settings = settingsPage(read("deployment/packages/rdma-cni.conf"), read("examples/roce.conflist"));
  const pages = [...await commandPages(), settings];
  const date = time === undefined ? "" : new Date(time * 1000).toISOString().slice(0, 10);
  Deno.mkdirSync(directory, { recursive: true });
  return pages.map((page) => {
    const others = [...pages, ...SEE_ALSO].filter(({ name }) => name !== page.name)
      .sort((a, b) => a.volume - b.volume || (a.name < b.name ? -1 : 1));
    const sections = [...page.sections, section("SEE ALSO", [others.map(reference).join(",\n")])];
    const file = `${page.name}.${page.volume}`;
    Deno.writeTextFileSync(
      `${directory}/${file}`,
      formatPage({ ...page, sections }, date, `rdma-cni ${VERSION}`),
    );
    return file;
  });
}

if (import.meta.main) {
  const directory = `${PROJECT}dist/man`;
  try {
    const files = await writeManPages(directory, await readTime());
    console.error(files.map((file) => `wrote "${directory}/${file}"`).join("\n"));
  } catch (error) {
    console.error(messageOf(error));
    Deno.exit(1);
  }
}
