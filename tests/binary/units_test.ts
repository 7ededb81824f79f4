// The systemd units of deployment/, by systemd itself.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { filesIn, PROJECT } from "../support/project.ts";

const INSTALLED = "/opt/cni/bin/rdma";
const UNITS = filesIn("deployment", ".service");
const nameOf = (unit: string) => unit.split("/").at(-1)!;
const textOf = (unit: string) => Deno.readTextFileSync(`${PROJECT}${unit}`);

Deno.test("there are units", () => assert(UNITS.length > 0));

for (const unit of UNITS) {
  Deno.test(`${nameOf(unit)} is accepted by systemd-analyze verify`, async () => {
    const directory = await Deno.makeTempDir();
    try {
      // verify wants the program to be there, under a name without quotation marks and the like.
      const program = `${directory}/rdma`;
      const copy = `${directory}/${nameOf(unit)}`;
      await Deno.symlink(PROGRAM, program);
      await Deno.writeTextFile(copy, textOf(unit).replaceAll(INSTALLED, program));
      const { code, stderr } = await new Deno.Command("systemd-analyze", {
        args: ["verify", "--man=no", copy],
        env: { LC_ALL: "C" },
      }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

for (const unit of UNITS) {
  Deno.test(`${nameOf(unit)} is rated below 5 by systemd-analyze security`, async () => {
    const { code, stdout } = await new Deno.Command("systemd-analyze", {
      args: ["security", "--offline=true", "--threshold=49", `${PROJECT}${unit}`],
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stdout));
  });
}

/** The settings that a service has by itself, by their names. */
function defaultsOf(unit: string): Map<string, string> {
  return new Map(
    [...textOf(unit).matchAll(/^Environment="?(\w+)=(.*?)"?$/gm)].map(([, name, value]) => [name!, value!]),
  );
}

for (const unit of UNITS) {
  Deno.test(`${nameOf(unit)} starts commands that exist`, async () => {
    const lines = [...textOf(unit).matchAll(/^ExecStart=(.*)$/gm)].map(([, line]) =>
      line!.replaceAll(/\$(\w+)/g, (_, name) => defaultsOf(unit).get(name)!).trim().split(" ")
    );
    assert(lines.length > 0);
    for (const [program, ...words] of lines) {
      assertEquals(program, INSTALLED);
      // What changes a node is only shown, and no agent stays.
      const args = [...words, words[0] === "agent" ? "--check" : "--dry-run"];
      const { code, stderr } = await start({ args });
      assert(code !== 2, `${args.join(" ")}: ${stderr}`);
    }
  });
}

Deno.test("the packages' settings are those of the services, with the same values", () => {
  const text = Deno.readTextFileSync(`${PROJECT}deployment/packages/rdma-cni.conf`);
  const settings = [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]);
  const used = UNITS.flatMap((unit) => [...defaultsOf(unit)]);
  assertEquals(settings.sort(), [["CNI_BIN_DIR", "/opt/cni/bin"], ...used].sort());
  for (const unit of UNITS) assertMatch(textOf(unit), /^EnvironmentFile=-\/etc\/rdma-cni\.conf$/m);
});
