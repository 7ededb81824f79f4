import { CommandError } from "../error.ts";

/** What to do about an errno, by the name that Deno's errors carry. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: "This needs root.",
  EPERM: "This needs root, and files that are not immutable (lsattr).",
  ENOSPC: "Free some space there: a copy of the plugin takes 100 MB. What was installed before is as it was.",
  EDQUOT: "Free some space there: a copy of the plugin takes 100 MB. What was installed before is as it was.",
  EROFS: "The folder is mounted read-only: mount it writable, or give another with --cni-bin-dir.",
};

/** Tells what could not be done with a file, and what to do about it. Errors that tell so already stay as they are. */
export function toInstallError(task: string, path: string, error: unknown): unknown {
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  const advice = ADVICE[(error as { code?: string }).code ?? ""];
  return new CommandError(`Cannot ${task} ${JSON.stringify(path)}: ${error.message}`, advice, undefined, {
    cause: error,
  });
}
