// How the doctor tells what it finds on this machine. What it finds on nodes with RDMA: tests/vm/cases.
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { WITHOUT_RDMA } from "./strace.ts";

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

Deno.test("doctor says in one line that a node has no RDMA adapter, and the summary that nothing is lost", async () => {
  const by = [...onBus({}), ...WITHOUT_RDMA];
  const { code, stdout, stderr } = await start({ args: ["doctor"], by });
  assertEquals([code, stderr], [1, ""]);
  assertMatch(
    stdout,
    /^problem {2}devices {2}no RDMA adapter here\n {18}-> .*\n\nThis node has 1 problem\.\n$/,
  );
  for (const more of [[], ["-o", "npd"]]) {
    const { code, stdout, stderr } = await start({ args: ["doctor", "--summary", ...more], by });
    assertEquals([code, stdout, stderr], [0, "no RDMA adapter here\n", ""]);
  }
});

Deno.test("doctor --summary says why it cannot look", async () => {
  const refused = WITHOUT_RDMA.map((word) => word.replace("EPROTONOSUPPORT", "EPERM"));
  const by = [...WITH_ADAPTER, ...refused];
  const people = await start({ args: ["doctor", "--summary"], by });
  assertEquals([people.code, people.stdout], [1, ""]);
  assertMatch(people.stderr, /^rdma-cni: .*EPERM/);
  const detector = await start({ args: ["doctor", "--summary", "-o", "npd"], by });
  assertEquals([detector.code, detector.stderr], [2, ""]);
  assertMatch(detector.stdout, /^.{1,75}EPERM.*\n$/);
});

Deno.test("doctor reports a kernel without RDMA subsystem as a problem, with the command that loads it", async () => {
  const { code, stdout, stderr } = await start({ args: ["doctor"], by: [...WITH_ADAPTER, ...WITHOUT_RDMA] });
  assertEquals([code, stderr], [1, ""]);
  assertMatch(stdout, /\nThis node has \d+ .*\.\n$/);
  const problem = "problem  mode      unknown: the kernel has no RDMA subsystem\n";
  assertStringIncludes(stdout, `${problem}${" ".repeat(19)}-> modprobe ib_core\n`);
});

Deno.test("doctor --json prints the same findings as one JSON, here of another plugin directory", async () => {
  const args = ["doctor", "--cni-bin-dir", "/no/such"];
  const { code, json, stderr } = await start({ args: [...args, "--json"], by: WITH_ADAPTER });
  assertEquals([code, stderr], [EXIT_CODES[json.level], ""]);
  const people = (await start({ args, by: WITH_ADAPTER })).stdout;
  assertStringIncludes(people, "/no/such/rdma is not there");
  for (const { group, level, text, fix } of json.findings) {
    assertStringIncludes(people, `${level.padEnd(7)}  ${group.padEnd(8)}  ${text}\n`);
    if (level !== "ok") assertStringIncludes(people, `-> ${fix}\n`);
  }
  assertEquals(json.findings.length > 9, true);
});

// script(1) gives its command a terminal.
const ON_TERMINAL = {
  program: "script",
  args: ["--quiet", "--return", "--command", `"${PROGRAM}" doctor`, "/dev/null"],
};

for (
  const [what, command, env, hasColor] of [
    ["on a terminal", ON_TERMINAL, {}, true],
    ["on a terminal with NO_COLOR", ON_TERMINAL, { NO_COLOR: "1" }, false],
    ["without a terminal", { args: ["doctor"] }, {}, false],
  ] as const
) {
  Deno.test(`doctor ${what} has ${hasColor ? "" : "no "}colours`, async () => {
    const { stdout } = await start({
      ...command,
      args: [...command.args],
      env: { PATH: "/usr/bin:/bin", ...env },
    });
    assertStringIncludes(stdout, "problem");
    assertEquals([stdout.includes("\x1b[31mproblem"), stdout.includes("\x1b")], [hasColor, hasColor], stdout);
  });
}
