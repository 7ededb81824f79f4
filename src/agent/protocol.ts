/**
 * The messages between launcher and agent, one packet each:
 *
 *     launcher  request: words, each with a NUL at its end, an empty one, and standard input
 *     agent     "a": the call will be done; "d", or the end of the connection: the launcher has to do it
 *     agent     reply: exit code, log and a NUL, standard output
 *     launcher  "p": the output is printed; the end of the connection instead: it is not
 *
 * A request without a call (`agent --check`) asks for the agent's state.
 */
import { PACKET_LIMIT } from "../sys/packets.ts";
import { statSync } from "node:fs";

/** The place of the socket; the launcher knows it too. */
export const SOCKET = "/run/rdma-cni/agent.sock";

/** The first word of each request; the number changes when the rest does. */
const PROTOCOL = "rdma-cni agent 1";

export const ACCEPTED = "a";
export const DECLINED = "d";
export const PRINTED = "p";

/** A request. Identities are of the form `DEVICE:INODE`, "0:0" when there is nothing. */
export interface Request {
  /** File name of the program that the launcher would execute; empty when there is no call to do. */
  readonly program: string;
  /** The launcher's root directory, its network namespace, and what CNI_NETNS leads to. */
  readonly root: string;
  readonly netns: string;
  readonly podNetns: string;
  readonly variables: ReadonlyMap<string, string>;
  readonly input: Uint8Array<ArrayBuffer>;
}

/** A reply. */
export interface Reply {
  readonly code: number;
  /** For standard error. */
  readonly log: string;
  /** For standard output. */
  readonly output: string;
}

/** Reads a request. @returns undefined when it is none of this protocol */
export function decodeRequest(packet: Uint8Array<ArrayBuffer>): Request | undefined {
  const words: Uint8Array<ArrayBuffer>[] = [];
  let start = 0;
  for (;;) {
    const end = packet.indexOf(0, start);
    if (end < 0) return undefined;
    if (end === start && words.length >= HEADER) break;
    words.push(packet.subarray(start, end));
    start = end + 1;
  }
  const [protocol, program = "", root = "", netns = "", podNetns = ""] = words.map((word) => decode(word));
  if (protocol !== PROTOCOL) return undefined;
  const variables = new Map<string, string>();
  for (const word of words.slice(HEADER)) {
    const equals = word.indexOf("=".charCodeAt(0));
    const name = decode(word.subarray(0, Math.max(equals, 0)));
    if (!variables.has(name)) variables.set(name, decode(word.subarray(equals + 1))); // as getenv does
  }
  return { program, root, netns, podNetns, variables, input: packet.subarray(start + 1) };
}

/** Words before the variables. */
const HEADER = 5;

/** A text, or the replacement character when it is not UTF-8, which no variable may have. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return "\ufffd";
  }
}

/** Makes the request for the agent's state. */
export function encodeCheck(format: "text" | "json"): Uint8Array<ArrayBuffer> {
  const words = [PROTOCOL, "", "0:0", "0:0", "0:0", `FORMAT=${format}`, ""];
  return new TextEncoder().encode(words.map((word) => `${word}\0`).join(""));
}

/** Makes a reply. Of a long log the end is left out; with a long output it is more than a packet can hold. */
export function encodeReply({ code, log, output }: Reply): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const end = encoder.encode(`\0${output}`);
  const room = Math.max(PACKET_LIMIT - 1 - end.length, 0);
  const lines = encoder.encode(log.replaceAll("\0", "\ufffd")).subarray(0, room);
  const packet = new Uint8Array(1 + lines.length + end.length);
  packet[0] = code;
  packet.set(lines, 1);
  packet.set(end, 1 + lines.length);
  return packet;
}

/** Reads a reply. */
export function decodeReply(packet: Uint8Array): Reply {
  const [log = "", output = ""] = new TextDecoder().decode(packet.subarray(1)).split("\0");
  return { code: packet[0] ?? 1, log, output };
}

/** Returns what a path leads to, as the launcher says it: "0:0" when the kernel does not tell. */
export function identityOf(path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return "0:0";
  }
}
