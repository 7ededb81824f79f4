import { parseCgroupMounts, parseRdmaCgroup, parseRdmaLimits } from "../../../src/kernel/cgroup.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("whole hierarchies of both versions are found among the mounts", () => {
  const mountinfo = [
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct",
    "33 31 0:30 / /sys/fs/cgroup/rdma rw,relatime shared:10 master:2 - cgroup cgroup rw,rdma",
    "34 31 0:31 /kubepods /run/part rw - cgroup cgroup rw,rdma",
    "35 31 0:32 /../.. /hostroot/sys/fs/cgroup\\040two rw - cgroup2 cgroup2 rw,nsdelegate",
    "36 31 0:32 /../x /run/other rw - cgroup2 cgroup2 rw",
    "",
  ].join("\n");
  assertEquals(parseCgroupMounts(mountinfo), [
    { path: "/sys/fs/cgroup/cpu,cpuacct", isVersion2: false, options: ["rw", "cpu", "cpuacct"] },
    { path: "/sys/fs/cgroup/rdma", isVersion2: false, options: ["rw", "rdma"] },
    { path: "/hostroot/sys/fs/cgroup two", isVersion2: true, options: ["rw", "nsdelegate"] },
  ]);
});

for (
  const [text, path] of [
    ["0::/kubepods.slice/a:b.scope\n", "/kubepods.slice/a:b.scope"],
    ["5:pids:/pids\n4:rdma:/one\n1:name=systemd:/s\n0::/two\n", "/one"],
    ["4:misc,rdma:/both\n0::/two\n", "/both"],
    ["5:pids:/pids\n0::/two\n", "/two"],
    ["5:pids:/pids\n", undefined],
    ["", undefined],
  ] as const
) {
  Deno.test(`the cgroup for RDMA in ${JSON.stringify(text)} is ${path}`, () => {
    assertEquals(parseRdmaCgroup(text), path);
  });
}

Deno.test("the limits of all devices are read, with the index where several have a name", () => {
  const text = "mlx5_0 hca_handle=2 hca_object=max \nrxe0 index=5 hca_handle=max hca_object=max \n" +
    "rxe0 index=6 hca_handle=0 hca_object=7 future=1 \n";
  assertEquals(parseRdmaLimits(text), [
    { name: "mlx5_0", hcaHandle: 2, hcaObject: "max" },
    { name: "rxe0", index: 5, hcaHandle: "max", hcaObject: "max" },
    { name: "rxe0", index: 6, hcaHandle: 0, hcaObject: 7 },
  ]);
  assertEquals(parseRdmaLimits(""), []);
});
