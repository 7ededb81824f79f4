import { until } from "./sh.ts";

const FILE = "/run/kernel.log";
const BAD = /WARNING:|BUG:|Oops|cut here|Call Trace|general protection|refcount_t:|blocked for more than/;

/** All that the kernel logs, from its start on. Read as it comes, since the kernel keeps only the end of it. */
export class KernelLog implements Disposable {
  readonly #reader = new Deno.Command("sh", {
    args: ["-c", `exec cat /dev/kmsg >${FILE} 2>&1`],
    stdin: "null",
  }).spawn();
  #marks = 0;
  #length = 0;

  /** A warning of the kernel since the last time this was asked, with what follows it. */
  async takeWarning(): Promise<string | undefined> {
    const mark = `the log up to here: ${++this.#marks}`;
    Deno.writeTextFileSync("/dev/kmsg", `<7>${mark}\n`, { create: false });
    await until("the kernel's log is read", () => this.#read().includes(mark));
    const text = this.#read();
    const start = text.search(BAD);
    this.#length += text.length;
    return start < 0 ? undefined : text.slice(start, start + 4000);
  }

  readonly #read = () => Deno.readTextFileSync(FILE).slice(this.#length);

  [Symbol.dispose](): void {
    this.#reader.kill("SIGKILL");
  }
}
