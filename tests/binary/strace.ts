import { exists } from "../../src/kernel/sysfs.ts";

/** Starts a program whose kernel has no RDMA subsystem, whatever this machine's has. */
export const WITHOUT_RDMA = [
  ...["/usr/bin/strace", "-f", "-o", "/dev/null", "--trace=socket"],
  "--inject=socket:error=EPROTONOSUPPORT",
];

/** What a program asks of the kernel, a system call a line. */
export class Trace implements Disposable {
  readonly #file = Deno.makeTempFileSync();

  /** A command line that starts a program and writes down its calls: those of the kinds, or all. */
  by(...kinds: string[]): string[] {
    const path = "/usr/bin/strace";
    if (!exists(path)) throw new Error("Cannot trace system calls: install the package strace");
    const filter = kinds.length === 0 ? [] : [`--trace=${kinds.join(",")}`];
    return [path, "--follow-forks", "--string-limit=200", ...filter, `--output=${this.#file}`];
  }

  /** The lines, without process numbers. */
  lines(): string[] {
    return Deno.readTextFileSync(this.#file).split("\n").map((line) => line.replace(/^\d+ +/, ""));
  }

  calls(...names: string[]): string[] {
    return this.lines().filter((line) => names.some((name) => line.startsWith(`${name}(`)));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#file);
  }
}
