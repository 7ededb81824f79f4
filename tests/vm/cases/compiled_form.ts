// What V8 has in the executable: the compiled form of functions that run in calls where all is well.
import assert from "node:assert/strict";
import { assertInPod, assertQuiet, assertResult, attachment } from "../guest/attachment.ts";
import { addNetns, INSTALLED_PLUGIN, installPlugin, vf, vmCase } from "../guest/harness.ts";

/** Writes blanks over the text of the installed plugin's functions, so that V8 can run only what it has compiled. */
function blankSource(): void {
  const bytes = Deno.readFileSync(INSTALLED_PLUGIN);
  const text = new TextDecoder("latin1").decode(bytes);
  const [source = ""] = /(?<=\(function\(\w,\w,\w\)\{"use strict";).*(?=,\w\.exports\}\);)/s.exec(text) ?? [];
  assert.ok(source.length > 10_000);
  const start = text.indexOf(source);
  Deno.writeFileSync(INSTALLED_PLUGIN, bytes.fill(0x20, start, start + source.length));
}

vmCase("compiled form: ADD and DEL run nothing that the build has not compiled", async () => {
  try {
    blankSource();
    await addNetns("pod");
    const { deviceId, rdmaDevice } = vf(0);
    const one = attachment(deviceId);
    assertResult(await one.add());
    await assertInPod([rdmaDevice]);
    const { code, stderr } = await one.check();
    assert.notEqual(code, 0, `CHECK, which the build does not play, went without its text: ${stderr}`);
    assertQuiet(await one.del());
  } finally {
    await installPlugin();
  }
});
