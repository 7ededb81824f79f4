import { parseContainerId, parseNetnsMounts } from "../../../src/kernel/processes.ts";
import { assertEquals } from "../../support/assert.ts";

const ID = "0123456789abcdef".repeat(4);

Deno.test("mountinfo: network namespaces with their paths, and nothing else", () => {
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
  assertEquals(parseNetnsMounts(""), []);
});

for (
  const [cgroup, id] of [
    [`0::/kubepods.slice/kubepods-pod7c.slice/cri-containerd-${ID}.scope\n`, ID],
    [`0::/kubepods.slice/kubepods-pod7c.slice/crio-${ID}.scope/container\n`, ID],
    [`12:pids:/docker/${ID}\n1:name=systemd:/docker/${ID}\n`, ID],
    [`0::/docker/${"f".repeat(64)}/docker/${ID}\n`, ID],
    [`0::/machine.slice/libpod-${ID}.scope\n`, ID],
    [`0::/x/${ID}0\n`, undefined],
    ["0::/system.slice/ssh.service\n", undefined],
    ["", undefined],
  ] as const
) {
  Deno.test(`control group ${JSON.stringify(cgroup)} is of container ${id?.slice(0, 6)}`, () => {
    assertEquals(parseContainerId(cgroup), id);
  });
}
