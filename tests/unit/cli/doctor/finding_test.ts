import { examine } from "../../../../src/cli/doctor/finding.ts";
import { CommandError } from "../../../../src/cli/errors.ts";
import { EXIT_CODES, ok, problem, warning, worstLevel } from "../../../../src/cli/report.ts";
import { CniError } from "../../../../src/cni/error.ts";
import { NetlinkError } from "../../../../src/netlink/error.ts";
import { LibmnlMissing } from "../../../../src/kernel/kernel.ts";
import { SyscallError } from "../../../../src/sys/errno.ts";
import { NetnsError } from "../../../../src/sys/netns.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const A = ok("a");
const B = warning("b", "do b");
const C = problem("c", "do c");

Deno.test("the worst finding decides the level and the exit code", () => {
  const levels = [[], [A], [A, B], [B, C, A]].map((findings) => worstLevel(findings));
  assertEquals(levels, ["ok", "ok", "warning", "problem"]);
  assertEquals(levels.map((level) => EXIT_CODES[level]), [0, 0, 3, 1]);
});

const denied = new Deno.errors.PermissionDenied("Permission denied");

for (
  const [what, error, text, fix] of [
    [
      "no RDMA subsystem",
      new SyscallError("open a netlink socket", 93),
      /no RDMA subsystem/,
      /^modprobe ib_core$/,
    ],
    ["a system call without rights", new SyscallError("enter a namespace", 1), /EPERM/, /as root/],
    ["a file without rights", denied, /denied/, /as root/],
    [
      "a wrapped file without rights",
      new CniError(5, "Cannot list x", "", { cause: denied }),
      /list x/,
      /as root/,
    ],
    ["the kernel's refusal", new NetlinkError("list", 22), /Cannot list/, /^# see the kernel log$/],
    ["a namespace", new NetnsError("/run/netns/a", "other", undefined), /not a network namespace/, /./],
    ["a command's failure", new CommandError("Cannot ask", "Upgrade it"), /ask/, /^# Upgrade it$/],
    ["anything else", new TypeError("odd"), /odd/, /^dmesg # /],
    ["what is no error", "text", /text/, /^dmesg # /],
  ] as const
) {
  Deno.test(`what keeps a group from being examined is a problem of it: ${what}`, async () => {
    for (
      const work of [() => {
        throw error;
      }, () => Promise.reject(error)]
    ) {
      const [found, ...more] = await examine("devices", work);
      assertEquals([found?.group, found?.level, more.length], ["devices", "problem", 0]);
      assertMatch(found!.text, text);
      assertMatch(found!.fix!, fix);
    }
  });
}

Deno.test("a missing libmnl keeps groups from being examined without a word: it is a problem of its own group", async () => {
  const missing = () => {
    throw new LibmnlMissing("Cannot open libmnl");
  };
  assertEquals(await examine("devices", missing), []);
});
