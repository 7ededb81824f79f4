// The agent: what it serves and what it leaves to the launcher, its peers, its life, and what it does between calls.
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertStringIncludes,
  assertThrows,
} from "../../support/assert.ts";
import {
  AGENT_PLUGIN,
  CURRENT,
  endAgent,
  layOut,
  PROGRAM,
  RunningAgent,
  SOCKET,
  unquote,
  withAgent,
} from "../../rig/vm/guest/agent.ts";
import {
  again,
  assertInPod,
  assertNothingLeft,
  assertQuiet,
  assertResult,
  attachment,
  config,
  records,
} from "../../rig/vm/guest/attachment.ts";
import {
  addNetns,
  addPod,
  callAs,
  casesWith,
  type CniOutcome,
  deleteNetns,
  endBackground,
  holdNetns,
  INSTALLED_PLUGIN,
  otherVersion,
  type Outcome,
  plugin,
  sh,
  shOk,
  startBackground,
  until,
  vf,
} from "../../rig/vm/guest/harness.ts";
import { AS_THICK_MULTUS, COMPILED_PLUGIN } from "../../rig/vm/guest/programs.ts";

const vmCase = casesWith({ sets: ["agent"] });

const DECLINED = { calls: 0, declined: 1, abandoned: 0 };
const SERVED = { calls: 1, declined: 0, abandoned: 0 };
/** From a request that nobody takes to the launcher's patience with it, in milliseconds (launcher.c, ACCEPT_TIME). */
const PATIENCE_MS = 10_000;

vmCase("agent: --check tells people and programs what it has done", () =>
  withAgent(async (agent) => {
    const before = await agent.counts();
    assertEquals(before.pid, agent.pid);
    assertQuiet(await plugin({ command: "STATUS", config: config({ cniVersion: "1.1.0" }) }));
    const { pid, program, calls, ...others } = JSON.parse(await shOk(`${AGENT_PLUGIN} agent --check --json`));
    assertEquals([pid, program, calls], [agent.pid, PROGRAM, before.calls + 1]);
    assertEquals(Object.keys(others).sort(), ["abandoned", "declined", "since", "version"]);
  }));

// What the agent serves, and what it leaves to the launcher.

/** An ADD that is served or declined, and succeeds either way, and its DEL. */
async function assertAdds(
  counts: typeof SERVED,
  change: Parameters<typeof attachment>[1] = {},
  intoPod = "pod",
): Promise<void> {
  await withAgent(async (agent) => {
    const { deviceId, rdmaDevice } = vf(0);
    const { config: keys, ...rest } = change;
    const pod = attachment(deviceId, { ...rest, config: config({ deviceID: deviceId, ...keys as object }) });
    assertEquals(await agent.counting(async () => assertResult(await pod.add())), counts);
    await assertInPod([rdmaDevice], intoPod);
    assertQuiet(await pod.del());
    assertNothingLeft();
  });
}

