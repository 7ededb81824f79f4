// The agent of the compiled executable, on a node with a /run and a /var/lib of its own; calls to it come by the launcher.
import { decodeReply, identityOf } from "../../src/agent/protocol.ts";
import { exists } from "../../src/kernel/sysfs.ts";
import { attempt } from "../../src/sys/libc.ts";
import { PacketSocket } from "../../src/sys/packets.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { assertFailed, otherBuild, type Outcome, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";
import { until } from "../support/until.ts";

const SOCKET = "/run/rdma-cni/agent.sock";
const STATE = "/var/lib/cni/rdma";

const temporary = new TestDirectory();
addEventListener("unload", () => temporary[Symbol.dispose]());

/** Installs the plugin. @returns the directory */
async function install(name: string): Promise<string> {
  const directory = `${temporary.path}/${name}`;
  Deno.mkdirSync(directory);
  assertEquals((await start({ args: ["install", "--cni-bin-dir", directory] })).code, 0);
  return directory;
}

const DIRECTORY = await install("bin");

/** A process that is killed when it is disposed of. */
class Running implements AsyncDisposable {
  readonly child: Deno.ChildProcess;

  constructor([program, ...args]: string[]) {
    const streams = { stdin: "null", stdout: "null", stderr: "null" } as const;
    this.child = new Deno.Command(program!, { args, ...streams }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
    await this.child.status;
  }
}

/** A mount namespace whose /run and /var/lib are its own, held by a process, since agents there end. */
class TestNode extends Running {
  private constructor(readonly directory: string) {
    const script = `mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mkdir -p -m 700 ${STATE}`;
    super(["unshare", "--mount", "sh", "-euc", `${script}; touch /run/log; exec sleep infinity`]);
  }

  static async make(directory = DIRECTORY): Promise<TestNode> {
    const node = new TestNode(directory);
    await until(() => exists(node.path("/run/log")));
    return node;
  }

  get by(): string[] {
    return ["nsenter", `--mount=/proc/${this.child.pid}/ns/mnt`];
  }

  /** A path there, as it is seen from here. */
  path(path: string): string {
    return `/proc/${this.child.pid}/root${path}`;
  }

  get hasSocket(): boolean {
    return exists(this.path(SOCKET));
  }

  get log(): string {
    return Deno.readTextFileSync(this.path("/run/log"));
  }

  /** Starts an agent, and waits until it serves. @param by what starts it, besides what leads there */
  async startAgent(args: string[] = [], by: string[] = []): Promise<Running> {
    const before = this.log.length;
    const script = ["sh", "-c", 'exec "$0" "$@" 2>>/run/log', ...by];
    const agent = new Running([...this.by, ...script, `${this.directory}/rdma`, "agent", ...args]);
    await until(() => this.log.includes("The agent serves on ", before));
    return agent;
  }

  /** Makes a call of a pod that has no namespace any more, by the launcher. */
  call(command: string, config: object = {}): Promise<Outcome> {
    return start({
      by: this.by,
      program: `${this.directory}/rdma`,
      env: { CNI_COMMAND: command, CNI_CONTAINERID: "c", CNI_IFNAME: "net1", CNI_PATH: "/opt/cni/bin" },
      stdin: JSON.stringify({ cniVersion: "1.1.0", name: "net", type: "rdma", ...config }),
    });
  }

  /** Runs a command by the launcher. @param by what starts it, besides what leads there */
  run(args: string[], by: string[] = []): Promise<Outcome> {
    return start({ by: [...this.by, ...by], program: `${this.directory}/rdma`, args });
  }

