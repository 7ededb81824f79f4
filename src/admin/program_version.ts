const OUTPUT_LIMIT = 4096;

/** How a program answered to `--version`: not at all within the time limit, or with what it printed. */
export type Answer =
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "silent" }
  | { readonly kind: "text"; readonly text: string };

/** Runs a program with `--version` and nothing else; it is killed when the time is up. */
export async function askVersion(path: string, timeUp: AbortSignal): Promise<Answer> {
  let child: Deno.ChildProcess;
  try {
    const piped = { stdin: "null", stdout: "piped", stderr: "piped" } as const;
    child = new Deno.Command(path, { args: ["--version"], clearEnv: true, ...piped }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "absent" };
    return { kind: "failed", reason: (error as Error).message };
  }
  timeUp.addEventListener("abort", () => kill(child));
  const [stdout, stderr] = await Promise.all([
    collect(child.stdout, timeUp),
    collect(child.stderr, timeUp),
    child.status,
  ]);
  return timeUp.aborted ? { kind: "silent" } : { kind: "text", text: stdout + stderr };
}

/** What comes until the end, until the time is up (another process may keep the pipe open), or until it is too much. */
async function collect(stream: ReadableStream<Uint8Array>, timeUp: AbortSignal): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const write = (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > OUTPUT_LIMIT) throw new RangeError("too much");
  };
  await stream.pipeTo(new WritableStream({ write }), { signal: timeUp }).catch(() => {});
  return text;
}

/** It may have ended, with another process keeping its output open. */
function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}
