import { libc } from "../../src/ffi/libc.ts";

const EAGAIN = 11;

/** What comes over a socket: the sender's port, 0 being the kernel's, and the bytes. */
export interface Datagram {
  readonly port: number;
  readonly bytes: Uint8Array;
  /** What recvfrom tells with MSG_TRUNC of a datagram that was longer than its bytes here. */
  readonly length?: number;
}

/** What a request is answered with, given its sequence number. When there is no more, the receiver has waited in vain. */
export type Script = (sequence: number) => Iterable<Datagram>;

/** Until it is disposed of, netlink sockets of this process send to a script and receive from it. */
export class ScriptedKernel implements Disposable {
  /** How many requests and datagrams there were. */
  requests = 0;
  received = 0;
  readonly #real: Calls = { sendto: libc().sendto, recvfrom: libc().recvfrom };

  constructor(script: Script) {
    let answer: Iterator<Datagram> = [][Symbol.iterator]();
    const sendto: Calls["sendto"] = (_fd, bytes, length) => {
      const { buffer, byteOffset } = bytes as Uint8Array;
      answer = script(new DataView(buffer, byteOffset).getUint32(8, true))[Symbol.iterator]();
      this.requests++;
      return BigInt(length);
    };
    const recvfrom: Calls["recvfrom"] = (_fd, buffer, _room, _flags, sender) => {
      const { done, value } = answer.next();
      if (done) return fail(EAGAIN);
      this.received++;
      const { port, bytes, length } = value;
      (buffer as Uint8Array).set(bytes);
      new DataView((sender as Uint8Array).buffer).setUint32(4, port, true);
      return BigInt(length ?? bytes.length);
    };
    replace({ sendto, recvfrom });
  }

  [Symbol.dispose](): void {
    replace(this.#real);
  }
}

type Calls = Pick<ReturnType<typeof libc>, "sendto" | "recvfrom">;

function replace(functions: Calls): void {
  for (const [name, value] of Object.entries(functions)) {
    Object.defineProperty(libc(), name, { value, enumerable: true, configurable: true });
  }
}

function fail(errno: number): bigint {
  const place = Deno.UnsafePointerView.getArrayBuffer(libc().__errno_location()!, 4);
  new Int32Array(place)[0] = errno;
  return -1n;
}
