import { SyscallError } from "../../kernel/error.ts";
import { awaitTermination, replaceProcess } from "../../kernel/termination.ts";
import type { Terminal } from "../terminal.ts";
import { WAITER } from "./waiter.ts";

/** What ps shows. */
const NAME = "rdma-cni: waiting to be stopped";

/**
 * Waits for SIGTERM or SIGINT, which have to be blocked. This process would take some 20 MB for that all the time, so a
 * tiny program takes its place, which then runs a command line or ends with code 0.
 *
 * @param then the command line, its program as an absolute path; empty for none
 * @returns only where memory may not be executed, and then when a signal has come; the command line is not run
 */
export function waitForTermination(terminal: Terminal, then: readonly string[]): void {
  try {
    replaceProcess(WAITER[Deno.build.arch], [NAME, ...then]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    terminal.err(`warning: waiting with all of this program in memory, some 20 MB: ${error.message}\n`);
    awaitTermination();
  }
}
