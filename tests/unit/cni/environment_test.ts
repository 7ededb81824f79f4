import { type Command, COMMANDS, parseEnvironment } from "../../../src/cni/environment.ts";
import { CniError, ErrorCode } from "../../../src/cni/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { ENVIRONMENT, type Variables } from "../../support/call.ts";

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
    const none = Object.fromEntries(Object.keys(ENVIRONMENT).map((name) => [name, undefined]));
    const least = Object.fromEntries(required.map((name) => [name, ENVIRONMENT[name]]));
    const { pluginDirectories: _, ...parsed } = parse({ ...none, ...least, CNI_COMMAND: command });
    const [containerId, netns, ifname] = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"].map((name) =>
      least[name] ?? ""
    );
    assertEquals<unknown>(parsed, {
      command,
      containerId,
      netns,
      ifname,
      args: new Map(),
      netnsOverride: false,
    });
  });

  Deno.test(`${command} names all that is missing at once, set but empty included`, () => {
    if (required.length === 0) return;
    const empty = Object.fromEntries(required.map((name, i) => [name, i % 2 ? "" : undefined]));
    assertRefused(
      { ...empty, CNI_COMMAND: command },
      `required env variables [${required.join(",")}] missing`,
    );
  });

  for (const name of required) {
    Deno.test(`${command} without ${name} names it alone`, () => {
      assertRefused({ CNI_COMMAND: command, [name]: undefined }, `required env variables [${name}] missing`);
    });
  }
}

for (const command of [undefined, "", "add", "UPDATE", "toString"]) {
  Deno.test(`CNI_COMMAND ${JSON.stringify(command)} is no command`, () => {
    assertRefused({ CNI_COMMAND: command }, `unknown CNI_COMMAND ${JSON.stringify(command ?? "")}`);
  });
}

const VALUES: { name: string; allowed: string[]; refused: string[] }[] = [
  {
    name: "CNI_CONTAINERID",
    allowed: ["0", "a", "A-._9", "f".repeat(200)],
    refused: ["-a", ".a", "_a", "a/b", "a b", "ä", "a\n", "a\0"],
  },
  {
    name: "CNI_NETNS",
    allowed: ["/", "/run/netns/a b", "/proc/1/ns/net"],
    refused: ["netns", "run/netns/a", " /a", "/a\0b"],
  },
  {
    name: "CNI_IFNAME",
    allowed: ["a", "net1", "a.b", "...", "a".repeat(15), "äöüß€éxy", "😀😀😀abc"],
    refused: [
      "a".repeat(16),
      "äöüß€éxyz",
      "😀😀😀abcd",
      ".",
      "..",
      "a/b",
      "a:b",
      "a b",
      "a\tb",
      "a\u00a0b",
      "a\u3000",
      "a\0",
    ],
  },
];

for (const { name, allowed, refused } of VALUES) {
  for (const value of allowed) {
    Deno.test(`${name} may be ${JSON.stringify(value)}`, () => {
      parse({ [name]: value });
    });
  }
  for (const value of refused) {
    Deno.test(`${name} must not be ${JSON.stringify(value)}`, () => {
      assertRefused({ [name]: value }, `invalid ${name} ${JSON.stringify(value)}`);
    });
  }
}

Deno.test("a wrong value counts also where the command does not need the variable, except for VERSION", () => {
  assertRefused({ CNI_COMMAND: "GC", CNI_IFNAME: ".." }, "CNI_IFNAME");
  assertEquals(parse({ CNI_COMMAND: "VERSION", CNI_IFNAME: ".." }).command, "VERSION");
});

Deno.test("what is not set reads as empty", () => {
  assertEquals(parse({ CNI_COMMAND: "DEL", CNI_NETNS: undefined }), {
    command: "DEL",
    containerId: "container1",
    netns: "",
    ifname: "net1",
    pluginDirectories: ["/opt/cni/bin"],
    args: new Map(),
    netnsOverride: false,
  });
});

for (
  const [value, override] of [["1", true], ["true", true], ["TRUE", true], ["0", false], ["yes", false], [
    "",
    false,
  ]] as const
) {
  Deno.test(`CNI_NETNS_OVERRIDE ${JSON.stringify(value)} is ${override}`, () => {
    assertEquals(parse({ CNI_NETNS_OVERRIDE: value }).netnsOverride, override);
  });
}

const ARGS: [args: string | undefined, pairs: [key: string, value: string][]][] = [
  [undefined, []],
  ["", []],
  ["rdmaDeviceName=rdma0", [["rdmaDeviceName", "rdma0"]]],
  ["IgnoreUnknown=1;K8S_POD_NAME=a", [["IgnoreUnknown", "1"], ["K8S_POD_NAME", "a"]]],
  ["a=b=c", [["a", "b=c"]]],
  ["a=first;a=last", [["a", "last"]]],
  ["a=", [["a", ""]]],
  ["a", []],
  ["a=\n;A=1; a=2", [["a", "\n"], ["A", "1"], [" a", "2"]]],
  ["=;;;=a;nonsense;a=b", [["a", "b"]]],
];

for (const [args, pairs] of ARGS) {
  Deno.test(`CNI_ARGS ${JSON.stringify(args)} has ${pairs.length} pairs`, () => {
    assertEquals([...parse({ CNI_ARGS: args }).args], pairs);
  });
}
