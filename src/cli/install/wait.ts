import { SyscallError } from "../../sys/errno.ts";
import { awaitTermination, replaceProcess } from "../../sys/signals.ts";
import type { Terminal } from "../terminal.ts";

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

/**
 * The program that waits in this one's place, for each architecture: a whole ELF file of some 260 bytes. Its source is
 * beside this file and tells what it does; a test assembles it and compares.
 */
export const WAITER = {
  x86_64: Uint8Array.fromBase64(
    "f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAuABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAACAEAAAAAAAAEAAAAFAAAA" +
      "AAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAABwEAAAAAAAAHAQAAAAAAAAAQAAAAAAAAUeV0ZAYAAAAAAAAAAAAAAAAAAAAAAAAA" +
      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAACQAAAAAAAAEiNPfH///8x9jHSQboIAAAAuIAAAAAPBYP4/HTjhcB4" +
      "IjH/SIsEJEiD+AF2G0iLfCQQSI10JBBIjVTEELg7AAAADwW/AQAAALjnAAAADwU=",
  ),
  aarch64: Uint8Array.fromBase64(
    "f0VMRgIBAQAAAAAAAAAAAAIAtwABAAAAuABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAACAEAAAAAAAAEAAAAFAAAA" +
      "AAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAADAEAAAAAAAAMAQAAAAAAAAAAAQAAAAAAUeV0ZAYAAAAAAAAAAAAAAAAAAAAAAAAA" +
      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAACQAAAAAAAAMD//xABAIDSAgCA0gMBgNIoEYDSAQAA1B8QALEg//9U" +
      "QAH4twAAgNLpA0D5PwUA8ekAAFTgC0D54UMAkSIMCYuoG4DSAQAA1CAAgNLIC4DSAQAA1A==",
  ),
};
