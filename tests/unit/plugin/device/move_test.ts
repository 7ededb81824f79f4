import { explainRefusal } from "../../../../src/plugin/device/move.ts";
import { EBADF, EBUSY, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM } from "../../../../src/sys/errno.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";

Deno.test("each refusal has a reason and an advice of its own; the mode tells two causes of EOPNOTSUPP apart", () => {
  // Nothing else asks for the mode.
  const never = (): boolean => {
    throw new Error("asked for the mode");
  };
  const others = [EPERM, EBADF, EBUSY, EEXIST, ENODEV, EINVAL, 12].map((errno) =>
    explainRefusal(errno, never)
  );
  const [shared, exclusive] = [true, false].map((is) => explainRefusal(EOPNOTSUPP, () => is));
  assertStringIncludes(shared!.reason, "mode shared");
  assertStringIncludes(exclusive!.reason, "driver");
  const all = [...others, shared!, exclusive!];
  assertEquals(new Set(all.map(({ reason }) => reason)).size, all.length);
  assert(all.every(({ advice }) => advice.length > 0));
});
