/** Netlink sockets: one request at a time, and the whole reply to it. */
import { SyscallError } from "../sys/errno.ts";
import { Fd } from "../sys/fd.ts";
import { check } from "../sys/libc.ts";
import { DecodeError, NetlinkError } from "./error.ts";
import { encodeMessage } from "./libmnl.ts";
import { type Message, Reply, type Request } from "./message.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_RDMA = 20;

// Sockets: linux/net.h, linux/socket.h, asm-generic/socket.h, linux/netlink.h.
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_NETNS_COOKIE = 71;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const MSG_TRUNC = 0x20;

/** sizeof(struct sockaddr_nl): family u16, pad u16, port u32, groups u32. */
const SOCKADDR_NL_LENGTH = 12;

/** The time that the kernel may take for one datagram; to move a device can take a second or two. */
const RECEIVE_TIMEOUT_S = 30n;
/** Several times the longest datagram: a list of VFs is one attribute, whose length has 16 bits. */
const BUFFER_LENGTH = 256 * 1024;
const buffer = new Uint8Array(BUFFER_LENGTH);
const DUMP_ATTEMPTS = 20;
/** Far more than any reply has: a list of 10,000 devices counts as 12 MB. */
const ANSWER_LIMIT = 64 * 1024 * 1024;
/** Added to the length of each datagram, so that empty ones and those of other senders count too. */
const DATAGRAM_COST = 1024;

/** A netlink socket. It belongs to the namespace that the thread was in when it opened the socket. */
export class NetlinkSocket implements Disposable {
  readonly #fd: Fd;
  #sequence = 0;

  /**
   * @param protocol NETLINK_ROUTE or NETLINK_RDMA
   * @throws {SyscallError} EPROTONOSUPPORT for NETLINK_RDMA without ib_core
   */
  constructor(protocol: number) {
    this.#fd = new Fd(check(`open a netlink socket (protocol ${protocol})`, (c) => {
      return c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    }));
    try {
      this.#setOption(SOL_SOCKET, SO_RCVTIMEO, BigInt64Array.of(RECEIVE_TIMEOUT_S, 0n));
      this.#setOption(SOL_NETLINK, NETLINK_CAP_ACK, Int32Array.of(1));
      this.#setOption(SOL_NETLINK, NETLINK_EXT_ACK, Int32Array.of(1));
    } catch (error) {
      this.#fd[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }

  /** The cookie of the socket's namespace, decimal; undefined before kernel 5.14 (net/core/sock.c). */
  getNetnsCookie(): string | undefined {
    const cookie = new BigUint64Array(1);
    try {
      check("read the cookie of a network namespace", (c) => {
        return c.getsockopt(this.#fd.number, SOL_SOCKET, SO_NETNS_COOKIE, cookie, Uint32Array.of(8));
      });
    } catch (error) {
      if (error instanceof SyscallError) return undefined;
      throw error;
    }
    return String(cookie[0]);
  }

  /**
   * Sends a request and waits for the whole reply. Repeats a dump that the kernel marks as interrupted.
   *
   * @param what the request in words, for errors: `list RDMA devices`
   * @throws {NetlinkError} when the kernel refuses
   * @throws {SyscallError} when the socket fails; EAGAIN when no reply comes within 30 seconds
   * @throws {DecodeError} when the reply cannot be decoded, or does not end
   */
  request(what: string, request: Request): Message[] {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
      const { outcome, interrupted, messages } = this.#exchange(what, request);
      if (outcome && outcome.errno !== 0) throw new NetlinkError(what, outcome.errno, outcome.kernelText);
      if (!interrupted) return messages;
    }
    throw new DecodeError(`Cannot ${what}: the list changed during each of ${DUMP_ATTEMPTS} attempts`);
  }

  #exchange(what: string, request: Request): Reply {
    const sequence = ++this.#sequence;
    const { type, flags, body, attributes } = request;
    const bytes = encodeMessage({ type, flags, sequence }, body, attributes);
    check(what, (c) => {
      return c.sendto(this.#fd.number, bytes, BigInt(bytes.length), 0, kernelAddress(), SOCKADDR_NL_LENGTH);
    });
    const reply = new Reply(sequence, flags);
    for (let room = ANSWER_LIMIT; !reply.outcome; room -= DATAGRAM_COST) {
      const datagram = this.#receive(what);
      if (datagram) reply.add(datagram);
      room -= datagram?.length ?? 0;
      if (room < 0) throw new DecodeError(`Cannot ${what}: the answer has no end`);
    }
    return reply;
  }

  /** One datagram, or undefined when it came from another process instead of the kernel. */
  #receive(what: string): Uint8Array | undefined {
    const sender = new Uint8Array(SOCKADDR_NL_LENGTH);
    const senderLength = Uint32Array.of(SOCKADDR_NL_LENGTH);
    const length = check(`${what} (receive the answer)`, (c) => {
      const room = BigInt(buffer.length);
      return c.recvfrom(this.#fd.number, buffer, room, MSG_TRUNC, sender, senderLength);
    });
    if (length > buffer.length) throw new DecodeError(`Cannot ${what}: the answer has ${length} bytes`);
    const port = new DataView(sender.buffer).getUint32(4, true);
    // Messages are views of their bytes, and the buffer is used again, so each datagram is copied.
    return port === 0 ? buffer.slice(0, length) : undefined;
  }

  #setOption(
    level: number,
    option: number,
    value: (BigInt64Array | Int32Array) & { buffer: ArrayBuffer },
  ): void {
    check(`set option ${option} of a netlink socket`, (c) => {
      return c.setsockopt(this.#fd.number, level, option, value, value.byteLength);
    });
  }
}

/** The kernel's address: port 0. */
function kernelAddress(): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(SOCKADDR_NL_LENGTH);
  new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
  return address;
}
