// The launcher and an agent, which the tests play: each way out, and that the program is executed in all but one.
import {
  decodeRequest,
  encodeReply,
  identityOf,
  type Reply,
  type Request,
} from "../../src/agent/protocol.ts";
import { PacketListener, type PacketSocket } from "../../src/sys/packets.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { makeLauncher } from "../support/launcher.ts";
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
async function place(name: string, arch: "x86_64" | "aarch64", flags: string[] = []): Promise<string> {
  const directory = `${TEMPORARY}/${name}`;
  Deno.mkdirSync(`${directory}/.rdma-cni`, { recursive: true });
  const launcher = await makeLauncher(arch, [`-DSOCKET="${SOCKET}"`, ...flags]);
  Deno.writeFileSync(`${directory}/rdma`, launcher, { mode: 0o755 });
  Deno.writeTextFileSync(`${directory}/.rdma-cni/${PROGRAM}`, PLAYED_PROGRAM, { mode: 0o755 });
  Deno.symlinkSync(PROGRAM, `${directory}/.rdma-cni/current`);
  return `${directory}/rdma`;
}

const LAUNCHERS = { x86_64: await place("x86_64", "x86_64"), aarch64: await place("aarch64", "aarch64") };
const LAUNCHER = LAUNCHERS[Deno.build.arch as keyof typeof LAUNCHERS];
const IMPATIENT = await place("impatient", Deno.build.arch as keyof typeof LAUNCHERS, [
  "-DACCEPT_TIME=1",
  "-DREPLY_TIME=1",
]);
const EMULATORS = { x86_64: "qemu-x86_64", aarch64: "qemu-aarch64" };

/** The launcher's end, and what it and the program printed. */
interface Ended {
  code: number;
  out: string;
  err: string;
}

interface Call {
  variables?: Record<string, string>;
  args?: string[];
  /** Written to standard input, which then ends. */
  input?: string | Uint8Array;
  /** What starts the launcher. */
  words?: string[];
}

/** A call by the launcher, which goes on until it is awaited. */
class Launched {
  readonly child: Deno.ChildProcess;
  readonly ended: Promise<Ended>;

  constructor({ variables = {}, args = ["two words"], words = [LAUNCHER] }: Call = {}) {
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
  async feed(...parts: (string | Uint8Array)[]): Promise<void> {
    const writer = this.child.stdin.getWriter();
    try {
      for (const [index, part] of parts.entries()) {
        if (index > 0) await new Promise((resolve) => setTimeout(resolve, 50));
        await writer.write(typeof part === "string" ? new TextEncoder().encode(part) : part);
      }
      await writer.close();
    } catch {
      // The launcher or the program has ended without having read all of it.
    }
  }
}

/** Starts a call and gives it its input. */
function launch(call: Call = {}): Launched {
  const launched = new Launched(call);
  void launched.feed(call.input ?? "the input");
  return launched;
}

/** A peer of the played agent. */
class Peer implements Disposable {
  constructor(readonly listener: PacketListener, readonly socket: PacketSocket) {}

