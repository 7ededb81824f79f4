// What the simulated node's set-up makes of what apt says; with an apt and a mirror of its own.
import assert from "node:assert/strict";
import { runApt } from "../rig/vm/node/packages.ts";
import { KernelUnavailable, unpackKernel } from "../rig/vm/node/kernel.ts";
import { Mirror, OwnApt } from "../support/own_apt.ts";

/** Why Linux 7.3, which is in trixie-backports, cannot be had. */
async function refusal(apt: OwnApt): Promise<Error> {
  const kernel = `${apt.directory}/kernel`;
  return await apt.within(() => unpackKernel(kernel, "7.3", () => {})).then(
    () => assert.fail("there is no such kernel"),
    (error) => error,
  );
}

const KERNEL = "Linux 7\\.3 is not to be had: ";
const LIST = 'Cannot get the list of "trixie-backports" from http://127\\.0\\.0\\.1:\\d+/: ';

Deno.test("a kernel is not to be had when the mirror does not have its suite", async () => {
  await using mirror = new Mirror(["trixie"]);
  using apt = new OwnApt(mirror.url);
  const error = await refusal(apt);
  assert.ok(error instanceof KernelUnavailable, error.message);
  assert.match(
    error.message,
    new RegExp(`^${KERNEL}${LIST}The repository '.*' does not have a Release file\\.$`),
  );
});

Deno.test("a kernel is not to be had when its suite does not have it", async () => {
  await using mirror = new Mirror(["trixie", "trixie-backports"]);
  using apt = new OwnApt(mirror.url, 'Acquire::AllowInsecureRepositories "true";');
  const error = await refusal(apt);
  assert.ok(error instanceof KernelUnavailable, error.message);
  assert.match(
    error.message,
    new RegExp(`^${KERNEL}trixie-backports has no package linux-image-7\\.3\\.\\*-amd64$`),
  );
});

for (const status of [403, 407, 503]) {
  Deno.test(`an answer ${status} says nothing of what the mirror has`, async () => {
    await using mirror = new Mirror(["trixie"], status);
    using apt = new OwnApt(mirror.url);
    const error = await refusal(apt);
    assert.equal(error.constructor, Error, error.message);
    assert.match(error.message, new RegExp(`^${LIST}Failed to fetch .* ${status} `));
  });
}

Deno.test("neither does a mirror that cannot be reached", async () => {
  const mirror = new Mirror(["trixie"]);
  using apt = new OwnApt(mirror.url);
  await apt.within(() => runApt(["update"], () => {}));
  await mirror[Symbol.asyncDispose]();
  const error = await refusal(apt);
  assert.equal(error.constructor, Error, error.message);
  assert.match(error.message, new RegExp(`^${LIST}Failed to fetch .*connect`));
});
