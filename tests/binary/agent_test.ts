// The agent of the compiled executable, with a /run and a /var/lib of its own; calls to it come by the launcher.
import { decodeReply, identityOf } from "../../src/agent/protocol.ts";
import { attempt } from "../../src/sys/libc.ts";
import { PacketSocket } from "../../src/sys/packets.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { assertFailed, otherBuild, type Outcome, start } from "../support/program.ts";

const SOCKET = "/run/rdma-cni/agent.sock";
const STATE = "/var/lib/cni/rdma";

const TEMPORARY = Deno.makeTempDirSync();
addEventListener("unload", () => Deno.removeSync(TEMPORARY, { recursive: true }));

/** Installs the plugin. @returns the directory */
async function install(name: string): Promise<string> {
  const directory = `${TEMPORARY}/${name}`;
  Deno.mkdirSync(directory);
  assertEquals((await start({ args: ["install", "--cni-bin-dir", directory] })).code, 0);
  return directory;
}

const DIRECTORY = await install("bin");
const PLUGIN = `${DIRECTORY}/rdma`;

/** Starts a program where /run and /var/lib are empty. */
const ISOLATED = [
  ...["unshare", "--mount", "sh", "-euc"],
  `mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mkdir -p -m 700 ${STATE}; exec "$0" "$@"`,
];

/** Starts a program that cannot see all processes of this machine. It ends with what starts it. */
const OWN_PROCESSES = ["unshare", "--pid", "--fork", "--kill-child"];

/** Far longer than anything takes here, in milliseconds. */
const PATIENCE_MS = 30_000;

