/** Writes the man pages of the program and its commands into dist/man. */
import { messageOf } from "../../src/sys/errno.ts";
import { VERSION } from "../../src/version.ts";
import { denoEnv, PROJECT, runChild } from "./child.ts";
import { commandPages } from "./man/commands.ts";
import { describeProgram } from "./man/help.ts";
import { formatPage, reference, section } from "./man/roff.ts";
import { settingsPage } from "./man/settings.ts";

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
 * @returns the names of the files
 * @throws {Error} if a page cannot be made or written, or SOURCE_DATE_EPOCH is not a number
 */
export async function writeManPages(directory: string): Promise<string[]> {
  const read = (path: string) => Deno.readTextFileSync(`${PROJECT}${path}`);
  const settings = settingsPage(read("deployment/packages/rdma-cni.conf"), read("examples/roce.conflist"));
  const pages = [...await commandPages(describeProgram()), settings];
  const date = await dateOf();
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

/** The day of SOURCE_DATE_EPOCH (reproducible-builds.org), else of the commit; empty in a copy that has neither. */
async function dateOf(): Promise<string> {
  const seconds = Deno.env.get("SOURCE_DATE_EPOCH") ?? await commitTime();
  if (seconds === undefined) return "";
  if (!/^\d+$/.test(seconds)) {
    throw new Error(
      `Cannot date the man pages: SOURCE_DATE_EPOCH is "${seconds}", expected seconds since 1970`,
    );
  }
  return new Date(Number(seconds) * 1000).toISOString().slice(0, 10);
}

async function commitTime(): Promise<string | undefined> {
  // Without this git would look in the directories above, for a repository that is not ours.
  if (!await Deno.stat(`${PROJECT}.git`).catch(() => undefined)) return undefined;
  return (await runChild("git", ["log", "-1", "--format=%ct"], { cwd: PROJECT, env: denoEnv() })).trim();
}

if (import.meta.main) {
  const directory = `${PROJECT}dist/man`;
  try {
    const files = await writeManPages(directory);
    console.error(files.map((file) => `wrote "${directory}/${file}"`).join("\n"));
  } catch (error) {
    console.error(messageOf(error));
    Deno.exit(1);
  }
}
