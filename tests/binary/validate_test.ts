// validate on files and standard input: exit codes, output for people and for machines.
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { blockNamed, blocksNamed } from "../support/documents.ts";
import { byUser, type Outcome, start } from "../support/program.ts";
import { TestDirectory } from "../support/test_directory.ts";

const LIST = { cniVersion: "1.1.0", name: "roce", plugins: [{ type: "sriov" }, { type: "rdma" }] };
const GOOD = JSON.stringify(LIST);
const WITH_WARNING = GOOD.replace('"rdma"', '"rdma","mtu":9000');
const WITH_NOTE = GOOD.replace("}]", '},{"type":"mystery"}]');
const WITH_PROBLEM = GOOD.replace('"sriov"', '"tuning"');
const ATTACHMENT = `\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: rdma-net
  annotations:
    k8s.v1.cni.cncf.io/resourceName: mellanox.com/sriov_rdma
spec:
  config: |
    ${GOOD}
---
kind: Pod
`;

/** Runs validate in a directory with these files, FIFOs that nobody writes to, a link that leads up, and a socket. */
async function validate(files: Record<string, string>, ...args: string[]): Promise<Outcome> {
  using directory = new TestDirectory();
  const { path: cwd } = directory;
  await Deno.mkdir(`${cwd}/in/it`, { recursive: true });
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${cwd}/${name}`, text);
  assertEquals((await start({ program: "mkfifo", args: ["fifo", "in/g.json"], cwd })).code, 0);
  await Deno.symlink("..", `${cwd}/in/it/round.yaml`);
  using _socket = Deno.listen({ transport: "unix", path: `${cwd}/socket` });
  return await start({ args: ["validate", ...args], cwd });
}

for (
  const [what, text, code, stdout] of [
    ["good", GOOD, 0, /^ok {7}a {2}roce: sriov, rdma; cniVersion 1.1.0\n\n1 network in a: no problems\.\n$/],
    ["good --strict", ATTACHMENT, 0, /^ok {7}a {2}rdma-net: sriov, rdma; /],
    ["warning", WITH_WARNING, 0, /^warning {2}a:1:\d+ {2}roce: .*\n {17}-> .*\n\n1 network.*1 warning\.\n$/],
    ["warning --strict", WITH_WARNING, 3, /\n1 network in a: 1 warning\.\n$/],
    ["problem --strict", WITH_PROBLEM, 1, /\n1 network in a: 1 problem\.\n$/],
    ["broken-JSON", "{", 1, /^problem {2}a:1:2 {2}it is not JSON: .*\n\n/],
    ["nothing --strict", "", 3, /^warning {2}a {2}there is no network in it/],
    ["note --strict", WITH_NOTE, 0, /^ok .*\nnote .*\n.*\n\n1 network in a: no problems/],
  ] as const
) {
  Deno.test(`validate ends with ${code} on ${what}`, async () => {
    const outcome = await validate({ a: text }, "a", ...what.split(" ").slice(1));
    assertEquals([outcome.code, outcome.stderr], [code, ""]);
    assertMatch(outcome.stdout, stdout);
  });
}

for (
  const [path, reason] of [
    ["missing.yaml", /Cannot check "missing\.yaml": ENOENT \(2\), no such file/],
    ["large.yaml", /Cannot check "large\.yaml": .*longer than 8388608 bytes/],
    ["/dev/zero", /Cannot check "\/dev\/zero": it is a device, not a file\n/],
    ["fifo", /Cannot check "fifo": it is a FIFO, not a file\n.*"-" for standard input/],
    ["in/it", /Cannot check "in\/it": no file there has a name that ends in \.yaml, /],
    ["socket", /Cannot check "socket": it is a socket, not a file\n/],
  ] as const
) {
  Deno.test(`validate ends with 2, checking nothing, on ${path}`, async () => {
    const files = { good: GOOD, "large.yaml": "# comment\n".repeat(1_000_000) };
    const { code, stdout, stderr } = await validate(files, "good", path);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, reason);
  });
}

Deno.test("validate reads thousands of networks from standard input, as any user", async () => {
  const network = `---\n${ATTACHMENT}`;
  const count = Math.floor(8_000_000 / network.length);
  const stdin = network.repeat(count);
  const { code, stdout } = await start({ args: ["validate", "-"], stdin, by: byUser(65534) });
  assertEquals(code, 0);
  assertEquals(stdout.match(/^ok {7}standard input/gm)!.length, count);
  assertMatch(stdout, new RegExp(`\n${count} networks in standard input: no problems\\.\n$`));
  const tooLong = await start({ args: ["validate", "-"], stdin: " ".repeat(9_000_000) });
  assertMatch(tooLong.stderr, /^rdma-cni: Cannot check standard input: /);
});

Deno.test("validate reads what a shell hands over as a file that it has opened", async () => {
  const by = ["/bin/bash", "-c", 'exec "$0" "$@" <(echo "$NETWORK")'];
  const { code, stdout } = await start({ args: ["validate"], by, env: { NETWORK: GOOD } });
  assertEquals(code, 0);
  assertMatch(stdout, /^ok {7}\/dev\/fd\/\d+ {2}roce: /);
});

Deno.test("validate names a few of 100,000 keys, and counts the rest", async () => {
  const keys = Array.from({ length: 100_000 }, (_, index) => `"k${index}":1`);
  const stdin = GOOD.replace('"rdma"', `"rdma",${keys}`);
  const { code, json } = await start({ args: ["validate", "-", "--json"], stdin });
  const { column, text } = json.findings.at(-1);
  const rest = [stdin.indexOf('"k10"') + 1, 'more keys that "rdma" does not know: 99990'];
  assertEquals([code, json.findings.length, column, text], [0, 11, ...rest]);
});

Deno.test("validate reads a directory and those in it, except what cannot hold a network", async () => {
  const files = {
    "b.conflist": GOOD,
    "in/a.yaml": ATTACHMENT,
    "in/it/c.yml": "a: b: c",
    "in/it/template.yaml": "a: {{ .Values.a }}\nb: c: d",
    "d.tpl": "rdma {{",
    "e.txt": "{",
  };
  const { code, stdout } = await validate(files, ".");
  const wanted = `\
ok       ./b.conflist           roce: sriov, rdma; cniVersion 1.1.0
ok       ./in/a.yaml            rdma-net: sriov, rdma; cniVersion 1.1.0
warning  ./in/it/c.yml:1:5      it is not YAML: bad indentation of a mapping entry
                                -> repair it: a network in it would not be checked
ok       ./in/it/template.yaml  there is no network in it
note     ./in/g.json            it is a FIFO, and was not read
                                -> put networks into files

2 networks in 4 files: 1 warning.
`;
  assertEquals([code, stdout], [0, wanted]);
});

Deno.test("validate --json prints the findings for machines", async () => {
  const { code, json } = await validate({ a: WITH_WARNING, b: "{" }, "a", "b", "--json");
  const { level, findings: [first, second], ...others } = json;
  assertEquals([code, level, others], [1, "problem", {}]);
  const place = { file: "a", network: "roce", line: 1, column: WITH_WARNING.indexOf('"mtu"') + 1 };
  const text = '"rdma" does not know the key "mtu"';
  assertEquals(first, { ...place, level: "warning", text, fix: 'remove "mtu"' });
  assertEquals(Object.keys(second), ["file", "line", "column", "level", "text"]);
});

Deno.test("the documents show what validate prints", async () => {
  const session = `${blockNamed("validate")}\n`;
  const [, name, text] = /^\$ cat (\S+)\n(.*?)^\$ /ms.exec(session)!;
  let seen = `$ cat ${name}\n${text}`;
  const commands = [...session.matchAll(/^\$ rdma-cni validate (.*)\n/gm)];
  assert(commands.length > 0);
  for (const [line, words] of commands) {
    seen += line + (await validate({ [name!]: text! }, ...words!.split(" "))).stdout;
  }
  assertEquals(seen, session);
});

Deno.test("the documents' configurations are without problem, and the first page's network without any fault", async () => {
  const networks = blocksNamed("configuration").map((stdin) => ({ stdin, args: ["validate", "-"] }));
  networks.push({ stdin: blockNamed("network"), args: ["validate", "--strict", "-"] });
  for (const network of networks) {
    const { code, stdout } = await start(network);
    assertEquals([code, stdout.startsWith("ok ")], [0, true], stdout);
  }
});
