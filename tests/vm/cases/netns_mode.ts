// netns-mode on the real kernel: both ways, refused with each kind of holder, persisted, checked.
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { rdmaCni } from "../../rig/vm/guest/command.ts";
import {
  addNetns,
  assertCode,
  casesWith,
  deleteNetns,
  holdNetns,
  netnsCount,
  netnsMode,
  type Outcome,
  sh,
  shOk,
  startBackground,
  until,
} from "../../rig/vm/guest/harness.ts";
import { INSTALLED_PLUGIN } from "../../rig/vm/guest/programs.ts";

const vmCase = casesWith({ sets: ["surroundings"] });

const OPTIONS_FILE = "/etc/modprobe.d/rdma-cni.conf";

/** Runs a command on a node whose kernel command line sets no mode, started as told. */
async function elsewhere(words: string, { before = "exec" } = {}): Promise<Outcome> {
  Deno.writeTextFileSync("/tmp/cmdline", "quiet\n");
  const script = `mount --bind /tmp/cmdline /proc/cmdline && ${before} ${INSTALLED_PLUGIN} ${words}`;
  return await sh(`unshare --mount sh -c '${script}'`);
}

/** Runs a case that may write the options file, and removes that. */
function persisting(work: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await work();
    } finally {
      await shOk(`rm -f ${OPTIONS_FILE}`);
    }
  };
}

vmCase("netns-mode: set both ways, told by get and check as iproute2 tells it", async () => {
  for (const mode of ["shared", "exclusive"]) {
    const other = mode === "shared" ? "exclusive" : "shared";
    const { stdout, stderr } = await assertCode(0, rdmaCni(`netns-mode set ${mode}`));
    assertEquals([stdout, stderr], ["", `the RDMA namespace mode is now ${mode}, was ${other}\n`]);
    assertEquals(await netnsMode(), mode);
    assertEquals((await assertCode(0, rdmaCni("netns-mode get"))).stdout, `${mode}\n`);
    await assertCode(0, rdmaCni(`netns-mode check --expect ${mode}`));
    const { stdout: line } = await assertCode(1, rdmaCni(`netns-mode check --expect ${other}`));
    assertEquals(line, `failed: the RDMA namespace mode is ${mode}, want ${other}\n`);
    await assertCode(mode === "exclusive" ? 0 : 1, rdmaCni("netns-mode check"));
  }
}, { sets: ["surroundings", "newest", "oldest", "arm64"] });

