// Runs on the simulated node. Arguments: folder of the prepared node, compiled plugin, empty program, number of rounds.
// Prints the milliseconds of each start as one JSON: {"empty program": [...], "VERSION": [...], ...}.
import { attachment } from "../vm/guest/attachment.ts";
import { addNetns, installPlugin, plugin, vf } from "../vm/guest/harness.ts";

const [, , EMPTY = "", ROUNDS = "30"] = Deno.args;

await installPlugin();
await addNetns("pod");
const pod = attachment(vf(0).deviceId);
const candidates = {
  "empty program": () => plugin({ command: "VERSION", wrapper: [EMPTY] }),
  VERSION: () => plugin({ command: "VERSION" }),
  ADD: () => pod.add(),
  DEL: () => pod.del(),
};
const samples: Record<string, number[]> = {};
for (let round = 0; round <= Number(ROUNDS); round++) {
  for (const [name, start] of Object.entries(candidates)) {
    const { code, ms, stdout, stderr } = await start();
    if (code !== 0) throw new Error(`${name} exited with ${code}: ${stdout}${stderr}`);
    // The first round only warms the page cache.
    if (round > 0) (samples[name] ??= []).push(ms);
  }
}
console.log(JSON.stringify(samples));
