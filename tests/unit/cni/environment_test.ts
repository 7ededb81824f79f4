import { type Command, COMMANDS, parseEnvironment, parseTraceId } from "../../../src/cni/environment.ts";
import { CniError, ErrorCode } from "../../../src/cni/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { ENVIRONMENT, type Variables } from "../../support/call.ts";
import { assertMakes } from "../../support/table.ts";

const parse = (variables: Variables) =>
  parseEnvironment((name) => ({ ...ENVIRONMENT, ...variables } as Variables)[name]);

function assertRefused(variables: Variables, part: string): void {
  const error = assertThrows(() => parse(variables), CniError, part);
  assertEquals(error.code, ErrorCode.invalidEnvironment);
}

// libcni's pkg/skel requires these.
const REQUIRED: Record<Command, string[]> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  GC: ["CNI_PATH"],
  STATUS: ["CNI_PATH"],
  VERSION: [],
};

for (const command of COMMANDS) {
  const required = REQUIRED[command];

  Deno.test(`${command} needs ${required.join(", ") || "nothing else"}, and no more`, () => {
    const all = Object.fromEntries(Object.keys(ENVIRONMENT).map((name) => [name, undefined]));
    const least: Variables = Object.fromEntries(required.map((name) => [name, ENVIRONMENT[name]]));
    const { CNI_CONTAINERID = "", CNI_NETNS = "", CNI_IFNAME = "", CNI_PATH } = least;
    assertEquals<object>(parse({ ...all, ...least, CNI_COMMAND: command }), {
      ...{ command, containerId: CNI_CONTAINERID, netns: CNI_NETNS, ifname: CNI_IFNAME },
      ...{ pluginDirectories: CNI_PATH ? [CNI_PATH] : [], args: new Map(), netnsOverride: false },
    });
  });

  Deno.test(`${command} names all that is missing at once, set but empty included`, () => {
    const empty = Object.fromEntries(required.map((name, i) => [name, i % 2 ? "" : undefined]));
    for (const missing of [empty, ...required.map((name) => ({ [name]: undefined }))]) {
      const names = Object.keys(missing);
      if (names.length === 0) return;
      assertRefused({ ...missing, CNI_COMMAND: command }, `required env variables [${names}] missing`);
    }
  });
}

Deno.test("anything else is no command", () => {
  for (const command of [undefined, "", "add", "UPDATE", "toString"]) {
    assertRefused({ CNI_COMMAND: command }, `unknown CNI_COMMAND ${JSON.stringify(command ?? "")}`);
  }
});

const ALLOWED = {
  CNI_CONTAINERID: ["0", "a", "A-._9", "f".repeat(200)],
  CNI_NETNS: ["/", "/run/netns/a b", "/proc/1/ns/net"],
  CNI_IFNAME: ["a", "net1", "a.b", "...", "a".repeat(15), "äöüß€éxy", "😀😀😀abc"],
};
const REFUSED = {
  CNI_CONTAINERID: ["-a", ".a", "_a", "a/b", "a b", "ä", "a\n", "a\0"],
  CNI_NETNS: ["netns", "run/netns/a", " /a", "/a\0b"],
  CNI_IFNAME: [
    ...["a".repeat(16), "äöüß€éxyz", "😀😀😀abcd", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u00a0b"],
    ...["a\u3000", "a\0", "a\ufffd"],
  ],
};

Deno.test("values have the forms that libcni allows", () => {
  for (const [name, values] of Object.entries(ALLOWED)) for (const value of values) parse({ [name]: value });
  for (const [name, values] of Object.entries(REFUSED)) {
    for (const value of values) assertRefused({ [name]: value }, `invalid ${name} ${JSON.stringify(value)}`);
  }
});

Deno.test("a wrong value counts also where the command does not need the variable, except for VERSION", () => {
  assertRefused({ CNI_COMMAND: "GC", CNI_IFNAME: ".." }, "CNI_IFNAME");
  assertEquals(parse({ CNI_COMMAND: "VERSION", CNI_IFNAME: ".." }).command, "VERSION");
});

Deno.test("CNI_NETNS_OVERRIDE is set by 1 and true", () => {
  assertMakes((value) => parse({ CNI_NETNS_OVERRIDE: value }).netnsOverride, [
    ...["1", "true", "TRUE"].map((value) => [value, true] as const),
    ...["0", "yes", ""].map((value) => [value, false] as const),
  ]);
});

Deno.test("CNI_ARGS has pairs, of which the last of a key counts; what is no pair is ignored", () => {
  assertMakes<string | undefined, Record<string, string>>(
    (args) => Object.fromEntries(parse({ CNI_ARGS: args }).args),
    [
      [undefined, {}],
      ["IgnoreUnknown=1;K8S_POD_NAME=a", { IgnoreUnknown: "1", K8S_POD_NAME: "a" }],
      ["a=b=c", { a: "b=c" }],
      ["a=first;a=last", { a: "last" }],
      ["a=", { a: "" }],
      ["a=\n;A=1; a=2", { a: "\n", A: "1", " a": "2" }],
      ["=;;;=a;nonsense;a=b", { a: "b" }],
    ],
  );
});

Deno.test("a trace is that of TRACEPARENT, in the form of W3C's Trace Context or a later one", () => {
  const [trace, span] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
  assertMakes(parseTraceId, [
    [`00-${trace}-${span}-01`, trace],
    [`01-${trace}-${span}-01-what-comes-later`, trace],
    [`00-${trace}-${span}-01-more`, undefined],
    [`ff-${trace}-${span}-01`, undefined],
    [`00-${"0".repeat(32)}-${span}-01`, undefined],
    [`00-${trace}-${"0".repeat(16)}-01`, undefined],
    [`00-${trace.toUpperCase()}-${span}-01`, undefined],
    [`00-${trace}-${span}-01\n`, undefined],
    [undefined, undefined],
  ]);
});
