// How the doctor tells what it finds on this machine. What it finds on nodes with RDMA: tests/vm/cases.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { Trace } from "./strace.ts";

const EXIT_CODES: Record<string, number> = { ok: 0, warning: 3, problem: 1 };

/** What starts a program where sysfs shows these files, by their paths below the PCI bus, and no other device. */
function onBus(files: Record<string, string>): string[] {
  const bus = "/sys/bus/pci/devices";
  const commands = Object.entries(files).map(([path, text]) =>
    `mkdir -p "${bus}/${path.split("/")[0]}"; echo ${text} > "${bus}/${path}"`
  );
  const script = [`mount -t tmpfs none ${bus}`, ...commands, 'exec "$@"'].join("; ");
  return ["unshare", "--mount", "sh", "-euc", script, "sh"];
}

/** A function without driver, which may be one with RDMA. */
const WITH_ADAPTER = onBus({ "0000:01:00.0/class": "0x020000" });

/** Whatever this machine has: a kernel without RDMA subsystem does not know the family. */
const WITHOUT_RDMA = ["--inject=socket:error=EPROTONOSUPPORT"];

Deno.test("doctor says in one line that a node has no RDMA adapter", async () => {
  using trace = new Trace();
  const by = [...onBus({}), ...trace.by("socket"), ...WITHOUT_RDMA];
  const { code, stdout, stderr } = await start({ args: ["doctor"], by });
  assertEquals([code, stderr], [1, ""]);
  assertMatch(
    stdout,
    /^problem {2}devices {2}no RDMA adapter here\n {18}-> .*\n\nThis node has 1 problem\.\n$/,
  );
});

Deno.test("doctor --summary says so too, but nothing is lost there; without the right to look it says why", async () => {
  using trace = new Trace();
  const args = ["doctor", "--summary"];
  const without = [...onBus({}), ...trace.by("socket"), ...WITHOUT_RDMA];
  for (const more of [[], ["-o", "npd"]]) {
    const { code, stdout, stderr } = await start({ args: [...args, ...more], by: without });
    assertEquals([code, stdout, stderr], [0, "no RDMA adapter here\n", ""]);
  }
  const refused = [...WITH_ADAPTER, ...trace.by("socket"), "--inject=socket:error=EPERM"];
  const people = await start({ args, by: refused });
  assertEquals([people.code, people.stdout], [1, ""]);
  assertMatch(people.stderr, /^rdma-cni: .*EPERM/);
  const detector = await start({ args: [...args, "-o", "npd"], by: refused });
  assertEquals([detector.code, detector.stderr], [2, ""]);
  assertMatch(detector.stdout, /^.{1,75}EPERM.*\n$/);
});

Deno.test("doctor takes the plugin directory's path, which must be absolute", async () => {
  const { json } = await start({ args: ["doctor", "--json", "--cni-bin-dir", "/no/such"], by: WITH_ADAPTER });
  const found = json.findings.find(({ group }: { group: string }) => group === "plugin");
  assertMatch(found.text, /^\/no\/such\/rdma is not there/);
  const { code, stderr } = await start({ args: ["doctor", "--cni-bin-dir", "bin"] });
  assertEquals(code, 2);
  assertMatch(stderr, /Want an absolute path/);
});

Deno.test("doctor reports a kernel without RDMA subsystem as a problem, with the command that loads it", async () => {
  using trace = new Trace();
  const by = [...WITH_ADAPTER, ...trace.by("socket"), ...WITHOUT_RDMA];
  const { code, stdout, stderr } = await start({ args: ["doctor"], by });
  assertEquals([code, stderr], [1, ""]);
  assertMatch(stdout, /\nThis node has \d+ .*\.\n$/);
  assertStringIncludes(
    stdout,
    "problem  mode      unknown: the kernel has no RDMA subsystem\n" +
      `${" ".repeat(19)}-> modprobe ib_core\n`,
  );
  assert(trace.calls("socket").some((line) => line.includes("AF_NETLINK")));
});

Deno.test("doctor --json prints the same findings as one JSON", async () => {
  const { code, json, stderr } = await start({ args: ["doctor", "--json"], by: WITH_ADAPTER });
  assertEquals([code, stderr], [EXIT_CODES[json.level], ""]);
  const people = (await start({ args: ["doctor"], by: WITH_ADAPTER })).stdout;
  for (const { group, level, text, fix } of json.findings) {
    assertStringIncludes(people, `${level.padEnd(7)}  ${group.padEnd(8)}  ${text}\n`);
    if (level !== "ok") assertStringIncludes(people, `-> ${fix}\n`);
  }
  assertEquals(json.findings.length > 9, true);
});

for (
  const [what, env, hasColor] of [
    ["a terminal", {}, true],
    ["a terminal with NO_COLOR", { NO_COLOR: "1" }, false],
  ] as const
) {
  Deno.test(`doctor on ${what} has ${hasColor ? "" : "no "}colours`, async () => {
    // script(1) gives its command a terminal.
    const { stdout } = await new Deno.Command("script", {
      args: ["--quiet", "--return", "--command", `"${PROGRAM}" doctor`, "/dev/null"],
      env: { PATH: "/usr/bin:/bin", ...env },
      clearEnv: true,
      stdin: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    assertEquals(text.includes("\x1b[31mproblem"), hasColor, text);
    assertEquals(text.includes("\x1b"), hasColor, text);
  });
}

Deno.test("doctor without a terminal has no colours", async () => {
  assertEquals((await start({ args: ["doctor"] })).stdout.includes("\x1b"), false);
});

Deno.test("doctor --help tells the exit codes and has examples; it takes no arguments", async () => {
  const { code, stdout } = await start({ args: ["doctor", "--help"] });
  assertEquals(code, 0);
  assertMatch(stdout, /Exit codes:\n {2}0 .*\n {2}1 .*problems.*\n {2}2 .*\n {2}3 .*only warnings/);
  assertStringIncludes(stdout, "Examples:\n  rdma-cni doctor\n");
  const wrong = await start({ args: ["doctor", "now"] });
  assertEquals([wrong.code, wrong.stdout], [2, ""]);
  assertMatch(wrong.stderr, /too many arguments/);
});
