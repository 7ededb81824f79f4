// validate as a command: what it does when the program itself fails.
import { runCommand } from "../../src/cli/command.ts";
import { configSchema } from "../../src/plugin/config/schema.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";
import { PROJECT } from "../support/project.ts";
import { TestTerminal } from "../support/terminal.ts";

for (const options of [[], ["--json"], ["--strict"]]) {
  Deno.test(`a fault of this program is not shown as one of the file: validate ${options}`, async () => {
    const terminal = new TestTerminal();
    const { safeParse } = configSchema;
    configSchema.safeParse = () => {
      throw new TypeError("injected");
    };
    try {
      const args = ["validate", ...options, `${PROJECT}examples/roce.conflist`];
      assertEquals(await runCommand("rdma-cni", args, new MemoryNodeKernel(), terminal), 1);
    } finally {
      configSchema.safeParse = safeParse;
    }
    const { stdout, stderr } = terminal;
    const { error, fix: text } = stdout ? JSON.parse(stdout) : {};
    const told = options.includes("--json") ? [stderr, `rdma-cni: ${error}\n${text}\n`] : [stdout, stderr];
    assertEquals(told[0], "");
    const [message, advice, ...others] = told[1]!.split("\n");
    assertMatch(message!, /^rdma-cni: Cannot check "[^"]*examples\/roce\.conflist": injected$/);
    assertMatch(
      advice!,
      /^This is a fault of rdma-cni: please report it: TypeError: injected at .* at explainFaults /,
    );
    assertEquals(others, [""]);
  });
}
