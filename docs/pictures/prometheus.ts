import { run } from "../../tests/rig/vm/node/packages.ts";

/** One series of an answer: labels, and values over time. */
export interface Series {
  metric: Record<string, string>;
  /** Seconds since 1970, and a number as text. */
  values: [seconds: number, value: string][];
}

/** A Prometheus that scrapes one exporter, in a temporary directory. */
export interface Prometheus extends AsyncDisposable {
  /** Evaluates an expression over time, in seconds. @throws {Error} with Prometheus' words, if it refuses */
  query(expression: string, range: { start: number; end: number; step: number }): Promise<Series[]>;
}

const READY_MS = 30_000;

/**
 * Starts the Prometheus of Debian's package, which is unpacked but not installed.
 *
 * @param target host and port of the exporter
 * @throws {Error} if the package cannot be had, or if the program does not start
 */
export async function startPrometheus(target: string, scrapeSeconds: number): Promise<Prometheus> {
  const directory = await Deno.makeTempDir();
  const remove = () => Deno.remove(directory, { recursive: true });
  try {
    await run("apt-get", ["update"]);
    await run("apt-get", ["--option=APT::Sandbox::User=root", "download", "prometheus"], directory);
    const [{ name: archive } = { name: "" }] = [...Deno.readDirSync(directory)];
    await run("dpkg", ["--extract", archive, "."], directory);
    const configuration = {
      global: { scrape_interval: `${scrapeSeconds}s` },
      scrape_configs: [{
        job_name: "node",
        honor_labels: true,
        static_configs: [{ targets: [target], labels: { instance: "node-1" } }],
      }],
    };
    await Deno.writeTextFile(`${directory}/prometheus.yml`, JSON.stringify(configuration));
    const address = `127.0.0.1:${freePort()}`;
    const child = new Deno.Command(`${directory}/usr/bin/prometheus`, {
      args: [
        `--config.file=${directory}/prometheus.yml`,
        `--storage.tsdb.path=${directory}/data`,
        `--web.listen-address=${address}`,
        "--log.level=error",
      ],
      stdin: "null",
      stdout: "null",
    }).spawn();
    const stop = async () => {
      child.kill();
      await child.status;
      await remove();
    };
    await untilReady(`http://${address}/-/ready`).catch((error) => stop().then(() => Promise.reject(error)));
    return {
      query: async (expression, { start, end, step }) => {
        const words = new URLSearchParams({
          query: expression,
          start: `${start}`,
          end: `${end}`,
          step: `${step}`,
        });
        const answer = await (await fetch(`http://${address}/api/v1/query_range?${words}`)).json();
        if (answer.status !== "success") {
          throw new Error(`Prometheus refuses "${expression}": ${answer.error}`);
        }
        return answer.data.result;
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await remove().catch(() => {});
    throw error;
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (performance.now() < deadline) {
    const isReady = await fetch(url).then(async (response) => {
      await response.body?.cancel();
      return response.ok;
    }, () => false);
    if (isReady) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`Cannot start Prometheus: not ready after ${READY_MS / 1000} s`);
}
