// The commit and the time that a build says that it is of.
import { parseCommit, readCommit, readTime } from "../../deployment/build/commit.ts";
import { run } from "../rig/vm/node/packages.ts";
import { assertEquals, assertMatch, assertRejects, assertThrows } from "../support/assert.ts";
import { DOCUMENTS } from "../support/documents.ts";
import { PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";

const UNKNOWN = { hash: "unknown", date: "unknown" };
const DATE = "2026-11-26T16:00:00Z";

/** A directory with a repository of one commit, which was made in another time zone. */
async function makeRepository(): Promise<TestDirectory> {
  const directory = new TestDirectory();
  const script = `
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=b HOME="$PWD"
    export GIT_COMMITTER_DATE=2026-11-26T18:00:00+02:00
    git init --quiet && echo one >file && git add file
    git commit --quiet --message one && git tag --annotate --message one v1`;
  await run("sh", ["-ec", script], directory.path);
  return directory;
}

Deno.test("a build is of the commit that is checked out, and has its date in UTC; of changed files it says so", async () => {
  using repository = await makeRepository();
  const { hash, date } = await readCommit(repository.path);
  assertMatch(hash, /^[0-9a-f]{40}$/);
  assertEquals(date, DATE);
  assertEquals(parseCommit(`${hash} ${date}`), { hash, date });
  await Deno.writeTextFile(`${repository.path}/file`, "two\n");
  assertEquals(await readCommit(repository.path), { hash: `${hash}-modified`, date });
});

Deno.test("a tree without git is of an unknown commit, also below a repository", async () => {
  using repository = await makeRepository();
  await Deno.mkdir(`${repository.path}/below`);
  assertEquals(await readCommit(`${repository.path}/below`), UNKNOWN);
  await Deno.remove(`${repository.path}/.git`, { recursive: true });
  assertEquals(await readCommit(repository.path), UNKNOWN);
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

Deno.test("each command of the documents that builds the image tells it the commit", async () => {
  using repository = await makeRepository();
  const { hash } = await readCommit(repository.path);
  for (const command of IMAGE_BUILDS) {
    const [, argument] = / --build-arg COMMIT=("\$\(.*?\)")/.exec(command) ?? [];
    const commit = parseCommit(await run("sh", ["-c", `printf %s ${argument}`], repository.path));
    assertEquals([commit.hash, Date.parse(commit.date)], [hash, Date.parse(DATE)], command);
  }
});
