// The commit and the time that a build says that it is of.
import { parseCommit, readCommit, readTime } from "../../deployment/build/commit.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "../support/assert.ts";
import { DOCUMENTS } from "../support/documents.ts";
import { PROJECT } from "../support/project.ts";

const UNKNOWN = { hash: "unknown", date: "unknown" };
const DATE = "2026-11-26T16:00:00Z";

/** A directory with a repository of one commit, which was made in another time zone. */
async function withRepository(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    const script = `
      git init --quiet && echo one >file && git add file
      git commit --quiet --message one && git tag --annotate --message one v1`;
    const author = {
      GIT_AUTHOR_NAME: "a",
      GIT_AUTHOR_EMAIL: "b",
      GIT_COMMITTER_NAME: "a",
      GIT_COMMITTER_EMAIL: "b",
    };
    const env = { ...author, GIT_COMMITTER_DATE: "2026-11-26T18:00:00+02:00", HOME: directory };
    const { success } = await new Deno.Command("sh", { args: ["-ec", script], cwd: directory, env }).output();
    assert(success);
    await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a build is of the commit that is checked out, and has its date in UTC", () => {
  return withRepository(async (directory) => {
    const { hash, date } = await readCommit(directory);
    assertMatch(hash, /^[0-9a-f]{40}$/);
    assertEquals(date, DATE);
    assertEquals(parseCommit(`${hash} ${date}`), { hash, date });
  });
});

Deno.test("a build of changed files says so", () => {
  return withRepository(async (directory) => {
    await Deno.writeTextFile(`${directory}/file`, "two\n");
    assertMatch((await readCommit(directory)).hash, /^[0-9a-f]{40}-modified$/);
  });
});

Deno.test("a tree without git is of an unknown commit, also below a repository", () => {
  return withRepository(async (directory) => {
    await Deno.mkdir(`${directory}/below`);
    assertEquals(await readCommit(`${directory}/below`), UNKNOWN);
    await Deno.remove(`${directory}/.git`, { recursive: true });
    assertEquals(await readCommit(directory), UNKNOWN);
  });
});

Deno.test("a commit that is given to the build must be a hash and a date", () => {
  assertEquals(parseCommit("unknown unknown"), UNKNOWN);
  for (const text of ["5d1f0c3", `5d1f0c3 ${DATE} more`, ` ${DATE}`, `"; exit ${DATE}`]) {
    assertThrows(() => parseCommit(text), Error, "wanted its hash and date");
  }
});

Deno.test("the time of a build is that of SOURCE_DATE_EPOCH, which has to be a number, or of the commit", async () => {
  const before = Deno.env.get("SOURCE_DATE_EPOCH");
  try {
    Deno.env.set("SOURCE_DATE_EPOCH", "86400");
    assertEquals(await readTime(), 86400);
    Deno.env.set("SOURCE_DATE_EPOCH", "yesterday");
    await assertRejects(() => readTime(), Error, 'SOURCE_DATE_EPOCH is "yesterday"');
    Deno.env.delete("SOURCE_DATE_EPOCH");
    const time = Date.parse((await readCommit()).date) / 1000;
    assertEquals(await readTime(), Number.isNaN(time) ? undefined : time);
  } finally {
    if (before === undefined) Deno.env.delete("SOURCE_DATE_EPOCH");
    else Deno.env.set("SOURCE_DATE_EPOCH", before);
  }
});

/** The commands that build the image, on one line each; images of the examples have a directory of their own. */
const IMAGE_BUILDS = (DOCUMENTS + Deno.readTextFileSync(`${PROJECT}examples/README.md`))
  .replaceAll(/\\\n\s*/g, "").match(/^(?:\$ )?(?:podman|buildah) build .* \.$/gm)!;

Deno.test("each command of the documents that builds the image tells it the commit", () => {
  return withRepository(async (cwd) => {
    const { hash } = await readCommit(cwd);
    for (const command of IMAGE_BUILDS) {
      const [, argument] = / --build-arg COMMIT=("\$\(.*?\)")/.exec(command) ?? [];
      const { stdout } = await new Deno.Command("sh", { args: ["-c", `printf %s ${argument}`], cwd })
        .output();
      const commit = parseCommit(new TextDecoder().decode(stdout));
      assertEquals([commit.hash, Date.parse(commit.date)], [hash, Date.parse(DATE)], command);
    }
  });
});
