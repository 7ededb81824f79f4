// What the doctor says of what it has found.
import { judgeVfs } from "../../../../src/cli/doctor/devices.ts";
import { examine } from "../../../../src/cli/doctor/finding.ts";
import { judgeMode } from "../../../../src/cli/doctor/kernel.ts";
import { type Answer, type Installed, judgeAnswer } from "../../../../src/cli/doctor/plugin.ts";
import { CommandError } from "../../../../src/cli/errors.ts";
import type { Verdict } from "../../../../src/cli/report.ts";
import { CniError } from "../../../../src/cni/error.ts";
import { LibmnlMissing } from "../../../../src/kernel/kernel.ts";
import { NetlinkError } from "../../../../src/netlink/error.ts";
import { NO_ADMIN_ADDRESS, type VfStatus } from "../../../../src/node/functions.ts";
import { SyscallError } from "../../../../src/sys/errno.ts";
import { NetnsError } from "../../../../src/sys/netns.ts";
import { VERSION } from "../../../../src/version.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const toLine = ({ level, text, fix }: Verdict) => `${level}: ${text}${fix ? ` -> ${fix}` : ""}`;

const DENIED = new Deno.errors.PermissionDenied("Permission denied");

const FAILURES: [error: unknown, told: RegExp][] = [
  [new SyscallError("open a netlink socket", 93), /^problem: .*no RDMA subsystem.* -> modprobe ib_core$/],
  [new SyscallError("enter a namespace", 1), /EPERM.* -> .*as root/],
  [DENIED, /denied.* -> .*as root/],
  [new CniError(5, "Cannot list x", "", { cause: DENIED }), /list x.* -> .*as root/],
  [new NetlinkError("list", 22), /Cannot list.* -> # see the kernel log$/],
  [new NetnsError("/run/netns/a", "other", undefined), /not a network namespace.* -> ./],
  [new CommandError("Cannot ask", "Upgrade it"), /Cannot ask -> # Upgrade it$/],
  [new TypeError("odd"), /odd -> dmesg # /],
  ["text", /text -> dmesg # /],
];

for (const [error, told] of FAILURES) {
  Deno.test(`what keeps a group from being examined is a problem of it: ${error}`, async () => {
    const fail = () => {
      throw error;
    };
    for (const work of [fail, () => Promise.reject(error)]) {
      const findings = await examine("devices", work);
      assertEquals(findings.map(({ group, level }) => [group, level]), [["devices", "problem"]]);
      assertMatch(toLine(findings[0]!), told);
    }
  });
}

Deno.test("a missing libmnl keeps groups from being examined without a word: it is a problem of its own group", async () => {
  assertEquals(await examine("devices", () => Promise.reject(new LibmnlMissing("Cannot open libmnl"))), []);
});

const EXCLUSIVE = {
  mode: "exclusive",
  sources: [{ file: "/etc/modprobe.d/a.conf", line: 2, mode: "exclusive" }],
} as const;
const SHARED = {
  mode: "shared",
  sources: [...EXCLUSIVE.sources, { file: "/proc/cmdline", line: 1, mode: "shared" }],
} as const;
const UNSET = { sources: [] };

for (
  const [now, persisted, told] of [
    ["exclusive", EXCLUSIVE, /^ok: .*after a reboot exclusive \(\/etc\/modprobe\.d\/a\.conf:2\)$/],
    ["exclusive", SHARED, /^warning: .*reboot shared \(\/proc\/cmdline:1\) -> rdma netns-mode .*--persist$/],
    ["exclusive", UNSET, /^warning: .*but after a reboot shared \(nothing sets it.* -> .*--persist$/],
    [
      "shared",
      EXCLUSIVE,
      /^problem: .*shared now.*reboot exclusive.* -> rdma netns-mode set exclusive # reboot/,
    ],
    ["shared", SHARED, /^problem: .*shared now.*after a reboot shared.* -> .*--persist # reboot if/],
    ["shared", UNSET, /^problem: .*shared now.*after a reboot shared.* -> rdma netns-mode set exclusive/],
  ] as const
) {
  Deno.test(`${now} now and ${persisted.sources.at(-1)?.mode ?? "nothing set"} for later`, () => {
    const [line, ...more] = judgeMode(now, persisted, "rdma").map(toLine);
    assertEquals(more, []);
    assertMatch(line!, told);
  });
}

const text = (text: string): Answer => ({ kind: "text", text });
const FROM_LAUNCHER = { kind: "launcher", hasThickMultus: true } as const;
const THIS_VERSION = text(`rdma-cni ${VERSION}\n`);
const NO_PROGRAM = text('{"cniVersion":"1.1.0","code":5,"msg":"Cannot run \\"/a\\": ENOENT (2)"}\n');
const GO_PLUGIN = "rdma-cni version:v1.0.0, commit:1, date:2\n";

const ANSWERS: [answer: Answer, told: RegExp, installed?: Partial<Installed>][] = [
  [THIS_VERSION, new RegExp(`^ok: .*version ${VERSION}$`), FROM_LAUNCHER],
  [THIS_VERSION, /^warning: .*without launcher: .* Multus/, { kind: "program", hasThickMultus: false }],
  [THIS_VERSION, /^problem: .*without launcher: thick Multus 4\.1\.0 and newer cannot start it/, {
    kind: "program",
  }],
  [NO_PROGRAM, /^problem: .*cannot start the program: Cannot run "\/a": ENOENT/, FROM_LAUNCHER],
  [text("rdma-cni 0.0.1\n"), /^warning: .*is version 0\.0\.1, this program is/],
  [
    text(GO_PLUGIN.replace("cni ", "cni cni ")),
    /^warning: .*is the Go plugin v1\.0\.0, not this one; its DaemonSet/,
  ],
  [text(GO_PLUGIN), /^warning: .*Go plugin v1\.0\.0, in the place of this one, which was /, {
    isOverwritten: true,
  }],
  [text('{"code":4,"msg":"required env variables [CNI_COMMAND] missing"}'), /^warning: .*Go plugin/],
  [text("rdma utility\nmore"), /^warning: .*it answers "rdma utility" ->/],
  [text(""), /^warning: .*it answers "" ->/],
  [{ kind: "absent" }, /^problem: .*not there/],
  [{ kind: "failed", reason: "Exec format error" }, /^problem: .*Exec format error/],
  [{ kind: "silent" }, /^problem: .*within 20 s/],
];

for (const [answer, told, installed] of ANSWERS) {
  Deno.test(`the installed plugin answers ${JSON.stringify(answer)}: ${told}`, () => {
    const node = { path: "/cni/rdma", hasThickMultus: true, isOverwritten: false, operator: undefined };
    const found = judgeAnswer(answer, "install it", { ...node, kind: "other", ...installed });
    assertMatch(toLine(found), told);
    assertEquals(found.fix, found.level === "ok" ? undefined : "install it");
  });
}

function vf(number: number, more: Partial<VfStatus> = {}): VfStatus {
  const facts = { isInfiniBand: false, hasRandomMac: false, hasPermanentMac: true, ready: true };
  return {
    ...facts,
    ...{ pf: "eth0", number, deviceId: `0000:3b:00.${number + 2}`, driver: "mlx5_core" },
    ...{ adminMac: `02:03:00:00:48:5${number}`, rdmaDevice: `mlx5_${number}` },
    ...more,
  };
}

const NO_GUID = { ready: false, reason: "node GUID is zero" };
const NO_ADMIN = { ready: false, reason: NO_ADMIN_ADDRESS };
const USED = { usedByHost: 'its netdev "eth3" has an IP address' };
const { driver: _driver, ...UNBOUND } = vf(0, { ready: false, reason: "no driver is bound" });
const { rdmaDevice: _other, ...UNPLACED } = vf(0, NO_GUID);
const { rdmaDevice: _device, ...BARE } = vf(2, { ready: false, reason: "no RDMA device" });

const NO_CM = "node GUID is zero, so RDMA CM will not work in pods";
const INIT = "rdma vf-mac init eth0";
const PROBE = "/sys/bus/pci/drivers_probe";
const inPod = (more: Partial<VfStatus>) => vf(1, { ...more, netdevNetns: "/run/netns/pod" });

const VFS: Record<string, [vfs: VfStatus[], ...lines: string[]]> = {
  "those that are ready are counted": [[vf(0), vf(1)], "ok: 2 of 2 ready for RDMA CM"],
  "none": [[], "ok: none for pods"],
  "those of virtual machines count for nothing": [
    [vf(0, { driver: "vfio-pci", ready: false, reason: "bound to vfio-pci" })],
    "ok: none for pods",
  ],
  "those that lack the same are one problem of their adapter": [
    [vf(0, NO_GUID), vf(1), vf(3, NO_GUID), vf(0, { ...NO_GUID, pf: "eth1" })],
    "ok: 1 of 4 ready for RDMA CM",
    `problem: eth0: VF 0, 3: ${NO_CM} -> ${INIT}`,
    `problem: eth1: VF 0: ${NO_CM} -> rdma vf-mac init eth1`,
  ],
  "what the host does with those that lack something": [
    [vf(0, { ...NO_GUID, ...USED }), vf(1, NO_GUID), vf(2, USED)],
    "ok: 1 of 3 ready for RDMA CM",
    `warning: eth0: VF 0: node GUID is zero, but the host uses it: ${USED.usedByHost} -> ` +
    `${INIT} # after you have stopped what uses it, if it is for pods`,
    `problem: eth0: VF 1: ${NO_CM} -> ${INIT}`,
  ],
  "those that work until the next rebind": [
    [vf(0, NO_ADMIN), vf(1)],
    "ok: 1 of 2 ready for RDMA CM",
    `warning: eth0: VF 0: ${NO_ADMIN_ADDRESS} -> ${INIT}`,
  ],
  "those in pods without administrative address, which init leaves alone": [
    [vf(0, NO_ADMIN), inPod(NO_ADMIN), vf(2, NO_ADMIN), vf(3, NO_ADMIN), vf(5, NO_ADMIN)],
    `warning: eth0: VF 0, 2-3, 5: ${NO_ADMIN_ADDRESS} -> ${INIT}`,
    `warning: eth0: VF 1 (in pods): ${NO_ADMIN_ADDRESS} -> ${INIT} # after these pods have ended`,
  ],
  "those without driver or RDMA device": [
    [UNBOUND, { ...UNBOUND, number: 1, deviceId: "0000:3b:00.3" }, BARE],
    `warning: eth0: VF 0-1: no driver is bound -> for vf in 0000:3b:00.2 0000:3b:00.3; do echo $vf > ${PROBE}; done`,
    "warning: eth0: VF 2: no RDMA device -> modprobe mlx5_ib",
  ],
  "a single one without driver": [
    [UNBOUND],
    `warning: eth0: VF 0: no driver is bound -> echo 0000:3b:00.2 > ${PROBE}`,
  ],
  "one in a pod is judged like any other": [
    [{ ...UNPLACED, rdmaNetns: "unknown" }],
    `problem: eth0: VF 0 (in pods): ${NO_CM} -> ${INIT}`,
  ],
};

for (const [what, [vfs, ...lines]] of Object.entries(VFS)) {
  Deno.test(`VFs: ${what}`, () => assertEquals(judgeVfs(vfs, "rdma").map(toLine), lines));
}
