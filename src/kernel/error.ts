import { EEXIST, formatErrno } from "../ffi/errno.ts";

export {
  EACCES,
  EAGAIN,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  ELOOP,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOEXEC,
  ENOTDIR,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
  EROFS,
  errnoOf,
  ESRCH,
  SyscallError,
} from "../ffi/errno.ts";
export { LibmnlMissing } from "../ffi/libmnl.ts";
export { DecodeError } from "../netlink/error.ts";

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

/** A setting of RoCE QoS cannot be had. */
export class RoceQosError extends Error {
  override readonly name = "RoceQosError";

  constructor(message: string, readonly advice: string, options: ErrorOptions) {
    super(message, options);
  }
}

/** A path does not lead to a network namespace. */
export class NetnsError extends Error {
  override readonly name = "NetnsError";

  /** @param state "missing": nothing is there; "other": something is there that is no network namespace */
  constructor(readonly path: string, readonly state: "missing" | "other", cause: unknown) {
    const found = state === "missing" ? "it does not exist" : "it is no network namespace";
    super(`Cannot open network namespace ${JSON.stringify(path)}: ${found}`, { cause });
  }
}
