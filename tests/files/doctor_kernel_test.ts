// What the doctor says of the kernel, which it asks instead of comparing versions.
import { examineKernel } from "../../src/cli/doctor/kernel.ts";
import { DecodeError, NetlinkError } from "../../src/netlink/error.ts";
import { decodeSharedMode } from "../../src/netlink/nldev.ts";
import { EINVAL, EOPNOTSUPP } from "../../src/sys/errno.ts";
import { assertFindings, DoctorNode } from "./doctor_node.ts";

const what = "ask for the RDMA namespace mode";

Deno.test("a kernel that has a namespace mode is good, whatever its version", () => {
  for (const release of ["4.18.0-553.el8.x86_64", "5.2.21", "6.12.118+deb13-amd64", "mainline"]) {
    using node = new DoctorNode({ "/proc/sys/kernel/osrelease": `${release}\n` });
    node.kernel.addPf("eth0", 1);
    assertFindings(examineKernel(node), [new RegExp(`^ok ${release.replaceAll(/[.+]/g, "\\$&")}$`)]);
  }
});

for (
  const [name, refuse] of [
    ["calls the question invalid", () => {
      throw new NetlinkError(what, EINVAL);
    }],
    ["does not know the question", () => {
      throw new NetlinkError(what, EOPNOTSUPP);
    }],
    ["answers without a mode", () => void decodeSharedMode(new Uint8Array(0))],
  ] as const
) {
  Deno.test(`a kernel that ${name} has no RDMA namespaces, whatever its version`, () => {
    using node = new DoctorNode({ "/proc/sys/kernel/osrelease": "6.12.1\n" });
    node.kernel.getRdmaMode = () => {
      refuse();
      throw new DecodeError("unreachable");
    };
    assertFindings(examineKernel(node), [
      /^problem 6\.12\.1: its RDMA subsystem does not support network namespaces -> .*5\.3 or newer, or .*DOCA/,
    ]);
  });
}

Deno.test("a kernel without RDMA subsystem is not judged: other groups report it", () => {
  using node = new DoctorNode();
  node.kernel.hasRdma = false;
  assertFindings(examineKernel(node), [/^ok 6\.12\.1$/]);
});

Deno.test("what older kernels lack is a warning", () => {
  using node = new DoctorNode();
  node.kernel.addPf("eth0", 1);
  node.kernel.host.links.set("eth0", { index: 2, name: "eth0", isInfiniBand: false, vfMacs: new Map() });
  assertFindings(examineKernel(node), [
    /^warning 6\.12\.1 works, but it does not name the device below a network interface -> .*5\.14/,
  ]);
  Object.defineProperty(node.kernel.getHostNetns(), "getCookie", { value: () => undefined });
  assertFindings(examineKernel(node), [/^warning .*only by numbers, .*, and it does not name the device/]);
});
