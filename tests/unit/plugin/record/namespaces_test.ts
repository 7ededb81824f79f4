import { isSameNetns } from "../../../../src/plugin/record/namespaces.ts";
import { assertMakes } from "../../../support/table.ts";

Deno.test("namespaces are the same by their cookies, or by their inodes where one has no cookie", () => {
  const one = { inode: 1, cookie: "10" };
  assertMakes<{ inode: number; cookie?: string }, boolean[]>(
    (other) => [isSameNetns(one, other), isSameNetns(other, one)],
    [
      [one, [true, true]],
      [{ inode: 2, cookie: "10" }, [true, true]],
      [{ inode: 1, cookie: "11" }, [false, false]],
      [{ inode: 1 }, [true, true]],
      [{ inode: 2 }, [false, false]],
    ],
  );
});
