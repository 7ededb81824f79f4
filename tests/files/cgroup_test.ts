// The files of cgroups. What the kernel makes of them is for the virtual machine to tell.
import { findRdmaCgroups } from "../../src/kernel/cgroup.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { Root } from "./root.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

const V1 = "33 31 0:30 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma\n";
const V2 = "34 31 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const DEVICE = { index: 3, name: "mlx5_3" };
const MAX = "/sys/fs/cgroup/pods/one/rdma.max";

function machine(mountinfo = V2, controllers = "cpu memory rdma\n"): Root {
  return new Root({
    "/proc/self/mountinfo": mountinfo,
    "/proc/42/cgroup": "0::/pods/one\n",
    "/sys/fs/cgroup/cgroup.controllers": controllers,
    [MAX]: "mlx5_3 hca_handle=max hca_object=4 \n",
    "/sys/fs/cgroup/pods/two/cgroup.procs": "",
    "/sys/fs/rdma.max": "",
  });
}

Deno.test("the hierarchy is the one that has the rdma controller", () => {
  for (
    const [mountinfo, controllers, mount] of [
      [V2, "io rdma", "/sys/fs/cgroup"],
      [V2 + V1, "io", "/sys/fs/cgroup/rdma"],
      [V2, "io rdma2", undefined],
      ["", "rdma", undefined],
    ] as const
  ) {
    using root = machine(mountinfo, controllers);
    assertEquals(findRdmaCgroups(root.path)?.mount, mount, mountinfo + controllers);
  }
});

Deno.test("a cgroup is there or not, and has limits or not", () => {
  using root = machine();
  Deno.symlinkSync("one", `${root.path}/sys/fs/cgroup/pods/link`);
  const cgroups = findRdmaCgroups(root.path)!;
  const none = ["/pods/link", "/pods/three", "/", "", "/pods/../pods/one", "/..", "/pods/one/rdma.max"];
  const paths = ["/pods/one", "/pods/two", ...none];
  assertEquals(paths.filter((path) => cgroups.has(path)), ["/pods/one", "/pods/two"]);
  assertEquals(paths.filter((path) => cgroups.hasLimits(path)), ["/pods/one"]);
  cgroups.write("/pods/link", DEVICE, { hcaHandle: 1 });
  assertEquals(root.read(MAX), "mlx5_3 hca_handle=max hca_object=4 \n");
});

Deno.test("limits and the cgroup of a process are read, and none of what is not there", () => {
  using root = machine();
  const cgroups = findRdmaCgroups(root.path)!;
  assertEquals([cgroups.ofProcess(42), cgroups.ofProcess(43)], ["/pods/one", undefined]);
  assertEquals(cgroups.list("/pods/one"), [{ name: "mlx5_3", hcaHandle: "max", hcaObject: 4 }]);
  const found = ["/pods/one", "/pods/two", "/none"].map((path) => cgroups.read(path, DEVICE)?.hcaObject);
  assertEquals(found, [4, undefined, undefined]);
});

Deno.test("limits are written as one line; a write that fails names the line and the file", () => {
  using root = machine();
  const cgroups = findRdmaCgroups(root.path)!;
  for (
    const [limits, line] of [
      [{ hcaHandle: 0 }, "mlx5_3 hca_handle=0"],
      [{ hcaHandle: 2, hcaObject: "max" }, "mlx5_3 hca_handle=2 hca_object=max"],
    ] as const
  ) {
    root.write(MAX, "");
    cgroups.write("/pods/one", DEVICE, limits);
    assertEquals(root.read(MAX), line);
  }
  const words = 'Cannot write "mlx5_3 hca_object=5" to "/sys/fs/cgroup/pods/two/rdma.max": ENOENT';
  assertThrows(() => cgroups.write("/pods/two", DEVICE, { hcaObject: 5 }), SyscallError, words);
});
