/** The commit that a build is of. */
import { PROJECT, runChild } from "./child.ts";

/** A commit of this project, or texts that say that it is not known. */
export interface Commit {
  /** Its hash; with "-modified" if files are not as they are there. */
  hash: string;
  /** The time of the commit, in UTC as ISO 8601 has it. */
  date: string;
}

const UNKNOWN: Commit = { hash: "unknown", date: "unknown" };

/** Asks git. A tree without `.git`, or a machine without git, makes an unknown one. */
export async function readCommit(directory = PROJECT, signal?: AbortSignal): Promise<Commit> {
  // Never a repository that the directory lies in, and no question of who owns this one.
  const git = (...args: string[]) => {
    const env = { PATH: Deno.env.get("PATH") ?? "", TZ: "UTC" };
    return runChild("git", ["--git-dir", ".git", ...args], { cwd: directory, env, signal });
  };
  try {
    const hash = await git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-modified");
    const date = await git("show", "--no-patch", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ");
    return { hash: hash.trim(), date: date.trim() };
  } catch (error) {
    if (signal?.aborted) throw error;
    return UNKNOWN;
  }
}

/** @param text a hash and a date, with a space between them @throws {Error} on anything else */
export function parseCommit(text: string): Commit {
  const [match, hash, date] = /^([\w-]+) ([\w:+-]+)$/.exec(text) ?? [];
  if (match === undefined) {
    throw new Error(`Cannot read commit ${JSON.stringify(text)}, wanted its hash and date`);
  }
  return { hash: hash!, date: date! };
}

/**
 * Reads the time that what is built has, in seconds since 1970: that of SOURCE_DATE_EPOCH (reproducible-builds.org), else
 * of the commit; undefined in a tree that has neither.
 *
 * @throws {Error} if SOURCE_DATE_EPOCH is not a number
 */
export async function readTime(): Promise<number | undefined> {
  const given = Deno.env.get("SOURCE_DATE_EPOCH");
  if (given === undefined) {
    const time = Date.parse((await readCommit()).date) / 1000;
    return Number.isNaN(time) ? undefined : time;
  }
  if (/^\d+$/.test(given)) return Number(given);
  throw new Error(`Cannot date what is built: SOURCE_DATE_EPOCH is "${given}", expected seconds since 1970`);
}
