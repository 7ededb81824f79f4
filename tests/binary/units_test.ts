// The systemd units of deployment/, by systemd itself.
import { assert, assertEquals } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { filesIn, PROJECT } from "../support/project.ts";

const INSTALLED = "/opt/cni/bin/rdma";
const SERVICES = filesIn("deployment", ".service");
const UNITS = [...SERVICES, ...filesIn("deployment", ".timer")];

Deno.test("there are units", () => assert(UNITS.length > 0));

for (const unit of UNITS) {
  const name = unit.split("/").at(-1)!;
  const text = Deno.readTextFileSync(`${PROJECT}${unit}`);

  Deno.test(`${name} is accepted by systemd-analyze verify`, async () => {
    const directory = await Deno.makeTempDir();
    try {
      // verify wants the program to be there, under a name without quotation marks and the like.
      const program = `${directory}/rdma`;
      await Deno.symlink(PROGRAM, program);
      // A timer wants its service.
      for (const path of UNITS.filter((path) => path.startsWith(unit.replace(/\.\w+$/, ".")))) {
        const text = Deno.readTextFileSync(`${PROJECT}${path}`);
        await Deno.writeTextFile(
          `${directory}/${path.split("/").at(-1)}`,
          text.replaceAll(INSTALLED, program),
        );
      }
      const { code, stderr } = await new Deno.Command("systemd-analyze", {
        args: ["verify", "--man=no", `${directory}/${name}`],
        env: { LC_ALL: "C" },
      }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });

  if (!SERVICES.includes(unit)) continue;

  Deno.test(`${name} starts commands that exist`, async () => {
    const lines = [...text.matchAll(/^ExecStart=(.*)$/gm)].map(([, line]) => line!.split(" "));
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
