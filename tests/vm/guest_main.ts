// The last module of the program that runs in the guest: the others have declared their cases by now.
// Arguments: see programs.ts and options.ts, then "short-set" if only those cases are to run, and a part of the names of
// the cases. That is last, since an empty argument does not come through.
import { caseNames, installPlugin, runCases } from "../rig/vm/guest/harness.ts";
import { LACKS, leftOutReason, parseRelease, SHORT_SET } from "./kernels.ts";

const [, , , , set, part = ""] = Deno.args;
const kernel = parseRelease(Deno.osRelease());
const isOneOf = (parts: string[]) => (name: string) => parts.some((part) => name.includes(part));

for (const one of [...SHORT_SET, ...Object.values(LACKS).flatMap(({ cases }) => cases)]) {
  if (!caseNames().some(isOneOf([one]))) {
    throw new Error(`kernels.ts: no case is named ${JSON.stringify(one)}`);
  }
}
await installPlugin();
const parts = [decodeURIComponent(part)];
await runCases(
  (name) => isOneOf(parts)(name) && (set !== "short-set" || isOneOf(SHORT_SET)(name)),
  (name) => leftOutReason(name, kernel),
);
// Whatever a case left pending must not keep the node up.
Deno.exit();
