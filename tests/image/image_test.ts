// Builds the image for both architectures as the documents say, without a registry of images, and tries what comes out.
import { buildImages, prepareBases } from "./build.ts";
import { arm64Cases, containerCases } from "./container.ts";
import { contentCases } from "./content.ts";
import { Engine } from "./engine.ts";
import { operatorCases, podCases } from "./pod.ts";

Deno.test("the image", async (t) => {
  await using engine = await Engine.start();
  await prepareBases(engine);
  const built = await t.step(
    "is built for both architectures by the documents' command",
    () => buildImages(engine),
  );
  if (!built) return;
  for (const cases of [contentCases, containerCases, arm64Cases, operatorCases, podCases]) {
    for (const [name, run] of Object.entries(cases)) await t.step(name, () => run(engine));
  }
});