/** A root directory of its own, with all that the node's has. */
const OTHER_ROOT = [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mkdir -p /tmp/root && mount -t tmpfs root /tmp/root && cd /tmp/root && cp -P /bin /lib /lib64 /sbin . &&
   for directory in dev etc opt proc run sys usr var; do mkdir $directory && mount --rbind /$directory $directory; done &&
   exec chroot /tmp/root "$0" "$@"`,
];

vmCase("agent: a call from another root directory is left to the launcher", async () => {
  await addNetns("pod");
  await assertAdds(DECLINED, { wrapper: OTHER_ROOT });
});

vmCase("agent: a call by thick Multus, which changes to the node's root directory, is served", async () => {
  await addNetns("pod");
  await assertAdds(SERVED, { wrapper: AS_THICK_MULTUS });
});

vmCase("agent: a call from another network namespace is left to the launcher", async () => {
  await addNetns("pod");
  await addNetns("other");
  await withAgent(async (agent) => {
    const call = { wrapper: ["nsenter", "--net=/run/netns/other"], environment: { TRACEPARENT: "" } };
    const pod = attachment(vf(0).deviceId, call);
    const executed = await callAs(INSTALLED_PLUGIN, () => pod.add());
    let added: CniOutcome | undefined;
    assertEquals(await agent.counting(async () => added = await pod.add()), DECLINED);
    assertEquals([added?.code, added?.json], [executed.code, executed.json]);
    assertNothingLeft();
  });
});

vmCase(
  "agent: where the launcher's path leads to another namespace than the agent's, the launcher's counts",
  async () => {
    await addNetns("pod");
    await addNetns("second");
    const onOwnMount = [
      ...["unshare", "--mount", "sh", "-c"],
      'mount --bind /run/netns/second /run/netns/pod && exec "$0" "$@"',
    ];
    await assertAdds(DECLINED, { wrapper: onOwnMount }, "second");
  },
);

vmCase("agent: a path to a namespace that only the launcher has is left to the launcher", async () => {
  await addNetns("pod");
  const wrapper = ["sh", "-c", 'exec "$0" "$@" 9</run/netns/pod'];
  await assertAdds(DECLINED, { netns: "/proc/self/fd/9", wrapper });
});

vmCase("agent: an ADD that may wait for a link is left to the launcher", async () => {
  await addNetns("pod");
  await assertAdds(DECLINED, { config: { requireActive: true } });
});

vmCase("agent: a call that runs another plugin is left to the launcher", async () => {
  await addNetns("pod");
  const delegate = "/opt/cni/bin/silent";
  await Deno.writeTextFile(
    delegate,
    `#!/bin/sh\n[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.0.0"}'\n`,
    {
      mode: 0o755,
    },
  );
  await assertAdds(DECLINED, { config: { prevResult: undefined, delegate: { type: "silent" } } });
  await Deno.remove(delegate);
});

vmCase(
  "agent: standard output that is closed is left to the program, as without an agent",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const pod = attachment(vf(0).deviceId);
      const closed = { wrapper: ["sh", "-c", 'exec "$0" "$@" >&-'] };
      const executed = await callAs(INSTALLED_PLUGIN, () => pod.add(closed));
      const isLeft = records().length;
      await pod.del();
      let added: CniOutcome | undefined;
      const counts = await agent.counting(async () => added = await pod.add(closed));
      assertEquals(counts, { calls: 0, declined: 0, abandoned: 0 });
      assertEquals([added?.code, records().length], [executed.code, isLeft]);
    }),
);

// Stopped, and versions.

vmCase(
  "agent: one that is stopped is not waited for, and does nothing later",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const pod = attachment(vf(0).deviceId);
      const before = await agent.counts();
      agent.kill("SIGSTOP");
      const added = await pod.add();
      assertResult(added);
      assert(added.ms >= PATIENCE_MS && added.ms < PATIENCE_MS + 8000, `${added.ms} ms`);
      assertQuiet(await callAs(INSTALLED_PLUGIN, () => pod.del()));
      agent.kill("SIGCONT");
      // The question for the counts may be answered before the call that came first is passed over.
      await until("the call is passed over", async () => {
        return (await agent.counts()).abandoned === before.abandoned + 1;
      });
      assertEquals((await agent.counts()).calls, before.calls);
      assertNothingLeft();
      await agent.servesAll(async () => assertResult(await pod.add()));
      return { ms: Math.round(added.ms) };
    }),
);

vmCase(
  "agent: one of another version than what is installed serves nobody, and ends within 5 s",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const pod = attachment(vf(0).deviceId);
      const directory = CURRENT.replace(/[^/]*$/, "");
      const other = `#!/bin/sh\necho $CNI_COMMAND >>/run/executed\nexec ${directory}${PROGRAM}\n`;
      await Deno.writeTextFile(`${directory}rdma-cni-other`, other, { mode: 0o755 });
      await shOk(`cd ${directory} && ln -s rdma-cni-other new && mv -T new current`);
      const start = performance.now();
      try {
        assertResult(await pod.add());
        assertEquals(Deno.readTextFileSync("/run/executed"), "ADD\n");
        assertEquals(await agent.ended, 0);
        const ms = Math.round(performance.now() - start);
        assertMatch(agent.log(), /is not the installed version any more/);
        assert(ms < 8000, `${ms} ms`);
        assertThrows(() => Deno.lstatSync(SOCKET), Deno.errors.NotFound);
        assertQuiet(await pod.del());
        return { ms };
      } finally {
        await shOk(
          `cd ${directory} && ln -s ${PROGRAM} new && mv -T new current && rm rdma-cni-other /run/executed`,
        );
      }
    }),
);

