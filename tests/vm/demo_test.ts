import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const DEMO = fileURLToPath(new URL("demo.ts", import.meta.url));
const { values: { kernel } } = parseArgs({
  args: Deno.args,
  options: { kernel: { type: "string" } },
  strict: false, // vm_test.ts has more
});

const MAIN_JOB = "The RDMA device went into the pod and returned to the host.\n";
const PACKETS = "RDMA packets went from pod to pod after ADD, and none after DEL.\n";
const NO_PACKETS =
  "RDMA packets between two pods, without an adapter, need Linux 7.3: demo.ts --kernel 7.3 shows them.\n";

/** The README's command, and the kernel that the other tests run on. */
const OPTIONS = [[], ...(kernel === undefined ? [] : [["--kernel", `${kernel}`]])];

for (const options of OPTIONS) {
  Deno.test(`the demo shows an ADD, a CHECK and a DEL, then packets: ${options.join(" ") || "as in the README"}`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", DEMO, ...options],
    })
      .output();
    const [shown, progress] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(code, 0, `${shown}${progress}`);
    const [, release] = /^== A node with Linux (\d+\.\d+)\./m.exec(shown!)!;
    if (options.length > 0) assertEquals(release, kernel);
    else if (release !== "7.3") assertMatch(progress!, /Linux 7\.3 is not to be had: .*; taking /);
    if (release !== "7.3") return assert(shown!.endsWith(`\n${MAIN_JOB}${NO_PACKETS}`), shown);
    assertMatch(shown!, /\n50 iters in .*\n[^]*(roce0 not found|No IB devices found)/);
    assert(shown!.includes(`\n${MAIN_JOB}`), shown);
    assert(shown!.endsWith(`\n${PACKETS}`), shown);
  });
}
