// What the simulated node's set-up makes of what apt says; with an apt and a mirror of its own.
import { run, runApt } from "../rig/vm/node/packages.ts";
import { fileURLToPath } from "node:url";
import { KernelUnavailable, unpackKernel } from "../rig/vm/node/kernel.ts";
import { Mirror, OwnApt } from "../support/own_apt.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../support/assert.ts";

/** Returns the error of getting Linux 7.3, which is in trixie-backports. */
async function refusal(apt: OwnApt): Promise<Error> {
  const kernel = `${apt.directory}/kernel`;
  return await assertRejects(() => apt.within(() => unpackKernel(kernel, "7.3", () => {})));
}

const KERNEL = "Linux 7\\.3 is not to be had: ";
const LIST = 'Cannot get the list of "trixie-backports" from http://127\\.0\\.0\\.1:\\d+/: ';

Deno.test("a kernel is not to be had when the mirror does not have its suite", async () => {
  await using mirror = new Mirror(["trixie"]);
  using apt = new OwnApt(mirror.url);
  const error = await refusal(apt);
  assert(error instanceof KernelUnavailable, error.message);
  assertMatch(
    error.message,
    new RegExp(`^${KERNEL}${LIST}The repository '.*' does not have a Release file\\.$`),
  );
});

Deno.test("a kernel is not to be had when its suite does not have it", async () => {
  await using mirror = new Mirror(["trixie", "trixie-backports"]);
  using apt = new OwnApt(mirror.url, 'Acquire::AllowInsecureRepositories "true";');
  const error = await refusal(apt);
  assert(error instanceof KernelUnavailable, error.message);
  assertMatch(
    error.message,
    new RegExp(`^${KERNEL}trixie-backports has no package linux-image-7\\.3\\.\\*-amd64$`),
  );
});

for (const status of [403, 407, 503]) {
  Deno.test(`an answer ${status} says nothing of what the mirror has`, async () => {
    await using mirror = new Mirror(["trixie"], status);
    using apt = new OwnApt(mirror.url);
    const error = await refusal(apt);
    assertEquals(error.constructor, Error, error.message);
    assertMatch(error.message, new RegExp(`^${LIST}Failed to fetch .* ${status} `));
  });
}

Deno.test("neither does a mirror that cannot be reached", async () => {
  const mirror = new Mirror(["trixie"]);
  using apt = new OwnApt(mirror.url);
  await apt.within(() => runApt(["update"], () => {}));
  await mirror[Symbol.asyncDispose]();
  const error = await refusal(apt);
  assertEquals(error.constructor, Error, error.message);
  assertMatch(error.message, new RegExp(`^${LIST}Failed to fetch .*connect`));
});

/** Takes a lock as apt and dpkg do, until its standard input ends; struct flock is that of 64-bit Linux. */
const HOLD = `
use Fcntl;
open(my $file, ">>", $ARGV[0]) or die $!;
my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die $!;
close STDOUT;
<STDIN>;
`;

/** Makes a package with one file, "/installed". */
async function makePackage(directory: string): Promise<string> {
  await Deno.mkdir(`${directory}/two/DEBIAN`, { recursive: true });
  const fields = [
    "Package: two",
    "Version: 1",
    "Architecture: all",
    "Maintainer: nobody",
    "Description: none",
  ];
  await Deno.writeTextFile(`${directory}/two/DEBIAN/control`, fields.map((field) => `${field}\n`).join(""));
  await Deno.writeTextFile(`${directory}/two/installed`, "");
  await run("dpkg-deb", ["--build", `${directory}/two`, `${directory}/two.deb`]);
  return `${directory}/two.deb`;
}

for (const lock of ["lists/lock", "cache/archives/lock", "root/var/lib/dpkg/lock-frontend"]) {
  Deno.test(`the installation of packages waits until another program releases ${lock}`, async () => {
    await using mirror = new Mirror(["trixie"]);
    using apt = new OwnApt(mirror.url);
    const file = await makePackage(apt.directory);
    const path = `${apt.directory}/${lock}`;
    const args = ["-e", HOLD, path];
    const holder = new Deno.Command("perl", { args, stdin: "piped", stdout: "piped" }).spawn();
    let release = async () => {
      release = () => Promise.resolve();
      await holder.stdin.close();
    };
    const lines: string[] = [];
    const progress = (line: string) => {
      lines.push(line);
      release();
    };
    try {
      await holder.stdout.pipeTo(new WritableStream()); // ends when it has the lock
      await apt.within(async () => {
        await runApt(["update"], progress);
        await runApt(["install", "--yes", file], progress);
      });
    } finally {
      await release();
      assertEquals((await holder.status).success, true);
    }
    assertEquals(Deno.statSync(`${apt.directory}/root/installed`).isFile, true);
    const [line, ...more] = lines;
    assertEquals(more, []);
    assertMatch(line!, /^apt: waiting: Could not get lock .* \(perl\)$/);
    assert(line!.includes(path), line);
  });
}

const DEMOS = [
  { args: [], emulator: "qemu-system-x86", compiler: "gcc-14-x86-64-linux-gnu" },
  { args: ["--kernel", "6.12-arm64"], emulator: "qemu-system-arm", compiler: "gcc-14-aarch64-linux-gnu" },
];

for (const { args, emulator, compiler } of DEMOS) {
  Deno.test(`the demo asks apt for an emulator and a compiler, not for what tests need: ${args.join(" ")}`, async () => {
    await using mirror = new Mirror(["trixie"]);
    using apt = new OwnApt(mirror.url);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", fileURLToPath(new URL("../vm/demo.ts", import.meta.url)), ...args],
      env: { ...apt.env, DPKG_ADMINDIR: `${apt.directory}/root/var/lib/dpkg` },
    }).output();
    const said = new TextDecoder().decode(stderr);
    // The mirror has none of them.
    const [, packages] = /^Cannot go on without Debian packages: install (.*?): /m.exec(said) ?? [];
    assert(packages !== undefined, said);
    const names = packages.split(" ").filter((name) => /^(qemu|gcc|golang|podman|zsh|libc6-dev)/.test(name));
    assertEquals([names, code], [[emulator, compiler], 1]);
  });
}
