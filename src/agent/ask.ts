import { messageOf, SyscallError } from "../sys/errno.ts";
import { PacketSocket } from "../sys/packets.ts";
import { ACCEPTED, decodeReply, encodeCheck } from "./protocol.ts";

/** The time that an agent has for an answer. */
const TIMEOUT_MS = 10_000;

/**
 * Asks the agent for its state.
 *
 * @returns text for people, or JSON
 * @throws {Error} that says why none answers
 */
export function askAgent(socket: string, format: "text" | "json"): string {
  const failure = `No agent answers on ${JSON.stringify(socket)}`;
  try {
    using connection = PacketSocket.connect(socket, TIMEOUT_MS);
    connection.send(encodeCheck(format));
    const accepted = connection.receive();
    const reply = accepted && new TextDecoder().decode(accepted) === ACCEPTED
      ? connection.receive()
      : undefined;
    if (reply && reply.length > 0) return decodeReply(reply).output;
  } catch (cause) {
    if (!(cause instanceof SyscallError)) throw cause;
    throw new Error(`${failure}: ${messageOf(cause)}`, { cause });
  }
  throw new Error(
    `${failure}: it is not one of this version, or has not answered for ${TIMEOUT_MS / 1000} s`,
  );
}
