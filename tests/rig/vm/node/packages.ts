import { setTimeout as delay } from "node:timers/promises";
import type { Target } from "../../../../deployment/build/runtime_stub.ts";
import { messageOf } from "../../../../src/sys/errno.ts";

/** Debian packages that every simulated node needs, and what each is for; the build of the plugin needs no others. */
const NODE = [
  "virtiofsd", // its root file system, read-only
  "busybox-static", // what the kernel starts with
  "kmod", // depmod here, modprobe in the guest
  "iproute2", // ip and rdma in the guest
  ...["mount", "util-linux", "coreutils"], // mount in the guest, nsenter there, setpriv here
  // Build the kernel module; gcc for this machine's architecture takes its assembler from the last
  ...["make", "libelf1t64", "binutils"],
  "libmnl0", // of the plugin itself
  ...["ibverbs-providers", "ibverbs-utils"], // packets over RDMA devices
];

/**
 * What a node of an architecture needs besides: the machine, with the SR-IOV NIC igb, and the compiler for the launcher
 * and the kernel modules. That is gcc 14, which Debian 13 builds its kernel with.
 */
const MACHINE: Record<Target, string[]> = {
  x86_64: ["qemu-system-x86", "gcc-14-x86-64-linux-gnu"],
  aarch64: ["qemu-system-arm", "gcc-14-aarch64-linux-gnu"],
};

/** What all tests need besides. */
const TESTS = [
  ...["zsh", "fish"], // run completion scripts, as bash does
  "systemd", // systemd-analyze looks at the units
  "udev", // tries the documents' rule
  ...["groff-base", "man-db", "mandoc"], // render the man pages
  "strace", // for cases that look at system calls or stop a program at one
  "qemu-user", // runs what is for arm64
  // Assemble the program that waits, and start it with signals blocked
  ...["binutils-x86-64-linux-gnu", "binutils-aarch64-linux-gnu"],
  "time", // peak memory, for the bench
  "git", // knows of which commit a build is
  ...["gcc-14", "libc6-dev", "libc6-dev-arm64-cross"], // compile the small C programs
  "containernetworking-plugins", // host-device and others, for chains
  "kustomize", // builds what is handed to a cluster
  ...["containerd", "runc"], // a container runtime, and its low-level part
  ...["golang-go", "golang-github-appc-cni-dev"], // build the libcni driver
  "buildah", // builds the image
  ...["podman", "catatonit"], // run it, alone and as the manifest's pod
  ...["prometheus", "promtool"], // judge the metrics, and answer what the dashboard asks
  "mmdebstrap", // makes a Debian that stands for the image's bases, and one to install packages in
  "rpm", // builds and installs packages
  ...["lintian", "rpmlint"], // look for mistakes in packages
];

export const packagesForNode = (target: Target) => [...MACHINE[target], ...NODE];

export const PACKAGES_FOR_TESTS: readonly string[] = [...Object.values(MACHINE).flat(), ...NODE, ...TESTS];

/** Installs those of the packages that are missing. Does not touch the network if none is. */
export async function installPackages(
  names: readonly string[],
  progress: (line: string) => void,
): Promise<void> {
  const missing = await missingOf(names);
  if (missing.length === 0) return;
  const advice = `Cannot go on without Debian packages: install ${missing.join(" ")}`;
  if (Deno.uid() !== 0) throw new Error(`${advice} (not root, so not done here)`);
  progress(`packages: installing ${missing.join(" ")} ...`);
  try {
    await runApt(["update"], progress);
    await runApt(["install", "--yes", "--no-install-recommends", ...missing], progress);
  } catch (cause) {
    throw new Error(`${advice}: ${messageOf(cause)}`, { cause });
  }
}

async function missingOf(names: readonly string[]): Promise<string[]> {
  const query = new Deno.Command("dpkg-query", {
    args: ["--show", "--showformat=${db:Status-Status} ${Package}\n", ...names],
    stderr: "null",
  });
  const listing = new TextDecoder().decode((await query.output()).stdout).split("\n");
  return names.filter((name) => !listing.includes(`installed ${name}`));
}

/** Its own option for this, DPkg::Lock::Timeout, does not hold for the locks of its lists and its cache. */
const HELD = /Could not get lock .*(?:held by|\(11: ).*/;

/** Runs apt-get. While another program has a lock of apt or dpkg it waits, at most for half an hour. */
export async function runApt(args: string[], progress: (line: string) => void): Promise<string> {
  const end = Date.now() + LIMIT_MS;
  for (let told = "";; await delay(1000)) {
    try {
      return await run("apt-get", args);
    } catch (error) {
      const [refusal] = HELD.exec(messageOf(error)) ?? [];
      if (refusal === undefined || Date.now() > end) throw error;
      if (refusal !== told) progress(`apt: waiting: ${refusal}`);
      told = refusal;
    }
  }
}

/** Longer than the image's build takes on a slow machine with a slow mirror. */
const LIMIT_MS = 30 * 60_000;

/** Runs a program to its end, at the latest after half an hour. @returns what it wrote to its standard output */
export async function run(program: string, args: string[], cwd?: string): Promise<string> {
  const command = new Deno.Command(program, {
    args,
    ...(cwd === undefined ? {} : { cwd }),
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    stdin: "null",
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  const { success, code, stdout, stderr } = await command.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  if (!success) {
    const tail = (out + err).trimEnd().split("\n").slice(-20).join("\n");
    throw new Error(`${program} ${args.join(" ")}: exit status ${code}\n${tail}`);
  }
  return out;
}
