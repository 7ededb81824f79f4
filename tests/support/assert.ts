/** Deno std's assertions. The package brings no types of its own. */
// @ts-types="./assert.d.ts"
export * from "deno-std/assert/mod.js";
