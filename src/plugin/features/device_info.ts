import { type Call, keepNumber } from "../config/config.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { directoryOf, ifPresent, type OpenDirectory, replaceFile, temporaryPath } from "../../sys/files.ts";
import { ENOTDIR, messageOf, quietly, SyscallError } from "../../sys/errno.ts";
import type { Node } from "../node.ts";
import { isObject } from "../config/rules.ts";

/** Far more than the keys of the specification take. */
const SIZE_LIMIT = 64 * 1024;
/** As the libraries of other plugins make the file. */
const MODE = 0o444;

type Json = Record<string, unknown>;

/** A device information file that can be written. */
export interface DeviceInfoFile extends Disposable {
  /** @param devices names of the RDMA devices in the pod @throws {CniError} code 5 */
  write(devices: readonly string[]): void;
}

/**
 * Opens the device information file that the runtime named (k8snetworkplumbingwg/device-info-spec 1.1.0, sections 3 and
 * 4.2) and makes sure that it can be used, before anything is moved. The specification knows PCI devices only; files of
 * its other types are left alone.
 *
 * @returns undefined when there is nothing to write
 * @throws {CniError} code 7 when a symbolic link is in the way, 5 when what is there cannot be used
 */
export function openDeviceInfo(
  { config, log }: Call,
  { kernel }: Node,
  deviceId: string,
): DeviceInfoFile | undefined {
  const { deviceInfoFile: path } = config;
  if (path === undefined) return undefined;
  if (kernel.getBusDevice(deviceId)?.bus !== "pci") {
    log.debug(`Device information files are for PCI devices: ${path} is not written`);
    return undefined;
  }
  using opened = new DisposableStack();
  const file = `${opened.use(openParent(kernel, path)).path}/${nameOf(path)}`;
  const found = readInfo(path, file);
  const info = found ?? { type: "pci", version: "1.1.0", pci: { "pci-address": deviceId } };
  if (info["type"] !== "pci") {
    log.info(`Device information file ${path} is of type ${JSON.stringify(info["type"])}: not written`);
    return undefined;
  }
  const pci = info["pci"];
  if (!isObject(pci)) throw failure("use", path, '"pci" is not an object');
  const moved = opened.move();
  return {
    write: (devices) =>
      attempt("write", path, () => {
        pci["rdma-device"] = devices.join(",");
        replaceFile(file, JSON.stringify(info), MODE);
      }),
    [Symbol.dispose]: () => moved.dispose(),
  };
}

/** Removes what an ADD that was killed may have left beside the file. The file itself is the runtime's to remove. */
export function removeLeftover({ config: { deviceInfoFile: path } }: Call, { kernel }: Node): void {
  if (path === undefined) return;
  // It is not there, or does no harm.
  quietly(() => {
    using directory = openParent(kernel, path, false);
    Deno.removeSync(temporaryPath(`${directory.path}/${nameOf(path)}`));
  });
}

function openParent(kernel: Kernel, path: string, make = true): OpenDirectory {
  const [, base = "", below = ""] = /^((?:\/var)?\/run)\/(.*)$/s.exec(directoryOf(path)) ?? [];
  return attempt("open the directory of", path, () => {
    try {
      return kernel.openDirectoryBelow(base, below.split("/"), make);
    } catch (error) {
      throw error instanceof SyscallError && error.errno === ENOTDIR ? outside(path, error) : error;
    }
  });
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function readInfo(path: string, file: string): Json | undefined {
  return attempt("read", path, () => {
    const found = ifPresent(() => Deno.lstatSync(file));
    if (!found) return undefined;
    if (found.isSymlink) throw outside(path);
    if (!found.isFile) throw failure("read", path, "it is not a regular file");
    if (found.size > SIZE_LIMIT) throw failure("read", path, `it is longer than ${SIZE_LIMIT} bytes`);
    const info = JSON.parse(Deno.readTextFileSync(file), keepNumber);
    if (!isObject(info)) throw failure("read", path, "it is not a JSON object");
    return info;
  });
}

function attempt<T>(verb: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof CniError) throw error;
    throw failure(verb, path, messageOf(error));
  }
}

function failure(verb: string, path: string, reason: string): CniError {
  return new CniError(
    ErrorCode.ioFailure,
    `Cannot ${verb} device information file ${JSON.stringify(path)}: ${reason}`,
    'the runtime named it as runtimeConfig.CNIDeviceInfoFile; without the capability "CNIDeviceInfoFile" none is written',
  );
}

function outside(path: string, cause?: unknown): CniError {
  const quoted = JSON.stringify(path);
  return new CniError(
    ErrorCode.invalidConfig,
    `Cannot use runtimeConfig.CNIDeviceInfoFile ${quoted}: a symbolic link, or a file, is in the way`,
    "it must be a file below /var/run/k8s.cni.cncf.io/devinfo, in directories that are none of them links",
    { cause },
  );
}
