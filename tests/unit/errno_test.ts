import { constants } from "node:os";
import { NetlinkError } from "../../src/netlink/error.ts";
import * as errno from "../../src/sys/errno.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";

const NUMBERS: [name: string, number: number][] = [
  ...Object.entries(constants.errno),
  ["ENOTUNIQ", 76], // of which Node knows nothing (uapi asm-generic/errno.h)
];

Deno.test("errors have the names that this system gives their numbers", () => {
  for (const [, number] of NUMBERS) {
    const text = errno.formatErrno(number);
    const names = NUMBERS.filter(([, other]) => other === number).map(([name]) => name); // EAGAIN is EWOULDBLOCK too
    const isRight = text === `errno ${number}` ||
      names.some((name) => text.startsWith(`${name} (${number}), `));
    assert(isRight, `${names} is told as ${text}`);
  }
});

Deno.test("the errors that are told apart have this system's numbers, and names", () => {
  const compared = Object.entries(errno).filter(([name]) => /^E[A-Z]+$/.test(name));
  assert(compared.length > 15);
  for (const [name, number] of compared) {
    assertEquals([name, number], NUMBERS.find(([other]) => other === name)!);
    assertMatch(errno.formatErrno(number as number), new RegExp(`^${name} \\(${number}\\), `));
  }
});

Deno.test("an error says what failed and why: by its number if it has no name, and in the kernel's words if it has any", () => {
  const { message } = new errno.SyscallError('open("/a")', 2);
  assertMatch(message, /^Cannot open\("\/a"\): ENOENT \(2\), no such file/);
  assertEquals(new NetlinkError("move it", 4095).message, "Cannot move it: errno 4095");
  assertEquals(
    new NetlinkError("move it", 17, 'name "a"\nis taken').message,
    'Cannot move it: EEXIST (17), already exists; the kernel says "name \\"a\\"\\nis taken"',
  );
});

Deno.test("the errno of an error of the runtime is found in its message, wherever the path says otherwise", () => {
  const find = (text: string) => errno.errnoOf(new Error(text));
  assertEquals(find("No such device (os error 19): open '/sys/a (os error 2)'"), 19);
  assertEquals(find("closed"), undefined);
});
