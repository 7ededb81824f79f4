import { parseYaml } from "../../src/cli/validate/yaml.ts";

export function parseAll(text: string): unknown[] {
  return parseYaml(text).map(({ value }) => value);
}
