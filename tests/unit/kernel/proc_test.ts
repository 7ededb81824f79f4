// What files of procfs and of cgroups say.
import { parseCgroupMounts, parseRdmaCgroup, parseRdmaLimits } from "../../../src/kernel/cgroup.ts";
import { parseContainerId, parseNetnsMounts } from "../../../src/kernel/processes.ts";
import { assertEquals } from "../../support/assert.ts";
import { assertMakes } from "../../support/table.ts";

Deno.test("whole hierarchies of cgroups of both versions are found among the mounts", () => {
  const mountinfo = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/rdma rw,relatime shared:10 master:2 - cgroup cgroup rw,rdma
34 31 0:31 /kubepods /run/part rw - cgroup cgroup rw,rdma
35 31 0:32 /../.. /hostroot/sys/fs/cgroup\\040two rw - cgroup2 cgroup2 rw,nsdelegate
36 31 0:32 /../x /run/other rw - cgroup2 cgroup2 rw
`;
  assertEquals(parseCgroupMounts(mountinfo), [
    { path: "/sys/fs/cgroup/cpu,cpuacct", isVersion2: false, options: ["rw", "cpu", "cpuacct"] },
    { path: "/sys/fs/cgroup/rdma", isVersion2: false, options: ["rw", "rdma"] },
    { path: "/hostroot/sys/fs/cgroup two", isVersion2: true, options: ["rw", "nsdelegate"] },
  ]);
});

Deno.test("the cgroup for RDMA is that of its controller, else that of version 2", () => {
  assertMakes(parseRdmaCgroup, [
    ["0::/kubepods.slice/a:b.scope\n", "/kubepods.slice/a:b.scope"],
    ["5:pids:/pids\n4:rdma:/one\n1:name=systemd:/s\n0::/two\n", "/one"],
    ["4:misc,rdma:/both\n0::/two\n", "/both"],
    ["5:pids:/pids\n0::/two\n", "/two"],
    ["5:pids:/pids\n", undefined],
  ]);
});

Deno.test("the limits of all devices are read, with the index where several have a name", () => {
  const text = "mlx5_0 hca_handle=2 hca_object=max \nrxe0 index=5 hca_handle=max hca_object=max \n" +
    "rxe0 index=6 hca_handle=0 hca_object=7 future=1 \n";
  assertEquals(parseRdmaLimits(text), [
    { name: "mlx5_0", hcaHandle: 2, hcaObject: "max" },
    { name: "rxe0", index: 5, hcaHandle: "max", hcaObject: "max" },
    { name: "rxe0", index: 6, hcaHandle: 0, hcaObject: 7 },
  ]);
});

Deno.test("network namespaces with their paths are found among the mounts, and nothing else", () => {
  // From /proc/self/mountinfo on Linux 6.12, after `ip netns add pod` and a mount of namespaces of other kinds.
  const text = `22 28 0:21 / /proc rw,relatime - proc proc rw
97 30 0:25 /netns /run/netns rw,nosuid - tmpfs tmpfs rw,size=813604k,mode=755
205 97 0:4 net:[4026532210] /run/netns/pod rw - nsfs nsfs rw
206 30 0:4 net:[4026532211] /run/docker/netns/1\\0402\\134x rw shared:7 - nsfs nsfs rw
207 30 0:4 mnt:[4026532212] /run/snapd/ns/a.mnt rw - nsfs nsfs rw
`;
  assertEquals(parseNetnsMounts(text), [
    { inode: 4026532210, path: "/run/netns/pod" },
    { inode: 4026532211, path: "/run/docker/netns/1 2\\x" },
  ]);
});

Deno.test("a container's ID is in the path of its control group", () => {
  const id = "0123456789abcdef".repeat(4);
  assertMakes(parseContainerId, [
    [`0::/kubepods.slice/kubepods-pod7c.slice/cri-containerd-${id}.scope\n`, id],
    [`0::/kubepods.slice/kubepods-pod7c.slice/crio-${id}.scope/container\n`, id],
    [`12:pids:/docker/${id}\n1:name=systemd:/docker/${id}\n`, id],
    [`0::/docker/${"f".repeat(64)}/docker/${id}\n`, id],
    [`0::/x/${id}0\n`, undefined],
    ["0::/system.slice/ssh.service\n", undefined],
  ]);
});
