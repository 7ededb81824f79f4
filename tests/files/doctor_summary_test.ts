// Whether all RDMA devices are accounted for, in one line: for people and programs, and for node-problem-detector.
import { showSummary, showToNodeProblemDetector } from "../../src/cli/doctor/summary.ts";
import { EACCES, SyscallError } from "../../src/sys/errno.ts";
import { PROJECT } from "../support/project.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { TestTerminal } from "../support/terminal.ts";
import {
  type Change,
  type DoctorNode,
  FILE,
  type Given,
  holdByProcess,
  moveHome,
  nodeAfter,
  recorded,
  unmount,
} from "./doctor_node.ts";

/** Does something when namespaces are listed for the so many-th time, and the host's devices still are to be. */
function afterWalk({ kernel }: DoctorNode, number: number, work: () => void): void {
  const { listOtherNetns } = kernel;
  let walks = 0;
  kernel.listOtherNetns = (read) => {
    const found = listOtherNetns.call(kernel, read) as ReturnType<typeof listOtherNetns<never>>;
    if (++walks === number) work();
    return found;
  };
}

/** What the summary prints and exits with, for people and for node-problem-detector. */
function show(node: DoctorNode) {
  const terminal = new TestTerminal();
  const codes = [terminal.print(showSummary(node)), terminal.print(showToNodeProblemDetector(node))];
  assertEquals(terminal.stderr, "");
  const [line, sameLine] = terminal.stdout.split("\n");
  assertEquals(sameLine, line);
  assert(line!.length <= 80, line);
  return [line, ...codes];
}

const ALL = "2 of 2 RDMA devices accounted for: 1 on the host, 1 in pods";
const LOST = "1 of 2 RDMA devices accounted for: 1 on the host, 0 in pods, 1 lost";
const HOME = "2 of 2 RDMA devices accounted for: 2 on the host, 0 in pods";
const UNKNOWN = "1 of 2 RDMA devices accounted for: 1 on the host, 0 in pods, 1 unknown";

for (
  const [what, wanted, ...changes] of [
    ["one in a pod", [ALL, 0, 0], recorded],
    ["one that two records say the pod has", [ALL, 0, 0], recorded, ({ node, record }) => {
      node.write("net-container2-net1", record);
    }],
    ["one in a pod to which only a process leads", [ALL, 0, 0], recorded, holdByProcess],
    ["one in a namespace that no record names", [LOST, 1, 1]],
    ["one in another namespace than its record names", [LOST, 1, 1], ({ node, record }) => {
      node.write(FILE, { ...record, netns: { ...record.netns!, cookie: "7" } });
    }],
    ["one in a pod that another device was recorded for", [LOST, 1, 1], ({ node, record }) => {
      node.write(FILE, { ...record, devices: [{ index: 5, hostName: "mlx5_5", podName: "mlx5_5" }] });
    }],
    ["one in a namespace that nothing leads to", [LOST, 1, 1], recorded, unmount],
    ["one there, with the name of one on the host", [LOST, 1, 1], unmount, ({ node, device }) => {
      node.kernel.namesPerNetns = true;
      device.name = "mlx5_3";
    }],
    ["one that may be where nobody can see it", [UNKNOWN, 3, 2], unmount, hideProcesses],
    ["all accounted for, though not all processes can be seen", [ALL, 0, 0], recorded, hideProcesses],
    ["all accounted for, so that no call is waited for", [ALL, 0, 0], recorded, ({ node }) => {
      node.kernel.lock = () => {
        throw new Error("locked");
      };
    }],
    ["one that a call may be moving, which does not end", [UNKNOWN, 3, 2], ({ node }) => {
      node.write(FILE, "{");
      node.kernel.locked.add(node.directory);
    }],
    ["one that a call has just moved", [ALL, 0, 0], (given) => whileLocked(given, () => recorded(given))],
    ["one that a DEL moves while the node is read", [HOME, 0, 0], recorded, (given) => {
      afterWalk(given.node, 1, () => moveHome(given));
    }],
    ["one in a strange namespace that ends while the node is looked at again", [HOME, 0, 0], (given) => {
      afterWalk(given.node, 2, () => moveHome(given));
    }],
    ["all on the host, in mode shared", [HOME, 0, 0], moveHome, share],
    ["none, on a node for RDMA", ["there is no RDMA device", 1, 1], loseAll],
    ["none, on a node without adapter", ["no RDMA adapter here", 0, 0], loseAll, share],
  ] as [string, ReturnType<typeof show>, ...Change[]][]
) {
  Deno.test(`summary: ${what}`, () => {
    using node = nodeAfter(...changes);
    assertEquals(show(node), wanted);
  });
}

