/** `install` in a temporary directory, with files that stand for the program and its library. */
import { CommandError, type ExitCode } from "../../src/cli/errors.ts";
import { checkInstalled, install } from "../../src/cli/install/install.ts";
import { uninstall } from "../../src/cli/install/uninstall.ts";
import { LinuxKernel } from "../../src/kernel/linux.ts";
import type { Result } from "../../src/cli/terminal.ts";
import { State } from "../../src/plugin/record/state.ts";
import { ifPresent } from "../../src/sys/files.ts";
import { libc } from "../../src/sys/libc.ts";
import { VERSION } from "../../src/version.ts";
import { assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { LAUNCHER } from "../support/launcher.ts";
import { TestTerminal } from "../support/terminal.ts";

libc(); // stays open; opened within a test it would be taken for a leak of that test

/** A program that answers as this one does. */
export const SCRIPT = `#!/bin/sh\necho rdma-cni ${VERSION}\nexit # one\n`;

export const KERNEL = new LinuxKernel();

/** A directory of plugins, the files to install, and what the command printed. */
export class InstallNode implements Disposable {
  readonly temporary = Deno.makeTempDirSync();
  readonly directory = `${this.temporary}/bin`;
  readonly plugin = `${this.directory}/rdma`;
  readonly own = `${this.directory}/.rdma-cni`;
  readonly libmnl = `${this.own}/libmnl.so.0`;
  readonly current = `${this.own}/current`;
  readonly sources = {
    executable: `${this.temporary}/rdma-cni`,
    libmnl: `${this.temporary}/libmnl.so.0.2.0`,
    launcher: LAUNCHER[Deno.build.arch],
  };
  readonly state = new State(`${this.temporary}/state`);
  readonly terminal = new TestTerminal();
  /** The last result for programs. */
  value: unknown;
  #code: ExitCode | undefined;

  constructor() {
    Deno.mkdirSync(this.directory);
    Deno.writeTextFileSync(this.sources.libmnl, "library");
    this.writeExecutable(SCRIPT);
  }

  writeExecutable(content: string | Uint8Array, mode = 0o755): void {
    const { executable } = this.sources;
    Deno.writeFileSync(executable, typeof content === "string" ? new TextEncoder().encode(content) : content);
    Deno.chmodSync(executable, mode);
  }

  /** Returns what was printed for people. */
  install(options = {}): string {
    return this.#print(() => install(this.terminal, KERNEL, this.directory, this.sources, options));
  }

  uninstall(options = {}): string {
    return this.#print(() => uninstall(this.terminal, KERNEL, this.directory, this.state, options));
  }

  /** Returns what was printed, with names of programs cut short, and without the directory. */
  #print(run: () => Result): string {
    Object.assign(this.terminal, { stdout: "", stderr: "" });
    const result = run();
    this.#code = this.terminal.print(result);
    this.value = result.value;
    return (this.terminal.stdout + this.terminal.stderr)
      .replaceAll(`${this.directory}/`, "").replace(/rdma-cni-[^/]*-[0-9a-f]{12}/g, "PROGRAM");
  }

  /** Returns the line that was printed, without the directory. */
  check(want: ExitCode): string {
    const line = this.#print(() => checkInstalled(this.directory, this.sources));
    assertEquals(this.#code, want, line);
    return line;
  }

  /** What the installed plugin prints, with the program that the link leads to. */
  version(): string {
    const { stdout } = new Deno.Command(this.plugin, { args: ["--version"] }).outputSync();
    return new TextDecoder().decode(stdout);
  }

  /** The content of the program that the link leads to. */
  program(): string {
    return Deno.readTextFileSync(this.current);
  }

  /** Names in the plugin's own directory. */
  ownFiles(): string[] {
    return [...Deno.readDirSync(this.own)].map(({ name }) => name).sort();
  }

  /** Asserts that installing fails with these words, and that the directory of plugins is as it was. */
  refuse(words: RegExp, advice: RegExp): void {
    const before = this.files();
    const error = assertThrows(() => this.install(), CommandError);
    assertMatch(error.message, words);
    assertMatch(error.advice!, advice);
    assertEquals(this.files(), before);
    const own = ifPresent(() => this.ownFiles()) ?? [];
    assertEquals(own.filter((name) => /^\.(rdma-cni|libmnl|current).*\.tmp$/.test(name)), []);
  }

  /** Names in the directory of plugins, hidden ones too, without the plugin's own directory. */
  files(): string[] {
    const entries = ifPresent(() => [...Deno.readDirSync(this.directory)]) ?? [];
    return entries.map(({ name }) => name).filter((name) => name !== ".rdma-cni").sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.temporary, { recursive: true });
  }
}