  /** The next packet as text; "" at the end of the connection. */
  async receive(): Promise<Uint8Array<ArrayBuffer>> {
    for (let tries = 0; tries < 100; tries++) {
      const packet = this.socket.receive();
      if (packet) return packet;
      await this.listener.wait([this.socket], 100);
    }
    throw new Error("Waited in vain for a packet");
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
    assert(this.socket.send(encodeReply(reply)));
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

/** The socket of a played agent, whose name goes when it is disposed of. */
class PlayedAgent implements Disposable {
  readonly listener = new PacketListener(SOCKET);

  /** The launcher's connection. */
  async accept(): Promise<Peer> {
    for (let tries = 0; tries < 100; tries++) {
      const socket = this.listener.accept();
      if (socket) return new Peer(this.listener, socket);
      await this.listener.wait([], 100);
    }
    throw new Error("Waited in vain for a connection");
  }

  /** Asserts that nobody has connected. */
  assertUnasked(): void {
    assertEquals(this.listener.accept(), undefined);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(SOCKET);
  }
}

/** A program in the place of the usual one, until it is disposed of. */
class OtherProgram implements Disposable {
  readonly #path = `${TEMPORARY}/${Deno.build.arch}/.rdma-cni/${PROGRAM}`;

  constructor(script: string) {
    Deno.writeTextFileSync(this.#path, `#!/bin/sh\n${script}\n`);
  }

  [Symbol.dispose](): void {
    Deno.writeTextFileSync(this.#path, PLAYED_PROGRAM);
  }
}

/** Listens on the socket in a process of its own, which then goes on with Perl code. */
function listenElsewhere(then: string): Deno.ChildProcess {
  const script = "my $name = pack_sockaddr_un($ARGV[0]); " +
    `socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && bind(S, $name) && listen(S, 0) or die; ${then}`;
  const args = ["-MSocket", "-e", script, SOCKET];
  return new Deno.Command("perl", { args, stdin: "null", stdout: "piped" }).spawn();
}

/** The end of a call whose program was executed with its whole input. */
function executed(input = "the input", command = "ADD", args = "two words"): Ended {
  return { code: 3, out: input, err: `executed ${args} ${command} word\n` };
}

const REPLY: Reply = { code: 7, log: "two\nlines\n", output: '{"a":"ü"}\n' };
const PRINTED: Ended = { code: 7, out: '{"a":"ü"}\n', err: "two\nlines\n" };

{
  // Loads the C library's functions, which would count as a leak of the first test.
  using agent = new PlayedAgent();
  await agent.listener.wait([], 0);
}

addEventListener("unload", () => Deno.removeSync(TEMPORARY, { recursive: true }));

for (const arch of ["x86_64", "aarch64"] as const) {
  const words = arch === Deno.build.arch ? [LAUNCHERS[arch]] : [EMULATORS[arch], LAUNCHERS[arch]];

  Deno.test(`${arch}: without a socket the launcher executes the program`, async () => {
    assertEquals(await launch({ words }).ended, executed());
  });

  Deno.test(`${arch}: the launcher prints the agent's reply, and says so`, async () => {
    using agent = new PlayedAgent();
    const { ended } = launch({ words });
    using peer = await agent.accept();
    const { program, variables, input } = await peer.request();
    assertEquals([program, Object.fromEntries(variables)], [PROGRAM, { CNI_COMMAND: "ADD" }]);
    assertEquals(new TextDecoder().decode(input), "the input");
    peer.send("a");
    peer.reply(REPLY);
    assertEquals([await peer.text(), await peer.text()], ["p", ""]);
    assertEquals(await ended, PRINTED);
  });

  Deno.test(`${arch}: what the agent declines the launcher executes`, async () => {
    using agent = new PlayedAgent();
    const { ended } = launch({ words });
    using peer = await agent.accept();
    await peer.request();
    peer.send("d");
    assertEquals(await ended, executed());
    assertEquals(await peer.text(), "");
  });

  Deno.test(`${arch}: what the launcher tells the agent about itself are the numbers of its root and namespaces`, async () => {
    using agent = new PlayedAgent();
    await using pod = await TestNetns.create();
    const { ended } = launch({ words, variables: { CNI_NETNS: pod.path } });
    using peer = await agent.accept();
    const { root, netns, podNetns } = await peer.request();
    const wanted = ["/", "/proc/self/ns/net", pod.path].map(identityOf);
    assertEquals([root, netns, podNetns], wanted);
    assert(wanted[1] !== wanted[2]);
    peer.send("d");
    await ended;
  });
}

Deno.test("without a CNI command the launcher asks no agent", async () => {
  using agent = new PlayedAgent();
  assertEquals(await launch({ variables: { CNI_COMMAND: "" } }).ended, executed("the input", ""));
  assertEquals(
    await launch({ words: ["env", "-u", "CNI_COMMAND", LAUNCHER] }).ended,
    executed("the input", ""),
  );
  agent.assertUnasked();
});

Deno.test("where an agent has left its socket behind, the launcher executes the program", async () => {
  await listenElsewhere("exit").output(); // then connect(2) fails with ECONNREFUSED
  assertEquals(await launch().ended, executed());
  Deno.removeSync(SOCKET);
});

Deno.test("a file in the socket's place, or a socket of another kind, makes the launcher execute the program", async () => {
  Deno.writeTextFileSync(SOCKET, "");
  assertEquals(await launch().ended, executed());
  Deno.removeSync(SOCKET);
  using _streams = Deno.listen({ transport: "unix", path: SOCKET });
  assertEquals(await launch().ended, executed());
  Deno.removeSync(SOCKET);
});

for (
  const [when, ...sent] of [["before it has accepted"], ["before it replies", "a"], [
    "after what is no answer",
    "?",
    "\x07log\0output",
  ]]
) {
  Deno.test(`an agent that ends ${when} leaves the call to the program`, async () => {
    using agent = new PlayedAgent();
    const { ended } = launch();
    {
      using peer = await agent.accept();
      await peer.request();
      // After what is no answer the launcher may have gone before the next packet.
      for (const packet of sent) peer.socket.send(new TextEncoder().encode(packet));
    }
    assertEquals(await ended, executed());
  });
}

Deno.test("an agent that ends without having read the request leaves the call to the program", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch();
  (await agent.accept())[Symbol.dispose]();
  assertEquals(await ended, executed());
});

for (const [what, sent, least] of [["accept", "", 1000], ["reply", "a", 1000]] as const) {
  Deno.test(`an agent that does not ${what} is not waited for any longer than its time`, async () => {
    using agent = new PlayedAgent();
    const start = performance.now();
    const { ended } = launch({ words: [IMPATIENT] });
    using peer = await agent.accept();
    await peer.request();
    if (sent) peer.send(sent);
    assertEquals(await ended, executed());
    assert(performance.now() - start >= least);
    assertEquals(await peer.text(), "");
  });
}

Deno.test("an agent whose queue of connections is full is not waited for any longer than its time", async () => {
  // Of a backlog of 0 one connection waits, and the next one has no place.
  const full = listenElsewhere(
    "socket(C, AF_UNIX, SOCK_SEQPACKET, 0) && connect(C, $name) or die; print 1; close STDOUT; sleep",
  );
  assertEquals(await new Response(full.stdout).text(), "1");
  const start = performance.now();
  assertEquals(await launch({ words: [IMPATIENT] }).ended, executed());
  assert(performance.now() - start >= 1000);
  full.kill("SIGKILL");
  await full.status;
  Deno.removeSync(SOCKET);
});

Deno.test("the agent has 10 seconds to accept, and 290 more to reply", async () => {
  using agent = new PlayedAgent();
  const trace = `${TEMPORARY}/trace`;
  const { ended } = launch({ words: ["strace", "-xx", "-o", trace, "-e", "trace=setsockopt", LAUNCHER] });
  using peer = await agent.accept();
  await peer.request();
  peer.send("a");
  peer.reply(REPLY);
  assertEquals((await ended).code, 7);
  const times = Deno.readTextFileSync(trace).matchAll(/SO_(\w{3}TIMEO)\w*, "\\x(..)\\x(..)/g); // little endian
  assertEquals(Array.from(times, ([, option, low, high]) => `${option} ${parseInt(`${high}${low}`, 16)}`), [
    "SNDTIMEO 10",
    "RCVTIMEO 10",
    "RCVTIMEO 290",
  ]);
});

Deno.test("a reply is printed once, whatever of it is empty", async () => {
  using agent = new PlayedAgent();
  for (
    const reply of [
      { code: 0, log: "", output: "" },
      { code: 1, log: "only a log\n", output: "" },
      { code: 0, log: "", output: "only an output\n" },
    ]
  ) {
    const { ended } = launch();
    using peer = await agent.accept();
    await peer.request();
    peer.send("a");
    peer.reply(reply);
    assertEquals([await peer.text(), await peer.text()], ["p", ""]);
    assertEquals(await ended, { code: reply.code, out: reply.output, err: reply.log });
  }
});

Deno.test("the longest reply is printed whole", async () => {
  using agent = new PlayedAgent();
  const reply = { code: 0, log: `${"l".repeat(100_000)}\n`, output: `${"o".repeat(256 * 1024 - 100_004)}\n` };
  const { ended } = launch();
  using peer = await agent.accept();
  await peer.request();
  peer.send("a");
  peer.reply(reply);
  assertEquals(await peer.text(), "p");
  assert((await ended).out === reply.output && (await ended).err === reply.log);
});

Deno.test("what is no reply has the program executed", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch();
  using peer = await agent.accept();
  await peer.request();
  peer.send("a");
  peer.send(""); // as at the end of the connection
  assertEquals(await ended, executed());
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
  const { ended } = launch({
    variables: { ...variables, TRACEPARENTS: "1", XCNI_COMMAND: "1", CNI: "1", PATH: "/" },
  });
  using peer = await agent.accept();
  const request = await peer.request();
  assertEquals(Object.fromEntries(request.variables), { CNI_COMMAND: "ADD", ...variables });
  peer.send("d");
  await ended;
});

Deno.test("more variables than a request can hold have the program executed", async () => {
  using agent = new PlayedAgent();
  const variables = { CNI_ARGS: "x".repeat(REQUEST_LIMIT - 1000), CNI_PATH: "y".repeat(1000) };
  assertEquals(await launch({ variables }).ended, executed());
  agent.assertUnasked();
});

for (const netns of [undefined, "", "/nonexistent", "proc/self/ns/net", "/run/netns/\n"]) {
  Deno.test(`the launcher says what CNI_NETNS ${JSON.stringify(netns)} leads to from the root directory`, async () => {
    using agent = new PlayedAgent();
    const { ended } = launch({ variables: netns === undefined ? {} : { CNI_NETNS: netns } });
    using peer = await agent.accept();
    const wanted = netns?.startsWith("proc") ? identityOf("/proc/self/ns/net") : "0:0";
    assertEquals((await peer.request()).podNetns, wanted);
    peer.send("d");
    await ended;
  });
}

Deno.test("a launcher in another network namespace says so", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch({ words: ["unshare", "--net", LAUNCHER] });
  using peer = await agent.accept();
  const { root, netns } = await peer.request();
  assertEquals([root, netns === identityOf("/proc/self/ns/net"), netns === "0:0"], [
    identityOf("/"),
    false,
    false,
  ]);
  peer.send("d");
  await ended;
});

Deno.test("VERSION does not wait for standard input, and the program gets all of it", async () => {
  using agent = new PlayedAgent();
  const variables = { CNI_COMMAND: "VERSION" };
  const silent = new Launched({ variables });
  {
    using peer = await agent.accept();
    assertEquals((await peer.request()).input.length, 0);
    peer.send("a");
    peer.reply(REPLY);
    assertEquals(await silent.ended, PRINTED);
  }
  await silent.feed();
  const { ended } = launch({ variables });
  using peer = await agent.accept();
  await peer.request();
  peer.send("d");
  assertEquals(await ended, executed("the input", "VERSION"));
});

Deno.test("the launcher waits for all of an input that comes bit by bit", async () => {
  using agent = new PlayedAgent();
  const launched = new Launched();
  const fed = launched.feed("bit ", "by ", "bit");
  using peer = await agent.accept();
  assertEquals(new TextDecoder().decode((await peer.request()).input), "bit by bit");
  peer.send("d");
  assertEquals(await launched.ended, executed("bit by bit"));
  await fed;
});

Deno.test("an input that is empty goes to the agent", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch({ input: "" });
  using peer = await agent.accept();
  assertEquals((await peer.request()).input.length, 0);
  peer.send("d");
  assertEquals(await ended, executed(""));
});

Deno.test("an input that just fits into a request goes to the agent, and a longer one to the program", async () => {
  using agent = new PlayedAgent();
  const first = launch({ input: "" });
  const header = await (async () => {
    using peer = await agent.accept();
    const { length } = await peer.receive();
    peer.send("d");
    return length;
  })();
  await first.ended;
  const input = "x".repeat(REQUEST_LIMIT - header - 1);
  const { ended } = launch({ input });
  {
    using peer = await agent.accept();
    assert(new TextDecoder().decode((await peer.request()).input) === input);
    peer.send("d");
    assert((await ended).out === input);
  }
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
  const [stream, redirection, exitCode] of [["input", "<&-", 100], ["output", ">&-", 10], [
    "error",
    "2>&-",
    1,
  ]] as const
) {
  Deno.test(`with a closed standard ${stream} the launcher executes the program, for which it is closed too`, async () => {
    using agent = new PlayedAgent();
    const script = "for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ]; code=$code$?; done; exit $code";
    using _program = new OtherProgram(script);
    const { ended } = launch({ words: ["/bin/sh", "-c", `exec "$0" ${redirection}`, LAUNCHER] });
    assertEquals((await ended).code, exitCode);
    agent.assertUnasked();
  });
}

Deno.test("when the output cannot be printed the launcher does not say that it is", async () => {
  using agent = new PlayedAgent();
  const broken = 'perl -e "pipe R, W; close R; open STDOUT, q{>&}, W; exec @ARGV" "$0"'; // SIGPIPE, were it not for EPIPE
  for (const script of [broken, 'exec "$0" >/dev/full']) {
    const { ended } = launch({ words: ["/bin/sh", "-c", script, LAUNCHER], args: [] });
    using peer = await agent.accept();
    await peer.request();
    peer.send("a");
    peer.reply({ ...REPLY, log: "" });
    assertEquals(await peer.text(), "");
    assertEquals(await ended, { code: 1, out: "", err: "" });
  }
});

Deno.test("a log that cannot be printed does not matter", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch({ words: ["/bin/sh", "-c", 'exec "$0" 2>/dev/full', LAUNCHER] });
  using peer = await agent.accept();
  await peer.request();
  peer.send("a");
  peer.reply(REPLY);
  assertEquals(await peer.text(), "p");
  assertEquals(await ended, { ...PRINTED, err: "" });
});

Deno.test("a launcher that is stopped for a while goes on waiting", async () => {
  using agent = new PlayedAgent();
  const { child, ended } = launch();
  using peer = await agent.accept();
  await peer.request();
  for (const sent of ["a", undefined]) {
    child.kill("SIGSTOP");
    await until(() => stateOf(child.pid) === "T");
    child.kill("SIGCONT");
    await until(() => stateOf(child.pid) === "S");
    if (sent) peer.send(sent);
    else peer.reply(REPLY);
  }
  assertEquals(await peer.text(), "p");
  assertEquals(await ended, PRINTED);
});

Deno.test("a launcher that is killed while it waits ends its connection", async () => {
  using agent = new PlayedAgent();
  const { child, ended } = launch();
  using peer = await agent.accept();
  await peer.request();
  peer.send("a");
  child.kill("SIGTERM");
  assertEquals(await peer.text(), "");
  assertEquals((await ended).code, 143);
});

/** Starts the launcher with system calls that fail. */
function injecting(inject: string): string[] {
  return ["strace", "-o", "/dev/null", "-e", `inject=${inject}`, LAUNCHER];
}

Deno.test("where the kernel makes no file in memory the program is executed, with its input", async () => {
  using agent = new PlayedAgent();
  assertEquals(await launch({ words: injecting("memfd_create:error=ENOSYS:when=1") }).ended, executed());
  agent.assertUnasked();
});

for (const error of ["ENFILE", "EACCES"]) {
  Deno.test(`where there is no socket for ${error} the program is executed, with its input`, async () => {
    using agent = new PlayedAgent();
    assertEquals(await launch({ words: injecting(`socket:error=${error}:when=1`) }).ended, executed());
    agent.assertUnasked();
  });
}

Deno.test("a request that cannot be sent has the program executed", async () => {
  using _agent = new PlayedAgent();
  assertEquals(await launch({ words: injecting("sendto:error=ENOBUFS:when=1") }).ended, executed());
});

Deno.test("a signal while the input is read loses nothing of it", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch({ words: injecting("read:error=EINTR:when=1") });
  using peer = await agent.accept();
  assertEquals(new TextDecoder().decode((await peer.request()).input), "the input");
  peer.send("d");
  assertEquals(await ended, executed());
});

Deno.test("the agent is asked once, also when the program has to be executed twice", async () => {
  using agent = new PlayedAgent();
  const { ended } = launch({ words: injecting("execve:error=ENOENT:when=1") });
  {
    using peer = await agent.accept();
    await peer.request();
    peer.send("d");
  }
  assertEquals(await ended, executed());
  agent.assertUnasked();
});

Deno.test("an input that can be kept nowhere is an error", async () => {
  const { code, out } = await launch({ words: injecting("write:error=ENOSPC:when=1") }).ended;
  assertEquals(code, 3, out); // without an agent the input is not touched
  using _agent = new PlayedAgent();
  const { ended } = launch({ words: injecting("write:error=ENOSPC:when=1") });
  (await _agent.accept())[Symbol.dispose]();
  const failed = await ended;
  assertEquals([failed.code, failed.err], [1, ""]);
  assertEquals(JSON.parse(failed.out), {
    cniVersion: "1.1.0",
    code: 5,
    msg: 'Cannot copy "standard input": ENOMEM (12)',
    details: "the node has too little memory",
  });
});

Deno.test("the program inherits nothing that the launcher has opened", async () => {
  using _program = new OtherProgram("exec ls /proc/self/fd");
  const { out } = await launch().ended;
  using agent = new PlayedAgent();
  const { ended } = launch();
  using peer = await agent.accept();
  peer.send("d");
  assertEquals((await ended).out, out);
});

Deno.test('"agent --check" is answered by the agent, and by the program without one', async () => {
  const call = { args: ["agent", "--check"], words: ["env", "-u", "CNI_COMMAND", LAUNCHER] };
  assertEquals(await launch(call).ended, executed("the input", "", "agent --check"));
  using agent = new PlayedAgent();
  const { ended } = launch(call);
  using peer = await agent.accept();
  const { program, input } = await peer.request();
  assertEquals([program, input.length], ["", 0]);
  peer.send("a");
  peer.reply({ code: 0, log: "", output: "ok\n" });
  assertEquals(await ended, { code: 0, out: "ok\n", err: "" });
  for (
    const args of [["agent"], ["agent", "--check", "--json"], ["--check", "agent"], ["agent", "--checks"]]
  ) {
    assertEquals(await launch({ ...call, args }).ended, executed("the input", "", args.join(" ")));
  }
  agent.assertUnasked();
});

/** The letter for what a process does: S sleeps, T is stopped. */
function stateOf(pid: number): string {
  return /\) (\w)/.exec(Deno.readTextFileSync(`/proc/${pid}/stat`))![1]!;
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Waited in vain: ${holds}`);
}
