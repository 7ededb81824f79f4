import type { ExaminedNode } from "../../src/cli/doctor/finding.ts";
import type { Level, Verdict } from "../../src/cli/report.ts";
import { BareNode } from "../rig/memory/bare_node.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";

/** A node for the doctor. */
export class DoctorNode extends BareNode implements ExaminedNode {
  readonly executable = "/usr/local/bin/rdma-cni";

  constructor(files: Record<string, string> = {}) {
    super({ "/proc/sys/kernel/osrelease": "6.12.1\n", ...files });
  }
}

/** What a fix begins with: a comment of the shell, or one of these commands. */
const PASTABLE =
  /^(#|apt-get|chown|crictl|dmesg|echo|for|kill|kubectl|ls|mkdir|modprobe|mount|mv|nsenter|printf|reboot|rm|umount|update-initramfs|dracut|\/usr\/local\/bin\/rdma-cni) /;

/** Asserts what was found: level and words of each line, and words of what fixes it. */
export function assertFindings(
  findings: readonly Verdict[],
  wanted: readonly (readonly [level: Level, text: RegExp, fix?: RegExp])[],
): void {
  assertEquals(findings.map(({ level }) => level), wanted.map(([level]) => level), JSON.stringify(findings));
  for (const [index, [, text, fix]] of wanted.entries()) {
    assertMatch(findings[index]!.text, text);
    assertEquals(findings[index]!.fix !== undefined, findings[index]!.level !== "ok");
    assertMatch(`${findings[index]!.fix ?? "#"} `, PASTABLE);
    if (fix) assertMatch(findings[index]!.fix!, fix);
  }
}
