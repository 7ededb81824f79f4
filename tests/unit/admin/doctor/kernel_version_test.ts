import { examineRelease } from "../../../../src/admin/doctor/kernel_version.ts";
import { assertEquals } from "../../../assert.ts";

for (
  const [release, level] of [
    ["5.2.21", "problem"],
    ["4.18.0-553.el8.x86_64", "problem"],
    ["5.3.0", "warning"],
    ["5.13.19-generic", "warning"],
    ["5.14.0-570.el9.x86_64", "ok"],
    ["6.1", "ok"],
    ["6.12.118+deb13-amd64", "ok"],
    ["mainline", "warning"],
  ] as const
) {
  Deno.test(`kernel ${release} is ${level}`, () => {
    const [found, ...more] = examineRelease(release);
    assertEquals([found?.level, found?.text.includes(release), more.length], [level, true, 0]);
  });
}
