/**
 * A node with one virtual function, played to the program of this process: files stand in a folder, and what the C
 * library and libmnl are asked is answered here. It knows no more than what a call runs into where all is well.
 */
import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { ENOENT } from "../src/ffi/errno.ts";
import { NLM_F_ACK, NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR } from "../src/netlink/constants.ts";

export const DEVICE_ID = "0000:01:00.1";
export const POD = "/run/netns/pod";

const HOST = "/proc/thread-self/ns/net";
const STATE = "/var/lib/cni/rdma";
const FUNCTION = `/sys/bus/pci/devices/${DEVICE_ID}`;
const RDMA_DEVICE = `${FUNCTION}/infiniband/mlx5_1`;
/** Where the RDMA device is while the pod has it: sysfs shows a device in its own namespace alone. */
const AWAY = "/away";

/** What the C library opens; a place in this list is the number of the descriptor. */
const OPENED = [HOST, POD, STATE];

const FOLDERS = [RDMA_DEVICE, `${FUNCTION}/physfn`];
const FILES = {
  [HOST]: "",
  [POD]: "",
  ...Object.fromEntries(OPENED.map((_, number) => [`/proc/self/fd/${number}`, ""])),
  "/proc/sys/kernel/random/boot_id": "7d8ff0a1-2f4c-4d6d-8f52-5f6e0c1c1a11\n",
  [`${FUNCTION}/infiniband_verbs/uverbs1/ibdev`]: "mlx5_1\n",
};

/** The kernel's answers by the command of nldev (uapi rdma/rdma_netlink.h), or the type of a message of rtnetlink. */
const ANSWERS: Readonly<Record<number, string>> = {
  1: "08000100 01000000 0b000200 6d6c7835 5f310000", // GET: index 1, name mlx5_1
  6: "05004200 00000000", // SYS_GET: mode exclusive
  18: "00000100 02000000 00000000 00000000 09000300 6e657431 00000000", // RTM_GETLINK: Ethernet, index 2, name net1
  15: "0c004600 75766572 62733100", // GET_CHARDEV: uverbs1
};
const MOVE = 2; // SET

/** uapi linux/sched.h: a network namespace, says ioctl NS_GET_NSTYPE. */
const CLONE_NEWNET = 0x40000000;

/** Makes the node's files in a new folder. From then on all paths begin there, and libraries are played. */
export function playNode(folder: string): void {
  for (const path of FOLDERS) Deno.mkdirSync(folder + path, { recursive: true });
  for (const [path, text] of Object.entries(FILES)) {
    Deno.mkdirSync(folder + path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(folder + path, text);
  }
  Deno.symlinkSync("../../../drivers/mlx5_core", `${folder}${FUNCTION}/driver`);
  playFiles(folder);
  playLibraries(folder);
}

function playFiles(folder: string): void {
  const { lstatSync, mkdirSync, openSync, readDirSync, readLinkSync, readTextFileSync, renameSync } = Deno;
  const { removeSync, statSync } = Deno;
  const ofOnePath = {
    ...{ lstatSync, mkdirSync, openSync, readDirSync, readLinkSync, readTextFileSync, removeSync, statSync },
  };
  for (const [name, real] of Object.entries(ofOnePath)) {
    const played = (path: string, ...more: []) => real(folder + path, ...more);
    Object.assign(Deno, { [name]: played });
  }
  Deno.renameSync = (from, to) => renameSync(`${folder}${from}`, `${folder}${to}`);
}

/** Functions that are not here do nothing, and return 0. One that fails finds no such file. */
function playLibraries(folder: string): void {
  let answers: Uint8Array[] = [];
  const functions: Record<string, (...args: never[]) => unknown> = {
    open: (path: Uint8Array) => OPENED.indexOf(textOf(path)),
    faccessat: (_at: number, path: Uint8Array) => existsSync(`${folder}${textOf(path)}`) ? 0 : -1,
    ioctl: () => CLONE_NEWNET,
    sendto: (_fd: number, request: Uint8Array, length: bigint) => {
      answers = answer(request);
      return length;
    },
    recvfrom: (_fd: number, buffer: Uint8Array) => {
      const bytes = answers.shift()!;
      buffer.set(bytes);
      return BigInt(bytes.length);
    },
    mnl_nlmsg_put_header: (message: Uint8Array) => new DataView(message.buffer).setUint32(0, 16, true),
    mnl_attr_put_check: () => true,
  };
  Object.assign(Deno, {
    dlopen: (_path: string, names: object) => {
      return { symbols: Object.fromEntries(Object.keys(names).map((name) => [name, name])) };
    },
    UnsafePointerView: class {
      getInt32 = () => ENOENT;
    },
    UnsafeFnPointer: class {
      readonly call;
      constructor(name: string) {
        this.call = functions[name] ?? (() => 0);
      }
    },
  });
}

/** A text of C, which a NUL ends. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, -1));
}

/** The kernel's answer to a request, of which no more is there than its header. */
function answer(request: Uint8Array): Uint8Array[] {
  const header = Buffer.from(request);
  const [type, flags, sequence] = [header.readUint16LE(4), header.readUint16LE(6), header.readUint32LE(8)];
  const command = type & 0xff;
  if (command === MOVE) moveDevice();
  const attributes = ANSWERS[command]?.replaceAll(" ", "");
  return [
    ...(attributes === undefined ? [] : [encode(type, sequence, attributes)]),
    ...(flags & NLM_F_DUMP ? [encode(NLMSG_DONE, sequence, "00".repeat(4))] : []),
    ...(flags & NLM_F_ACK ? [encode(NLMSG_ERROR, sequence, "00".repeat(20))] : []),
  ];
}

function encode(type: number, sequence: number, payload: string): Uint8Array {
  const bytes = Buffer.alloc(16 + payload.length / 2);
  bytes.writeUint32LE(bytes.length, 0);
  bytes.writeUint16LE(type, 4);
  bytes.writeUint32LE(sequence, 8);
  bytes.write(payload, 16, "hex");
  return bytes;
}

/** Into the pod, or home again. */
function moveDevice(): void {
  const isHome = [...Deno.readDirSync(`${FUNCTION}/infiniband`)].length > 0;
  if (isHome) Deno.renameSync(RDMA_DEVICE, AWAY);
  else Deno.renameSync(AWAY, RDMA_DEVICE);
}
