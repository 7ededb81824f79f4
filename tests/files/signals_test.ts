import { catchSignals } from "../../src/sys/signals.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("a signal does not end the process while signals are held, and is told", async () => {
  using signals = catchSignals();
  assertEquals(await signals.caught(), undefined);
  Deno.kill(Deno.pid, "SIGTERM");
  let caught: string | undefined;
  for (let tries = 0; caught === undefined && tries < 1000; tries++) caught = await signals.caught();
  assertEquals(caught, "SIGTERM");
});

Deno.test("a signal ends the process when they are held no more", async () => {
  const module = new URL("../../src/sys/signals.ts", import.meta.url).href;
  const code = `
    const { catchSignals } = await import(${JSON.stringify(module)});
    { using signals = catchSignals(); Deno.kill(Deno.pid, "SIGINT"); while (!await signals.caught()); }
    Deno.kill(Deno.pid, "SIGTERM");
    setTimeout(() => {}, 5000);`;
  const { signal } = await new Deno.Command(Deno.execPath(), { args: ["eval", code], stderr: "null" })
    .output();
  assertEquals(signal, "SIGTERM");
});
