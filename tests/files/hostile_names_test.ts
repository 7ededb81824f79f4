// Names that pods and files chose, in what commands print: a device's may hold any byte but "/" and NUL.
import fc from "fast-check";
import { runDoctor } from "../../src/cli/doctor/command.ts";
import { collectGarbage } from "../../src/cli/gc.ts";
import { setMode } from "../../src/cli/netns_mode/set.ts";
import { showPods } from "../../src/cli/pods/command.ts";
import { formatTable } from "../../src/cli/table.ts";
import type { Result } from "../../src/cli/terminal.ts";
import { listVfs } from "../../src/node/functions.ts";
import { VF_TABLE } from "../../src/cli/vf_mac/table.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TestTerminal } from "../support/terminal.ts";
import { parseAll } from "../support/yaml.ts";
import { DoctorNode } from "./doctor_node.ts";

const VF = "0000:3b:00.2";

/** What moves the cursor, starts a line, cannot be seen, or changes the order of what follows it. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\t]/u;

const hostile = fc.oneof(
  fc.constantFrom(..."\n\r\t\b\x1b\x7f\x85\x9b\u00ad\u061c\u200b\u200f\u2028\u2029\u202e\u2066\u3164\ufeff"),
  fc.constantFrom("\ud83d", "\udc00", "\u{e0041}", "\u{1f600}", "\u0301", "\x1b[31m\nforged", '"', "\\"),
  fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
);
const names = fc.string({ unit: hostile, minLength: 1, maxLength: 12 })
  .filter((name) => !/[/\0]|^\./.test(name) && new TextEncoder().encode(name).length < 200);

/** A node on which everything that others may name has the given name. */
function nodeWith(name: string): DoctorNode {
  const node = new DoctorNode();
  const { kernel } = node;
  const path = `/run/netns/${name}`;
  const pod = kernel.addNetns(path);
  kernel.addFunction(VF);
  kernel.addDevice(VF, 2, { space: pod, name });
  kernel.addFunction("0000:3b:00.3");
  kernel.addDevice("0000:3b:00.3", 3, { space: pod, name: `other ${name}` });
  kernel.addPf("eth0", 1);
  const [vf] = kernel.vfs;
  kernel.vfs[0]!.netdev = { ...vf!.netdev!, name, space: pod };
  const process = { pid: 42, command: name, onlyOpen: false };
  kernel.others = [{ inode: pod.inode, paths: [path], processes: [process] }];
  node.write("net-container1-net1", {
    attachment: { network: "net", containerID: "container1", ifname: "net1" },
    deviceId: VF,
    devices: [{ index: 2, hostName: "mlx5_2", podName: "mlx5_2" }],
    netns: { path, inode: pod.inode, cookie: pod.cookie! },
    bootId: kernel.bootId,
    createdAt: 1000,
  });
  node.write(`zz${name}`, "{");
  return node;
}

/** What is printed of a result, on standard output and on standard error. */
function print(result: Result, format?: "json" | "yaml"): [string, string] {
  const terminal = Object.assign(new TestTerminal(), { format });
  terminal.print(result);
  return [terminal.stdout, terminal.stderr];
}

/** What commands print for people on a node with names that others chose. */
async function printAll(name: string): Promise<string[]> {
  using node = nodeWith(name);
  const results = [
    showPods(node),
    showPods(node, { output: "wide" }),
    collectGarbage(node, node.terminal, { dryRun: true }),
    await runDoctor(node),
    { text: formatTable(VF_TABLE, listVfs(node.kernel), true) },
    setMode(node.kernel, "shared", { dryRun: true }, { release: "6.12" }),
  ];
  return results.flatMap((result) => print(result));
}

Deno.test("no name that others chose begins a line, controls the terminal or hides; programs get it as it is", async () => {
  const lengths = (texts: string[]) => texts.map((text) => text.split("\n").length);
  const plain = lengths(await printAll("mlx5_0"));
  const property = fc.asyncProperty(names, async (name) => {
    const texts = await printAll(name);
    assertEquals(lengths(texts), plain);
    const [heading = "", row = ""] = texts[2]!.split("\n"); // of the wide table
    const at = heading.indexOf("ON-HOST");
    assertEquals(row.slice(at - 1, at + "mlx5_2".length), " mlx5_2", "the columns are aligned");

    using node = nodeWith(name);
    const [json] = print(showPods(node), "json");
    for (const line of [...texts, json].flatMap((text) => text.split("\n"))) {
      assert(!UNPRINTABLE.test(line), JSON.stringify(line));
    }
    const [[{ device }]] = parseAll(print(showPods(node), "yaml")[0]) as [[{ device: string }]];
    const [metrics] = print(showPods(node, { output: "prometheus" }));
    const info = metrics.split("\n").filter((line) => line.startsWith("rdma_device_info{"));
    const [, label = ""] = /,device="((?:[^"\\]|\\.)*)",/.exec(info[0]!) ?? [];
    const unescaped = label.replace(/\\(.)/g, (_, char) => char === "n" ? "\n" : char);
    assertEquals([JSON.parse(json)[0].device, device, unescaped, info.length], [name, name, name, 1]);
  });
  await fc.assert(property, { numRuns: 60 });
});
