import { EIO, SyscallError } from "./errno.ts";
import { check, cString, libc } from "./libc.ts";

// uapi asm-generic/fcntl.h; the same on x86_64, but O_DIRECTORY and O_NOFOLLOW differ on arm64 (asm/fcntl.h).
const O_RDONLY = 0;
const O_WRONLY = 0o1;
const O_CREAT = 0o100;
const O_APPEND = 0o2000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const O_DIRECTORY = Deno.build.arch === "aarch64" ? 0o40000 : 0o200000;
const O_NOFOLLOW = Deno.build.arch === "aarch64" ? 0o100000 : 0o400000;

/** A file descriptor with one owner, which closes it once. */
export class Fd implements Disposable {
  #open = true;

  constructor(readonly number: number) {}

  /**
   * Writes all bytes. The kernel takes them in one call, unless a disk fills up or the file is a pipe; then
   * they stay together in a file that was opened with O_APPEND. Otherwise further calls write the rest.
   *
   * @throws {SyscallError} when a call fails (EAGAIN: the pipe is full); what was written before stays
   */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    const call = `write to descriptor ${this.number}`;
    for (let rest = bytes; rest.length > 0;) {
      const written = check(call, (c) => c.write(this.number, rest, BigInt(rest.length)));
      // write(2) does not say what 0 means; trying again could go on forever.
      if (written === 0) throw new SyscallError(call, EIO);
      rest = rest.subarray(written);
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    libc().close(this.number);
  }
}

/** Opens a file for reading. Does not wait for the writer of a FIFO. @throws {SyscallError} */
export function openForReading(path: string): Fd {
  return open(path, O_RDONLY | O_NONBLOCK, 0);
}

/** Opens a directory. @throws {SyscallError} ENOTDIR for a symbolic link, or what is no directory */
export function openDirectory(path: string): Fd {
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/** Opens an existing file for writing. @throws {SyscallError} */
export function openForWriting(path: string): Fd {
  return open(path, O_WRONLY, 0);
}

/**
 * Opens a file for appending, and creates it with mode 0600 if it is missing. A symbolic link is refused.
 * Neither this nor a write waits for the reader of a pipe.
 *
 * @throws {SyscallError} ELOOP for a symbolic link, ENXIO for a pipe that nobody reads
 */
export function openForAppending(path: string): Fd {
  return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

function open(path: string, flags: number, mode: number): Fd {
  const call = `open(${JSON.stringify(path)})`;
  return new Fd(check(call, (c) => c.open(cString(path), flags | O_CLOEXEC, mode)));
}
