import { isSameNetns } from "../../../../src/plugin/record/namespaces.ts";
import { assertEquals } from "../../../support/assert.ts";

const A = { inode: 1, cookie: "10" };

for (
  const [what, other, isSame] of [
    ["both are equal", A, true],
    ["only the cookie is equal", { ...A, inode: 2 }, true],
    ["the inode has been used again", { ...A, cookie: "11" }, false],
    ["one has no cookie", { inode: 1 }, true],
    ["one has no cookie and another inode", { inode: 2 }, false],
  ] as const
) {
  Deno.test(`two namespaces are ${isSame ? "the same" : "different ones"} when ${what}`, () => {
    assertEquals([isSameNetns(A, other), isSameNetns(other, A)], [isSame, isSame]);
  });
}