vmCase(
  "agent: an upgrade and a downgrade leave no call to the old version, and the new agent serves",
  async () => {
    const { deviceId } = await addPod();
    const directory = AGENT_PLUGIN.replace(/\/rdma$/, "");
    const trace = "/run/executed";
    for (const version of [await otherVersion("/run/other/rdma-cni"), COMPILED_PLUGIN]) {
      await withAgent(async (agent) => {
        await agent.servesAll(async () => assertResult(await attachment(deviceId).add()));
        await shOk(`${version} install --cni-bin-dir ${directory}`);
        const wrapper = ["strace", "-o", trace, "-e", "trace=execve"];
        assertQuiet(await attachment(deviceId).del({ wrapper }));
        assertStringIncludes(Deno.readTextFileSync(trace), `/${Deno.readLinkSync(CURRENT)}"`);
        assertEquals(await agent.ended, 0);
      });
    }
    await withAgent((agent) => agent.servesAll(async () => assertResult(await attachment(deviceId).add())));
    await endAgent();
    await shOk(`rm -r ${directory} /run/other ${trace}`);
  },
  { limitMs: 300_000 },
);

// Results that cannot be printed.

vmCase("agent: an ADD whose result cannot be printed is undone", () =>
  withAgent(async (agent) => {
    await addNetns("pod");
    const wrapper = ["sh", "-c", 'exec "$0" "$@" >/dev/full'];
    let added: CniOutcome | undefined;
    assertEquals(
      await agent.counting(async () => added = await attachment(vf(0).deviceId).add({ wrapper })),
      SERVED,
    );
    assertEquals(added?.code, 1);
    await until("the ADD is undone", () => records().length === 0);
    await agent.counts();
    assertNothingLeft();
    assertMatch(agent.log(), /The result of an ADD was not printed/);
  }));

const READER_ENDS = "/run/reader-ends";
/** Standard output is a pipe that is full, whose reader reads nothing, and ends when told. */
const INTO_FULL_PIPE = [
  "perl",
  "-e",
  `pipe(R, W); syswrite(W, "x" x 65536);
   if (fork == 0) { close W; close STDOUT; until (-e "${READER_ENDS}") { select(undef, undef, undef, 0.05) } exit }
   close R; open(STDOUT, ">&", \\*W); close W; exec @ARGV`,
];

/** Starts an ADD whose launcher waits in its write, and waits until the device is in the pod. */
async function startStuckAdd(deviceId: string): Promise<{ added: Promise<CniOutcome> }> {
  await Deno.remove(READER_ENDS).catch(() => {});
  const added = attachment(deviceId).add({ wrapper: INTO_FULL_PIPE });
  await until("the device is in the pod", () => again({ deviceId }).rdmaDevices.length === 0);
  return { added };
}

vmCase(
  "agent: a runtime that does not read holds nobody up, and when it has ended the ADD is undone",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      await addNetns("second");
      const { added } = await startStuckAdd(vf(0).deviceId);
      await agent.servesAll(async () => {
        const second = attachment(vf(1).deviceId, { netns: "second", containerId: "container2" });
        assertResult(await second.add());
        assertQuiet(await second.del());
      });
      assertEquals(records().length, 1);
      await Deno.writeTextFile(READER_ENDS, "");
      assertEquals((await added).code, 1);
      await until("the ADD is undone", () => records().length === 0);
      await agent.counts();
      assertNothingLeft();
    }),
);

vmCase(
  "agent: an ADD whose result cannot be printed is not undone when a second one has adopted it",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const { deviceId, rdmaDevice } = vf(0);
      const { added } = await startStuckAdd(deviceId);
      assertResult(await attachment(deviceId).add());
      await Deno.writeTextFile(READER_ENDS, "");
      assertEquals((await added).code, 1);
      await until("the agent knows", () => agent.log().includes("The result of an ADD was not printed"));
      await agent.counts();
      await assertInPod([rdmaDevice]);
      assertEquals(records().length, 1);
      assertQuiet(await attachment(deviceId).del());
      assertNothingLeft();
    }),
);

// Peers.

/** A connection to the agent in Perl, and what comes back on one: "" at its end. */
const PEER = `use Socket; use Time::HiRes "time"; $| = 1;
  sub peer { socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die $!;
    connect($s, pack_sockaddr_un("${SOCKET}")) or die $!; return $s }
  sub answer { my $text = ""; sysread($_[0], $text, 4096); return $text }
  sub request { my ($program, @variables) = @_;
    return join("", map { "$_\\0" } "rdma-cni agent 1", $program, "0:0", "0:0", "0:0", @variables, "") }`;

