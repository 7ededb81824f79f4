/** Calls that wait for the plugin's lock. */
import { STATE_DIRECTORY } from "./attachment.ts";
import { shOk, startBackground } from "./sh.ts";

/** Starts a program that is not the plugin and keeps the lock until it is killed. */
export async function holdLock(): Promise<Deno.ChildProcess> {
  await shOk(`mkdir -p ${STATE_DIRECTORY}`);
  return await startBackground(
    `exec flock --no-fork ${STATE_DIRECTORY} sh -c "echo locked; exec sleep infinity"`,
    "locked",
  );
}
