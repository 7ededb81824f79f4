import { CniError, ErrorCode } from "../../cni/error.ts";
import { ifPresent, replaceFile, temporaryPath } from "../../sys/files.ts";
import {
  type Attachment,
  type AttachmentRecord,
  formatRecord,
  isRecordOf,
  type OwnRecord,
  parseRecord,
} from "./record.ts";
import { messageOf } from "../../sys/errno.ts";

/** The directory where the Go plugin keeps its records too, so that a node can be switched over with pods running. */
export const STATE_DIRECTORY = "/var/lib/cni/rdma";

/** Bytes, a hundred times what a record has. */
const RECORD_LIMIT = 64 * 1024;

/** A record and the name of its file. */
export interface StoredRecord extends AttachmentRecord {
  readonly file: string;
}

/** A file that has no record that can be used, and why. */
export interface UnreadableFile {
  readonly file: string;
  readonly fault: string;
}

/** The content of an attachment's file: one of these, or nothing. */
export interface Found {
  readonly record?: StoredRecord;
  /** The record of another attachment, whose parts join to the same name. */
  readonly other?: StoredRecord;
  /** The reason why there is no record that can be used. */
  readonly fault?: string;
}

/** Returns whether a file of the state directory has a record. */
export function isRecord(found: StoredRecord | UnreadableFile): found is StoredRecord {
  return !("fault" in found);
}

function describeFault({ uid, mode }: Deno.FileInfo): string | undefined {
  if ([0, Deno.uid()].includes(uid) && (mode! & 0o022) === 0) return undefined;
  const rights = (mode! & 0o7777).toString(8).padStart(4, "0");
  return `others can write there: its owner is ${uid} and its mode ${rights}, want 0 and 0700`;
}

/**
 * The attachment records, one file each. Whoever writes must hold the lock on the directory. Names that start with a dot
 * are temporary; no network's name can.
 */
export class State {
  constructor(readonly directory: string) {}

  /** The name of an attachment's file, the same as the Go plugin's. */
  fileOf({ network, containerID, ifname }: Attachment): string {
    return `${network}-${containerID}-${ifname}`;
  }

  /**
   * Makes the directory, for root alone, unless it is there.
   *
   * @throws {CniError} code 5, also for a directory in which others could plant records
   */
  create(): void {
    const { directory } = this;
    const found = this.#io("find", directory, () => ifPresent(() => Deno.statSync(directory)));
    if (!found?.isDirectory) {
      return this.#io("create", directory, () => Deno.mkdirSync(directory, { recursive: true, mode: 0o700 }));
    }
    const fault = describeFault(found);
    if (fault === undefined) return;
    this.#io("use", directory, () => {
      throw new Error(fault);
    });
  }

  /** Returns why no ADD uses the directory; undefined when it is as it should be, or not there. @throws {CniError} code 5 */
  findFault(): string | undefined {
    const { directory } = this;
    const found = this.#io("find", directory, () => ifPresent(() => Deno.statSync(directory)));
    return found?.isDirectory ? describeFault(found) : undefined;
  }

  exists(): boolean {
    return ifPresent(() => Deno.lstatSync(this.directory)) !== undefined;
  }

  /** Returns what the file of an attachment has; nothing when there is no file. @throws {CniError} code 5 */
  find(attachment: Attachment): Found {
    const found = this.read(this.fileOf(attachment));
    if (!found) return {};
    if (!isRecord(found)) return { fault: found.fault };
    return isRecordOf(found, attachment) ? { record: found } : { other: found };
  }

  /**
   * Writes a record so that at any instant the file holds the old record or the new one, whole. It does not wait for
   * the disk: after a reboot all devices are in the host namespace, so a record means nothing.
   *
   * @throws {CniError} code 5
   */
  save(record: OwnRecord): void {
    const path = `${this.directory}/${this.fileOf(record.attachment)}`;
    this.#io("write", path, () => replaceFile(path, formatRecord(record), 0o600));
  }

  /** Removes a record and what a crash while writing it may have left. @throws {CniError} code 5 */
  remove(file: string): void {
    const path = `${this.directory}/${file}`;
    this.#io("remove", path, () => {
      const temporary = temporaryPath(path);
      ifPresent(() => Deno.removeSync(temporary));
      ifPresent(() => Deno.removeSync(path));
    });
  }

  /** All records that can be used. @throws {CniError} code 5 */
  list(): StoredRecord[] {
    return this.listFiles().filter(isRecord);
  }

  /** All files, but for temporary ones. @throws {CniError} code 5 */
  listFiles(): (StoredRecord | UnreadableFile)[] {
    const files = this.#entries().map(({ name }) => name).filter((name) => !name.startsWith("."));
    return files.sort().flatMap((file) => this.read(file) ?? []);
  }

  /**
   * One file of the directory, or undefined when it is not there. No symbolic link is followed: the directory is ours,
   * what a link in it points at is not.
   *
   * @throws {CniError} code 5
   */
  read(file: string): StoredRecord | UnreadableFile | undefined {
    const path = `${this.directory}/${file}`;
    const found = this.#io("read", path, () => ifPresent(() => Deno.lstatSync(path)));
    if (!found) return undefined;
    const unreadable = (why: string) => ({
      file,
      fault: `Cannot use record ${JSON.stringify(path)}: ${why}`,
    });
    if (!found.isFile) return unreadable("it is not a regular file");
    if (found.size > RECORD_LIMIT) {
      return unreadable(`it has ${found.size} bytes, want at most ${RECORD_LIMIT}`);
    }
    try {
      return { file, ...parseRecord(Deno.readTextFileSync(path), found.mtime?.getTime() ?? 0) };
    } catch (error) {
      return unreadable(messageOf(error));
    }
  }

  /**
   * Removes what crashes left. Only for the holder of the lock, since a writer's file looks the same. A directory is
   * none of a writer's, and would fail to go if something is in it.
   */
  removeLeftovers(): void {
    for (const { name, isDirectory } of this.#entries()) {
      if (isDirectory || !(name.startsWith(".") && name.endsWith(".tmp"))) continue;
      const path = `${this.directory}/${name}`;
      this.#io("remove", path, () => ifPresent(() => Deno.removeSync(path)));
    }
  }

  #entries(): Deno.DirEntry[] {
    const { directory } = this;
    return this.#io("list", directory, () => ifPresent(() => [...Deno.readDirSync(directory)]) ?? []);
  }

  #io<T>(verb: string, path: string, work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw new CniError(
        ErrorCode.ioFailure,
        `Cannot ${verb} ${JSON.stringify(path)}: ${messageOf(cause)}`,
        `the plugin keeps its records in ${this.directory}: it must be writable, for root alone, and have space left`,
        { cause },
      );
    }
  }
}