/** An ADD and a DEL that are served soon. */
async function assertPrompt(agent: RunningAgent): Promise<number> {
  const { deviceId } = vf(0);
  const times: number[] = [];
  await agent.servesAll(async () => {
    const [added, deleted] = [await attachment(deviceId).add(), await attachment(deviceId).del()];
    assertResult(added);
    assertQuiet(deleted);
    times.push(added.ms, deleted.ms);
  });
  assert(Math.max(...times) < 3000, `${times} ms`);
  assertNothingLeft();
  return Math.round(Math.max(...times));
}

vmCase(
  "agent: 200 peers that say nothing are dropped after a second, and hold up no call",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      await assertPrompt(agent);
      const before = agent.descriptors();
      const child = await startBackground(
        `exec perl -e '${PEER} my @peers = map { peer() } 1..200; print "connected\\n"; my $start = time;
       for (@peers) { answer($_) eq "" or die } printf "%.1f s\\n", time - $start; sleep 1' >/run/peers & 
       until grep -q connected /run/peers; do sleep 0.05; done; echo ready; wait`,
        "ready",
      );
      const ms = await assertPrompt(agent);
      await until("all are dropped", async () => (await shOk("cat /run/peers")).includes(" s"), 10_000);
      const [, seconds] = /^([\d.]+) s$/m.exec(Deno.readTextFileSync("/run/peers"))!;
      assert(Number(seconds) >= 0.5 && Number(seconds) < 5, `${seconds} s`);
      await child.status;
      assertEquals(agent.descriptors(), before);
      return { ms, seconds };
    }),
);

vmCase(
  "agent: peers that send what is no request are dropped, and hold up no call",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const packets = [
        '""',
        '"a"',
        '"\\0"',
        '"\\0" x 100000',
        '"a\\0" x 50000',
        '"\\xff" x 100000',
        '"rdma-cni agent 1\\0"',
        'substr(request("x"), 0, -1)',
        'join("", map { "$_\\0" } "rdma-cni agent 2", "", "0:0", "0:0", "0:0", "")',
      ];
      const sending = packets.map((packet) => `
      { my $s = peer(); defined(send($s, ${packet}, 0)) or die $!; my $text = answer($s); $text eq "" or die "answered $text" }`);
      const peers = shOk(`exec perl -e '${PEER} for (1..5) { ${sending.join("")} }'`);
      const ms = await assertPrompt(agent);
      await peers;
      return { ms };
    }),
);

vmCase(
  "agent: a peer of another user is dropped, though it may open every file",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const request = `request("", "FORMAT=text")`;
      const ask = `perl -e '${PEER} my $s = peer(); send($s, ${request}, 0); print answer($s)'`;
      assertEquals(await shOk(ask), "a");
      const asOther = "setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps +dac_override " +
        "--ambient-caps +dac_override";
      assertEquals(await shOk(`${asOther} ${ask}`), "");
      await assertPrompt(agent);
    }),
);

// Starts that are refused.

async function startsInVain(words: RegExp, ...options: string[]): Promise<void> {
  const { code, stdout, stderr }: Outcome = await sh(`timeout 20 ${AGENT_PLUGIN} agent ${options.join(" ")}`);
  assertEquals([code, stdout], [1, ""], stderr);
  assertMatch(unquote(stderr), words);
}

vmCase("agent: a second one is refused and named the first, which goes on", () =>
  withAgent(async (agent) => {
    await startsInVain(new RegExp(`process ${agent.pid} of version \\S+ has been serving since`));
    assertEquals((await agent.counts()).pid, agent.pid);
  }));

vmCase(
  "agent: the socket of one that was killed is replaced, and calls in between are executed",
  async () => {
    await addNetns("pod");
    const { deviceId } = vf(0);
    await withAgent(async (agent) => {
      agent.kill("SIGKILL");
      await agent.ended;
      assert(Deno.lstatSync(SOCKET).isSocket);
      assertResult(await attachment(deviceId).add());
    });
    await withAgent((agent) => agent.servesAll(async () => assertQuiet(await attachment(deviceId).del())));
    assertNothingLeft();
    assertEquals(await shOk(`stat -c "%a %u" ${SOCKET} /run/rdma-cni`), "600 0\n700 0");
  },
);

