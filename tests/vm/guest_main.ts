// The last module of the program that runs in the guest: the others have declared their cases by now. Arguments: see
// programs.ts and options.ts, then a set of kernels.ts, how many of its cases an earlier boot has run, and a part of the
// names of the cases. That is last, since an empty argument does not come through.
import { installPlugin, runCases } from "../rig/vm/guest/harness.ts";

const [, , , , set = "", done = "", part = ""] = Deno.args;

await installPlugin();
await runCases(set, decodeURIComponent(part), Number(done));
// Whatever a case left pending must not keep the node up.
Deno.exit();
