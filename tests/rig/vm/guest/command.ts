import { INSTALLED_PLUGIN } from "./programs.ts";
import { type Outcome, sh } from "./sh.ts";

/** Runs the installed executable as a person does. */
export async function rdmaCni(words: string): Promise<Outcome> {
  return await sh(`${INSTALLED_PLUGIN} ${words}`);
}
