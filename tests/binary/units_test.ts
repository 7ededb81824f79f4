// The systemd units of deployment/, by systemd itself.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { filesIn, PROJECT } from "../support/project.ts";
import { TestDirectory } from "../support/test_directory.ts";

const UNITS = filesIn("deployment", ".service").map((path) => {
  const text = Deno.readTextFileSync(PROJECT + path);
  /** The settings that a service has by itself. */
  const defaults = Array.from(
    text.matchAll(/^Environment="?(\w+)=(.*?)"?$/gm),
    ([, name, value]) => [name!, value!] as const,
  );
  return { path: PROJECT + path, name: path.split("/").at(-1)!, text, defaults };
});

Deno.test("there are units", () => assert(UNITS.length > 0));

for (const { path, name, text } of UNITS) {
  Deno.test(`${name} is accepted by systemd-analyze verify, and rated below 5 by security`, async () => {
    using directory = new TestDirectory();
    // verify wants the program to be there, under a name without quotation marks and the like.
    const program = `${directory.path}/rdma`;
    const copy = `${directory.path}/${name}`;
    await Deno.symlink(PROGRAM, program);
    await Deno.writeTextFile(copy, text.replaceAll("/opt/cni/bin/rdma", program));
    const analyze = (...args: string[]) => start({ program: "systemd-analyze", args, env: { LC_ALL: "C" } });
    const { code, stderr } = await analyze("verify", "--man=no", copy);
    assertEquals([code, stderr], [0, ""]);
    const rated = await analyze("security", "--offline=true", "--threshold=49", path);
    assertEquals(rated.code, 0, rated.stdout);
  });
}

Deno.test("the packages' settings are those of the services, with the same values", () => {
  const text = Deno.readTextFileSync(`${PROJECT}deployment/packages/rdma-cni.conf`);
  const settings = Array.from(text.matchAll(/^(\w+)=(.*)$/gm), ([, name, value]) => [name!, value!]);
  const used = UNITS.flatMap(({ defaults }) => defaults);
  assertEquals(settings.sort(), [["CNI_BIN_DIR", "/opt/cni/bin"], ...used].sort());
  for (const { text } of UNITS) assertMatch(text, /^EnvironmentFile=-\/etc\/rdma-cni\.conf$/m);
});
