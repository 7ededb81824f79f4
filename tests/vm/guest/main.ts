// The last module of the program that runs in the guest: the others have declared their cases by now.
// Arguments: folder of the prepared node, compiled plugin, a part of the names of cases to run; see also options.ts.
import { installPlugin, runCases } from "./harness.ts";

await installPlugin();
await runCases(decodeURIComponent(Deno.args[2] ?? ""));
// Whatever a case left pending must not keep the node up.
Deno.exit();
