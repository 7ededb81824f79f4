/** The node's agent: does the calls that launchers hand to it, one after the other, in the order in which they came. */
import type { Log } from "../log.ts";
import { assertInHostNetns } from "../sys/netns.ts";
import { PacketListener, type PacketSocket } from "../sys/packets.ts";
import { VERSION } from "../version.ts";
import { messageOf } from "../sys/errno.ts";
import { doCall } from "./call.ts";
import {
  ACCEPTED,
  DECLINED,
  decodeRequest,
  encodeReply,
  identityOf,
  PRINTED,
  type Request,
} from "./protocol.ts";

/** The time that a peer has for its request, from the moment it is connected. */
const SILENCE_MS = 1000;
/** How often rubbish and the like are logged at most. */
const COMPLAINT_MS = 60_000;
/** The time after which tasks of Deno's event loop get their turn between two calls: metrics, signals. */
const TURN_MS = 100;
/** The pause when no connection can be accepted, for want of descriptors or memory. */
const PAUSE_MS = 100;

/** A call that waits for its turn. */
interface Waiting {
  readonly socket: PacketSocket;
  readonly request: Request;
  readonly arrivedAtUs: number;
}

/** The state of an agent, for people and programs. */
export interface AgentState {
  readonly version: string;
  /** File name of the program that launchers must want. */
  readonly program: string;
  readonly pid: number;
  readonly since: string;
  /** Calls that were done here. */
  readonly calls: number;
  /** Calls that were left to the launchers, to execute the program: declined, or given up by them. */
  readonly declined: number;
  readonly abandoned: number;
}

/** The kernel as far as the agent itself needs it. */
interface Clock {
  getBootTimeUs(): number;
}

export class Agent {
  readonly #listener: PacketListener;
  readonly #program: string;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #doCall: typeof doCall;
  readonly #root = identityOf("/");
  readonly #netns = identityOf("/proc/self/ns/net");
  readonly #since = new Date().toISOString();
  /** Peers that have not sent their request yet, and since when. */
  readonly #silent = new Map<PacketSocket, number>();
  readonly #queue: Waiting[] = [];
  /** Peers that print the result of an ADD, and how to undo that. */
  readonly #printing = new Map<PacketSocket, () => void>();
  #calls = 0;
  #declined = 0;
  #abandoned = 0;
  #complainedAt = -Infinity;

  /**
   * Begins to listen.
   *
   * @param program file name of this program, by which launchers know whether it is what they would execute
   * @param work does a call; tests have their own
   * @throws {SyscallError}
   */
  constructor(path: string, program: string, log: Log, clock: Clock, work = doCall) {
    this.#listener = new PacketListener(path);
    this.#program = program;
    this.#log = log;
    this.#clock = clock;
    this.#doCall = work;
  }

  get state(): AgentState {
    const [calls, declined, abandoned] = [this.#calls, this.#declined, this.#abandoned];
    const program = this.#program;
    return { version: VERSION, program, pid: Deno.pid, since: this.#since, calls, declined, abandoned };
  }

  /** Serves forever. @throws {Error} when nothing may be done any more: this thread is in another namespace */
  async serve(): Promise<never> {
    for (;;) {
      await this.#listener.wait([...this.#silent.keys(), ...this.#printing.keys()], this.#patienceMs());
      let turn = performance.now(); // waiting was one
      this.#takeIn();
      for (let next = this.#next(); next; next = this.#next()) {
        await this.#work(next);
        if (performance.now() - turn > TURN_MS) {
          await new Promise((resolve) => setTimeout(resolve, 0));
          turn = performance.now();
        }
        this.#takeIn();
      }
    }
  }

  /** The time after which the first of the silent peers has to go; undefined without any. */
  #patienceMs(): number | undefined {
    const [oldest] = this.#silent.values();
    return oldest === undefined
      ? undefined
      : Math.ceil(Math.max(oldest + SILENCE_MS - performance.now(), 0)) + 1;
  }

  /** Does all that takes no time: so a launcher knows at once whether its call will be done. */
  #takeIn(): void {
    for (const [socket, undo] of this.#printing) {
      const answer = socket.receive();
      if (!answer) continue;
      this.#printing.delete(socket);
      socket[Symbol.dispose]();
      if (new TextDecoder().decode(answer) === PRINTED) continue;
      this.#log.warning("The result of an ADD was not printed: what it did is undone");
      undo();
      assertInHostNetns();
    }
    this.#accept();
    for (const [socket, since] of this.#silent) {
      const packet = socket.receive();
      if (packet) {
        this.#silent.delete(socket);
        this.#decide(socket, packet);
      } else if (performance.now() - since > SILENCE_MS) {
        this.#drop(socket, "it has sent nothing");
      }
    }
  }