  async state(): Promise<{ pid: number; calls: number }> {
    return (await this.run(["agent", "--check", "--json"])).json;
  }
}

Deno.test("the time that a call has for the lock counts from its arrival, and is kept", async () => {
  await using node = await TestNode.make();
  await using agent = await node.startAgent();
  const hold = ["flock", "--no-fork", STATE, "sh", "-c", "touch /run/held; exec sleep infinity"];
  const holder = new Running([...node.by, ...hold]);
  await until(() => exists(node.path("/run/held")));
  assertFailed(await node.call("DEL", { lockTimeoutMs: 0 }), 11, "within 0 s");
  agent.child.kill("SIGSTOP"); // until both calls have come
  const calls = [1, 2].map(() => node.call("DEL", { lockTimeoutMs: 2000 }));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const start = performance.now();
  agent.child.kill("SIGCONT");
  for (const call of await Promise.all(calls)) assertFailed(call, 11, "within 2 s");
  const elapsed = performance.now() - start;
  assert(elapsed >= 2000 && elapsed < 3500, `${elapsed}`);
  await holder[Symbol.asyncDispose]();
  assertEquals((await node.call("DEL", { lockTimeoutMs: 0 })).code, 0);
  assertEquals((await node.state()).calls, 4);
});

Deno.test("where the agent was killed, calls are executed until there is another one", async () => {
  await using node = await TestNode.make();
  await using agent = await node.startAgent();
  assertEquals((await node.state()).pid, agent.child.pid);
  await agent[Symbol.asyncDispose]();
  assert(node.hasSocket);
  assertEquals((await node.call("VERSION")).code, 0);
  await using next = await node.startAgent();
  assertEquals((await node.state()).pid, next.child.pid);
});

const upgraded = await install("upgraded");

const ENDS: [what: string, string, end: (node: TestNode, agent: Running) => unknown, reason: RegExp][] = [
  ["SIGTERM", DIRECTORY, (_, agent) => agent.child.kill("SIGTERM"), /SIGTERM/],
  ["SIGINT", DIRECTORY, (_, agent) => agent.child.kill("SIGINT"), /SIGINT/],
  [
    "the removal of its socket, without which nobody can reach it",
    DIRECTORY,
    ({ by }) => start({ by, program: "/bin/rm", args: [SOCKET] }),
    /somebody has removed \S+agent\.sock/,
  ],
  [
    "the installation of another version",
    upgraded,
    async () => {
      const program = await otherBuild(`${temporary.path}/other`);
      assertEquals((await start({ program, args: ["install", "--cni-bin-dir", upgraded] })).code, 0);
    },
    /rdma-cni-\S+ is not the installed version any more/,
  ],
];

Deno.test("the agent ends with exit code 0, its socket goes, and calls succeed before and after that", async (t) => {
  // At once, since the agent looks for what has become of it every 5 seconds.
  await Promise.all(ENDS.map(([name, directory, end, reason]) => {
    const fn = async () => {
      await using node = await TestNode.make(directory);
      await using agent = await node.startAgent();
      assert(node.hasSocket);
      await end(node, agent);
      assertEquals((await node.call("VERSION")).code, 0);
      assertEquals([(await agent.child.status).code, node.hasSocket], [0, false]);
      assertMatch(node.log, new RegExp(`The agent ends: ${reason.source}`));
      assertEquals((await node.call("VERSION")).code, 0);
    };
    return t.step({ name, fn, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false });
  }));
});

Deno.test("a second agent is refused, and is told of the first", async () => {
  await using node = await TestNode.make();
  await using agent = await node.startAgent();
  const { code, stderr } = await node.run(["agent"]);
  assertEquals([code, (await node.state()).calls], [1, 0]);
  const first = `process ${agent.child.pid} of version \\S+ has been serving since 20`;
  assertMatch(stderr, new RegExp(`Cannot serve on .*agent.sock.*: ${first}`));
});

Deno.test("metrics and health are served, an address of IPv6 is in brackets, and a port that is taken is an error", async () => {
  const address = `[::1]:${freePort()}`;
  await using node = await TestNode.make();
  await using _agent = await node.startAgent(["--metrics", address]);
  assertEquals(await (await fetch(`http://${address}/healthz`)).text(), "ok\n");
  const metrics = await fetch(`http://${address}/metrics`);
  const type = "text/plain; version=0.0.4; charset=utf-8";
  assertEquals([metrics.status, metrics.headers.get("content-type")], [200, type]);
  assertMatch(await metrics.text(), /^# TYPE rdma_devices gauge$/m);
  await using other = await TestNode.make();
  const { code, stderr } = await other.run(["agent", "--metrics", address]);
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot listen on \S+ for metrics/);
  assertEquals((await node.call("VERSION")).code, 0);
});

Deno.test("garbage that cannot be collected is told each time, and calls are done all the same", async () => {
  await using node = await TestNode.make();
  const names = { sandboxRdmaDevName: "a", containerRdmaDevName: "b" };
  Deno.writeTextFileSync(
    node.path(`${STATE}/net-gone-net1`),
    JSON.stringify({ version: "1.0", deviceID: "0000:ff:1f.7", ...names }),
  );
  // It cannot see all processes of this machine, and ends with what starts it.
  const by = ["unshare", "--pid", "--fork", "--kill-child"];
  await using _agent = await node.startAgent(["--gc-interval", "1s"], by);
  const told =
    /Cannot clean up after pods that are gone: Cannot tell which pods are gone: not all processes/g;
  await until(() => (node.log.match(told)?.length ?? 0) >= 2);
  assertEquals([(await node.call("VERSION")).code, (await node.state()).calls], [0, 1]);
});

Deno.test('without an agent "agent --check" fails, for programs as JSON', async () => {
  await using node = await TestNode.make();
  const { code, stderr, json } = await node.run(["agent", "--check", "--json"]);
  assertEquals([code, stderr], [1, ""]);
  assertMatch(json.error, /No agent answers on "\/run\/rdma-cni\/agent\.sock": .*ENOENT/);
});

Deno.test("a program that is not installed is no agent", async () => {
  const { code, stderr } = await start({ args: ["agent"] });
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot be the agent: .*dist\/rdma-cni.* is not the installed plugin/);
});

