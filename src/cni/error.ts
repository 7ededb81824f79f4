/**
 * Error codes. Below 100 they are CNI's own (SPEC.md, section "Error"; 8 and 999 from libcni's pkg/types); from 100 on
 * they are this plugin's: 100 to 109 the node is not set up, 110 to 119 the device cannot be had, 120 on the kernel
 * refused.
 */
export const ErrorCode = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  unavailable: 50,
  internal: 999,

  rdmaUnavailable: 100,
  rdmaModeShared: 101,
  libmnlMissing: 102,
  featureUnavailable: 103,

  deviceNotFound: 110,
  deviceInUse: 111,
  deviceForbidden: 112,
  deviceMissing: 113,
  nameTaken: 114,
  ipoibInPod: 115,
  deviceNotReady: 116,

  kernelRefused: 120,
} as const;

export type ErrorCode = typeof ErrorCode[keyof typeof ErrorCode];

/** A failure as the runtime gets to see it. */
export class CniError extends Error {
  override readonly name = "CniError";

  /**
   * @param code an {@linkcode ErrorCode}, or that of another plugin
   * @param msg what failed, on what, the state found and wanted
   * @param details what to do about it, and the kernel's own words
   */
  constructor(readonly code: number, msg: string, readonly details?: string, options?: ErrorOptions) {
    super(msg, options);
  }
}
