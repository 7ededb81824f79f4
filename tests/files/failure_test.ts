// What the kernel layer throws, as a runtime gets to see it.
import { LibmnlMissing } from "../../src/kernel/kernel.ts";
import { DecodeError, NetlinkError } from "../../src/netlink/error.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { TestNode } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

const interrupted = "Interrupted system call (os error 4): stat '/proc/self/fd/12'";
const unreadable = assertThrows(() => Deno.readTextFileSync("/"), Deno.errors.IsADirectory);

for (
  const [what, error, code, advice] of [
    ["a missing libmnl", new LibmnlMissing("Cannot open libmnl"), 102, "libmnl0"],
    ["a refusal by netlink", new NetlinkError("ask", 1), 120, "kernel log"],
    ["a system call that failed", new SyscallError("socket", 24), 5, "kernel log"],
    ["a file that cannot be read", unreadable, 5, "kernel log"],
    ["a missing capability", new SyscallError("setns", 1), 120, "CAP_SYS_ADMIN"],
    ["an answer without sense", new DecodeError("Cannot decode"), 120, "report"],
    ["a file that a signal kept from being read", new Deno.errors.Interrupted(interrupted), 5, "kernel log"],
    ["no RDMA subsystem", new SyscallError("socket", 93), 100, "modprobe -a ib_core mlx5_ib"],
    ["a fault of the program", new TypeError("undefined"), 999, "TypeError"],
  ] as const
) {
  Deno.test(`${what} is code ${code} in ADD and in CHECK; STATUS is code 50 but for faults of the program`, async () => {
    using node = new TestNode();
    node.kernel.getRdmaMode = () => {
      throw error;
    };
    for (const command of ["ADD", "CHECK"]) {
      assertStringIncludes((await node.fail(command, code)).json.details, advice);
    }
    await node.fail("STATUS", code === 999 ? 999 : 50);
    assertEquals(node.files(), []);
  });
}
