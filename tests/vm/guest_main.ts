// The last module of the program that runs in the guest: the others have declared their cases by now. Arguments: see
// programs.ts and options.ts, then a set of kernels.ts, how many of its cases an earlier boot has run, and a part of the
// names of the cases. That is last, since an empty argument does not come through.
import { caseNames, installPlugin, runCases } from "../rig/vm/guest/harness.ts";
import { isInSet, LACKS, leftOutReason, parseRelease, SETS } from "./kernels.ts";

const [, , , , set = "", done = "", part = ""] = Deno.args;
const kernel = parseRelease(Deno.osRelease());

const parts = [
  ...Object.values(SETS).flatMap(({ only, without, also = [] }) => [...only, ...without, ...also]),
  ...Object.values(LACKS).flatMap(({ cases }) => cases),
];
for (const one of parts) {
  if (!caseNames().some((name) => name.includes(one))) {
    throw new Error(`kernels.ts: no case is named ${JSON.stringify(one)}`);
  }
}
await installPlugin();
const wanted = decodeURIComponent(part);
await runCases(
  (name) => name.includes(wanted) && isInSet(name, set),
  Number(done),
  (name) => leftOutReason(name, kernel),
);
// Whatever a case left pending must not keep the node up.
Deno.exit();
