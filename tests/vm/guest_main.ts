// The last module of the program that runs in the guest: the others have declared their cases by now.
// Arguments: see programs.ts and options.ts, then a part of the names of cases to run, which are all when it is missing,
// and "short-set" if only those of the short set are to run.
import { caseNames, installPlugin, runCases } from "../rig/vm/guest/harness.ts";
import { LACKS, leftOutReason, parseRelease, SHORT_SET } from "./kernels.ts";

const [, , , , part = "", set] = Deno.args;
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
