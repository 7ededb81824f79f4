import { type Answer, type Installed, judgeAnswer } from "../../../../src/cli/doctor/plugin.ts";
import { VERSION } from "../../../../src/version.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const NODE = { path: "/cni/rdma", hasThickMultus: true, isOverwritten: false, operator: undefined };
const BY_LAUNCHER: Installed = { ...NODE, kind: "launcher" };
const COPY: Installed = { ...NODE, kind: "program", hasThickMultus: false };
const OTHER: Installed = { ...NODE, kind: "other" };

const text = (text: string): Answer => ({ kind: "text", text });

for (
  const [what, answer, level, words, installed = OTHER] of [
    ["this version", text(`rdma-cni ${VERSION}\n`), "ok", new RegExp(`version ${VERSION}$`), BY_LAUNCHER],
    [
      "a copy without launcher",
      text(`rdma-cni ${VERSION}\n`),
      "warning",
      /without launcher: .* Multus/,
      COPY,
    ],
    [
      "a copy without launcher under thick Multus",
      text(`rdma-cni ${VERSION}\n`),
      "problem",
      /without launcher: thick Multus 4\.1\.0 and newer cannot start it$/,
      { ...COPY, hasThickMultus: true },
    ],
    [
      "a launcher without program",
      text('{"cniVersion":"1.1.0","code":5,"msg":"Cannot run \\"/a\\": ENOENT (2)"}\n'),
      "problem",
      /cannot start the program: .*Cannot run .*ENOENT/,
      BY_LAUNCHER,
    ],
    ["another version", text("rdma-cni 0.0.1\n"), "warning", /is version 0\.0\.1, this program is/],
    [
      "the Go plugin that tells its version",
      text("rdma-cni cni version:v1.4.0, commit:1, date:2\n"),
      "warning",
      /is the Go plugin v1\.4\.0, not this one; its DaemonSet kube-rdma-cni-ds probably put it there$/,
    ],
    [
      "the Go plugin that overwrote this one",
      text("rdma-cni version:v1.0.0, commit:1, date:2\n"),
      "warning",
      /is the Go plugin v1\.0\.0, in the place of this one, which was installed; /,
      { ...OTHER, isOverwritten: true },
    ],
    [
      "the Go plugin that does not",
      text('{"code":4,"msg":"required env variables [CNI_COMMAND] missing"}'),
      "warning",
      /Go plugin/,
    ],
    ["another program", text("rdma utility\nmore"), "warning", /it answers "rdma utility"$/],
    ["a program that prints nothing", text(""), "warning", /it answers ""$/],
    ["none", { kind: "absent" }, "problem", /not there/],
    [
      "one that cannot be run",
      { kind: "failed", reason: "Exec format error" },
      "problem",
      /Exec format error/,
    ],
    ["one that hangs", { kind: "silent" }, "problem", /within 20 s/],
  ] as [string, Answer, string, RegExp, Installed?][]
) {
  Deno.test(`the installed plugin is ${what}: ${level}`, () => {
    const found = judgeAnswer(answer, "install it", installed);
    assertEquals([found.level, found.fix], [level, level === "ok" ? undefined : "install it"]);
    assertMatch(found.text, words);
  });
}
