import type { Target } from "../../../../deployment/build/runtime_stub.ts";

export interface Architecture {
  /** Debian's name, and Go's. */
  name: string;
  /** Deno's name, QEMU's, and with `-linux-gnu` the compiler's. */
  target: Target;
  makefileName: string;
  machine: string[];
  /** Serial ports of the guest: the first is the console, the second carries what programs print. */
  serialPorts: [string, string];
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

const ARM64: Architecture = {
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

/** Debian's kernels that the simulated node can run, from old to new: how their versions begin, and where they are. */
const SOURCES = {
  "5.10": { version: "5.10", suite: "bullseye-security", architecture: AMD64 },
  "6.1": { version: "6.1", suite: "bookworm-security", architecture: AMD64 },
  "6.12": { version: "6.12", suite: "trixie-security", architecture: AMD64 },
  "6.12-arm64": { version: "6.12", suite: "trixie-security", architecture: ARM64 },
  "7.3": { version: "7.3", suite: "trixie-backports", architecture: AMD64 },
};

export type Series = keyof typeof SOURCES;

export const DEFAULT_SERIES: Series = "6.12";

export function sourceOf(series: Series): { version: string; suite: string; architecture: Architecture } {
  return SOURCES[series];
}

/** The series that a person names. @throws {Error} naming all of them, if it is none */
export function parseSeries(text: string): Series {
  const all = Object.keys(SOURCES) as Series[];
  const series = all.find((one) => one === text);
  if (series === undefined) {
    throw new Error(`Cannot run kernel ${JSON.stringify(text)}, expected one of ${all.join(", ")}`);
  }
  return series;
}
