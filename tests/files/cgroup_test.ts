// The files of cgroups. What the kernel makes of them is for the virtual machine to tell.
import { findRdmaCgroups } from "../../src/kernel/cgroup.ts";
import { SyscallError } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { Root } from "./root.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

const V1 = "33 31 0:30 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma\n";
const V2 = "34 31 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const MOUNTINFO = "/proc/self/mountinfo";
const DEVICE = { index: 3, name: "mlx5_3" };

/** A machine whose hierarchy of version 2 has the controller, and a cgroup. */
function version2(): Root {
  return new Root({
    [MOUNTINFO]: V2,
    "/sys/fs/cgroup/cgroup.controllers": "cpu memory rdma\n",
    "/sys/fs/cgroup/pods/one/rdma.max": "mlx5_3 hca_handle=max hca_object=4 \n",
    "/sys/fs/cgroup/pods/two/cgroup.procs": "",
    "/sys/fs/rdma.max": "",
    "/proc/42/cgroup": "0::/pods/one\n",
  });
}

for (
  const { what, files, mount } of [
    {
      what: "version 2",
      files: { [MOUNTINFO]: V2, "/sys/fs/cgroup/cgroup.controllers": "io rdma" },
      mount: "/sys/fs/cgroup",
    },
    {
      what: "version 1",
      files: { [MOUNTINFO]: V2 + V1, "/sys/fs/cgroup/cgroup.controllers": "io" },
      mount: "/sys/fs/cgroup/rdma",
    },
    {
      what: "neither",
      files: { [MOUNTINFO]: V2, "/sys/fs/cgroup/cgroup.controllers": "io rdma2" },
      mount: undefined,
    },
    { what: "no hierarchy", files: { [MOUNTINFO]: "" }, mount: undefined },
  ]
) {
  Deno.test(`with the rdma controller in ${what} the hierarchy is at ${mount}`, () => {
    using root = new Root(files as unknown as Record<string, string>);
    assertEquals(findRdmaCgroups(root.path)?.mount, mount);
  });
}

Deno.test("a cgroup is there or not, and has limits or not", () => {
  using root = version2();
  const cgroups = findRdmaCgroups(root.path)!;
  const paths = [
    "/pods/one",
    "/pods/two",
    "/pods/three",
    "/",
    "",
    "/pods/../pods/one",
    "/..",
    "/pods/one/rdma.max",
  ];
  assertEquals(paths.filter((path) => cgroups.has(path)), ["/pods/one", "/pods/two"]);
  assertEquals(paths.filter((path) => cgroups.hasLimits(path)), ["/pods/one"]);
});

Deno.test("a symbolic link is not followed to a cgroup", () => {
  using root = version2();
  Deno.symlinkSync("one", `${root.path}/sys/fs/cgroup/pods/link`);
  const cgroups = findRdmaCgroups(root.path)!;
  cgroups.write("/pods/link", DEVICE, { hcaHandle: 1 });
  assertEquals([cgroups.has("/pods/link"), root.read("/sys/fs/cgroup/pods/one/rdma.max")], [
    false,
    "mlx5_3 hca_handle=max hca_object=4 \n",
  ]);
});

Deno.test("the cgroup of a process is read, of one that has ended there is none", () => {
  using root = version2();
  const cgroups = findRdmaCgroups(root.path)!;
  assertEquals([cgroups.ofProcess(42), cgroups.ofProcess(43)], ["/pods/one", undefined]);
});

Deno.test("limits are read, and none of a cgroup or device that is not there", () => {
  using root = version2();
  const cgroups = findRdmaCgroups(root.path)!;
  assertEquals(cgroups.list("/pods/one"), [{ name: "mlx5_3", hcaHandle: "max", hcaObject: 4 }]);
  assertEquals(cgroups.read("/pods/one", DEVICE)?.hcaObject, 4);
  assertEquals([cgroups.read("/pods/two", DEVICE), cgroups.read("/none", DEVICE)], [undefined, undefined]);
});

for (
  const { limits, line } of [
    { limits: { hcaHandle: 0 }, line: "mlx5_3 hca_handle=0" },
    { limits: { hcaHandle: 2, hcaObject: "max" }, line: "mlx5_3 hca_handle=2 hca_object=max" },
  ] as const
) {
  Deno.test(`limits ${JSON.stringify(limits)} are written as one line`, () => {
    using root = version2();
    root.write("/sys/fs/cgroup/pods/one/rdma.max", "");
    findRdmaCgroups(root.path)!.write("/pods/one", DEVICE, limits);
    assertEquals(root.read("/sys/fs/cgroup/pods/one/rdma.max"), line);
  });
}

Deno.test("a write that fails names the line and the file", () => {
  using root = version2();
  const write = () => findRdmaCgroups(root.path)!.write("/pods/two", DEVICE, { hcaObject: 5 });
  const words = 'Cannot write "mlx5_3 hca_object=5" to "/sys/fs/cgroup/pods/two/rdma.max": ENOENT';
  assertThrows(write, SyscallError, words);
});
