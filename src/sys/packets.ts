/** Sockets between the processes of a node, on which each message is one packet (unix(7), SOCK_SEQPACKET). */
import { EAGAIN } from "./errno.ts";
import { Fd } from "./fd.ts";
import { attempt, check, cString } from "./libc.ts";

// uapi linux/un.h, linux/net.h, linux/socket.h, asm-generic/socket.h, asm-generic/poll.h.
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_PEERCRED = 17;
const SO_RCVTIMEO = 20;
const MSG_PEEK = 0x2;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const POLLIN = 1;

/** A queue for all pods of a node; the kernel shortens it to net.core.somaxconn. */
const BACKLOG = 4096;
/** The longest path of a socket, without the NUL at its end. */
const PATH_LIMIT = 107;

/** The longest packet, in bytes. */
export const PACKET_LIMIT = 256 * 1024;

/** For all that comes; pages that are never written take no memory. */
const buffer = new Uint8Array(PACKET_LIMIT);

/** The credentials that a process had when it connected. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
}

/** One end of a connection. */
export class PacketSocket implements Disposable {
  readonly #fd: Fd;

  /** @param peer who connected, on a socket that was accepted */
  constructor(fd: Fd, readonly peer?: Peer) {
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd.number;
  }

  /**
   * Connects to a socket.
   *
   * @param timeoutMs the time that {@linkcode receive} then waits for a packet
   * @throws {SyscallError} ENOENT without such a socket, ECONNREFUSED when nobody listens
   */
  static connect(path: string, timeoutMs: number): PacketSocket {
    const socket = new PacketSocket(open(0));
    try {
      const seconds = Math.floor(timeoutMs / 1000);
      const time = BigInt64Array.of(BigInt(seconds), BigInt(timeoutMs % 1000 * 1000)); // struct timeval
      check("setsockopt", (c) => c.setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, time, time.byteLength));
      const address = addressOf(path);
      check(`connect to ${JSON.stringify(path)}`, (c) => c.connect(socket.fd, address, address.length));
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Returns the next packet, empty when the other end is closed; undefined when there is none (yet). What is beyond
   * {@linkcode PACKET_LIMIT} is lost.
   */
  receive(): Uint8Array<ArrayBuffer> | undefined {
    const take = () => attempt((c) => c.recvfrom(this.fd, buffer, BigInt(buffer.length), 0, null, null));
    // The kernel looks for a packet before it looks for the end of the connection (net/unix/af_unix.c,
    // __unix_dgram_recvmsg). When both come in between it returns 0, and the packet is still there.
    const length = take() || take();
    if (length === -EAGAIN) return undefined;
    return buffer.slice(0, Math.max(length, 0));
  }

  /** Returns whether the other end is closed; all packets must have been received. */
  isClosed(): boolean {
    const flags = MSG_PEEK | MSG_DONTWAIT;
    return attempt((c) => c.recvfrom(this.fd, buffer, 1n, flags, null, null)) !== -EAGAIN;
  }

  /**
   * Sends a packet without waiting.
   *
   * @returns false when the other end is closed, the kernel has no room for it, or it is beyond {@linkcode PACKET_LIMIT}
   */
  send(packet: Uint8Array<ArrayBuffer>): boolean {
    if (packet.length > PACKET_LIMIT) return false;
    const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    return attempt((c) => c.sendto(this.fd, packet, BigInt(packet.length), flags, null, 0)) >= 0;
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** A socket that others connect to. */
export class PacketListener {
  readonly #fd: Fd;

  /**
   * Makes the socket, which only root can connect to.
   *
   * @throws {SyscallError} EADDRINUSE when something has that name
   */
  constructor(readonly path: string) {
    this.#fd = open(SOCK_NONBLOCK);
    const address = addressOf(path);
    const umask = Deno.umask(0o177);
    try {
      check(`bind ${JSON.stringify(path)}`, (c) => c.bind(this.#fd.number, address, address.length));
      check(`listen on ${JSON.stringify(path)}`, (c) => c.listen(this.#fd.number, BACKLOG));
    } catch (error) {
      this.#fd[Symbol.dispose]();
      throw error;
    } finally {
      Deno.umask(umask);
    }
  }

  /**
   * Returns the next connection, which does not wait for packets; undefined when there is none.
   *
   * @throws {SyscallError} EMFILE, ENFILE, ENOMEM; the connection is closed when it cannot be set up
   */
  accept(): PacketSocket | undefined {
    const result = attempt((c) => c.accept4(this.#fd.number, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (result === -EAGAIN) return undefined;
    const fd = new Fd(check("accept a connection", () => result));
    const length = Int32Array.of(PACKET_LIMIT); // the kernel doubles it, and allows at most net.core.wmem_max
    try {
      check("setsockopt", (c) => c.setsockopt(fd.number, SOL_SOCKET, SO_SNDBUF, length, length.byteLength));
      return new PacketSocket(fd, peerOf(fd.number));
    } catch (error) {
      fd[Symbol.dispose]();
      throw error;
    }
  }

  /** Waits for a connection, for a packet on one of the sockets or the end of one, or until the time is over. */
  async wait(sockets: Iterable<PacketSocket>, timeoutMs?: number): Promise<void> {
    const fds = [this.#fd.number, ...Array.from(sockets, ({ fd }) => fd)];
    const polled = Int32Array.from(fds.flatMap((fd) => [fd, POLLIN])); // struct pollfd: fd, events, revents
    await poll()(polled, BigInt(fds.length), timeoutMs ?? -1);
  }
}

function peerOf(fd: number): Peer {
  const credentials = new Int32Array(3); // struct ucred: pid, uid, gid
  const length = Uint32Array.of(credentials.byteLength);
  check("getsockopt", (c) => c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length));
  const [pid = 0, uid = 0] = credentials;
  return { pid, uid: uid >>> 0 };
}

/** Waits on a thread of its own, in which nothing else is done, so that this one is free meanwhile. */
let pollSymbol:
  | ((fds: Int32Array<ArrayBuffer>, count: bigint, timeoutMs: number) => Promise<number>)
  | undefined;

function poll() {
  return pollSymbol ??= Deno.dlopen("libc.so.6", {
    poll: { parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
  }).symbols.poll;
}

function open(flags: number): Fd {
  return new Fd(check("socket", (c) => c.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0)));
}

/** struct sockaddr_un: family u16, path. @throws {Error} when the path is too long */
function addressOf(path: string): Uint8Array<ArrayBuffer> {
  const name = cString(path);
  if (name.length > PATH_LIMIT + 1) {
    throw new Error(`Cannot use socket ${JSON.stringify(path)}: its path has more than ${PATH_LIMIT} bytes`);
  }
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}
