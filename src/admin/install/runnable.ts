import { VERSION } from "../../version.ts";
import { CommandError } from "../error.ts";
import { type Answer, askVersion } from "../program_version.ts";

const TIME_LIMIT_MS = 30_000;

const UNTOUCHED = "Nothing was replaced.";

/** Makes sure that a copy of this program runs and is this version. @throws {CommandError} */
export async function assertRunnable(path: string): Promise<void> {
  const answer = await askVersion(path, AbortSignal.timeout(TIME_LIMIT_MS));
  if (answer.kind === "text" && answer.text === `rdma-cni ${VERSION}\n`) return;
  const [found, advice] = explain(answer);
  throw new CommandError(`Cannot run a copy of this program in the folder: ${found}`, advice);
}

function explain(answer: Answer): [found: string, advice: string] {
  switch (answer.kind) {
    case "absent":
      return [
        "its loader is missing",
        "It needs glibc, which systems with musl (Alpine, Talos) do not have. " + UNTOUCHED,
      ];
    case "failed":
      return [answer.reason, `${adviceFor(answer.reason)} ${UNTOUCHED}`];
    case "silent":
      return [`it does not answer to --version within ${TIME_LIMIT_MS / 1000} s`, UNTOUCHED];
    case "text":
      return [
        `it answers ${JSON.stringify(answer.text.slice(0, 200))} to --version, want "rdma-cni ${VERSION}"`,
        `If it answers nothing it may have been killed for want of memory. ${UNTOUCHED}`,
      ];
  }
}

/** The runtime tells the errno at the end: EACCES is 13, ENOEXEC is 8. */
function adviceFor(reason: string): string {
  if (reason.includes("os error 13")) {
    return "The folder's file system is mounted noexec, or a security module forbids it: runtimes could not run it either.";
  }
  if (reason.includes("os error 8")) {
    return "It is built for another architecture: take the executable for this machine's.";
  }
  return "Runtimes could not run it either.";
}
