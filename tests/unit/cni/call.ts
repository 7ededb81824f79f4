/** One call of the plugin as values: what the runtime sets and sends, and what came out. */
import { dispatch, type Handlers, type Process } from "../../../src/cni/dispatch.ts";
import { Log } from "../../../src/log.ts";

export const PREV_RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "net1", sandbox: "/run/netns/pod", mac: "02:03:00:00:48:50" }],
};

export const CONFIG = { cniVersion: "1.1.0", name: "net", type: "rdma", prevResult: PREV_RESULT };

export const ENVIRONMENT: Readonly<Record<string, string>> = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "container1",
  CNI_NETNS: "/run/netns/pod",
  CNI_IFNAME: "net1",
  CNI_PATH: "/opt/cni/bin",
};

/** Variables, of which undefined ones are not set. */
export type Variables = Record<string, string | undefined>;

export interface Outcome {
  code: number;
  /** Standard output, and the JSON it must be when it is not empty. */
  output: string;
  // deno-lint-ignore no-explicit-any -- tests look into results and errors of every kind
  json: any;
  /** Lines of the log on standard error and in the file. */
  lines: string[];
  fileLines: string[];
  /** What was done, in order: reads of the input, handlers. */
  done: string[];
}

interface Parts {
  variables?: Variables;
  /** Text as it is; anything else as JSON. */
  config?: unknown;
  handlers?: Partial<Handlers>;
  process?: Partial<Process>;
}

/** Runs the protocol with handlers that only note that they ran, unless others are given. */
export async function call(
  command: string,
  { variables, config, handlers, process }: Parts = {},
): Promise<Outcome> {
  const environment: Variables = { ...ENVIRONMENT, CNI_COMMAND: command, ...variables };
  const [lines, fileLines, done]: [string[], string[], string[]] = [[], [], []];
  let output = "";
  const log = new Log((line) => lines.push(line));
  const code = await dispatch({
    getEnv: (name) => environment[name],
    readInput: () => {
      done.push("input");
      return typeof config === "string" ? config : JSON.stringify(config ?? CONFIG);
    },
    writeOutput: (text) => {
      output += text;
    },
    openLogFile: () => log.addSink((line) => fileLines.push(line)),
    log,
    ...process,
  }, {
    add: (_call, print) => {
      done.push("add");
      print("{}");
    },
    del: () => done.push("del"),
    check: () => done.push("check"),
    gc: () => done.push("gc"),
    status: () => done.push("status"),
    isOwnNetns: () => false,
    ...handlers,
  });
  return { code, output, json: output === "" ? undefined : JSON.parse(output), lines, fileLines, done };
}
