/**
 * Netlink messages: a header of 16 bytes, then a payload that depends on the type.
 *
 *   0        4        6        8          12       16
 *   | length | type   | flags  | sequence | port   | payload ...
 */
import { align, type Attribute, decodeAttributes, getText, viewOf } from "./attribute.ts";
import { DecodeError } from "./error.ts";

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
/** In a reply of type NLMSG_ERROR: only the header of the original request is repeated. */
const NLM_F_CAPPED = 0x100;
/** In a reply of type NLMSG_ERROR: attributes NLMSGERR_ATTR_* follow. */
const NLM_F_ACK_TLVS = 0x200;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
/** sizeof(struct nlmsghdr). */
const NLMSG_HDRLEN = 16;

/** A request: fields of the header, the family's fixed structure, and the attributes after it. */
export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
  readonly attributes: readonly Attribute[];
}

/** A received message. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  readonly payload: Uint8Array;
}

/** The result in an NLMSG_ERROR or NLMSG_DONE: errno, 0 for success, and the kernel's text if it sent one. */
export interface Outcome {
  readonly errno: number;
  readonly kernelText?: string;
}

/**
 * Decodes the messages of one datagram.
 *
 * @throws {DecodeError} when a length is shorter than a header or runs past the end
 */
export function decodeMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  const view = viewOf(datagram);
  for (let offset = 0; offset < datagram.length;) {
    const rest = datagram.length - offset;
    if (rest < NLMSG_HDRLEN) {
      throw new DecodeError(`Cannot decode message: ${rest} bytes left, header takes 16`);
    }
    const length = view.getUint32(offset, true);
    if (length < NLMSG_HDRLEN || length > rest) {
      throw new DecodeError(`Cannot decode message: it claims ${length} bytes of ${rest}`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      port: view.getUint32(offset + 12, true),
      payload: datagram.subarray(offset + NLMSG_HDRLEN, offset + length),
    });
    offset += align(length);
  }
  return messages;
}

/**
 * Decodes an NLMSG_ERROR (linux/netlink.h, struct nlmsgerr): a negative errno (0 acknowledges), the header of the
 * request, unless capped the rest of it, and with NETLINK_EXT_ACK attributes, one of which is a text.
 *
 * @throws {DecodeError} when the payload is shorter than its flags require
 */
export function decodeError(message: Message): Outcome {
  const { payload, flags } = message;
  const errorLength = 4 + NLMSG_HDRLEN;
  if (payload.length < errorLength) {
    throw new DecodeError(
      `Cannot decode error message: ${payload.length} bytes, want at least ${errorLength}`,
    );
  }
  const view = viewOf(payload);
  const errno = -view.getInt32(0, true);
  if (!(flags & NLM_F_ACK_TLVS)) return { errno };
  const requestLength = flags & NLM_F_CAPPED ? NLMSG_HDRLEN : view.getUint32(4, true);
  return outcome(errno, payload.subarray(4 + align(requestLength)));
}

/**
 * Decodes an NLMSG_DONE: the end of a dump, with a negative errno when the dump was aborted.
 *
 * @throws {DecodeError} when the errno is cut off
 */
export function decodeDone(message: Message): Outcome {
  const { payload, flags } = message;
  if (payload.length === 0) return { errno: 0 };
  if (payload.length < 4) throw new DecodeError(`Cannot decode end of dump: ${payload.length} bytes, want 4`);
  const errno = -viewOf(payload).getInt32(0, true);
  return flags & NLM_F_ACK_TLVS ? outcome(errno, payload.subarray(4)) : { errno };
}

function outcome(errno: number, extended: Uint8Array): Outcome {
  const kernelText = getText(decodeAttributes(extended), NLMSGERR_ATTR_MSG);
  return kernelText === undefined ? { errno } : { errno, kernelText };
}

/** Collects the reply to one request: up to an error or acknowledgement, the end of a dump, or the one answer. */
export class Reply {
  readonly messages: Message[] = [];
  /** The table changed while it was dumped: entries may be missing or be there twice. */
  interrupted = false;
  /** The end of the request; undefined until then. */
  outcome: Outcome | undefined;

  /**
   * @param sequence that of the request; messages with another one answer a request that was given up
   * @param flags those of the request
   */
  constructor(readonly sequence: number, readonly flags: number) {}

  /** @throws {DecodeError} */
  add(datagram: Uint8Array): void {
    for (const message of decodeMessages(datagram)) {
      if (message.sequence !== this.sequence || this.outcome) continue;
      if (message.flags & NLM_F_DUMP_INTR) this.interrupted = true;
      if (message.type === NLMSG_ERROR) this.outcome = decodeError(message);
      else if (message.type === NLMSG_DONE) this.outcome = decodeDone(message);
      else this.#addAnswer(message);
    }
  }

  #addAnswer(message: Message): void {
    this.messages.push(message);
    if (!(this.flags & (NLM_F_ACK | NLM_F_DUMP))) this.outcome = { errno: 0 };
  }
}
