/** Exit codes of the commands. */
export const ExitCode = {
  ok: 0,
  /** The command could not do it, or what it checked is not so. */
  failed: 1,
  /** The command line cannot be understood, or what it names not be read; nothing was done. */
  usage: 2,
  /** What was asked for holds after a reboot only. */
  rebootNeeded: 3,
  /** Some of several things could not be done. */
  partial: 4,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** A failure that a person gets to read. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  /**
   * @param message what failed, on what, the state found and wanted
   * @param advice what to do about it
   */
  constructor(
    message: string,
    readonly advice?: string,
    readonly exitCode: ExitCode = ExitCode.failed,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
