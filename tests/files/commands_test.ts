// The commands that messages and documents show: each is understood by a shell, and one of our own known to the program,
// any other one known here. Cases of the virtual machine run what fixes a node (doctor), what loads modules and what
// brings a device home; a command that nobody knows fails a test, so that it gets one.
import ts from "typescript";
import { createProgram } from "../../src/cli/command.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { PAGES } from "../support/documents.ts";
import { filesIn, PROJECT } from "../support/project.ts";
import { TestTerminal } from "../support/terminal.ts";

/** Words that begin a command. */
const BEGINNING = new RegExp(
  "(?<![\\w/.`-])(?:(?:modprobe|mount|umount|nsenter|chown|chmod|fuser|lsns|lspci|ls|apt-get|dnf|zypper|mlxconfig|" +
    "update-initramfs|dracut|mkinitcpio|rm|kill|echo|systemctl|crictl|crio|udevadm|rdma (?:dev|system|link)|" +
    "ip (?:link|netns|addr))(?= |$)|umount(?=\\))|rdma-cni [a-z]|for (?:vf|cgroup) in )",
);
/** What ends a command in a sentence. */
const END = /^(?:$|["'`);,.]|: | or | # )/;

/** Of one that begins with another the longer comes first. X stands for what a message fills in. */
const KNOWN = [
  "apt-get install --reinstall rdma-cni",
  "apt-get install libmnl0 || dnf install libmnl || zypper install libmnl0",
  "chown 0:0 X && chmod 0700 X",
  "crictl info",
  "crictl rmp --force X",
  "crio config",
  "dnf reinstall rdma-cni",
  "dracut -f",
  "echo ADDRESS > /sys/bus/pci/drivers_probe",
  "echo NUMBER > /sys/class/net/X/device/sriov_numvfs",
  "echo X > /sys/bus/X/drivers_probe",
  "echo X > /sys/bus/pci/devices/X/driver/unbind; echo X > /sys/bus/pci/drivers_probe",
  "echo X > /sys/bus/pci/devices/X/sriov_numvfs",
  "echo X > /sys/bus/pci/X",
  'for cgroup in X; do echo +rdma >"$cgroup/cgroup.subtree_control"; done',
  "for vf in X; do echo $vf > /sys/bus/pci/drivers_probe; done",
  "fuser -v X",
  "ip link set PF up",
  "ip link set PF vf VF mac MAC",
  "ip link set X mtu X",
  "ip link set X up",
  "ip link show X",
  "ip netns del",
  "kill X",
  "ls -l X",
  "ls /sys/class/infiniband",
  "lspci -D",
  "mkinitcpio -P",
  "mlxconfig",
  "mlxconfig -d ADDRESS set SRIOV_EN=1 NUM_OF_VFS=8",
  "modprobe -a ib_core mlx5_ib",
  "modprobe X",
  "modprobe X && echo X > /etc/modules-load.d/X.conf",
  "modprobe ib_core",
  "modprobe rdma_cm",
  "modprobe rdma_rxe",
  "mount -t cgroup -o rdma cgroup /sys/fs/cgroup/rdma; systemctl restart kubelet",
  "mount -t configfs configfs /sys/kernel/config",
  "nsenter --net=X X",
  "nsenter -t X -m umount X",
  "rdma dev add ... type SMI",
  "rdma dev del NAME",
  "rdma dev del X",
  "rdma dev set NAME name NEWNAME",
  "rdma dev set",
  "rdma link delete NAME",
  "rdma link",
  "rm X",
  "systemctl --failed",
  "systemctl daemon-reload; systemctl restart X",
  "systemctl edit rdma-cni-vf-mac.service",
  "systemctl start rdma-cni-agent",
  "umount X",
  "umount",
  "update-initramfs -u",
];

/** Sentences that only look like commands. */
const PROSE = [
  'echo -- "$flag', // a function of the completion
  "rdma-cni agent 1",
  "rdma-cni launcher",
  "mount namespace of",
  "mount it writable",
  "mount a sysfs",
  "mount keeps it",
  "modprobe reads that file",
];

/** The texts in a source; what is filled in is X, and parts that are joined stand together. */
function literalsOf(source: string): string[] {
  const texts: string[] = [];
  const textOf = (node: ts.Node): string | undefined => {
    if (ts.isStringLiteralLike(node)) return node.text;
    if (ts.isTemplateExpression(node)) {
      return node.head.text + node.templateSpans.map(({ literal }) => `X${literal.text}`).join("");
    }
    if (!ts.isBinaryExpression(node) || node.operatorToken.kind !== ts.SyntaxKind.PlusToken) return undefined;
    const [left, right] = [textOf(node.left), textOf(node.right)];
    return left === undefined || right === undefined ? undefined : left + right;
  };
  const visit = (node: ts.Node): void => {
    const text = textOf(node);
    if (text !== undefined) texts.push(text);
    if (text === undefined || ts.isTemplateExpression(node)) ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("module.ts", source, ts.ScriptTarget.Latest));
  return texts;
}

/** What is code in a running text, and what the sessions shown type or advise. */
function spansOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```.*?^```$/gms, "");
  const sessions = [...markdown.matchAll(/^ +-> (.*)$/gm)].map(([, line]) => line!);
  return [...[...prose.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!), ...sessions];
}

