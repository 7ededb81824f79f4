import config from "../../deno.json" with { type: "json" };
import { VERSION } from "../../src/version.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("the program tells the version that deno.json has", () => assertEquals(VERSION, config.version));
