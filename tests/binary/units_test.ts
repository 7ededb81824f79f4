// The systemd units of deployment/, by systemd itself.
import { assert, assertEquals } from "../support/assert.ts";
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

for (const unit of UNITS.filter((unit) => unit.endsWith(".service"))) {
  Deno.test(`${nameOf(unit)} starts commands that exist`, async () => {
    const lines = [...textOf(unit).matchAll(/^ExecStart=(.*)$/gm)].map(([, line]) => line!.split(" "));
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
