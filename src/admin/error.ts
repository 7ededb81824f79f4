/** Exit codes, the same for all commands. */
export const ExitCode = {
  ok: 0,
  /** The command could not do it, what it checked is not so, or there are problems. */
  failed: 1,
  /** The command line cannot be understood, or what it names not be read; nothing was done. */
  usage: 2,
  /** Only a part could be done, or there are warnings but no problems. */
  partial: 3,
  /** What was asked for holds after a reboot only. */
  rebootNeeded: 4,
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
