// The commands that people type, as far as a machine without RDMA can run them.
import { VERSION } from "../../src/version.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { PROGRAM, start } from "../support/program.ts";
import { parseAll } from "../support/yaml.ts";

const COMMANDS = [
  "",
  "netns-mode",
  "netns-mode get",
  "netns-mode set",
  "netns-mode check",
  "vf-mac",
  "vf-mac list",
  "vf-mac set",
  "vf-mac init",
  "install",
  "pods",
  "validate",
  "version",
  "completion",
];

for (const command of COMMANDS) {
  Deno.test(`"${command} --help" has usage and examples, on standard output`, async () => {
    const { code, stdout, stderr } = await start({ args: [...command.split(" ").filter(Boolean), "--help"] });
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, `Usage: rdma-cni ${command}`);
    assertMatch(stdout, /\nExamples:\n {2}rdma-cni /);
  });
}

for (const command of ["netns-mode", "vf-mac"]) {
  Deno.test(`"${command}" alone prints its help`, async () => {
    const [alone, help] = [await start({ args: [command] }), await start({ args: [command, "--help"] })];
    assertEquals(alone, help);
  });
}

Deno.test("examples of the help are command lines that are understood", async () => {
  for (const command of COMMANDS.filter((command) => /^(netns-mode|vf-mac|install)/.test(command))) {
    const { stdout } = await start({ args: [...command.split(" "), "--help"] });
    const examples = stdout.split("Examples:\n")[1]!.split("\n").filter((line) => /^ {2}\S/.test(line));
    assert(examples.length > 0);
    for (const example of examples) {
      const [program, ...words] = example.trim().split(/ {2,}/)[0]!.split(" ");
      const args = words.filter((word) => word !== "--watch"); // which would not end
      assertEquals(program, "rdma-cni");
      if (/ (set|init|install) /.test(`${example} `) && !args.includes("--dry-run")) args.push("--dry-run");
      const { code, stderr } = await start({ args });
      assert(code !== 2, `${example}: ${stderr}`);
    }
  }
});

