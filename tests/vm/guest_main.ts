// The last module of the program that runs in the guest: the others have declared their cases by now.
// Arguments: see programs.ts and options.ts, then a part of the names of cases to run, which are all when it is missing.
import { installPlugin, runCases } from "../rig/vm/guest/harness.ts";

await installPlugin();
await runCases(decodeURIComponent(Deno.args[4] ?? ""));
// Whatever a case left pending must not keep the node up.
Deno.exit();
