import { INSTALLED_PLUGIN } from "./programs.ts";
import { sh } from "./sh.ts";

export const rdmaCni = (words: string) => sh(`${INSTALLED_PLUGIN} ${words}`);
