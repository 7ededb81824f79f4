import { dispatch } from "./cni/dispatch.ts";
import { currentProcess, writeError } from "./cni/stdio.ts";
import { LinuxKernel } from "./kernel/linux.ts";
import { INDEX_DIRECTORY, Memo } from "./plugin/record/memo.ts";
import { createPlugin } from "./plugin/plugin.ts";
import type { Node } from "./plugin/node.ts";
import { State, STATE_DIRECTORY } from "./plugin/record/state.ts";
import { toPrintable } from "./printable.ts";
import { SERVE } from "./version.ts";

/** What is exported stays in the executable, where `install --uninstall` looks for it. */
export { EXECUTABLE_MARKER } from "./version.ts";

async function main(): Promise<number> {
  const process = currentProcess();
  if (process.getEnv("CNI_COMMAND")) {
    return await dispatch(process, createPlugin(thisNode()));
  }
  if (Deno.args[0] === SERVE) {
    const { runAgent } = await import("./agent/main.ts");
    return await runAgent(JSON.parse(Deno.args[1]!));
  }
  const { runFromTerminal } = await import("./cli/main.ts");
  return await runFromTerminal(Deno.args);
}

function thisNode(): Node {
  return {
    kernel: new LinuxKernel(),
    state: new State(STATE_DIRECTORY),
    indexes: new Memo(INDEX_DIRECTORY),
  };
}

main().then((code) => Deno.exit(code), (error) => {
  // Left uncaught it would cost 50 ms and print escape sequences.
  const text = `rdma-cni: ${error instanceof Error ? error.stack : error}`;
  for (const line of text.split("\n")) writeError(`${toPrintable(line)}\n`);
  Deno.exit(1);
});
