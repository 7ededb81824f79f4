import { assert, assertEquals } from "./assert.ts";

/** A sample of an answer: its labels, and its value as Prometheus writes it. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

/** Prometheus itself, which keeps its samples in a directory of its own. */
export class Prometheus implements AsyncDisposable {
  private constructor(
    private readonly child: Deno.ChildProcess,
    private readonly directory: string,
    private readonly address: string,
  ) {}

  /** @param configuration as in prometheus.yml */
  static async start(configuration: unknown): Promise<Prometheus> {
    const directory = await Deno.makeTempDir({ prefix: "prometheus-" });
    const file = `${directory}/prometheus.yml`; // JSON is YAML too
    await Deno.writeTextFile(file, JSON.stringify(configuration));
    const args = [`--config.file=${file}`, `--storage.tsdb.path=${directory}/data`];
    const child = new Deno.Command("prometheus", {
      args: [...args, "--web.listen-address=127.0.0.1:0"],
      ...{ stdin: "null", stdout: "null", stderr: "piped" },
    }).spawn();
    let log = "";
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const read = async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        log += text;
        const [, address] = /msg="Listening on" address=(\S+)/.exec(log) ?? [];
        if (address !== undefined && log.includes("Server is ready")) resolve(address);
      }
      reject(new Error(`Prometheus has ended:\n${log}`));
    };
    void read();
    return new Prometheus(child, directory, await promise);
  }

  /** Asks until the answer is as wanted, at most for half a minute. */
  async until(query: string, isWanted: (samples: readonly Sample[]) => boolean): Promise<void> {
    const end = Date.now() + 30_000;
    for (;;) {
      const samples = await this.query(query);
      if (isWanted(samples)) return;
      assert(Date.now() < end, `${query}: ${JSON.stringify(samples)}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async query(query: string): Promise<Sample[]> {
    return ((await this.ask("query", { query })) as { result: Sample[] }).result;
  }

  /** Asks the interface for programs, of version 1. */
  async ask(path: string, parameters: Record<string, string>): Promise<unknown> {
    const words = new URLSearchParams(parameters);
    const response = await fetch(`http://${this.address}/api/v1/${path}?${words}`);
    const { status, data, error } = await response.json();
    assertEquals([status, error], ["success", undefined], `${path}?${words}`);
    return data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.status;
    await Deno.remove(this.directory, { recursive: true });
  }
}
