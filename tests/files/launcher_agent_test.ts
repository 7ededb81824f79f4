// The launcher and an agent, which the tests play: each way out, and that the program is executed in all but one.
import {
  decodeRequest,
  encodeReply,
  identityOf,
  type Reply,
  type Request,
} from "../../src/agent/protocol.ts";
import { libc } from "../../src/sys/libc.ts";
import { PacketListener, PacketSocket } from "../../src/sys/packets.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { type Arch, makeLauncher, wordsFor } from "../support/launcher.ts";
import { replaceCall } from "../support/system_calls.ts";
import { TestNetns } from "../support/test_netns.ts";

const TEMPORARY = Deno.makeTempDirSync();
const SOCKET = `${TEMPORARY}/agent.sock`;
const PROGRAM = "rdma-cni-1";

/** The longest request, in bytes (struct text in launcher.c); one of this length may not have been all of the input. */
const REQUEST_LIMIT = 128 * 1024;
/** What the program gets of an input without end, at least: more than it takes (src/cni/stdio.ts). */
const INPUT_LIMIT = 4 * 1024 * 1024;

/** Prints how it was executed, and standard input, to which it adds nothing. */
const PLAYED_PROGRAM = `#!/bin/sh
echo "executed $* $CNI_COMMAND $WORD" >&2
cat
exit 3
`;

/** Puts a launcher and a program into a directory. @returns the launcher's path */
async function place(name: string, arch: Arch, flags: string[] = []): Promise<string> {
  const directory = `${TEMPORARY}/${name}`;
  Deno.mkdirSync(`${directory}/.rdma-cni`, { recursive: true });
  const launcher = await makeLauncher(arch, [`-DSOCKET="${SOCKET}"`, ...flags]);
  Deno.writeFileSync(`${directory}/rdma`, launcher, { mode: 0o755 });
  Deno.writeTextFileSync(`${directory}/.rdma-cni/${PROGRAM}`, PLAYED_PROGRAM, { mode: 0o755 });
  Deno.symlinkSync(PROGRAM, `${directory}/.rdma-cni/current`);
  return `${directory}/rdma`;
}

const ARCH = Deno.build.arch as Arch;
const LAUNCHERS = { x86_64: await place("x86_64", "x86_64"), aarch64: await place("aarch64", "aarch64") };
const LAUNCHER = LAUNCHERS[ARCH];
const IMPATIENT = await place("impatient", ARCH, ["-DACCEPT_TIME=1", "-DREPLY_TIME=1"]);

addEventListener("unload", () => Deno.removeSync(TEMPORARY, { recursive: true }));

/** The launcher's end, and what it and the program printed. */
type Ended = Record<"out" | "err", string> & { code: number };

/** A call by the launcher, which goes on until it is awaited. */
class Launched {
  readonly child: Deno.ChildProcess;
  readonly ended: Promise<Ended>;