Deno.test("a directory that others could change is none for the socket", async () => {
  for (
    const [prepare, fault] of [
      ["mkdir -m 770 /run/rdma-cni", "others may write to it"],
      ["mkdir /run/other; ln -s other /run/rdma-cni", "it is a symbolic link"],
    ] as const
  ) {
    await using node = await TestNode.make();
    const { code, stderr } = await node.run(["agent"], ["sh", "-euc", `${prepare}; exec "$0" "$@"`]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `Cannot use \\"/run/rdma-cni\\": ${fault}`);
  }
});

const ADDRESSES = ["9567", ":9567", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9567", "[::1]"];
const METRICS = ADDRESSES.map((address) => `--metrics ${address}`);

for (
  const line of ["word", "--gc-interval 2d", "--socket agent.sock", "--host-cni-bin-dir bin", ...METRICS]
) {
  Deno.test(`the command line "agent ${line}" is wrong`, async () => {
    const { code, stdout } = await start({ args: ["agent", ...line.split(" ")] });
    assertEquals([code, stdout], [2, ""]);
  });
}

attempt(() => 0); // loads the C library, which would count as a leak of the test

Deno.test("after 10,000 calls the agent has no descriptor more, and less than 80 MB", async () => {
  await using node = await TestNode.make();
  await using agent = await node.startAgent();
  const words = [
    ...["rdma-cni agent 1", Deno.readLinkSync(`${DIRECTORY}/.rdma-cni/current`)],
    ...["/", "/proc/self/ns/net"].map(identityOf),
    "0:0",
    ...["CONTAINERID=c", "IFNAME=net1", "NETNS=", "PATH=/opt/cni/bin"].map((one) => `CNI_${one}`),
  ];
  const config = JSON.stringify({ cniVersion: "1.1.0", name: "net", type: "rdma", deviceID: "0000:3b:00.2" });
  // Straight to the agent: to start launchers takes longer than what is measured. ADD finds no RDMA subsystem.
  const ask = (command: string) => {
    using socket = PacketSocket.connect(node.path(SOCKET), 30_000);
    const request = [...words, `CNI_COMMAND=${command}`, "", config].join("\0");
    socket.send(new TextEncoder().encode(request));
    assertEquals(new TextDecoder().decode(socket.receive()), "a");
    return decodeReply(socket.receive()!);
  };
  const proc = `/proc/${agent.child.pid}`;
  const descriptors = () => [...Deno.readDirSync(`${proc}/fd`)].length;
  const megabytes = () =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`${proc}/status`))![1]) * 1024 / 1e6;
  const commands = ["ADD", "VERSION", "DEL", "CHECK", "STATUS"];
  commands.forEach(ask);
  const before = descriptors();
  for (let count = 0; count < 10_000; count++) ask(commands[count % commands.length]!);
  assertEquals((await node.state()).calls, 10_005);
  await until(() => descriptors() <= before && megabytes() < 80); // five seconds after the last call
});

/** A port that nobody listens on; another program could take it before it is used. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "::1", port: 0 });
  return listener.addr.port;
}
