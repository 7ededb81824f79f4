// What the kernel layer throws, as a runtime gets to see it.
import { DecodeError, NetlinkError } from "../../src/netlink/error.ts";
import { LibmnlMissing } from "../../src/kernel/kernel.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { TestNode } from "../rig/memory/node.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

const FAILURES: { name: string; error: Error; code: number; advice: string }[] = [
  { name: "a missing libmnl", error: new LibmnlMissing("Cannot open libmnl"), code: 102, advice: "libmnl0" },
  { name: "a refusal by netlink", error: new NetlinkError("ask", 1), code: 120, advice: "kernel log" },
  { name: "a system call that failed", error: new SyscallError("socket", 24), code: 5, advice: "kernel log" },
  { name: "a file that cannot be read", error: readingADirectory(), code: 5, advice: "kernel log" },
  { name: "a missing capability", error: new SyscallError("setns", 1), code: 120, advice: "CAP_SYS_ADMIN" },
  { name: "an answer without sense", error: new DecodeError("Cannot decode"), code: 120, advice: "report" },
  {
    name: "a file that a signal kept from being read",
    error: new Deno.errors.Interrupted("Interrupted system call (os error 4): stat '/proc/self/fd/12'"),
    code: 5,
    advice: "kernel log",
  },
  {
    name: "no RDMA subsystem",
    error: new SyscallError("socket", 93),
    code: 100,
    advice: "modprobe -a ib_core",
  },
  { name: "a fault of the program", error: new TypeError("undefined"), code: 999, advice: "TypeError" },
];

function readingADirectory(): Error {
  return assertThrows(() => Deno.readTextFileSync("/"), Deno.errors.IsADirectory);
}

for (const { name, error, code, advice } of FAILURES) {
  Deno.test(`${name} is code ${code} in ADD and in CHECK`, async () => {
    using node = new TestNode();
    node.kernel.getRdmaMode = () => {
      throw error;
    };
    for (const command of ["ADD", "CHECK"]) {
      const { json } = await node.fail(command, code);
      assertStringIncludes(json.details, advice);
    }
    assertEquals(node.files(), []);
  });
}

Deno.test("a fault of the program is code 999 in STATUS, what the kernel says is code 50", async () => {
  using node = new TestNode();
  for (const { error, code } of FAILURES) {
    node.kernel.getRdmaMode = () => {
      throw error;
    };
    await node.fail("STATUS", code === 999 ? 999 : 50);
  }
});
