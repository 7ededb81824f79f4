// The quick check of a configuration and the zod schema, which come from one table, say the same.
import fc from "fast-check";
import { KEYS } from "../../../../src/plugin/config/keys.ts";
import { configSchema, explainFaults } from "../../../../src/plugin/config/schema.ts";
import { findFaults } from "../../../../src/plugin/config/rules.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { placesIn } from "../../../support/places.ts";

const accepts = (raw: unknown) => configSchema.safeParse(raw).success;
const isWellFormed = (raw: Record<string, unknown>) => findFaults(raw, KEYS).length === 0;

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null, freq: 6 });
const text = () => fc.string({ maxLength: 8 });
const identifier = () => fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,8}$/);
const attachments = () =>
  maybe(fc.array(fc.record({ containerID: text(), ifname: text() }), { maxLength: 3 }));

const byte = () => maybe(fc.nat({ max: 255 }));
const limit = () => maybe(fc.oneof(fc.constant("max"), fc.nat({ max: 2147483646 })));
const limits = fc.record({ hcaHandle: limit(), hcaObject: limit() }, { requiredKeys: [] })
  .filter(({ hcaHandle, hcaObject }) => (hcaHandle ?? hcaObject ?? null) !== null);
const qos = fc.oneof(
  fc.constant("inherit"),
  fc.record({ tos: byte(), trafficClass: byte(), tc: byte() }, { requiredKeys: [] }),
);
const deviceInfoPath = fc.stringMatching(/^(\/var)?\/run\/k8s\.cni\.cncf\.io\/devinfo(\/[a-z]{1,3}){1,3}$/);

const valid = fc.record({
  cniVersion: maybe(text()),
  name: identifier(),
  type: maybe(text()),
  deviceID: maybe(text()),
  allowPF: maybe(fc.boolean()),
  rdmaDevices: maybe(fc.oneof(
    fc.constantFrom("all", "first"),
    fc.array(fc.oneof(fc.string({ minLength: 1, maxLength: 8 }), fc.integer({ min: 1 })), {
      minLength: 1,
      maxLength: 3,
    }),
  )),
  optional: maybe(fc.boolean()),
  onSharedMode: maybe(fc.constantFrom("fail", "skip")),
  rdmaQoS: maybe(qos),
  rdmaLimits: maybe(limits),
  requireActive: maybe(fc.boolean()),
  readyTimeoutMs: maybe(fc.integer({ min: 0, max: 60_000 })),
  lockTimeoutMs: maybe(fc.integer({ min: 0, max: 3_600_000 })),
  logLevel: maybe(fc.constantFrom("debug", "info", "warning", "error")),
  logFile: maybe(fc.oneof(fc.constant(""), fc.stringMatching(/^\/[a-z/. ]{0,8}$/))),
  rdmaDeviceName: maybe(text()),
  rdmaDeviceNameConflict: maybe(fc.constantFrom("fail", "keep")),
  args: maybe(fc.record({
    cni: maybe(
      fc.record({ debug: maybe(fc.boolean()), rdmaDeviceName: maybe(text()) }, { requiredKeys: [] }),
    ),
  }, { requiredKeys: [] })),
  runtimeConfig: maybe(
    fc.record({ deviceID: maybe(text()), CNIDeviceInfoFile: maybe(deviceInfoPath) }, { requiredKeys: [] }),
  ),
  delegate: maybe(
    fc.record({ type: fc.stringMatching(/^[a-q]{1,8}$/), ipam: fc.jsonValue() }, { requiredKeys: ["type"] }),
  ),
  prevResult: maybe(fc.record({
    cniVersion: maybe(text()),
    interfaces: maybe(fc.array(
      fc.record({ name: maybe(text()), mac: maybe(text()), sandbox: maybe(text()), pciID: maybe(text()) }, {
        requiredKeys: [],
      }),
      { maxLength: 3 },
    )),
    ips: fc.jsonValue(),
  }, { requiredKeys: [] })),
  "cni.dev/valid-attachments": attachments(),
  "cni.dev/attachments": attachments(),
  unknown: fc.jsonValue(),
}, { requiredKeys: ["name"] });

/** A valid configuration in which some value, at any depth, is another. */
const broken = fc.tuple(
  valid,
  fc.nat(),
  fc.oneof(fc.jsonValue(), fc.constantFrom("/a\nb", "a\n", "\n", 256, { tos: 1, x: 1 })),
)
  .map(([config, at, value]) => {
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

Deno.test("a broken configuration is none for either", () => {
  for (const raw of [{}, { name: 1 }, { name: "a\n" }, { name: "net", logFile: "/a\n" }]) {
    assert(!isWellFormed(raw) && !accepts(raw), JSON.stringify(raw));
  }
});

for (const wellFormed of [0, 3]) {
  Deno.test(`of a million wrong items of a list, ten are named after ${wellFormed} right ones`, () => {
    const items = [...Array(wellFormed).fill({ containerID: "a", ifname: "net1" }), ...Array(1e6).fill(1)];
    const faults = explainFaults({ name: "a", "cni.dev/valid-attachments": items });
    const key = "cni.dev/valid-attachments";
    assertEquals(
      faults.map(({ path }) => path),
      Array.from({ length: 10 }, (_, index) => [key, wellFormed + index]),
    );
  });
}

for (
  const [keys, text] of [
    [{ logLevel: "verbose" }, 'logLevel: must be "debug", "info", "warning" or "error", but is "verbose"'],
    [{ allowPF: "no" }, 'allowPF: must be true or false, but is "no"'],
    [{ deviceID: 5 }, "deviceID: must be a string, but is 5"],
    [{ logFile: "a" }, 'logFile: must be an absolute path, but is "a"'],
    [{ logFile: 1 }, "logFile: must be an absolute path, but is 1"],
    [{ readyTimeoutMs: 1.5 }, "readyTimeoutMs: must be an integer from 0 to 60000, but is 1.5"],
    [{ readyTimeoutMs: -1 }, "readyTimeoutMs: must be an integer from 0 to 60000, but is -1"],
    [{ readyTimeoutMs: 1e9 }, "readyTimeoutMs: must be an integer from 0 to 60000, but is 1000000000"],
    [
      { rdmaDevices: [] },
      "rdmaDevices: must be a list of 1 or more items, but is []",
    ],
    [
      { rdmaDevices: 1 },
      'rdmaDevices: must be "all", "first", or a list of names and of numbers from 1, but is 1',
    ],
    [{ rdmaQoS: { tos: 256 } }, "rdmaQoS.tos: must be an integer from 0 to 255, but is 256"],
    [{ args: { cni: 7 } }, "args.cni: must be an object, but is 7"],
    [{ "cni.dev/attachments": {} }, '["cni.dev/attachments"]: must be a list, but is {}'],
    [{ delegate: {} }, 'delegate.type: must be the name of a plugin, but not "rdma", but is missing'],
    [
      { deviceID: ["a".repeat(99)] },
      `deviceID: must be a string, but is ["${"a".repeat(38)}...`,
    ],
  ] as const
) {
  Deno.test(`a fault in words: ${text}`, () => {
    assertEquals(explainFaults({ name: "a", ...keys }).map((fault) => fault.text), [text]);
  });
}
