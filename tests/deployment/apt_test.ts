// What the simulated node's set-up makes of what apt says; with an apt and a mirror of its own.
import { runApt } from "../rig/vm/node/packages.ts";
import { KernelUnavailable, unpackKernel } from "../rig/vm/node/kernel.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../support/assert.ts";
import { Mirror, OwnApt } from "../support/own_apt.ts";
import { start } from "../support/program.ts";
import { PROJECT } from "../support/project.ts";

/** Returns the error of getting Linux 7.3, which is in trixie-backports. */
async function refusal(apt: OwnApt): Promise<Error> {
  const kernel = `${apt.directory}/kernel`;
  return await assertRejects(() => apt.within(() => unpackKernel(kernel, "7.3", () => {})));
}

const LIST = 'Cannot get the list of "trixie-backports" from http://127\\.0\\.0\\.1:\\d+/: ';

Deno.test("a kernel is not to be had when its suite does not have it", async () => {
  await using mirror = new Mirror(["trixie", "trixie-backports"]);
  using apt = new OwnApt(mirror.url, 'Acquire::AllowInsecureRepositories "true";');
  const error = await refusal(apt);
  assert(error instanceof KernelUnavailable, error.message);
  const reason = "trixie-backports has no package linux-image-7\\.3\\.\\*-amd64";
  assertMatch(error.message, new RegExp(`^Linux 7\\.3 is not to be had: ${reason}$`));
});

for (const status of [404, 503]) {
  Deno.test(`an answer ${status} says ${status === 404 ? "that" : "nothing of whether"} the mirror has no such suite`, async () => {
    await using mirror = new Mirror(["trixie"], status);
    using apt = new OwnApt(mirror.url);
    const error = await refusal(apt);
    assertEquals(error instanceof KernelUnavailable, status === 404, error.message);
    const reason = status === 404
      ? "The repository '.*' does not have a Release file"
      : `Failed to fetch .* ${status} `;
    assertMatch(error.message, new RegExp(LIST + reason));
  });
}

/** Takes a lock as apt and dpkg do, until its standard input ends; struct flock is that of 64-bit Linux. */
const HOLD = `
use Fcntl;
open(my $file, ">>", $ARGV[0]) or die $!;
my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die $!;
close STDOUT;
<STDIN>;
`;

for (
  const [command, lock] of [
    ["update", "lists/lock"],
    ["clean", "cache/archives/lock"],
    ["check", "root/var/lib/dpkg/lock-frontend"],
  ] as const
) {
  Deno.test(`apt-get ${command} waits until another program releases ${lock}`, async () => {
    await using mirror = new Mirror(["trixie"]);
    using apt = new OwnApt(mirror.url);
    const path = `${apt.directory}/${lock}`;
    const holder = new Deno.Command("perl", { args: ["-e", HOLD, path], stdin: "piped", stdout: "piped" })
      .spawn();
    const lines: string[] = [];
    const progress = (line: string) => {
      if (lines.push(line) === 1) holder.stdin.close(); // which releases it
    };
    try {
      await holder.stdout.pipeTo(new WritableStream()); // ends when it has the lock
      await apt.within(() => runApt([command], progress));
    } finally {
      if (lines.length === 0) await holder.stdin.close();
      assertEquals((await holder.status).success, true);
    }
    assertEquals(lines.length, 1);
    assertMatch(lines[0]!, /^apt: waiting: Could not get lock .* \(perl\)$/);
    assert(lines[0]!.includes(path), lines[0]);
  });
}

for (
  const [args, wanted] of [
    [[], ["qemu-system-x86", "gcc-14-x86-64-linux-gnu"]],
    [["--kernel", "6.12-arm64"], ["qemu-system-arm", "gcc-14-aarch64-linux-gnu"]],
  ] as string[][][]
) {
  Deno.test(`the demo asks apt for an emulator and a compiler, not for what tests need: ${args!.join(" ")}`, async () => {
    await using mirror = new Mirror(["trixie"]);
    using apt = new OwnApt(mirror.url);
    const { code, stderr } = await start({
      program: Deno.execPath(),
      args: ["run", "-A", `${PROJECT}tests/vm/demo.ts`, ...args!],
      env: { ...Deno.env.toObject(), ...apt.env, DPKG_ADMINDIR: `${apt.directory}/root/var/lib/dpkg` },
    });
    // The mirror has none of them.
    const [, packages] = /^Cannot go on without Debian packages: install (.*?): /m.exec(stderr) ?? [];
    assert(packages !== undefined, stderr);
    const names = packages.split(" ").filter((name) => /^(qemu|gcc|golang|podman|zsh|libc6-dev)/.test(name));
    assertEquals([names, code], [wanted, 1]);
  });
}
