// Whether all RDMA devices are accounted for, in one line: for people and programs, and for node-problem-detector.
import { showSummary, showToNodeProblemDetector } from "../../src/cli/doctor/summary.ts";
import type { AttachmentRecord } from "../../src/plugin/record/record.ts";
import { EACCES, SyscallError } from "../../src/sys/errno.ts";
import { PROJECT } from "../support/project.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { TestTerminal } from "../support/terminal.ts";
import type { Space } from "../rig/memory/kernel.ts";
import { DoctorNode } from "./doctor_node.ts";

const POD = "/run/netns/pod";
const [VF, OTHER] = ["0000:3b:00.2", "0000:3b:00.3"];

/** A node with an RDMA device on the host and one in a pod, whose record is still to be written. */
function createNode() {
  const node = new DoctorNode();
  const pod = node.kernel.addNetns(POD);
  node.kernel.addFunction(VF);
  const device = node.kernel.addDevice(VF, 2, { space: pod });
  node.kernel.addFunction(OTHER);
  node.kernel.addDevice(OTHER, 3);
  return { node, pod, device, record: recordOf(node, pod) };
}

function recordOf({ kernel }: DoctorNode, pod: Space, index = 2): AttachmentRecord {
  const name = `mlx5_${index}`;
  return {
    attachment: { network: "net", containerID: "container1", ifname: "net1" },
    deviceId: VF,
    devices: [{ index, hostName: name, podName: name }],
    netns: { path: POD, inode: pod.inode, cookie: pod.cookie! },
    bootId: kernel.bootId,
    createdAt: 1000,
  };
}

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

type Given = ReturnType<typeof createNode>;

const FILE = "net-container1-net1";

/** What the summary prints and exits with, for people and for node-problem-detector. */
function show(node: DoctorNode) {
  const printed = [showSummary, showToNodeProblemDetector].map((show) => {
    const terminal = new TestTerminal();
    const code = terminal.print(show(node));
    assertEquals(terminal.stderr, "");
    return { code, line: terminal.stdout.replace(/\n$/, "") };
  });
  const [people, detector] = printed as [typeof printed[0], typeof printed[0]];
  assertEquals(detector!.line, people!.line);
  assert(people!.line.length <= 80, people!.line);
  return [people!.line, people!.code, detector!.code];
}

const ALL = "2 of 2 RDMA devices accounted for: 1 on the host, 1 in pods";
const LOST = "1 of 2 RDMA devices accounted for: 1 on the host, 0 in pods, 1 lost";
const UNKNOWN = "1 of 2 RDMA devices accounted for: 1 on the host, 0 in pods, 1 unknown";