  constructor({ variables = {}, args = ["two words"], words = [LAUNCHER] }: {
    variables?: Record<string, string>;
    args?: string[];
    words?: string[];
  } = {}) {
    const [first, ...rest] = [...words, ...args];
    this.child = new Deno.Command(first!, {
      args: rest,
      env: { CNI_COMMAND: "ADD", WORD: "word", ...variables },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.ended = this.child.output().then(({ code, stdout, stderr }) => {
      const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      return { code, out: out!, err: err! };
    });
  }

  /** Writes the parts to standard input and ends it. */
  async feed(...parts: string[]): Promise<void> {
    const writer = this.child.stdin.getWriter();
    try {
      for (const [index, part] of parts.entries()) {
        if (index > 0) await new Promise((resolve) => setTimeout(resolve, 50));
        await writer.write(new TextEncoder().encode(part));
      }
      await writer.close();
    } catch {
      // The launcher or the program has ended without having read all of it.
    }
  }
}

function launch(
  { input = "the input", ...call }: ConstructorParameters<typeof Launched>[0] & { input?: string } = {},
): Launched {
  const launched = new Launched(call);
  void launched.feed(input);
  return launched;
}

/** Takes what comes to a listener or by its sockets. */
async function take<T>(
  listener: PacketListener,
  sockets: PacketSocket[],
  next: () => T | undefined,
): Promise<T> {
  for (let tries = 0; tries < 100; tries++) {
    const taken = next();
    if (taken) return taken;
    await listener.wait(sockets, 100);
  }
  throw new Error("Waited in vain");
}

class Peer implements Disposable {
  constructor(readonly listener: PacketListener, readonly socket: PacketSocket) {}

  /** The next packet; an empty one at the end of the connection. */
  receive(): Promise<Uint8Array<ArrayBuffer>> {
    return take(this.listener, [this.socket], () => this.socket.receive());
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.receive());
  }

  async request(): Promise<Request> {
    return decodeRequest(await this.receive())!;
  }

  send(text: string): void {
    assert(this.socket.send(new TextEncoder().encode(text)));
  }

  reply(reply: Reply): void {
    this.send("a");
    assert(this.socket.send(encodeReply(reply)));
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

/** The socket of a played agent, whose name goes when it is disposed of. */
class PlayedAgent implements Disposable {
  readonly listener = new PacketListener(SOCKET);

  async accept(): Promise<Peer> {
    return new Peer(this.listener, await take(this.listener, [], () => this.listener.accept()));
  }

  /** Declines a call, which the program must then do. @returns what was asked, its input as text */
  async decline(
    { ended }: Pick<Launched, "ended"> = launch(),
    wanted = executed(),
  ): Promise<Omit<Request, "input"> & { input: string; length: number }> {
    using peer = await this.accept();
    const packet = await peer.receive();
    const request = decodeRequest(packet)!;
    peer.send("d");
    assertEquals(await ended, wanted);
    assertEquals(await peer.text(), "");
    return { ...request, input: new TextDecoder().decode(request.input), length: packet.length };
  }

  /** Does a call, whose launcher must then print the reply and say so. @returns what was asked */
  async answer({ ended }: Launched, reply = REPLY, printedLog = reply.log): Promise<Request> {
    using peer = await this.accept();
    const request = await peer.request();
    peer.reply(reply);
    assertEquals([await peer.text(), await peer.text()], ["p", ""]);
    assertEquals(await ended, { code: reply.code, out: reply.output, err: printedLog });
    return request;
  }

  assertUnasked(): void {
    assertEquals(this.listener.accept(), undefined);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(SOCKET);
  }
}

/** Puts a program into the place of the usual one, until the result is disposed of. */
function placeProgram(script: string): Disposable {
  const path = `${TEMPORARY}/${ARCH}/.rdma-cni/${PROGRAM}`;
  Deno.writeTextFileSync(path, `#!/bin/sh\n${script}\n`);
  return { [Symbol.dispose]: () => Deno.writeTextFileSync(path, PLAYED_PROGRAM) };
}

/** The end of a call whose program was executed with its whole input. */
function executed(input = "the input", command = "ADD", args = "two words"): Ended {
  return { code: 3, out: input, err: `executed ${args} ${command} word\n` };
}

const REPLY: Reply = { code: 7, log: "two\nlines\n", output: '{"a":"ü"}\n' };

{
  // Loads the C library's functions, which would count as a leak of the first test.
  using agent = new PlayedAgent();
  await agent.listener.wait([], 0);
}

for (const arch of ["x86_64", "aarch64"] as const) {
  const words = wordsFor(arch, LAUNCHERS[arch]);

  Deno.test(`${arch}: the launcher prints the agent's reply, and executes what is declined`, async () => {
    using agent = new PlayedAgent();
    await using pod = await TestNetns.create();
    const call = { words, variables: { CNI_NETNS: pod.path } };
    const { program, root, netns, podNetns, input } = await agent.answer(launch(call));
    const wanted = ["/", "/proc/self/ns/net", pod.path].map(identityOf);
    assertEquals([program, root, netns, podNetns], [PROGRAM, ...wanted]);
    assertEquals(new TextDecoder().decode(input), "the input");
    assert(wanted[1] !== wanted[2]);
    await agent.decline(launch(call));
  });
}

Deno.test("without a CNI command the launcher asks no agent", async () => {
  using agent = new PlayedAgent();
  assertEquals(await launch({ variables: { CNI_COMMAND: "" } }).ended, executed("the input", ""));
  agent.assertUnasked();
});

Deno.test("where nobody listens on the socket, or it is something else, the launcher executes the program", async () => {
  const bindOnly = "socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && bind(S, pack_sockaddr_un($ARGV[0])) or die";
  new Deno.Command("perl", { args: ["-MSocket", "-e", bindOnly, SOCKET] }).outputSync(); // connect(2) fails with ECONNREFUSED
  assertEquals(await launch().ended, executed());
  Deno.removeSync(SOCKET);
  Deno.writeTextFileSync(SOCKET, "");
  assertEquals(await launch().ended, executed());
  Deno.removeSync(SOCKET);
  using _streams = Deno.listen({ transport: "unix", path: SOCKET });
  assertEquals(await launch().ended, executed());
  Deno.removeSync(SOCKET);
});

for (
  const [when, reads, ...sent] of [
    ["before it has read the request", false],
    ["before it has accepted", true],
    ["before it replies", true, "a"],
    ["after what is no answer", true, "?", "\x07log\0output"],
  ] as [string, boolean, ...string[]][]
) {
  Deno.test(`an agent that ends ${when} leaves the call to the program`, async () => {
    using agent = new PlayedAgent();
    const { ended } = launch();
    {
      using peer = await agent.accept();
      if (reads) await peer.request();
      // After what is no answer the launcher may have gone before the next packet.
      for (const packet of sent) peer.socket.send(new TextEncoder().encode(packet));
    }
    assertEquals(await ended, executed());
  });
}

Deno.test("a last packet counts, although the kernel tells the end of the connection first", async () => {
  using agent = new PlayedAgent();
  for (const packet of [1, 2]) {
    const inject = `inject=recvfrom:retval=0:when=${packet}`;
    const words = ["strace", "-o", "/dev/null", "-e", "trace=recvfrom", "-e", inject, LAUNCHER];
    await agent.answer(launch({ words }));
  }
  const client = PacketSocket.connect(SOCKET, 0);
  using peer = await agent.accept();
  client.send(Uint8Array.of(7));
  client[Symbol.dispose]();
  const { recvfrom } = libc();
  let calls = 0;
  using _recvfrom = replaceCall("recvfrom", (...call) => calls++ === 0 ? 0n : recvfrom(...call));
  assertEquals([peer.socket.receive(), peer.socket.receive()], [Uint8Array.of(7), new Uint8Array()]);
});

for (const [what, sent] of [["accept", ""], ["reply", "a"]] as const) {
  Deno.test(`an agent that does not ${what} is not waited for any longer than its time`, async () => {
    using agent = new PlayedAgent();
    const start = performance.now();
    const { ended } = launch({ words: [IMPATIENT] });
    using peer = await agent.accept();
    await peer.request();
    if (sent) peer.send(sent);
    assertEquals(await ended, executed());
    assert(performance.now() - start >= 1000);
    assertEquals(await peer.text(), "");
  });
}

Deno.test("an agent whose queue of connections is full is not waited for any longer than its time", async () => {
  // Of a backlog of 0 one connection waits, and the next one has no place.
  const script = "($path, @call) = @ARGV; $name = pack_sockaddr_un($path); " +
    "socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && bind(S, $name) && listen(S, 0) or die; " +
    "socket(C, AF_UNIX, SOCK_SEQPACKET, 0) && connect(C, $name) or die; exit(system(@call) >> 8)";
  const start = performance.now();
  const words = ["perl", "-MSocket", "-e", script, SOCKET, IMPATIENT];
  assertEquals(await launch({ words }).ended, executed());
  assert(performance.now() - start >= 1000);
  Deno.removeSync(SOCKET);
});

Deno.test("the agent has 10 seconds to accept, and 290 more to reply", async () => {
  using agent = new PlayedAgent();
  const trace = `${TEMPORARY}/trace`;
  await agent.answer(launch({ words: ["strace", "-xx", "-o", trace, "-e", "trace=setsockopt", LAUNCHER] }));
  const times = Deno.readTextFileSync(trace).matchAll(/SO_(\w{3}TIMEO)\w*, "\\x(..)\\x(..)/g); // little endian
  assertEquals(Array.from(times, ([, option, low, high]) => `${option} ${parseInt(`${high}${low}`, 16)}`), [
    "SNDTIMEO 10",
    "RCVTIMEO 10",
    "RCVTIMEO 290",
  ]);
});

Deno.test("a reply of nothing and one of the most that a packet holds are printed whole, and once", async () => {
  using agent = new PlayedAgent();
  await agent.answer(launch(), { code: 0, log: "", output: "" });
  const output = "o".repeat(256 * 1024 - 100_003);
  await agent.answer(launch(), { code: 0, log: `${"l".repeat(100_000)}\n`, output });
});

Deno.test("the launcher sends the variables of CNI and of traces, and no others", async () => {
  using agent = new PlayedAgent();
  const variables = {
    CNI_CONTAINERID: "container",
    CNI_ARGS: "A=1;B=\n",
    CNI_PATH: "",
    CNI_OF_LATER: "1",
    TRACEPARENT: "00-1",
  };
  const others = { TRACEPARENTS: "1", XCNI_COMMAND: "1", CNI: "1" };
  const request = await agent.decline(launch({ variables: { ...variables, ...others } }));
  assertEquals(Object.fromEntries(request.variables), { CNI_COMMAND: "ADD", ...variables });
});

Deno.test("more variables than a request can hold have the program executed", async () => {
  using agent = new PlayedAgent();
  const variables = { CNI_ARGS: "x".repeat(REQUEST_LIMIT - 1000), CNI_PATH: "y".repeat(1000) };
  assertEquals(await launch({ variables }).ended, executed());
  agent.assertUnasked();
});

Deno.test("the launcher says what CNI_NETNS leads to from the root directory", async () => {
  using agent = new PlayedAgent();
  for (const CNI_NETNS of [undefined, "", "/nonexistent", "proc/self/ns/net", "/run/netns/\n"]) {
    const variables: Record<string, string> = CNI_NETNS === undefined ? {} : { CNI_NETNS };
    const wanted = CNI_NETNS?.startsWith("proc") ? identityOf("/proc/self/ns/net") : "0:0";
    assertEquals((await agent.decline(launch({ variables }))).podNetns, wanted, CNI_NETNS);
  }
});

Deno.test("VERSION does not wait for standard input, and the program gets all of it", async () => {
  using agent = new PlayedAgent();
  const variables = { CNI_COMMAND: "VERSION" };
  const silent = new Launched({ variables });
  assertEquals((await agent.answer(silent)).input.length, 0);
  await silent.feed();
  await agent.decline(launch({ variables }), executed("the input", "VERSION"));
});

Deno.test("the launcher waits for all of an input that comes bit by bit", async () => {
  using agent = new PlayedAgent();
  const launched = new Launched();
  void launched.feed("bit ", "by ", "bit");
  assertEquals((await agent.decline(launched, executed("bit by bit"))).input, "bit by bit");
});

Deno.test("an input that just fits into a request goes to the agent, and a longer one to the program", async () => {
  using agent = new PlayedAgent();
  const { length } = await agent.decline(launch({ input: "" }), executed(""));
  const input = "x".repeat(REQUEST_LIMIT - length - 1);
  assert((await agent.decline(launch({ input }), executed(input))).input === input);
  for (const longer of [`${input}y`, `${input}yz`, "z".repeat(3 * REQUEST_LIMIT + 1)]) {
    assert((await launch({ input: longer }).ended).out === longer);
    agent.assertUnasked();
  }
});

Deno.test("of an input without end the program gets more than it takes", async () => {
  using agent = new PlayedAgent();
  const script = 'ulimit -f 16384; exec "$0" </dev/zero | wc -c'; // 8 MiB, so that a fault does not fill the memory
  const { out } = await launch({ words: ["/bin/sh", "-c", script, LAUNCHER] }).ended;
  assert(Number(out) > INPUT_LIMIT && Number(out) < 2 * INPUT_LIMIT, out);
  agent.assertUnasked();
});

Deno.test("an input that cannot be read is left to the program", async () => {
  using agent = new PlayedAgent();
  const { code, err } = await launch({ words: ["/bin/sh", "-c", 'exec "$0" "$@" </', LAUNCHER] }).ended;
  assertEquals(code, 3);
  assertMatch(err, /^executed .*\n.*directory/s); // by cat
  agent.assertUnasked();
});

for (
  const [stream, redirection, code] of [["input", "<&-", 100], ["output", ">&-", 10], ["error", "2>&-", 1]]
) {
  Deno.test(`with a closed standard ${stream} the launcher executes the program, for which it is closed too`, async () => {
    using agent = new PlayedAgent();
    const script = "for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ]; code=$code$?; done; exit $code";
    using _program = placeProgram(script);
    const { ended } = launch({ words: ["/bin/sh", "-c", `exec "$0" ${redirection}`, LAUNCHER] });
    assertEquals((await ended).code, code);
    agent.assertUnasked();
  });
}

Deno.test("when the output cannot be printed the launcher does not say that it is; the log does not matter", async () => {
  using agent = new PlayedAgent();
  await agent.answer(launch({ words: ["/bin/sh", "-c", 'exec "$0" 2>/dev/full', LAUNCHER] }), REPLY, "");
  const broken = 'perl -e "pipe R, W; close R; open STDOUT, q{>&}, W; exec @ARGV" "$0"'; // SIGPIPE, were it not for EPIPE
  for (const script of [broken, 'exec "$0" >/dev/full']) {
    const { ended } = launch({ words: ["/bin/sh", "-c", script, LAUNCHER], args: [] });
    using peer = await agent.accept();
    await peer.request();
    peer.reply({ ...REPLY, log: "" });
    assertEquals(await peer.text(), "");
    assertEquals(await ended, { code: 1, out: "", err: "" });
  }
});

function injecting(inject: string): string[] {
  return ["strace", "-o", "/dev/null", "-e", `inject=${inject}`, LAUNCHER];
}

for (
  const [what, inject, isAsked] of [
    ["no file in memory", "memfd_create:error=ENOSYS", false],
    ["no socket", "socket:error=ENFILE", false],
    ["no memory to send the request", "sendto:error=ENOBUFS", true],
  ] as const
) {
  Deno.test(`where the kernel has ${what} the program is executed, with its input`, async () => {
    using agent = new PlayedAgent();
    assertEquals(await launch({ words: injecting(`${inject}:when=1`) }).ended, executed());
    if (!isAsked) agent.assertUnasked();
  });
}

Deno.test("a signal while the input is read, and a second try to execute the program, lose nothing of it and ask once", async () => {
  using agent = new PlayedAgent();
  for (const inject of ["read:error=EINTR", "execve:error=ENOENT"]) {
    const { input } = await agent.decline(launch({ words: injecting(`${inject}:when=1`) }));
    assertEquals(input, "the input", inject);
    agent.assertUnasked();
  }
});

Deno.test("a signal while the agent accepts or does the call does not end the wait", async () => {
  using agent = new PlayedAgent();
  await agent.answer(launch({ words: injecting("recvfrom:error=EINTR:when=1+2") }));
});

Deno.test("an input that can be kept nowhere is an error", async () => {
  const words = injecting("write:error=ENOSPC:when=1");
  assertEquals((await launch({ words }).ended).out, "the input"); // without an agent it is not touched
  using agent = new PlayedAgent();
  const { ended } = launch({ words });
  (await agent.accept())[Symbol.dispose]();
  const { code, out, err } = await ended;
  assertEquals([code, err], [1, ""]);
  assertEquals(JSON.parse(out), {
    cniVersion: "1.1.0",
    code: 5,
    msg: 'Cannot copy "standard input": ENOMEM (12)',
    details: "the node has too little memory",
  });
});

Deno.test("the program inherits nothing that the launcher has opened", async () => {
  using _program = placeProgram("exec ls /proc/self/fd");
  const unasked = await launch().ended;
  using agent = new PlayedAgent();
  await agent.decline(launch(), unasked);
});

Deno.test('"agent --check" is answered by the agent, and by the program without one', async () => {
  const call = { args: ["agent", "--check"], words: ["env", "-u", "CNI_COMMAND", LAUNCHER] };
  assertEquals(await launch(call).ended, executed("the input", "", "agent --check"));
  using agent = new PlayedAgent();
  const { ended } = launch(call);
  using peer = await agent.accept();
  const { program, input } = await peer.request();
  assertEquals([program, input.length], ["", 0]);
  peer.reply({ code: 0, log: "", output: "ok\n" });
  assertEquals(await ended, { code: 0, out: "ok\n", err: "" });
  for (
    const args of [["agent"], ["agent", "--check", "--json"], ["--check", "agent"], ["agent", "--checks"]]
  ) {
    assertEquals(await launch({ ...call, args }).ended, executed("the input", "", args.join(" ")));
  }
  agent.assertUnasked();
});
