import { NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR } from "./constants.ts";
import { decodeDone, decodeError, decodeMessages, type Message, type Outcome } from "./message.ts";

/**
 * Collects what answers one request, datagram by datagram, until that was all: an acknowledgement, an error, the end of
 * a dump, or the one message that answers a request for neither.
 */
export class Reply {
  readonly messages: Message[] = [];
  /** The table changed while it was dumped: what was collected may lack entries or have them twice. */
  interrupted = false;
  /** How the request ended; undefined until it has. */
  outcome: Outcome | undefined;

  /**
   * @param sequence the request's number; messages with another answer a request that was given up
   * @param flags the request's
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
