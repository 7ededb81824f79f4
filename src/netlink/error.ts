import { EEXIST, formatErrno } from "../sys/errno.ts";

/** Bytes from the kernel do not have the layout that they must have, or a reply does not end. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** Neither the system nor the plugin's directory has a usable libmnl. */
export class LibmnlMissing extends Error {
  override readonly name = "LibmnlMissing";
}

/** The kernel refused a request. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";

  /**
   * @param request the request in words, `move RDMA device 3`
   * @param kernelText the kernel's own message (extended acknowledgement), if it sent one
   */
  constructor(readonly request: string, readonly errno: number, readonly kernelText?: string) {
    const more = kernelText ? `; the kernel says ${JSON.stringify(kernelText)}` : "";
    super(`Cannot ${request}: ${formatErrno(errno)}${more}`);
  }
}

/** Returns what the work returns, or undefined when the kernel refuses with one of these errors. */
export function unlessRefused<T>(errnos: readonly number[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof NetlinkError && errnos.includes(error.errno)) return undefined;
    throw error;
  }
}

/** Returns whether the kernel refused because a device already has the name. */
export function isNameTaken(error: unknown): error is NetlinkError {
  return error instanceof NetlinkError && error.errno === EEXIST;
}
