// The agent's queue and decisions: a process whose calls do nothing, and peers on its socket. And what one call does.
import { askAgent } from "../../src/agent/ask.ts";
import { doCall } from "../../src/agent/call.ts";
import { decodeReply, identityOf } from "../../src/agent/protocol.ts";
import { libc } from "../../src/sys/libc.ts";
import { PacketSocket } from "../../src/sys/packets.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { CONFIG, ENVIRONMENT } from "../support/call.ts";
import { PROJECT } from "../support/project.ts";

libc(); // what is loaded once would count as a leak of the first test

const PROGRAM = "rdma-cni-1";
/** Far longer than an answer takes. */
const TIMEOUT_MS = 10_000;

/** An agent whose calls do nothing (agent_process.ts). */
class AgentProcess implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly socket = `${this.directory}/agent.sock`;
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #text = "";

  private constructor(by: string[]) {
    const script = `${PROJECT}tests/support/agent_process.ts`;
    const deno = [Deno.execPath(), "run", "-A", "--no-check"];
    const [first, ...args] = [...by, ...deno, script, this.socket, PROGRAM];
    this.#child = new Deno.Command(first!, { args, stdin: "null", stdout: "piped" }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async start(...by: string[]): Promise<AgentProcess> {
    const agent = new AgentProcess(by);
    assertEquals(await agent.told(1), ["listens"]);
    return agent;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Its state, without what differs from start to start. */
  state(): { program: string; pid: number; calls: number; declined: number; abandoned: number } {
    const { since: _, version: __, ...state } = JSON.parse(askAgent(this.socket, "json"));
    return state;
  }

  async told(count: number): Promise<string[]> {
    while (this.#text.split("\n").length <= count) {
      const { value } = await this.#lines.read();
      if (value === undefined) throw new Error(`The agent has ended; it told ${JSON.stringify(this.#text)}`);
      this.#text += value;
    }
    const lines = this.#text.split("\n");
    this.#text = lines.slice(count).join("\n");
    return lines.slice(0, count);
  }

  /** What it has told by the time that it has answered, besides what has been read. */
  async toldByNow(): Promise<string[]> {
    const name = crypto.randomUUID();
    using peer = new Peer(this);
    peer.request({ command: "DEL", name });
    const lines: string[] = [];
    for (;;) {
      const [line] = await this.told(1);
      if (line === `begin ${name}`) break;
      lines.push(line!);
    }
    await this.told(1);
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    while (!(await this.#lines.read()).done);
    await this.#child.status;
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** The words with which a launcher of this process begins. */
const WORDS = ["rdma-cni agent 1", PROGRAM, identityOf("/"), identityOf("/proc/self/ns/net"), "0:0"];

type Parts = Parameters<Peer["request"]>[0] & object;

/** A connection, as a launcher has one. */
class Peer implements Disposable {
  readonly #socket: PacketSocket;

  constructor({ socket }: AgentProcess) {
    this.#socket = PacketSocket.connect(socket, TIMEOUT_MS);
  }

  request(
    { command = "ADD", name = "pod", milliseconds = 0, words = WORDS, input = "{}", more = [] as string[] } =
      {},
  ): this {
    const variables = [`CNI_COMMAND=${command}`, `CNI_CONTAINERID=${name}`, `CNI_ARGS=${milliseconds}`];
    return this.send([...words, ...variables, ...more, ""].map((word) => `${word}\0`).join("") + input);
  }

  send(text: string): this {
    assert(this.#socket.send(new TextEncoder().encode(text)));
    return this;
  }

  /** The next packet as text; "" at the end of the connection. */
  receive(): string {
    const packet = this.#socket.receive();
    if (!packet) throw new Error("Waited in vain for a packet");
    return new TextDecoder().decode(packet);
  }

  /** Takes the agent's consent and its reply, and says that it is printed. @returns the output */
  print(): string {
    assertEquals(this.receive(), "a");
    const { output } = decodeReply(this.#socket.receive()!);
    this.#socket.send(new TextEncoder().encode("p"));
    return output;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

Deno.test("calls are done in the order in which they came, those that touch no device before all others", async () => {
  await using agent = await AgentProcess.start();
  using first = new Peer(agent).request({ name: "first", milliseconds: 300 });
  assertEquals(await agent.told(1), ["begin first"]);
  const commands = ["ADD", "DEL", "GC", "STATUS", "VERSION"];
  const peers = commands.map((command) => new Peer(agent).request({ command, name: command }));
  for (const peer of [first, ...peers]) peer.print();
  const order = ["STATUS", "VERSION", "ADD", "DEL", "GC"].flatMap((name) => [`begin ${name}`, `end ${name}`]);
  assertEquals(await agent.told(1 + order.length), ["end first", ...order]);
  for (const peer of peers) peer[Symbol.dispose]();
});

Deno.test("a peer that is silent holds nobody up, and is dropped after a second", async () => {
  await using agent = await AgentProcess.start();
  const start = performance.now();
  using silent = new Peer(agent);
  using peer = new Peer(agent).request();
  peer.print();
  assertEquals(silent.receive(), "");
  assert(performance.now() - start >= 1000);
  const complaint = `"Process ${Deno.pid} is not served: it has sent nothing"`;
  assertEquals(await agent.told(3), ["begin pod", "end pod", complaint]);
});

Deno.test("rubbish is dropped, and told once", async () => {
  await using agent = await AgentProcess.start();
  for (const rubbish of ["x", "rdma-cni agent 2\0a\0b\0c\0d\0\0", "\0".repeat(1000), "y".repeat(100_000)]) {
    using peer = new Peer(agent).send(rubbish);
    assertEquals(peer.receive(), "");
  }
  new Peer(agent)[Symbol.dispose]();
  const complaint = `"Process ${Deno.pid} is not served: it has sent what is no request"`;
  assertEquals(await agent.toldByNow(), [complaint]);
});

Deno.test("another user's process is not served, even if it could connect", async () => {
  await using agent = await AgentProcess.start();
  assertEquals((Deno.statSync(agent.socket).mode ?? 0) & 0o777, 0o600);
  Deno.chmodSync(agent.directory, 0o755);
  const script =
    "socket(S, AF_UNIX, SOCK_SEQPACKET, 0); connect(S, pack_sockaddr_un($ARGV[0])) or exit 13; " +
    "exit(defined recv(S, $_, 9, 0) && $_ eq '' ? 0 : 1)";
  const args = ["--reuid=65534", "--clear-groups", "perl", "-MSocket", "-e", script, agent.socket];
  const connect = async () => (await new Deno.Command("setpriv", { args, stdin: "null" }).output()).code;
  assertEquals(await connect(), 13);
  Deno.chmodSync(agent.socket, 0o666);
  assertEquals(await connect(), 0);
  const [line] = await agent.told(1);
  assertMatch(line!, /^"Process \d+ is not served: it is of user 65534"$/);
});

const [name, program, root, netns, podNetns] = WORDS as [string, string, string, string, string];

const elsewhere = [name, program, root, netns, root];

Deno.test("the agent declines what another program would do, or it could not do the same way, counts it, and does the rest", async () => {
  const declined: Record<string, Parts> = {
    "another version": { words: [name, "rdma-cni-2", root, netns, podNetns] },
    "another root directory": { words: [name, program, identityOf("/proc"), netns, podNetns] },
    "another network namespace": { words: [name, program, root, "1:2", podNetns] },
    "a pod's namespace that is something else here": { words: elsewhere, more: ["CNI_NETNS=/proc"] },
    "a pod's namespace that is nothing here": { words: elsewhere, more: ["CNI_NETNS=/nonexistent"] },
    "a pod's namespace that is only here": { more: ["CNI_NETNS=/"] },
    "a delegate": { command: "DEL", input: '{ "delegate" : {} }' },
    "a delegate that hides behind an escape": { command: "DEL", input: '{"d\\u0065legate": {}}' },
    "a wait outside of the lock": { input: '{ "requireActive": true }' },
  };
  await using agent = await AgentProcess.start();
  for (const [what, parts] of Object.entries(declined)) {
    using peer = new Peer(agent).request(parts);
    assertEquals([peer.receive(), peer.receive()], ["d", ""], what);
  }
  assertEquals(await agent.toldByNow(), []);
  assertEquals(agent.state().declined, Object.keys(declined).length);
  const possible: Parts[] = [
    { command: "DEL", input: '{ "requireActive": true }' },
    { words: [name, program, root, netns, identityOf("/proc")], more: ["CNI_NETNS=/proc"] },
    { more: ["CNI_NETNS="] },
    { input: '{ "name": "a\\u0026b" }' },
  ];
  for (const parts of possible) {
    using peer = new Peer(agent).request(parts);
    assertEquals(peer.print(), parts.input ?? "{}");
  }
});

Deno.test("an ADD whose result is printed stays, and others are served until it is", async () => {
  await using agent = await AgentProcess.start();
  using printing = new Peer(agent).request();
  assertEquals(printing.receive(), "a");
  assertEquals(printing.receive(), "\0log\n\0{}");
  using other = new Peer(agent).request({ name: "other" });
  other.print();
  printing.send("p");
  assertEquals(printing.receive(), "");
  assertEquals(await agent.toldByNow(), ["begin pod", "end pod", "begin other", "end other"]);
});

Deno.test('an ADD is undone when the launcher ends or says something else in place of "p"', async () => {
  await using agent = await AgentProcess.start();
  for (const last of ["", "q", "pp"]) {
    {
      using peer = new Peer(agent).request();
      assertEquals([peer.receive(), peer.receive()], ["a", "\0log\n\0{}"]);
      if (last) peer.send(last);
    }
    const told = '"The result of an ADD was not printed: what it did is undone"';
    assertEquals(await agent.told(4), ["begin pod", "end pod", told, "undo pod"], last);
  }
  using peer = new Peer(agent).request({ command: "DEL" });
  assertEquals([peer.receive(), peer.receive(), peer.receive()], ["a", "\0log\n\0{}", ""]);
  assertEquals(await agent.toldByNow(), ["begin pod", "end pod"]);
});

Deno.test("an ADD is undone before its launcher could execute the program, when there is nobody to reply to", async () => {
  await using agent = await AgentProcess.start();
  {
    using peer = new Peer(agent).request({ milliseconds: 300 });
    assertEquals(peer.receive(), "a");
    assertEquals(await agent.told(1), ["begin pod"]);
  }
  assertEquals(await agent.told(2), ["end pod", "undo pod"]);
});

Deno.test("an ADD whose result is more than a packet can hold is undone, and left to the launcher", async () => {
  await using agent = await AgentProcess.start();
  const input = "x".repeat(1024);
  using longest = new Peer(agent).request({ input, more: ["CNI_PATH=255"] });
  assertEquals(longest.print().length, 255 * 1024);
  assertEquals(await agent.told(2), ["begin pod", "end pod"]);
  using peer = new Peer(agent).request({ input, more: ["CNI_PATH=256"] });
  assertEquals([peer.receive(), peer.receive()], ["a", ""]);
  assertEquals(await agent.told(3), ["begin pod", "end pod", "undo pod"]);
});

Deno.test("nothing is done for a launcher that has gone before its turn", async () => {
  await using agent = await AgentProcess.start();
  using first = new Peer(agent).request({ milliseconds: 300 });
  assertEquals(await agent.told(1), ["begin pod"]);
  new Peer(agent).request({ name: "gone" })[Symbol.dispose]();
  first.print();
  assertEquals(await agent.toldByNow(), ["end pod"]);
  assertEquals(agent.state().abandoned, 1);
});

Deno.test("the agent tells its state to people and programs", async () => {
  await using agent = await AgentProcess.start();
  using peer = new Peer(agent).request();
  peer.print();
  assertEquals(agent.state(), { program: PROGRAM, pid: agent.pid, calls: 1, declined: 0, abandoned: 0 });
  const { since, version } = JSON.parse(askAgent(agent.socket, "json"));
  assertMatch(since, /^20\d\d-.*Z$/);
  assertEquals(
    askAgent(agent.socket, "text"),
    `ok: agent ${version} (${PROGRAM}), process ${agent.pid}, since ${since}: 1 calls, 0 declined, 0 abandoned\n`,
  );
});

Deno.test("an agent that has no descriptors left goes on when there are some again", async () => {
  await using agent = await AgentProcess.start("prlimit", "--nofile=60:60");
  const silent = Array.from({ length: 100 }, () => new Peer(agent));
  using peer = new Peer(agent).request();
  assertEquals(await agent.told(1), ['"Cannot accept a connection: EMFILE (24), too many open files"']);
  assertEquals(peer.print(), "{}");
  for (const one of silent) one[Symbol.dispose]();
});

async function callHere(command: string, config: object) {
  const variables = new Map(Object.entries({ ...ENVIRONMENT, CNI_COMMAND: command }));
  const input = new TextEncoder().encode(JSON.stringify({ ...CONFIG, ...config }));
  const request = { program: PROGRAM, root, netns, podNetns, variables, input };
  const { reply, undo } = await doCall(request, 0, () => {});
  assertEquals(undo, undefined);
  return reply;
}

Deno.test("a call's output and log are its reply", async () => {
  const version = await callHere("VERSION", {});
  assertEquals([version.code, version.log], [0, ""]);
  assertEquals(JSON.parse(version.output).supportedVersions.at(-1), "1.1.0");
  const failed = await callHere("ADD", { deviceID: 1 });
  assertEquals([failed.code, JSON.parse(failed.output).code], [1, 7]);
  assertMatch(failed.log, /^time=.* level="error" msg=".*deviceID.*\n$/);
});

Deno.test("a call's log goes to its log file too, which is closed after it, or the reply tells why not", async () => {
  const directory = Deno.makeTempDirSync();
  const logFile = `${directory}/log`;
  const check = async (logFile: string) => (await callHere("CHECK", { logFile, cniVersion: "0.3.1" })).log; // which has no CHECK
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const log = await check(logFile);
  const before = descriptors();
  assertMatch(log, /level="error".* CHECK/);
  assertEquals(Deno.readTextFileSync(logFile), log);
  const second = await check(logFile);
  assertEquals(Deno.readTextFileSync(logFile), log + second);
  assertEquals(descriptors(), before);
  Deno.removeSync(directory, { recursive: true });
  assertMatch(
    await check(logFile),
    /level="warning" msg="Logging to standard error only: .*\n.*level="error"/,
  );
});