for (
  const [line, words] of [
    ["frob", /unknown command 'frob'/],
    ["help nope", /^rdma-cni: unknown command 'nope'\nSee "rdma-cni --help"\.\n$/],
    ["netns-mod", /Did you mean netns-mode\?/],
    ["netns-mode frob", /unknown command 'frob'/],
    ["netns-mode chek", /unknown command 'chek'\nDid you mean check\?/],
    ["netns-mode get extra", /too many arguments/],
    ["netns-mode get --jsn", /Did you mean --json\?/],
    ["netns-mode set", /missing required argument 'MODE'/],
    ["netns-mode set exclusve", /'exclusve'.*exclusive, shared/],
    ["netns-mode set shared exclusive", /too many arguments/],
    ["netns-mode set shared --presist --persist", /Did you mean --persist\?/],
    ["netns-mode check --expect", /argument missing/],
    ["netns-mode check --expect both", /'both'.*exclusive, shared/],
    ["vf-mac lst", /Did you mean list\?/],
    ["vf-mac set eth0 3", /missing required argument 'MAC'/],
    ["vf-mac set eth0 3 02:03:00:00:48:5", /"02:03:00:00:48:5": it is not a MAC address/],
    ["vf-mac set eth0 3 03:03:00:00:48:53", /multicast/],
    ["vf-mac set eth0 3 00:00:00:00:00:00", /all zeros/],
    ["vf-mac set eth0 3 0203:00ff:fe00:485 --guid", /16 hexadecimal digits/],
    ["vf-mac set eth0 3 02:03:00:00:48:53 --timeout 0", /'0'.*Want seconds, from 0.1 to 3600/],
    ["vf-mac set eth0 3 02:03:00:00:48:53 --timeout soon", /'soon'.*Want seconds/],
    ["vf-mac set eth0 3 02:03:00:00:48:53 --dryrun", /Did you mean --dry-run\?/],
    ["vf-mac init", /name physical functions, or give --all/],
    ["vf-mac init eth0 --all", /name physical functions, or give --all/],
    ["install --cni-bin-dir opt/cni/bin", /'opt\/cni\/bin' is invalid. Want an absolute path/],
    ["install --cni-bin-dir", /argument missing/],
    ["install now", /too many arguments/],
    ["install --unistall", /Did you mean --uninstall\?/],
    ["install --force", /--force goes with --uninstall/],
    ["install --remove-on-exit", /--remove-on-exit goes with --wait/],
    ["install --wait --gc-interval 5", /--gc-interval is gone: "rdma-cni agent --gc-interval 15m"/],
    ["gc --watch", /--watch is gone: "rdma-cni agent --gc-interval 15m"/],
    ["gc -w 900 --json", /--watch is gone: "rdma-cni agent --gc-interval 15m"/],
    ["install --uninstall --check", /cannot be used with option '--check'/],
    ["install --uninstall --wait", /cannot be used with option '--wait'/],
    ["pods now", /too many arguments/],
    ["pods -o xml", /'xml'.*table, json, yaml, wide, prometheus/],
    ["doctor -o wide", /'wide'.*table, json, yaml, npd/],
    ["doctor -o npd", /-o npd goes with --summary/],
    ["vf-mac list -w eth0", /'eth0' is invalid. Want seconds, from 0.1 to 3600/],
    ["version -q", /unknown option '-q'/],
    ["pods --json -o wide", /cannot be used with option '-o, --output/],
    ["pods --textfile /run", /--textfile is gone: "rdma-cni agent --metrics ADDRESS:PORT"/],
    ["pods --watch 0", /'0' is invalid. Want seconds, from 0.1 to 3600/],
    ["validate", /missing required argument 'FILE'/],
    ["validate a --stric", /Did you mean --strict\?/],
    ["completion csh", /'csh'.*bash, zsh, fish/],
    ["completion", /missing required argument 'SHELL'/],
    ["--frobnicate", /unknown option '--frobnicate'/],
  ] as const
) {
  Deno.test(`"${line}" is a usage error: exit code 2, on standard error, with --json on standard output`, async () => {
    const { code, stdout, stderr, json } = await start({ args: line.split(" ") });
    const [told, other] = json ? [json.error, stderr] : [stderr, stdout];
    assertEquals([code, json !== undefined, other], [2, line.includes("--json"), ""], stderr);
    assertMatch(told, words);
  });
}

Deno.test("installed under another name, or called by a link, it is the same and calls itself so", async () => {
  const directory = await Deno.makeTempDir();
  try {
    for (const name of ["rdma", "rdma-link"]) {
      await Deno.symlink(PROGRAM, `${directory}/${name}`);
      const run = (...args: string[]) =>
        new Deno.Command(`${directory}/${name}`, { args, clearEnv: true }).output();
      const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertStringIncludes(decode((await run("--version")).stdout), `rdma-cni ${VERSION}\n`);
      assertStringIncludes(decode((await run("netns-mode", "--help")).stdout), `Usage: ${name} netns-mode`);
      assertEquals((await run("netns-mode", "frob")).code, 2);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("version has the same facts in each form: what was built, and what it runs on", async () => {
  const { json } = await start({ args: ["version", "--json"] });
  assertEquals(json, {
    version: VERSION,
    commit: json.commit,
    date: json.date,
    runtime: `Deno ${Deno.version.deno}`,
    architecture: Deno.build.arch,
  });
  // A tree without git cannot say of which commit it is.
  assertMatch(`${json.commit} ${json.date}`, /^([0-9a-f]{40}(-modified)? [-\dT:]+Z|unknown unknown)$/);
  const [first, ...more] = Object.entries(json).map(([key, value]) => `${key} ${value}\n`);
  const text = first!.replace("version", "rdma-cni") + more.join("");
  for (const args of [["version"], ["--version"], ["-V"]]) {
    assertEquals(await start({ args }), { code: 0, stdout: text, stderr: "", json: undefined });
  }
  assertEquals(parseAll((await start({ args: ["version", "-o", "yaml"] })).stdout), [json]);
});

Deno.test("without physical functions there is nothing to list and nothing to do", async () => {
  const listed = await start({ args: ["vf-mac", "list", "--json"] });
  assertEquals([listed.code, JSON.parse(listed.stdout).filter(({ pf }: { pf: string }) => pf === "lo")], [
    0,
    [],
  ]);
  const refused = await start({ args: ["vf-mac", "set", "lo", "0", "02:03:00:00:48:53", "--dry-run"] });
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertStringIncludes(refused.stderr, 'Cannot use PF "lo": it is not an SR-IOV physical function');
});

Deno.test("output that nobody can read ends a command without a dump of the stack", async () => {
  for (const redirection of [">&-", ">/dev/full", "2>&-", "2>/dev/full"]) {
    const by = ["/bin/sh", "-c", `exec "$0" "$@" ${redirection}`];
    for (
      const args of [["--help"], ["netns-mode", "frob"], ["netns-mode", "check"], ["completion", "bash"]]
    ) {
      const { code, stdout, stderr } = await start({ args, by });
      assert([0, 1, 2].includes(code), `${args}: exit code ${code}: ${stderr}`);
      assertEquals(/panicked|\n {4}at /.test(stdout + stderr), false, `${args} ${redirection}: ${stderr}`);
    }
  }
});

Deno.test("output whose reader has had enough, as head, is no fault", async () => {
  const by = ["/bin/bash", "-c", '"$0" "$@" | :; echo "exit ${PIPESTATUS[0]}" >&2'];
  for (const args of [["--help"], ["completion", "bash"]]) {
    assertEquals((await start({ args, by })).stderr, "exit 0\n");
  }
});