  #accept(): void {
    try {
      for (let socket; (socket = this.#listener.accept());) {
        this.#silent.set(socket, performance.now());
        const uid = socket.peer?.uid;
        if (uid !== 0) this.#drop(socket, `it is of user ${uid}`);
      }
    } catch (error) {
      this.#complain(messageOf(error));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }

  #decide(socket: PacketSocket, packet: Uint8Array<ArrayBuffer>): void {
    const request = decodeRequest(packet);
    if (!request) return this.#drop(socket, "it has sent what is no request");
    if (request.program === "" || this.#canDo(request)) {
      socket.send(new TextEncoder().encode(ACCEPTED));
      this.#queue.push({ socket, request, arrivedAtUs: this.#clock.getBootTimeUs() });
      return;
    }
    this.#declined++;
    socket.send(new TextEncoder().encode(DECLINED));
    socket[Symbol.dispose]();
  }

  /** Tells whether a call can be done here as the launcher would do it, without others having to wait for more than moves. */
  #canDo({ program, root, netns, podNetns, variables, input }: Request): boolean {
    if (program !== this.#program || root !== this.#root || netns !== this.#netns) return false;
    if (podNetns !== identityOf(variables.get("CNI_NETNS") ?? "")) return false;
    const text = new TextDecoder().decode(input);
    if (/"delegate"|\\u00[4-7]/.test(text)) return false; // an escaped letter could hide either name
    return variables.get("CNI_COMMAND") !== "ADD" || !text.includes('"requireActive"');
  }

  /** The next call to do: before all others those that touch no device. */
  #next(): Waiting | undefined {
    const quick = this.#queue.findIndex(({ request: { program, variables } }) =>
      program === "" || ["VERSION", "STATUS"].includes(variables.get("CNI_COMMAND") ?? "")
    );
    return quick > 0 ? this.#queue.splice(quick, 1)[0] : this.#queue.shift();
  }

  async #work({ socket, request, arrivedAtUs }: Waiting): Promise<void> {
    if (socket.isClosed()) {
      this.#abandoned++;
      return socket[Symbol.dispose]();
    }
    if (request.program === "") {
      const output = formatState(this.state, request.variables.get("FORMAT"));
      socket.send(encodeReply({ code: 0, log: "", output }));
      return socket[Symbol.dispose]();
    }
    this.#calls++;
    const { reply, undo } = await this.#doCall(request, arrivedAtUs, this.#report);
    assertInHostNetns();
    const isSent = socket.send(encodeReply(reply));
    if (isSent && undo) return void this.#printing.set(socket, undo);
    // First, since a launcher that is still there executes the program when the connection ends.
    if (!isSent) undo?.();
    socket[Symbol.dispose]();
  }

  readonly #report = (line: string): void => this.#log.info(line.trimEnd());

  #drop(socket: PacketSocket, reason: string): void {
    this.#silent.delete(socket);
    socket[Symbol.dispose]();
    this.#complain(`Process ${socket.peer?.pid} is not served: ${reason}`);
  }

  /** A peer must not be able to fill the log. */
  #complain(text: string): void {
    if (performance.now() - this.#complainedAt < COMPLAINT_MS) return;
    this.#complainedAt = performance.now();
    this.#log.warning(text);
  }
}

/** The state in one line, or as JSON. */
function formatState(state: AgentState, format = "text"): string {
  if (format === "json") return `${JSON.stringify(state, undefined, 2)}\n`;
  const { version, program, pid, since, calls, declined, abandoned } = state;
  return `ok: agent ${version} (${program}), process ${pid}, since ${since}: ${calls} calls, ` +
    `${declined} declined, ${abandoned} abandoned\n`;
}
