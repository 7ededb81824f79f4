import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const DEMO = fileURLToPath(new URL("demo.ts", import.meta.url));
const { values: { kernel } } = parseArgs({
  args: Deno.args,
  options: { kernel: { type: "string" } },
  strict: false, // vm_test.ts has more
});
const OPTIONS = kernel === undefined ? [] : ["--kernel", `${kernel}`];

Deno.test("the demo shows an ADD, a CHECK and a DEL", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", DEMO, ...OPTIONS],
  })
    .output();
  const [shown, progress] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${shown}${progress}`);
  assert.match(shown!, /The RDMA device went into the pod and returned to the host\.\n$/);
});
