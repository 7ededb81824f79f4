import { judgeMode } from "../../../../src/cli/doctor/kernel.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const EXCLUSIVE = {
  mode: "exclusive",
  sources: [{ file: "/etc/modprobe.d/a.conf", line: 2, mode: "exclusive" }],
} as const;
const SHARED = {
  mode: "shared",
  sources: [...EXCLUSIVE.sources, { file: "/proc/cmdline", line: 1, mode: "shared" }],
} as const;
const UNSET = { sources: [] };

for (
  const [now, persisted, level, text, fix] of [
    ["exclusive", EXCLUSIVE, "ok", /after a reboot exclusive \(\/etc\/modprobe\.d\/a\.conf:2\)/, /^$/],
    [
      "exclusive",
      SHARED,
      "warning",
      /but after a reboot shared \(\/proc\/cmdline:1\)/,
      /^rdma netns-mode .*--persist$/,
    ],
    ["exclusive", UNSET, "warning", /but after a reboot shared \(nothing sets it/, /--persist$/],
    [
      "shared",
      EXCLUSIVE,
      "problem",
      /shared now.*after a reboot exclusive/,
      /^rdma netns-mode set exclusive # reboot if/,
    ],
    ["shared", SHARED, "problem", /shared now.*after a reboot shared/, /--persist # reboot if/],
    ["shared", UNSET, "problem", /shared now.*after a reboot shared/, /^rdma netns-mode set exclusive/],
  ] as const
) {
  Deno.test(`${now} now and ${persisted.sources.at(-1)?.mode ?? "nothing set"} for later is ${level}`, () => {
    const [found, ...more] = judgeMode(now, persisted, "rdma");
    assertEquals([found?.level, more.length], [level, 0]);
    assertMatch(found!.text, text);
    assertMatch(found!.fix ?? "", fix);
  });
}