/** What begins as one of our own commands and goes on to the end of its place. */
const OWN = /^rdma-cni [a-z](?:(?!["'`);,.]|: | or | # |\.$).|\.\.\.|\.(?=\S))*/;

function* commandsIn(text: string): Generator<string> {
  for (let rest = text;;) {
    const start = rest.search(BEGINNING);
    if (start < 0) return;
    rest = rest.slice(start);
    const prose = PROSE.find((phrase) => rest.startsWith(phrase));
    const command = KNOWN.find((one) => rest.startsWith(one) && END.test(rest.slice(one.length))) ??
      (prose === undefined ? OWN.exec(rest)?.[0] ?? rest : undefined);
    if (command !== undefined) yield command;
    rest = rest.slice((command ?? prose!).length);
  }
}

const shown = [
  ...filesIn("src", ".ts").map((file) => [file, literalsOf(Deno.readTextFileSync(PROJECT + file))] as const),
  ...[...PAGES.keys(), "examples/README.md"].map((file) =>
    [file, spansOf(Deno.readTextFileSync(PROJECT + file))] as const
  ),
].flatMap(([file, texts]) =>
  texts.flatMap((text) => [...commandsIn(text)].map((command) => ({ file, command })))
);

const OWN_COMMANDS = [...new Set(shown.map(({ command }) => command))].filter((one) =>
  one.startsWith("rdma-cni ")
);

Deno.test("no message and no document shows a command that is not checked here, nor is one checked for nothing", () => {
  // In a session that is shown there stands a word where a message has X.
  const patterns = KNOWN.map((known) => {
    return new RegExp(`^${known.replaceAll(/[.*+?^$()|[\]{}\\]/g, "\\$&").replaceAll(/\bX\b/g, "\\S+")}$`);
  });
  const others = shown.filter(({ command }) => !OWN_COMMANDS.includes(command));
  assertEquals(others.filter(({ command }) => !patterns.some((pattern) => pattern.test(command))), []);
  assertEquals(KNOWN.filter((known) => !shown.some(({ command }) => command === known)), []);
  assert(OWN_COMMANDS.length > 20, `${OWN_COMMANDS}`);
});

for (const command of [...KNOWN, ...OWN_COMMANDS]) {
  Deno.test(`a shell understands ${command}`, async () => {
    const { success, stderr } = await new Deno.Command("sh", { args: ["-n", "-c", command] }).output();
    assert(success, new TextDecoder().decode(stderr));
    // What follows the first module is its options, unless all are modules.
    for (const [, words] of command.matchAll(/modprobe ([^;&>]*)/g)) {
      const [first, ...more] = words!.trim().split(/\s+/);
      assert(first === "-a" || more.length === 0, words);
    }
  });
}

for (const command of OWN_COMMANDS) {
  Deno.test(`the program knows ${command}`, () => {
    const context = { kernel: new MemoryNodeKernel(), terminal: new TestTerminal(), exit: () => {} };
    let own = createProgram("rdma-cni", context);
    const words = command.split(" ").slice(1);
    while (words.length > 0) {
      const word = words.shift()!;
      const below = own.commands.find((one) => one.name() === word) as typeof own | undefined;
      const option = own.options.find(({ long, short }) => [long, short].includes(word));
      if (below) own = below;
      else if (option) words.splice(0, option.required ? 1 : 0); // its value
      else {
        const isArgument = /^-?$|^[^-]/.test(word) && own.registeredArguments.length > 0;
        assert(isArgument, `${own.name()} takes no ${word}`);
      }
    }
  });
}