/** An agent, isolated. */
class RunningAgent implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #stderr = "";

  private constructor(args: string[], by: string[]) {
    const [first, ...rest] = [...ISOLATED, ...by, PLUGIN, "agent", ...args];
    this.#child = new Deno.Command(first!, { args: rest, stdin: "null", stdout: "null", stderr: "piped" })
      .spawn();
    this.#reader = this.#child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Starts one, and waits until it serves. @param by what it is started by */
  static async start(args: string[] = [], by: string[] = []): Promise<RunningAgent> {
    const agent = new RunningAgent(args, by);
    await agent.until("The agent serves on ");
    return agent;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What starts a program where the agent is. */
  get by(): string[] {
    return ["nsenter", `--mount=/proc/${this.pid}/ns/mnt`];
  }

  /** Makes a call by the launcher. */
  call(command: string, config: object = {}): Promise<Outcome> {
    return callBy(command, { by: this.by, config });
  }

  /** Runs a command, where the agent is, by the launcher. */
  run(...args: string[]): Promise<Outcome> {
    return start({ by: this.by, program: PLUGIN, args });
  }

  async calls(): Promise<number> {
    return (await this.run("agent", "--check", "--json")).json.calls;
  }

  /** Waits until its log has a text so many times. */
  async until(text: string, times = 1): Promise<void> {
    const timer = setTimeout(() => this.kill("SIGKILL"), PATIENCE_MS);
    while (this.#stderr.split(text).length <= times) {
      const { value } = await this.#reader.read();
      if (value === undefined) throw new Error(`The agent has ended: ${this.#stderr}`);
      this.#stderr += value;
    }
    clearTimeout(timer);
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Its end: exit code and log. */
  async ended(): Promise<{ code: number; stderr: string }> {
    for (let read; !(read = await this.#reader.read()).done;) this.#stderr += read.value;
    return { code: (await this.#child.status).code, stderr: this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
    await this.ended();
  }
}

/** A process that keeps an agent's mount namespace, so that one can look at what it has left behind. */
class Witness implements AsyncDisposable {
  private constructor(readonly child: Deno.ChildProcess) {}

  static async of({ by }: RunningAgent): Promise<Witness> {
    const [first, ...rest] = [...by, "sh", "-c", "echo entered; exec cat"];
    const child = new Deno.Command(first!, { args: rest, stdin: "piped", stdout: "piped" }).spawn();
    const reader = child.stdout.getReader();
    await reader.read(); // until then it is in the namespace of the tests
    await reader.cancel();
    return new Witness(child);
  }

  has(path: string): boolean {
    try {
      Deno.lstatSync(`/proc/${this.child.pid}/root${path}`);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** What starts a program there. */
  get by(): string[] {
    return ["nsenter", `--mount=/proc/${this.child.pid}/ns/mnt`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stdin.close();
    await this.child.status;
  }
}

Deno.test("calls that the agent does have the output of executed ones", async () => {
  await using agent = await RunningAgent.start();
  const commands = ["VERSION", "ADD", "DEL", "CHECK", "GC", "STATUS", "FROB"];
  for (const [count, command] of commands.entries()) {
    const { code, stdout } = await agent.call(command);
    assertEquals(await agent.calls(), count + 1);
    const { by } = agent;
    const program = Deno.realPathSync(`${DIRECTORY}/.rdma-cni/current`);
    const executed = await callBy(command, { by, program });
    assertEquals([code, stdout], [executed.code, executed.stdout]);
    assertEquals(await agent.calls(), count + 1);
  }
});

Deno.test("the time that a call has for the lock counts from its arrival, and is kept", async () => {
  await using agent = await RunningAgent.start();
  const holder = new Deno.Command(agent.by[0]!, {
    args: [...agent.by.slice(1), "flock", STATE, "sh", "-c", "echo held; exec cat"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = holder.stdout.getReader();
  await output.read();
  assertFailed(await agent.call("DEL", { lockTimeoutMs: 0 }), 11, "within 0 s");
  agent.kill("SIGSTOP"); // until both calls have come
  const calls = [1, 2].map(() => agent.call("DEL", { lockTimeoutMs: 2000 }));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const start = performance.now();
  agent.kill("SIGCONT");
  for (const call of await Promise.all(calls)) assertFailed(call, 11, "within 2 s");
  const elapsed = performance.now() - start;
  assert(elapsed >= 2000 && elapsed < 3500, `${elapsed}`);
  await holder.stdin.close();
  await output.cancel();
  await holder.status;
  assertEquals((await agent.call("DEL", { lockTimeoutMs: 0 })).code, 0);
  assertEquals(await agent.calls(), 4);
});

Deno.test("where the agent was killed, calls are executed until there is another one", async () => {
  await using agent = await RunningAgent.start();
  await using witness = await Witness.of(agent);
  const { pid } = (await agent.run("agent", "--check", "--json")).json;
  assertEquals(pid, agent.pid);
  agent.kill("SIGKILL");
  await agent.ended();
  assert(witness.has(SOCKET));
  assertEquals((await callBy("VERSION", witness)).code, 0);
  const [first, ...args] = [...witness.by, PLUGIN, "agent"];
  const next = new Deno.Command(first!, { args, stdin: "null", stderr: "piped" }).spawn();
  const log = next.stderr.getReader();
  assertStringIncludes(new TextDecoder().decode((await log.read()).value), "The agent serves");
  const { code, json } = await start({
    by: witness.by,
    program: PLUGIN,
    args: ["agent", "--check", "--json"],
  });
  assertEquals([code, json.pid], [0, next.pid]);
  next.kill("SIGKILL");
  await log.cancel();
  await next.status;
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends the agent with exit code 0, and its socket goes`, async () => {
    await using agent = await RunningAgent.start();
    await using witness = await Witness.of(agent);
    await agent.call("VERSION");
    assert(witness.has(SOCKET));
    agent.kill(signal);
    const { code, stderr } = await agent.ended();
    assertEquals([code, witness.has(SOCKET)], [0, false]);
    assertStringIncludes(stderr, `The agent ends: ${signal}`);
  });
}

Deno.test("the agent ends once another version is installed, and calls succeed before and after that", async () => {
  await using agent = await RunningAgent.start();
  await using witness = await Witness.of(agent);
  const other = await otherBuild(`${TEMPORARY}/other`);
  assertEquals((await start({ program: other, args: ["install", "--cni-bin-dir", DIRECTORY] })).code, 0);
  assertEquals((await callBy("VERSION", witness)).code, 0);
  const { code, stderr } = await agent.ended();
  assertEquals([code, witness.has(SOCKET)], [0, false]);
  assertMatch(stderr, /The agent ends: rdma-cni-\S+ is not the installed version any more/);
  assertEquals((await callBy("VERSION", witness)).code, 0);
});

Deno.test("the agent ends once nobody can reach it, since its socket was removed", async () => {
  await using agent = await RunningAgent.start();
  await using witness = await Witness.of(agent);
  assertEquals((await start({ by: witness.by, program: "/bin/rm", args: [SOCKET] })).code, 0);
  const { code, stderr } = await agent.ended();
  assertEquals([code, witness.has(SOCKET)], [0, false]);
  assertMatch(stderr, /The agent ends: somebody has removed \S+agent\.sock/);
});

Deno.test("a second agent is refused, and is told of the first", async () => {
  await using agent = await RunningAgent.start();
  const { code, stderr } = await agent.run("agent");
  assertEquals(code, 1);
  assertMatch(
    stderr,
    new RegExp(
      `Cannot serve on .*agent.sock.*: process ${agent.pid} of version \\S+ has been serving since 20`,
    ),
  );
  assertEquals(await agent.calls(), 0);
});

Deno.test("metrics and health are served, and a port that is taken is an error", async () => {
  const port = freePort();
  await using agent = await RunningAgent.start(["--metrics", `127.0.0.1:${port}`]);
  assertEquals(await (await fetch(`http://127.0.0.1:${port}/healthz`)).text(), "ok\n");
  const metrics = await fetch(`http://127.0.0.1:${port}/metrics`);
  assertEquals([metrics.status, metrics.headers.get("content-type")], [
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  assertMatch(await metrics.text(), /^# TYPE rdma_devices gauge$/m);
  const { code, stderr } = await isolated("agent", "--metrics", `127.0.0.1:${port}`);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `Cannot listen on \\"127.0.0.1:${port}\\" for metrics`);
  assertEquals((await agent.call("VERSION")).code, 0);
});

Deno.test("garbage that cannot be collected is told each time, and calls are done all the same", async () => {
  await using agent = await RunningAgent.start(["--gc-interval", "1s"], OWN_PROCESSES);
  const record = {
    version: "1.0",
    deviceID: "0000:ff:1f.7",
    sandboxRdmaDevName: "a",
    containerRdmaDevName: "b",
  };
  Deno.writeTextFileSync(`/proc/${agent.pid}/root${STATE}/net-gone-net1`, JSON.stringify(record));
  const fault =
    "Cannot clean up after pods that are gone: Cannot tell which pods are gone: not all processes";
  await agent.until(fault, 2);
  assertEquals((await agent.call("VERSION")).code, 0);
  assertEquals(await agent.calls(), 1);
});

/** Starts a plugin where no agent is. */
function isolated(...args: string[]): Promise<Outcome> {
  return start({ by: ISOLATED, program: PLUGIN, args });
}

Deno.test('without an agent "agent --check" fails, for programs as JSON', async () => {
  const { code, stderr } = await isolated("agent", "--check");
  assertEquals(code, 1);
  assertMatch(stderr, /No agent answers on "\/run\/rdma-cni\/agent\.sock": .*ENOENT/);
  const forPrograms = await isolated("agent", "--check", "--json");
  assertEquals([forPrograms.code, forPrograms.stderr], [1, ""]);
  assertStringIncludes(forPrograms.json.error, "No agent answers");
});

Deno.test("a program that is not installed is no agent", async () => {
  const { code, stderr } = await start({ args: ["agent"], by: ISOLATED });
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot be the agent: .*dist\/rdma-cni.* is not the installed plugin/);
});

for (
  const [what, prepare, fault] of [
    ["that others may write to", "mkdir -m 777 /run/rdma-cni", "others may write to it"],
    ["of a group that may write to it", "mkdir -m 770 /run/rdma-cni", "others may write to it"],
    ["of another user", "mkdir /run/rdma-cni; chown 65534 /run/rdma-cni", "it belongs to user 65534"],
    ["that is a link", "mkdir /run/other; ln -s other /run/rdma-cni", "it is a symbolic link"],
    ["that is a file", "touch /run/rdma-cni", "it is not a directory"],
  ] as const
) {
  Deno.test(`a directory ${what} is none for the socket`, async () => {
    const script = `${prepare}; exec "$0" "$@"`;
    const by = [...ISOLATED, "sh", "-euc", script];
    const { code, stderr } = await start({ by, program: PLUGIN, args: ["agent"] });
    assertEquals(code, 1);
    assertStringIncludes(stderr, `Cannot use \\"/run/rdma-cni\\": ${fault}`);
  });
}

for (
  const args of [
    ["--frob"],
    ["word"],
    ["--gc-interval", "15"],
    ["--gc-interval", "2d"],
    ["--metrics", "9567"],
    ["--metrics", ":9567"],
    ["--metrics", "127.0.0.1"],
    ["--metrics", "127.0.0.1:0"],
    ["--metrics", "127.0.0.1:65536"],
    ["--metrics", "::1:9567"],
    ["--metrics", "[::1]"],
    ["--socket", "agent.sock"],
    ["--host-cni-bin-dir", "bin"],
  ]
) {
  Deno.test(`the command line "agent ${args.join(" ")}" is wrong`, async () => {
    const { code, stdout } = await isolated("agent", ...args);
    assertEquals([code, stdout], [2, ""]);
  });
}

Deno.test("an address of IPv6 is in brackets", async () => {
  const port = freePort();
  await using _agent = await RunningAgent.start(["--metrics", `[::1]:${port}`]);
  assertEquals(await (await fetch(`http://[::1]:${port}/healthz`)).text(), "ok\n");
});

attempt(() => 0); // loads the C library, which would count as a leak of the test

Deno.test("after 10,000 calls the agent has no descriptor more, and less than 80 MB", async () => {
  await using agent = await RunningAgent.start();
  const root = `/proc/${agent.pid}/root`;
  const program = Deno.readLinkSync(`${DIRECTORY}/.rdma-cni/current`);
  const identities = ["/", "/proc/self/ns/net"].map(identityOf);
  const config = JSON.stringify({ cniVersion: "1.1.0", name: "net", type: "rdma", deviceID: "0000:3b:00.2" });
  // Straight to the agent: to start launchers takes longer than what is measured. ADD finds no RDMA subsystem.
  const ask = (command: string) => {
    using socket = PacketSocket.connect(`${root}${SOCKET}`, PATIENCE_MS);
    const variables = ["CONTAINERID=c", "IFNAME=net1", "NETNS=", "PATH=/opt/cni/bin"].map((one) =>
      `CNI_${one}`
    );
    const words = [
      "rdma-cni agent 1",
      program,
      ...identities,
      "0:0",
      `CNI_COMMAND=${command}`,
      ...variables,
      "",
    ];
    socket.send(new TextEncoder().encode(words.map((word) => `${word}\0`).join("") + config));
    assertEquals(new TextDecoder().decode(socket.receive()), "a");
    return decodeReply(socket.receive()!);
  };
  const descriptors = () => [...Deno.readDirSync(`/proc/${agent.pid}/fd`)].length;
  const megabytes = () =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${agent.pid}/status`))![1]) * 1024 / 1e6;
  const commands = ["ADD", "VERSION", "DEL", "CHECK", "STATUS"];
  commands.forEach(ask);
  const before = descriptors();
  for (let count = 0; count < 10_000; count++) ask(commands[count % commands.length]!);
  assertEquals(await agent.calls(), 10_005);
  const isAsWanted = () => descriptors() <= before && megabytes() < 80;
  const deadline = performance.now() + PATIENCE_MS; // it returns memory five seconds after the last call
  while (!isAsWanted() && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert(isAsWanted(), `${descriptors()} descriptors, before ${before}; ${megabytes()} MB`);
});

interface Call {
  by: string[];
  program?: string;
  config?: object;
}

/** A call of a pod that has no namespace any more, by the launcher unless another program is given. */
function callBy(command: string, { by, program = PLUGIN, config }: Call): Promise<Outcome> {
  return start({
    by,
    program,
    env: { CNI_COMMAND: command, CNI_CONTAINERID: "c", CNI_IFNAME: "net1", CNI_PATH: "/opt/cni/bin" },
    stdin: JSON.stringify({ cniVersion: "1.1.0", name: "net", type: "rdma", ...config }),
  });
}

/** A port that nobody listens on; another program could take it before it is used. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
