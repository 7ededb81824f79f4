/** libmnl, which writes our requests: headers, attributes and their padding. */
import { EMSGSIZE, messageOf, SyscallError } from "../sys/errno.ts";
import { type Declarations, type Functions, openLibrary } from "../sys/library.ts";
import type { Attribute } from "./attribute.ts";
import { LibmnlMissing } from "./error.ts";

const SYMBOLS = {
  // struct nlmsghdr *mnl_nlmsg_put_header(void *buf)
  mnl_nlmsg_put_header: { parameters: ["buffer"], result: "pointer" },
  // void *mnl_nlmsg_put_extra_header(struct nlmsghdr *, size_t)
  mnl_nlmsg_put_extra_header: { parameters: ["buffer", "usize"], result: "pointer" },
  // bool mnl_attr_put_check(struct nlmsghdr *, size_t buflen, uint16_t type, size_t, const void *)
  mnl_attr_put_check: { parameters: ["buffer", "usize", "u16", "usize", "buffer"], result: "bool" },
  // struct nlattr *mnl_attr_nest_start_check(struct nlmsghdr *, size_t buflen, uint16_t type)
  mnl_attr_nest_start_check: { parameters: ["buffer", "usize", "u16"], result: "pointer" },
  // void mnl_attr_nest_end(struct nlmsghdr *, struct nlattr *start)
  mnl_attr_nest_end: { parameters: ["buffer", "pointer"], result: "void" },
} as const satisfies Declarations;

type Symbols = Functions<typeof SYMBOLS>;

/** Larger than any of our requests, which are a name of 64 bytes and a few numbers. */
const BUFFER_LENGTH = 4096;

let symbols: Symbols | undefined;
let openedPath = "";

/**
 * Opens libmnl on first use: the system's, else the copy in `.rdma-cni`. An installed executable is in that
 * directory itself; one that was copied by hand is beside it.
 *
 * @throws {LibmnlMissing} when neither can be opened
 */
export function openLibmnl(): Symbols {
  if (symbols) return symbols;
  const causes: string[] = [];
  symbols = tryLibrary("libmnl.so.0", causes) ??
    tryLibrary(Deno.execPath().replace(/(\/\.rdma-cni)?\/[^/]*$/, "/.rdma-cni/libmnl.so.0"), causes);
  if (symbols) return symbols;
  throw new LibmnlMissing(`Cannot open libmnl: ${causes.join("; ")}`);
}

/** Returns where libmnl was found: the name alone for the system's, else the copy's path. @throws {LibmnlMissing} */
export function findLibmnl(): string {
  openLibmnl();
  return openedPath;
}

/**
 * The file of the libmnl that this process uses, from /proc/self/maps: an absolute path without links.
 *
 * @throws {LibmnlMissing} when none can be opened, or its file has been removed
 */
export function findLibmnlFile(): string {
  const name = findLibmnl();
  const maps = Deno.readTextFileSync("/proc/self/maps");
  const [, path] = /^.* (\/.*\/libmnl\.so[^/\n]*)$/m.exec(maps) ?? [];
  if (path !== undefined && !path.endsWith(" (deleted)")) return path;
  throw new LibmnlMissing(`Cannot find the file of libmnl that was opened as ${JSON.stringify(name)}`);
}

/**
 * Encodes a netlink message. The port stays 0: the kernel knows the socket.
 *
 * @param body the family's fixed structure between header and attributes; may be empty
 * @throws {LibmnlMissing}
 * @throws {SyscallError} EMSGSIZE when it does not fit into 4096 bytes
 */
export function encodeMessage(
  header: { readonly type: number; readonly flags: number; readonly sequence: number },
  body: Uint8Array,
  attributes: Iterable<Attribute>,
): Uint8Array<ArrayBuffer> {
  const mnl = openLibmnl();
  const message = new Uint8Array(BUFFER_LENGTH);
  const view = new DataView(message.buffer);
  mnl.mnl_nlmsg_put_header(message);
  view.setUint16(4, header.type, true);
  view.setUint16(6, header.flags, true);
  view.setUint32(8, header.sequence, true);
  if (body.length > 0) {
    mnl.mnl_nlmsg_put_extra_header(message, BigInt(body.length));
    message.set(body, 16);
  }
  putAttributes(mnl, message, attributes);
  return message.subarray(0, view.getUint32(0, true));
}

function tryLibrary(path: string, causes: string[]): Symbols | undefined {
  try {
    const library = openLibrary(path, SYMBOLS);
    openedPath = path;
    return library;
  } catch (cause) {
    causes.push(messageOf(cause));
    return undefined;
  }
}

function putAttributes(
  mnl: Symbols,
  message: Uint8Array<ArrayBuffer>,
  attributes: Iterable<Attribute>,
): void {
  const room = BigInt(BUFFER_LENGTH);
  for (const { type, value, nested } of attributes) {
    if (nested) {
      const start = mnl.mnl_attr_nest_start_check(message, room, type);
      if (start === null) throw new SyscallError(`put attribute ${type} into a request`, EMSGSIZE);
      putAttributes(mnl, message, nested);
      mnl.mnl_attr_nest_end(message, start);
    } else if (!mnl.mnl_attr_put_check(message, room, type, BigInt(value.length), value)) {
      throw new SyscallError(`put attribute ${type} of ${value.length} bytes into a request`, EMSGSIZE);
    }
  }
}