for (
  const [what, change, wanted] of [
    ["one in a pod", ({ node, record }) => node.write(FILE, record), [ALL, 0, 0]],
    ["one that two records say the pod has", ({ node, record }) => {
      node.write(FILE, record);
      node.write("net-container2-net1", record);
    }, [ALL, 0, 0]],
    ["one in a pod to which only a process leads", ({ node, record, pod }) => {
      node.write(FILE, record);
      node.kernel.paths.delete(POD);
      node.kernel.held.set("/proc/42/ns/net", pod);
    }, [ALL, 0, 0]],
    ["one that its pod has lost to the host", ({ node, record, device }) => {
      node.write(FILE, record);
      node.kernel.place(device, node.kernel.host);
    }, ["2 of 2 RDMA devices accounted for: 2 on the host, 0 in pods", 0, 0]],
    ["one in a namespace that no record names", () => {}, [LOST, 1, 1]],
    ["one in another namespace than its record names", ({ node, record }) => {
      node.write(FILE, { ...record, netns: { ...record.netns!, cookie: "7" } });
    }, [LOST, 1, 1]],
    ["one in a pod that another device was recorded for", ({ node, pod }) => {
      node.write(FILE, recordOf(node, pod, 5));
    }, [LOST, 1, 1]],
    ["one in a namespace that nothing leads to", ({ node, record }) => {
      node.write(FILE, record);
      node.kernel.paths.delete(POD);
    }, [LOST, 1, 1]],
    ["one there, with the name of one on the host", ({ node, device }) => {
      node.kernel.namesPerNetns = true;
      device.name = "mlx5_3";
      node.kernel.paths.delete(POD);
    }, [LOST, 1, 1]],
    ["one that may be where nobody can see it", ({ node }) => {
      node.kernel.paths.delete(POD);
      node.kernel.isComplete = false;
    }, [UNKNOWN, 3, 2]],
    ["all accounted for, though not all processes can be seen", ({ node, record }) => {
      node.write(FILE, record);
      node.kernel.isComplete = false;
    }, [ALL, 0, 0]],
    ["all accounted for, so that no call is waited for", ({ node, record }) => {
      node.write(FILE, record);
      node.kernel.lock = () => {
        throw new Error("locked");
      };
    }, [ALL, 0, 0]],
    ["one that a call may be moving, which does not end", ({ node }) => {
      node.write(FILE, "{");
      node.kernel.locked.add(node.directory);
    }, [UNKNOWN, 3, 2]],
    ["one that a call has just moved", ({ node, record }) => {
      node.state.create();
      node.kernel.locked.add(node.directory);
      node.kernel.onSleep = () => {
        node.write(FILE, record);
        node.kernel.locked.delete(node.directory);
      };
    }, [ALL, 0, 0]],
    ["one that a DEL moves while the node is read", ({ node, record, device }) => {
      node.write(FILE, record);
      afterWalk(node, 1, () => node.kernel.place(device, node.kernel.host));
    }, ["2 of 2 RDMA devices accounted for: 2 on the host, 0 in pods", 0, 0]],
    ["one in a strange namespace that ends while the node is looked at again", ({ node, device }) => {
      afterWalk(node, 2, () => node.kernel.place(device, node.kernel.host));
    }, ["2 of 2 RDMA devices accounted for: 2 on the host, 0 in pods", 0, 0]],
    ["all on the host, in mode shared", ({ node, device }) => {
      node.kernel.place(device, node.kernel.host);
      node.kernel.mode = "shared";
    }, ["2 of 2 RDMA devices accounted for: 2 on the host, 0 in pods", 0, 0]],
    ["none, on a node for RDMA", ({ node }) => {
      node.kernel.devices.length = 0;
    }, ["there is no RDMA device", 1, 1]],
    ["none, on a node without adapter", ({ node }) => {
      node.kernel.devices.length = 0;
      node.kernel.mode = "shared";
    }, ["no RDMA adapter here", 0, 0]],
    ["a thousand", ({ node, record, pod }) => {
      const devices = [...record.devices];
      for (let index = 1000; index < 2000; index++) {
        const name = `mlx5_${index}`;
        node.kernel.addDevice(VF, index, index < 1500 ? { space: pod } : {});
        if (index < 1400) devices.push({ index, hostName: name, podName: name });
      }
      node.write(FILE, { ...record, devices });
    }, ["902 of 1002 RDMA devices accounted for: 501 on the host, 401 in pods, 100 lost", 1, 1]],
  ] as [string, (given: Given) => unknown, ReturnType<typeof show>][]
) {
  Deno.test(`summary: ${what}`, () => {
    const given = createNode();
    using node = given.node;
    change(given);
    assertEquals(show(node), wanted);
  });
}

Deno.test("summary: the numbers for programs", () => {
  using node = createNode().node;
  const { value } = showSummary(node);
  assertEquals(value, { level: "problem", text: LOST, total: 2, onHost: 1, inPods: 0, lost: 1, unknown: 0 });
  node.kernel.isComplete = false;
  assertEquals(showSummary(node).value, {
    level: "warning",
    text: UNKNOWN,
    total: 2,
    onHost: 1,
    inPods: 0,
    lost: 0,
    unknown: 1,
  });
});

Deno.test("summary: --quiet leaves a good one out, but not for node-problem-detector", () => {
  const { node: own, record } = createNode();
  using node = own;
  const terminal = Object.assign(new TestTerminal(), { isQuiet: true });
  terminal.print(showSummary(node));
  assertEquals(terminal.stdout, `${LOST}\n`);
  node.write(FILE, record);
  terminal.print(showSummary(node));
  terminal.print(showToNodeProblemDetector(node));
  assertEquals(terminal.stdout, `${LOST}\n${ALL}\n`);
});

Deno.test("summary: what keeps it from being made is an error, and unknown to node-problem-detector", () => {
  using node = createNode().node;
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

Deno.test("summary: one that a call moves only when the node is looked at again is in its pod", () => {
  const { node: own, record } = createNode();
  using node = own;
  const next = node.kernel.addNetns("/run/netns/next");
  node.state.create();
  node.kernel.locked.add(node.directory);
  node.kernel.onSleep = () => {
    node.write(FILE, record);
    node.kernel.place(node.kernel.devices[1]!, next);
    node.kernel.locked.delete(node.directory);
  };
  const terminal = new TestTerminal();
  assertEquals(terminal.print(showSummary(node)), 0);
  assertEquals(terminal.stdout, "2 of 2 RDMA devices accounted for: 0 on the host, 2 in pods\n");
});

Deno.test("summary: no call is held up while the node is looked at, once or twice", () => {
  const { node: own } = createNode();
  using node = own;
  node.state.create();
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
