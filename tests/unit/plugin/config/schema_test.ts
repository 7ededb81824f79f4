// The quick check of a configuration and the zod schema, which come from one table, say the same.
import fc from "fast-check";
import { KEYS } from "../../../../src/plugin/config/keys.ts";
import { findFaults, type Keys, type Rule } from "../../../../src/plugin/config/rules.ts";
import { configSchema, explainFaults } from "../../../../src/plugin/config/schema.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { placesIn } from "../../../support/places.ts";
import { assertMakes } from "../../../support/table.ts";

const accepts = (raw: unknown) => configSchema.safeParse(raw).success;
const isWellFormed = (raw: Record<string, unknown>) => findFaults(raw, KEYS).length === 0;

/** Some of these fit each form. */
const TEXTS = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,8}$/),
  fc.stringMatching(/^\/[a-z/. ]{0,8}$/),
  fc.stringMatching(/^(\/var)?\/run\/k8s\.cni\.cncf\.io\/devinfo(\/[a-z]{1,3}){1,3}$/),
);

function valuesOf(rule: Rule): fc.Arbitrary<unknown> {
  switch (rule.type) {
    case "boolean":
      return fc.boolean();
    case "string":
      return TEXTS.filter((text) => rule.form?.pattern.test(text) ?? true);
    case "integer":
      return fc.integer({ min: rule.min, max: rule.max ?? 1000 });
    case "enum":
      return fc.constantFrom(...rule.values);
    case "list":
      return fc.array(valuesOf(rule.items), { minLength: rule.minItems ?? 0, maxLength: 3 });
    case "either":
      return fc.oneof(...rule.options.map(valuesOf));
    case "object":
      return objectsOf(rule.keys);
  }
}

function objectsOf(keys: Keys): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(keys).map(([name, key]) => {
    return [name, key.required ? valuesOf(key) : fc.option(valuesOf(key), { nil: null, freq: 6 })] as const;
  });
  const requiredKeys = Object.keys(keys).filter((name) => keys[name]!.required);
  return fc.record<Record<string, unknown>, string>(Object.fromEntries(entries), { requiredKeys });
}

const valid = fc.tuple(objectsOf(KEYS), fc.jsonValue()).map(([known, unknown]) => ({ ...known, unknown }));

/** A valid configuration in which some value, at any depth, is another. */
const broken = fc.tuple(
  valid,
  fc.nat(),
  fc.oneof(fc.jsonValue(), fc.constantFrom("/a\nb", "a\n", "\n", 256, { tos: 1, x: 1 })),
).map(([config, at, value]) => {
  const copy = structuredClone(config);
  const places = placesIn(copy);
  const place = places[at % places.length]!;
  place.holder[place.key] = value;
  return copy as Record<string, unknown>;
});

Deno.test("both accept good configurations", () => {
  fc.assert(fc.property(valid, (raw) => assert(accepts(raw) && isWellFormed(raw))), { numRuns: 1000 });
});

Deno.test("with one odd value both refuse most, and the same ones", () => {
  let refused = 0;
  const property = fc.property(broken, (raw) => {
    assertEquals(isWellFormed(raw), accepts(raw));
    refused += Number(!isWellFormed(raw));
  });
  fc.assert(property, { numRuns: 5000 });
  assert(refused > 2500, `only ${refused} refused`);
});

Deno.test("of a million wrong items of a list ten are named, wherever they begin", () => {
  const key = "cni.dev/valid-attachments";
  for (const right of [0, 3]) {
    const items = [...Array(right).fill({ containerID: "a", ifname: "net1" }), ...Array(1e6).fill(1)];
    const paths = explainFaults({ name: "a", [key]: items }).map(({ path }) => path);
    assertEquals(paths, Array.from({ length: 10 }, (_, index) => [key, right + index]));
  }
});

Deno.test("a fault is told in words: what must be, and what is", () => {
  const range = "readyTimeoutMs: must be an integer from 0 to 60000, but is";
  assertMakes((keys) => explainFaults({ name: "a", ...keys }).map(({ text }) => text).join(), [
    [{ logLevel: "verbose" }, 'logLevel: must be "debug", "info", "warning" or "error", but is "verbose"'],
    [{ allowPF: "no" }, 'allowPF: must be true or false, but is "no"'],
    [{ deviceID: 5 }, "deviceID: must be a string, but is 5"],
    [{ logFile: "a" }, 'logFile: must be an absolute path, but is "a"'],
    [{ readyTimeoutMs: 1.5 }, `${range} 1.5`],
    [{ rdmaDevices: [] }, "rdmaDevices: must be a list of 1 or more items, but is []"],
    [
      { rdmaDevices: 1 },
      'rdmaDevices: must be "all", "first", or a list of names and of numbers from 1, but is 1',
    ],
    [{ rdmaQoS: { tos: 256 } }, "rdmaQoS.tos: must be an integer from 0 to 255, but is 256"],
    [{ args: { cni: 7 } }, "args.cni: must be an object, but is 7"],
    [{ "cni.dev/attachments": {} }, '["cni.dev/attachments"]: must be a list, but is {}'],
    [{ delegate: {} }, 'delegate.type: must be the name of a plugin, but not "rdma", but is missing'],
    [{ deviceID: ["a".repeat(99)] }, `deviceID: must be a string, but is ["${"a".repeat(38)}...`],
  ] as [object, string][]);
});
