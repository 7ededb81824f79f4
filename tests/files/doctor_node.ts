import type { Finding, Node } from "../../src/cli/doctor/finding.ts";
import { type AttachmentRecord, formatRecord } from "../../src/plugin/record/record.ts";
import { MemoryNodeKernel } from "../rig/memory/node_kernel.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";
import { Root } from "./root.ts";

/** A node for the doctor: a kernel in memory, and a directory that stands for "/". */
export class DoctorNode implements Node, Disposable {
  readonly kernel = new MemoryNodeKernel();
  readonly executable = "/usr/local/bin/rdma-cni";
  readonly files: Root;

  /** @param files absolute path -> content; a path that ends in "/" is a directory */
  constructor(files: Record<string, string> = {}) {
    this.files = new Root({ "/proc/sys/kernel/osrelease": "6.12.1\n" });
    for (const [path, text] of Object.entries(files)) this.write(path, text);
  }

  get root(): string {
    return this.files.path;
  }

  write(path: string, text: string): void {
    if (path.endsWith("/")) Deno.mkdirSync(`${this.root}${path}`, { recursive: true });
    else this.files.write(path, text);
  }

  /** Puts a link into the root, which may lead nowhere. */
  link(path: string, target: string): void {
    Deno.mkdirSync(`${this.root}${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.symlinkSync(target, `${this.root}${path}`);
  }

  record(file: string, content: AttachmentRecord | string): void {
    this.write(`/var/lib/cni/rdma/${file}`, typeof content === "string" ? content : formatRecord(content));
  }

  [Symbol.dispose](): void {
    this.files[Symbol.dispose]();
    assertEquals(this.kernel.open.size, 0, "a namespace was left open");
  }
}

/** Asserts what was found: level and words of each line, and words of what fixes it. */
export function assertFindings(
  findings: readonly Finding[],
  wanted: readonly (readonly [level: Finding["level"], text: RegExp, fix?: RegExp])[],
): void {
  assertEquals(findings.map(({ level }) => level), wanted.map(([level]) => level), JSON.stringify(findings));
  for (const [index, [, text, fix]] of wanted.entries()) {
    assertMatch(findings[index]!.text, text);
    assertEquals(findings[index]!.fix !== undefined, findings[index]!.level !== "ok");
    if (fix) assertMatch(findings[index]!.fix!, fix);
  }
}