vmCase("agent: a directory that others may write to is refused", async () => {
  await endAgent();
  await layOut();
  await shOk("mkdir -p /run/rdma-cni && chmod 777 /run/rdma-cni");
  try {
    await startsInVain(/Cannot use "\/run\/rdma-cni": others may write to it/);
    await shOk("chmod 700 /run/rdma-cni && chown 1000 /run/rdma-cni");
    await startsInVain(/Cannot use "\/run\/rdma-cni": it belongs to user 1000/);
  } finally {
    await shOk("rm -r /run/rdma-cni");
  }
});

vmCase("agent: a port in use is refused, and what was there before is left", async () => {
  await endAgent();
  await layOut();
  await shOk(`rm -f ${SOCKET} && mkdir -p -m 700 /run/rdma-cni && touch ${SOCKET}`);
  using _listener = Deno.listen({ hostname: "127.0.0.1", port: 9567 });
  await startsInVain(/Cannot listen on "127\.0\.0\.1:9567"/, "--metrics 127.0.0.1:9567");
  assert(Deno.lstatSync(SOCKET).isFile);
  await Deno.remove(SOCKET);
});

vmCase("agent: SIGTERM ends it with code 0, and its socket goes", () =>
  withAgent(async (agent) => {
    agent.kill("SIGTERM");
    assertEquals(await agent.ended, 0);
    assertThrows(() => Deno.lstatSync(SOCKET), Deno.errors.NotFound);
  }));

// What it does between calls.

vmCase(
  "agent: --gc-interval removes what pods that are gone left, never what others have, and moves nothing",
  () =>
    withAgent(async (agent) => {
      for (const name of ["gone", "living", "hidden"]) await addNetns(name);
      const pods = ["gone", "living", "hidden"].map((netns, number) => ({ ...vf(number), netns }));
      await agent.servesAll(async () => {
        for (const { deviceId, netns } of pods) {
          assertResult(await attachment(deviceId, { netns, containerId: netns }).add());
        }
      });
      await deleteNetns("gone");
      await holdNetns("hidden");
      await shOk("ip netns del hidden");
      const [, living, hidden] = pods;
      const start = performance.now();
      while (records().length > 2 || performance.now() - start < 2500) {
        await agent.servesAll(async () =>
          assertQuiet(await attachment(living!.deviceId, { netns: "living", containerId: "living" }).check())
        );
        assert(performance.now() - start < 20_000, records().join());
      }
      assertEquals(records(), ["net-hidden-net1", "net-living-net1"]);
      assertMatch(agent.log(), /net-gone-net1: .*the record is removed/);
      await assertInPod([living!.rdmaDevice], "living");
      assertEquals(again(hidden!).rdmaDevices, []); // still where it was
      await endBackground();
      await until("the device came home", () => again(hidden!).rdmaDevices.length > 0);
    }, ["--gc-interval", "0.3s"]),
);

vmCase(
  "agent: --metrics serves metrics and its health, while pods have devices and calls are done",
  () =>
    withAgent(async (agent) => {
      await addNetns("pod");
      const { deviceId, rdmaDevice } = vf(0);
      const get = async (path: string) => {
        const response = await fetch(`http://127.0.0.1:9567${path}`);
        const { status, headers } = response;
        return { status, type: headers.get("content-type"), text: await response.text() };
      };
      await agent.servesAll(async () => assertResult(await attachment(deviceId).add()));
      const [metrics, health] = await Promise.all(["/metrics", "/healthz"].map(get));
      assertEquals([metrics!.status, metrics!.type], [200, "text/plain; version=0.0.4; charset=utf-8"]);
      assertMatch(
        metrics!.text,
        new RegExp(`^rdma_device_info\\{.*host_device="${rdmaDevice}".*status="present"\\} 1$`, "m"),
      );
      assertEquals([health!.status, health!.text], [200, "ok\n"]);
      await agent.servesAll(async () => assertQuiet(await attachment(deviceId).del()));
      assertNotMatch((await get("/metrics")).text, /^rdma_device_info\{/m);
    }, ["--metrics", "127.0.0.1:9567"]),
);
