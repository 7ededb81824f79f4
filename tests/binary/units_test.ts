// The systemd units of deployment/, by systemd itself.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { filesIn, PROJECT } from "../support/project.ts";

const INSTALLED = "/opt/cni/bin/rdma";
const UNITS = [...filesIn("deployment", ".service"), ...filesIn("deployment", ".timer")];
const nameOf = (unit: string) => unit.split("/").at(-1)!;
const textOf = (unit: string) => Deno.readTextFileSync(`${PROJECT}${unit}`);

Deno.test("there are units", () => assert(UNITS.length > 0));

for (const unit of UNITS) {
  Deno.test(`${nameOf(unit)} is accepted by systemd-analyze verify`, async () => {
    const directory = await Deno.makeTempDir();
    try {
      // verify wants the program to be there, under a name without quotation marks and the like, and a timer's service.
      const program = `${directory}/rdma`;
      await Deno.symlink(PROGRAM, program);
      for (const other of UNITS) {
        await Deno.writeTextFile(
          `${directory}/${nameOf(other)}`,
          textOf(other).replaceAll(INSTALLED, program),
        );
      }
      const { code, stderr } = await new Deno.Command("systemd-analyze", {
        args: ["verify", "--man=no", `${directory}/${nameOf(unit)}`],
        env: { LC_ALL: "C" },
      }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

const SERVICES = UNITS.filter((unit) => unit.endsWith(".service"));

/** The settings that a service has by itself, by their names. */
function defaultsOf(unit: string): Map<string, string> {
  return new Map(
    [...textOf(unit).matchAll(/^Environment="?(\w+)=(.*?)"?$/gm)].map(([, name, value]) => [name!, value!]),
  );
}

for (const unit of SERVICES) {
  Deno.test(`${nameOf(unit)} starts commands that exist`, async () => {
    const lines = [...textOf(unit).matchAll(/^ExecStart=(.*)$/gm)].map(([, line]) =>
      line!.replaceAll(/\$(\w+)/g, (_, name) => defaultsOf(unit).get(name)!).trim().split(" ")
    );
    assert(lines.length > 0);
    for (const [program, ...words] of lines) {
      assertEquals(program, INSTALLED);
      // Metrics go nowhere, and what changes a node is only shown.
      const args = words[0] === "pods"
        ? words.map((word) => word.replace(/^\/.*/, "/nonexistent"))
        : [...words, "--dry-run"];
      const { code, stderr } = await start({ args });
      assert(code !== 2, `${args.join(" ")}: ${stderr}`);
    }
  });
}

Deno.test("the packages' settings are those of the services, with the same values", () => {
  const text = Deno.readTextFileSync(`${PROJECT}deployment/packages/rdma-cni.conf`);
  const settings = [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]);
  const used = SERVICES.flatMap((unit) => [...defaultsOf(unit)]);
  assertEquals(settings.sort(), [["CNI_BIN_DIR", "/opt/cni/bin"], ...used].sort());
  for (const unit of SERVICES) assertMatch(textOf(unit), /^EnvironmentFile=-\/etc\/rdma-cni\.conf$/m);
});
