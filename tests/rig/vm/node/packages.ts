import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../../../src/sys/errno.ts";

/** Debian packages that tests and the simulated node are made with, and what each is for. */
const PACKAGES = [
  "qemu-system-x86", // these two: the machines, with the SR-IOV NIC igb
  "qemu-system-arm",
  "virtiofsd", // their root file systems, read-only
  "kmod", // depmod here, modprobe in the guest
  "iproute2", // ip and rdma in the guest
  "mount", // these two: mount in the guest, nsenter there, setpriv here
  "util-linux",
  "zsh", // these two run completion scripts, as bash does
  "fish",
  "systemd", // systemd-analyze looks at the units
  "udev", // tries the documents' rule
  "groff-base", // these three render the man pages
  "man-db",
  "mandoc",
  "strace", // for cases that look at system calls or stop a program at one
  "qemu-user", // runs what is for arm64
  "binutils-x86-64-linux-gnu", // these three assemble the program that waits, and start it with signals blocked
  "binutils-aarch64-linux-gnu",
  "coreutils",
  "time", // peak memory, for the bench
  "git", // knows of which commit a build is
  "make", // these seven build the kernel modules and the small C programs;
  "gcc-14", // gcc 14 is what Debian 13 builds its kernel with
  "libc6-dev",
  "libc6-dev-arm64-cross",
  "libelf1t64",
  "gcc-14-x86-64-linux-gnu", // these two build the launcher too
  "gcc-14-aarch64-linux-gnu",
  "libmnl0", // of the plugin itself
  "ibverbs-providers", // these two: packets over RDMA devices
  "ibverbs-utils",
  "containernetworking-plugins", // host-device and others, for chains
  "kustomize", // builds what is handed to a cluster
  "containerd", // these three: a container runtime, its low-level part, and what its images are made of
  "runc",
  "busybox-static",
  "golang-go", // these two build the libcni driver
  "golang-github-appc-cni-dev",
  "buildah", // builds the image
  "podman", // these two run it, alone and as the manifest's pod
  "catatonit",
  "mmdebstrap", // makes a Debian that stands for the image's bases, and one to install packages in
  "rpm", // builds and installs packages
  "lintian", // these two look for mistakes in packages
  "rpmlint",
];

/**
 * Installs what is missing of the packages that the simulated node needs. Does not touch the network if
 * nothing is missing.
 *
 * @throws {Error} naming the packages, if they cannot be installed here
 */
export async function installPackages(progress: (line: string) => void): Promise<void> {
  const missing = await missingPackages();
  if (missing.length === 0) return;
  const advice = `Cannot prepare the simulated node: install the Debian packages ${missing.join(" ")}`;
  if (Deno.uid() !== 0) throw new Error(`${advice} (not root, so not done here)`);
  progress(`packages: installing ${missing.join(" ")} ...`);
  try {
    await runApt(["update"], progress);
    await runApt(["install", "--yes", "--no-install-recommends", ...missing], progress);
  } catch (cause) {
    throw new Error(`${advice}: ${messageOf(cause)}`, { cause });
  }
}

async function missingPackages(): Promise<string[]> {
  const query = new Deno.Command("dpkg-query", {
    args: ["--show", "--showformat=${db:Status-Status} ${Package}\n", ...PACKAGES],
    stderr: "null",
  });
  let listing = "";
  try {
    listing = new TextDecoder().decode((await query.output()).stdout);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const installed = new Set(listing.split("\n").filter((line) => line.startsWith("installed ")));
  return PACKAGES.filter((name) => !installed.has(`installed ${name}`));
}

/** Its own option for this, DPkg::Lock::Timeout, does not hold for the locks of its lists and its cache. */
const HELD = /Could not get lock .*(?:held by|\(11: ).*/;

/**
 * Runs apt-get. While another program has a lock of apt or dpkg it waits, at most for half an hour.
 *
 * @returns what it wrote to its standard output
 * @throws {Error} with the end of what it wrote, if it fails
 */
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

/**
 * Runs a program to its end, at the latest after half an hour.
 *
 * @returns what it wrote to its standard output
 * @throws {Error} with the end of what it wrote, if it fails
 */
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
