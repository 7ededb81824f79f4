import { NetlinkError } from "../../../../src/netlink/error.ts";
import { explainRefusal } from "../../../../src/plugin/device/move.ts";
import * as errno from "../../../../src/sys/errno.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";

const { EBADF, EBUSY, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM } = errno;
const KNOWN = [EPERM, EBADF, EBUSY, EEXIST, ENODEV, EINVAL, EOPNOTSUPP];

const exclusive = () => false;
const shared = () => true;

Deno.test("each refusal has a reason and an advice of its own", () => {
  const all = [
    ...KNOWN.map((number) => explainRefusal(number, exclusive)),
    explainRefusal(EOPNOTSUPP, shared),
    explainRefusal(12, exclusive),
  ];
  assertEquals(new Set(all.map(({ reason }) => reason)).size, all.length);
  assert(all.every(({ advice }) => advice.length > 0));
});

Deno.test("the mode tells the two causes of EOPNOTSUPP apart", () => {
  assertStringIncludes(explainRefusal(EOPNOTSUPP, shared).reason, "mode shared");
  assertStringIncludes(explainRefusal(EOPNOTSUPP, exclusive).reason, "driver");
});

Deno.test("the mode is asked for only when it matters", () => {
  const never = (): boolean => {
    throw new Error("asked for the mode");
  };
  for (const number of KNOWN) if (number !== EOPNOTSUPP) explainRefusal(number, never);
});

Deno.test("numbers of errors are the kernel's", () => {
  assertEquals(KNOWN, [1, 9, 16, 17, 19, 22, 95]);
  assertEquals([errno.ENOENT, errno.EAGAIN, errno.ENOTDIR, errno.ENOTTY, errno.EPROTONOSUPPORT], [
    2,
    11,
    20,
    25,
    93,
  ]);
});

Deno.test("an errno nobody listed is told by its number", () => {
  assertStringIncludes(
    new NetlinkError("move RDMA device 3", 250).message,
    "Cannot move RDMA device 3: errno 250",
  );
});

Deno.test("the kernel's words are quoted", () => {
  const { message } = new NetlinkError("move RDMA device 3", 17, 'name "a"\nis taken');
  assertEquals(
    message,
    'Cannot move RDMA device 3: EEXIST (17), already exists; the kernel says "name \\"a\\"\\nis taken"',
  );
});
