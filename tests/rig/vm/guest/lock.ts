/** Calls that wait for the plugin's lock. */
import { STATE_DIRECTORY } from "./attachment.ts";
import type { CniOutcome } from "./plugin.ts";
import { shOk, startBackground, until } from "./sh.ts";

/** Starts a program that is not the plugin and keeps the lock until it is killed. */
export async function holdLock(): Promise<Deno.ChildProcess> {
  await shOk(`mkdir -p ${STATE_DIRECTORY}`);
  return await startBackground(
    `exec flock --no-fork ${STATE_DIRECTORY} sh -c "echo locked; exec sleep infinity"`,
    "locked",
  );
}

/** While the lock is held, starts calls one after the other, each when the one before it waits. */
export async function lineUp(starts: readonly (() => Promise<CniOutcome>)[]): Promise<Promise<CniOutcome>[]> {
  const running: Promise<CniOutcome>[] = [];
  for (const start of starts) {
    const call = start();
    running.push(call);
    let ended: CniOutcome | undefined;
    call.then((outcome) => ended = outcome);
    await until("the call waits", () => {
      if (ended) throw new Error(`A call did not wait: ${ended.stdout}${ended.stderr}`);
      return countWaiting() === running.length;
    }, 30_000);
  }
  return running;
}

function countWaiting(): number {
  return Deno.readTextFileSync("/proc/locks").split("\n").filter((line) => line.includes("-> FLOCK")).length;
}
