/** The names that RDMA devices get in a pod when the configuration asks for some. */
import { CniError, ErrorCode } from "../cni/error.ts";

/** What is to happen when another device has the name: the call fails, or the device keeps the name it has. */
export const NAME_CONFLICTS = ["fail", "keep"] as const;

export type NameConflict = typeof NAME_CONFLICTS[number];

/** IB_DEVICE_NAME_MAX (uapi rdma/ib_user_verbs.h) is 64 with the zero at the end; the kernel cuts off what is longer. */
const MAX_BYTES = 63;

/**
 * Makes the names of an attachment's devices. `{ifname}` in the template stands for the interface, `{index}` for the
 * lowest number from 0 on that makes a name which is not taken.
 *
 * @param count how many devices there are
 * @param taken the names of the other devices in the pod
 * @returns one name a device; without `{index}` it can be one that is taken
 * @throws {CniError} code 7 when the template has another placeholder, several devices would get one name, or a name
 *   comes out that no device can have
 */
export function makeDeviceNames(
  template: string,
  ifname: string,
  count: number,
  taken: readonly string[],
): string[] {
  const placeholders = /\{(ifname|index)\}/g;
  if (/[{}]/.test(template.replace(placeholders, ""))) {
    throw invalid(template, "it has a placeholder other than {ifname} and {index}");
  }
  const isCounted = template.includes("{index}");
  if (count > 1 && !isCounted) {
    throw invalid(
      template,
      `the function has ${count} RDMA devices, and without {index} all get the same name`,
    );
  }
  const known = new Set(taken);
  return Array.from({ length: count }, () => {
    for (let index = 0;; index++) {
      const name = template.replace(
        placeholders,
        (placeholder) => placeholder === "{index}" ? `${index}` : ifname,
      );
      assertName(template, name);
      if (isCounted && known.has(name)) continue;
      known.add(name);
      return name;
    }
  });
}

/**
 * The kernel renames to almost anything. But a name becomes a directory in sysfs, which "/" would break; "%" is what
 * drivers have counted names made of ("mlx5_%d"); and scripts read names between white space.
 */
function assertName(template: string, name: string): void {
  const quoted = JSON.stringify(name);
  const length = lengthOf(name);
  if (length > MAX_BYTES) {
    throw invalid(template, `${quoted} has ${length} bytes, and a device's name ${MAX_BYTES} at most`);
  }
  if (name === "." || name === "..") throw invalid(template, `${quoted} is a directory's name`);
  if (/[/%\s\p{Cc}\p{Cs}]/u.test(name)) {
    throw invalid(template, `${quoted} has '/', '%', white space or a control character in it`);
  }
}

/** Whether the kernel takes a text for a device's name as it is. */
export function isDeviceName(text: string): boolean {
  return text !== "" && lengthOf(text) <= MAX_BYTES;
}

function lengthOf(name: string): number {
  return new TextEncoder().encode(name).length;
}

function invalid(template: string, fault: string): CniError {
  return new CniError(
    ErrorCode.invalidConfig,
    `Cannot name RDMA devices by "rdmaDeviceName" ${JSON.stringify(template)}: ${fault}`,
    'correct "rdmaDeviceName" in CNI_ARGS, in "args.cni" or in the network configuration, which count in this order',
  );
}