function loseAll({ node: { kernel } }: Given): void {
  kernel.devices.length = 0;
}

function share({ node }: Given): void {
  node.kernel.mode = "shared";
}

function hideProcesses({ node }: Given): void {
  node.kernel.isComplete = false;
}

/** Has a call hold the lock, which does something before it ends. */
function whileLocked({ node, node: { kernel } }: Given, work: () => void): void {
  node.state.create();
  kernel.locked.add(node.directory);
  kernel.onSleep = () => {
    work();
    kernel.locked.delete(node.directory);
  };
}

Deno.test("summary: one that a call moves only when the node is looked at again is in its pod", () => {
  using node = nodeAfter((given) => {
    const { kernel } = given.node;
    const next = kernel.addNetns("/run/netns/next");
    whileLocked(given, () => {
      recorded(given);
      kernel.place(kernel.devices[1]!, next);
    });
  });
  const { text } = showSummary(node).value as { text: string };
  assertEquals(text, "2 of 2 RDMA devices accounted for: 0 on the host, 2 in pods");
});

Deno.test("summary: the numbers for programs", () => {
  using node = nodeAfter();
  const value = { level: "problem", text: LOST, total: 2, onHost: 1, inPods: 0, lost: 1, unknown: 0 };
  assertEquals(showSummary(node).value, value);
  node.kernel.isComplete = false;
  assertEquals(showSummary(node).value, { ...value, level: "warning", text: UNKNOWN, lost: 0, unknown: 1 });
});

Deno.test("summary: --quiet leaves a good one out, but not for node-problem-detector", () => {
  const terminal = Object.assign(new TestTerminal(), { isQuiet: true });
  using lost = nodeAfter();
  terminal.print(showSummary(lost));
  using good = nodeAfter(recorded);
  terminal.print(showSummary(good));
  terminal.print(showToNodeProblemDetector(good));
  assertEquals(terminal.stdout, `${LOST}\n${ALL}\n`);
});

Deno.test("summary: what keeps it from being made is an error, and unknown to node-problem-detector", () => {
  using node = nodeAfter();
  node.state.create();
  const lock = new SyscallError("open", EACCES);
  node.kernel.lock = () => {
    throw lock;
  };
  assertEquals(assertThrows(() => showSummary(node)), lock);
  const cause = `Cannot read "/proc": \x1b[31m${"no ".repeat(40)}`;
  node.kernel.listOtherNetns = () => {
    throw new Error(cause);
  };
  assertThrows(() => showSummary(node), Error, "Cannot read");
  const terminal = new TestTerminal();
  assertEquals(terminal.print(showToNodeProblemDetector(node)), 2);
  assertMatch(terminal.stdout, /^Cannot read "\/proc": \\u001b\[31mno no .*\n$/);
  assertEquals([terminal.stdout.length, terminal.stderr], [81, ""]);
});

Deno.test("summary: no call is held up while the node is looked at, once or twice", () => {
  using node = nodeAfter(({ node }) => node.state.create());
  const held: number[] = [];
  for (const number of [1, 2]) afterWalk(node, number, () => held.push(node.kernel.locked.size));
  assertEquals(new TestTerminal().print(showSummary(node)), 1);
  assertEquals(held, [0, 0]);
});

Deno.test("node-problem-detector takes the file with its rule, which has time to wait for a call", () => {
  const file = `${PROJECT}deployment/monitoring/node-problem-detector.json`;
  const { plugin, pluginConfig, source, conditions, rules: [rule, ...others] } = JSON.parse(
    Deno.readTextFileSync(file),
  );
  // As its pkg/custompluginmonitor/types/config.go requires; what the rule runs is in tests/vm/cases/doctor.ts.
  assertEquals([plugin, source, rule.type, others], ["custom", "rdma-cni", "permanent", []]);
  assertEquals(conditions.map(({ type }: { type: string }) => type), [rule.condition]);
  assert(parseInt(rule.timeout) <= parseInt(pluginConfig.timeout));
  assert(parseInt(rule.timeout) >= 20, "the time to wait for a call, and as much for the rest");
});
