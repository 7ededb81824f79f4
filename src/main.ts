import { dispatch } from "./cni/dispatch.ts";
import { CNI_VERSIONS } from "./cni/version.ts";
import { LinuxKernel } from "./kernel/linux.ts";
import { createHandlers } from "./plugin/handlers.ts";
import { State, STATE_FOLDER } from "./plugin/state.ts";
import { currentProcess, writeError } from "./process.ts";
import { VERSION } from "./version.ts";

const ABOUT = `rdma-cni ${VERSION}: moves the RDMA device of a pod's network function into the pod
CNI protocol versions supported: ${CNI_VERSIONS.join(", ")}
Container runtimes run it as a chained plugin of type "rdma", with CNI_COMMAND set.
`;

/** Exit code of a command line that cannot be understood. */
const EXIT_USAGE = 2;

async function main(): Promise<number> {
  const process = currentProcess();
  if (process.getEnv("CNI_COMMAND")) {
    return await dispatch(process, createHandlers(new LinuxKernel(), new State(STATE_FOLDER)));
  }
  const [argument] = Deno.args;
  if (argument === "--version") {
    process.writeOutput(`rdma-cni ${VERSION}\n`);
    return 0;
  }
  writeError(argument === undefined ? ABOUT : `Unknown argument ${JSON.stringify(argument)}\n${ABOUT}`);
  return argument === undefined ? 0 : EXIT_USAGE;
}

try {
  Deno.exit(await main());
} catch (error) {
  // Left uncaught it would cost 50 ms and print escape sequences.
  writeError(`rdma-cni: ${error instanceof Error ? error.stack : error}\n`);
  Deno.exit(1);
}
