import type { Target } from "../../../../deployment/build/runtime_stub.ts";

/** What differs between the processor architectures of the simulated node. */
export interface Architecture {
  /** Debian's name, and Go's. */
  name: string;
  /** Deno's name, QEMU's, and with `-linux-gnu` the compiler's. */
  target: Target;
  /** The name in the kernel's Makefile. */
  makefileName: string;
  /** QEMU's options for the machine and its processor. */
  machine: string[];
  /** Serial ports of the guest: the first is the console, the second carries what programs print. */
  serialPorts: [string, string];
  /** More words for the kernel command line. */
  kernelArguments: string[];
}

export const AMD64: Architecture = {
  name: "amd64",
  target: "x86_64",
  makefileName: "x86",
  machine: [
    ...["-machine", "q35", "-device", "intel-iommu"], // vfio-pci needs an IOMMU
    // What newer processors add is costly to emulate: the cases take a twelfth less time than on "max,-pku"
    ...["-cpu", "Nehalem-v1"],
  ],
  serialPorts: ["ttyS0", "ttyS1"],
  kernelArguments: [
    "intel_iommu=on",
    "no_timer_check", // on a busy machine the timer is late, which the kernel takes for a broken one
  ],
};

export const ARM64: Architecture = {
  name: "arm64",
  target: "aarch64",
  makefileName: "arm64",
  machine: [
    ...["-machine", "virt,gic-version=3"], // whose ITS has enough interrupts for all VFs
    ...["-cpu", "neoverse-n1"], // on it a program starts in a fifth less time than on max
  ],
  serialPorts: ["ttyAMA0", "ttyAMA1"],
  kernelArguments: [],
};
