import fc from "fast-check";
import { formatTime } from "../../src/time.ts";
import { assertEquals } from "../assert.ts";

Deno.test("a time reads as Date would write it", () => {
  const years = { min: new Date("1000-01-01"), max: new Date("9999-12-31"), noInvalidDate: true };
  fc.assert(fc.property(fc.date(years), (date) => {
    assertEquals(formatTime(date.getTime()), date.toISOString());
  }));
});
