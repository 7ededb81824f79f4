/** Deno std's YAML parser. The package brings no types of its own. */
// @ts-types="./yaml.d.ts"
export { parseAll } from "deno-std/yaml/parse.js";
