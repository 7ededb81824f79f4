import { parseYaml } from "../../src/cli/validate/yaml.ts";

/** The documents of a YAML text. */
export function parseAll(text: string): unknown[] {
  return parseYaml(text).map(({ value }) => value);
}
