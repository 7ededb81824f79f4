import { EEXIST, formatErrno } from "../sys/errno.ts";

/** Bytes from the kernel (or a request of ours) that do not have the layout they must have. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** The kernel took the request and said no. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";

  /**
   * @param request what was asked, `move RDMA device 3`
   * @param kernelText the kernel's own words (extended acknowledgement), if it sent any
   */
  constructor(readonly request: string, readonly errno: number, readonly kernelText?: string) {
    super(
      `Cannot ${request}: ${formatErrno(errno)}${
        kernelText ? `; the kernel says ${JSON.stringify(kernelText)}` : ""
      }`,
    );
  }
}

/** Whether the kernel refused since a device has the name already. */
export function isNameTaken(error: unknown): error is NetlinkError {
  return error instanceof NetlinkError && error.errno === EEXIST;
}
