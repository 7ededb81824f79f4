import { CommandError, ExitCode } from "../../../../src/cli/errors.ts";
import { toLines } from "../../../../src/cli/netns_mode/set.ts";
import { assertEquals } from "../../../support/assert.ts";

const REFUSED = {
  mode: "exclusive",
  dryRun: false,
  change: { state: "refused", before: "shared" },
  exitCode: ExitCode.failed,
} as const;
const PERSISTED = { file: "/etc/modprobe.d/rdma-cni.conf", written: true, overrules: [], overruledBy: [] };
const FAILURE = new CommandError("Cannot persist it", "Make room.");

const isAdvised = (outcome: Parameters<typeof toLines>[0]) =>
  toLines(outcome).some((line) => line.startsWith("Stop the pods and programs"));

Deno.test("whoever was refused hears how to persist the mode, unless that was done or has failed", () => {
  assertEquals(isAdvised(REFUSED), true);
  assertEquals(isAdvised({ ...REFUSED, persisted: PERSISTED }), false);
  assertEquals(isAdvised({ ...REFUSED, failure: FAILURE }), false);
  assertEquals(isAdvised({ ...REFUSED, change: { state: "changed", before: "shared" } }), false);
});

Deno.test("a failure to persist is told with its advice", () => {
  assertEquals(toLines({ ...REFUSED, failure: FAILURE }).slice(-2), ["Cannot persist it", "Make room."]);
});
