import { INSTALLED_PLUGIN } from "./programs.ts";
import { type Outcome, sh } from "./sh.ts";

export async function rdmaCni(words: string): Promise<Outcome> {
  return await sh(`${INSTALLED_PLUGIN} ${words}`);
}