vmCase("netns-mode: refused by a namespace with a process, which is named", async () => {
  await addNetns("pod");
  const inode = Deno.statSync("/run/netns/pod").ino;
  const { pid } = await holdNetns("pod");
  const { stdout, stderr } = await assertCode(1, rdmaCni("netns-mode set shared"));
  assertEquals(stdout, "");
  assertMatch(stderr, /^rdma: Cannot set .* to shared, it is exclusive: .*other than the host's exist\n/);
  assert(
    stderr.includes(
      `  network namespace ${inode} at "/run/netns/pod"\n    process ${pid} "sleep infinity"\n`,
    ),
    stderr,
  );
  assertMatch(stderr, /"rdma-cni netns-mode set shared --persist" and reboot/);
  assertEquals(await netnsMode(), "exclusive");

  // Without its path the process alone keeps it, and is named still.
  await shOk("ip netns del pod");
  const { stderr: later } = await assertCode(1, rdmaCni("netns-mode set shared"));
  assert(later.includes(`${inode} without a path\n    process ${pid} "sleep infinity"\n`), later);
}, { sets: ["surroundings", "newest", "oldest", "arm64"] });

vmCase("netns-mode: refused by a bare mount, which is named, until that is gone", async () => {
  await addNetns("pod");
  const inode = Deno.statSync("/run/netns/pod").ino;
  await shOk("mkdir -p /run/docker/netns && touch /run/docker/netns/1a2b");
  await shOk("mount --bind /run/netns/pod /run/docker/netns/1a2b && ip netns del pod");
  try {
    const { stdout } = await assertCode(1, rdmaCni("netns-mode set shared --json"));
    assertEquals(JSON.parse(stdout).otherNetns, [
      { inode, paths: ["/run/docker/netns/1a2b"], processes: [] },
    ]);
  } finally {
    await shOk("umount /run/docker/netns/1a2b");
  }
  await until("the namespace is gone", () => netnsCount() === 1);
  await assertCode(0, rdmaCni("netns-mode set shared"));
});

vmCase("netns-mode: refused by a mount in another mount namespace, with a path to it", async () => {
  await addNetns("pod");
  const inode = Deno.statSync("/run/netns/pod").ino;
  const { pid } = await startBackground(
    "exec unshare --mount sh -c 'touch /tmp/hidden && mount --bind /run/netns/pod /tmp/hidden && echo in && exec sleep infinity'",
    "in",
  );
  await shOk("umount /run/netns/pod"); // here alone: the mounts of the process are private
  const { stderr } = await assertCode(1, rdmaCni("netns-mode set shared"));
  assert(stderr.includes(`"/proc/${pid}/root/tmp/hidden"`), stderr);
  assertEquals(Deno.statSync(`/proc/${pid}/root/tmp/hidden`).ino, inode);
});

vmCase("netns-mode: refused by a namespace that a process has open", async () => {
  await addNetns("pod");
  const { pid } = await startBackground(
    "exec 3</run/netns/pod; ip netns del pod; echo in; exec sleep infinity",
    "in",
  );
  const { stderr } = await assertCode(1, rdmaCni("netns-mode set shared"));
  assert(stderr.includes(`without a path\n    process ${pid} "sleep infinity", has it open\n`), stderr);
});

vmCase("netns-mode: a process that has ended and was not waited for keeps nothing", async () => {
  // A shell would wait for it; what takes the shell's place, which it does before the child ends, does not.
  const { pid } = await startBackground("sleep 1 & echo started; exec sleep infinity", "started");
  const children = async () => await shOk(`cat /proc/${pid}/task/${pid}/children`);
  await until("it is a zombie", async () => / Z /.test(await shOk(`cat /proc/${await children()}/stat`)));
  const { stdout } = await assertCode(0, rdmaCni("netns-mode get --json"));
  assertEquals([JSON.parse(stdout).changeable, JSON.parse(stdout).otherNetns], [true, []]);
});

vmCase("netns-mode: get --json tells whether it could be changed, as the kernel then says", async () => {
  const get = async () => JSON.parse((await assertCode(0, elsewhere("netns-mode get --json"))).stdout);
  assertEquals(await get(), {
    mode: "exclusive",
    persisted: { mode: null, sources: [] },
    changeable: true,
    otherNetns: [],
  });
  await addNetns("pod");
  const { changeable, otherNetns } = await get();
  assertEquals([changeable, otherNetns[0].paths], [false, ["/run/netns/pod"]]);
  await deleteNetns("pod");
  assertEquals((await get()).changeable, true);
});

vmCase(
  "netns-mode: persisted, and ib_core's module options are what modprobe then takes",
  persisting(async () => {
    const { stderr } = await assertCode(0, elsewhere("netns-mode set shared --persist"));
    assertMatch(stderr, /now shared, was exclusive\npersisted in "\/etc\/modprobe\.d\/rdma-cni\.conf"\n/);
    const { stdout: options } = await sh(`modprobe --showconfig | grep 'ib_core netns_mode'`);
    assertMatch(options, /^options ib_core netns_mode=1$/m);
    const before = Deno.statSync(OPTIONS_FILE).ino;
    const again = await assertCode(0, elsewhere("netns-mode set shared --persist"));
    assertMatch(again.stderr, /already shared\nalready persisted in /);
    assertEquals(Deno.statSync(OPTIONS_FILE).ino, before);
    const { persisted } = JSON.parse((await elsewhere("netns-mode get --json")).stdout);
    assertEquals(persisted, {
      mode: "shared",
      sources: [{ file: OPTIONS_FILE, line: 2, mode: "shared" }],
    });
    await assertCode(0, elsewhere("netns-mode set exclusive --persist"));
    assertMatch(Deno.readTextFileSync(OPTIONS_FILE), /^options ib_core netns_mode=0$/m);
  }),
);

vmCase("netns-mode: without CAP_NET_ADMIN, told as such, and nothing is persisted", async () => {
  const before = "exec setpriv --bounding-set -net_admin --inh-caps -net_admin";
  const { stderr } = await assertCode(1, elsewhere("netns-mode set shared --persist", { before }));
  assertMatch(stderr, /Cannot set the RDMA namespace mode to shared: EPERM \(1\).*\n.*CAP_NET_ADMIN/);
  assertEquals(await netnsMode(), "exclusive");
  await assertRejects(() => Deno.stat(OPTIONS_FILE));
  assertEquals((await assertCode(0, elsewhere("netns-mode get", { before }))).stdout, "exclusive\n");
});
