import { getRelease } from "../../kernel/module.ts";
import { CommandError } from "../error.ts";
import { NEWER_KERNEL, tellingOldKernel } from "../netns_mode/old_kernel.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import type { Node } from "./node.ts";

/**
 * Whether the kernel has what the plugin needs: RDMA namespaces. It is asked itself, since adapters' driver packages
 * bring them to kernels whose version does not show that. When it cannot be asked, other groups say why.
 */
export function examineKernel({ kernel, root }: Node): Finding[] {
  const release = getRelease(root);
  try {
    tellingOldKernel(() => kernel.getRdmaMode());
  } catch (error) {
    if (!(error instanceof CommandError)) return [ok("kernel", release)];
    return [problem("kernel", `${release}: its RDMA subsystem knows no network namespaces`, NEWER_KERNEL)];
  }
  const lacks = listLacks(kernel);
  if (lacks.length === 0) return [ok("kernel", release)];
  return [
    warning(
      "kernel",
      `${release} works, but ${lacks.join(", and ")}`,
      "install kernel 5.14 or newer, reboot",
    ),
  ];
}

function listLacks(kernel: Node["kernel"]): string[] {
  const { hostNetns } = kernel;
  const [pf] = kernel.listPhysicalFunctions();
  const link = pf && hostNetns.getLink(pf.name);
  return [
    ...(hostNetns.getCookie() === undefined
      ? ["it identifies namespaces by numbers alone, which it uses again"]
      : []),
    ...(link && link.parentDevice === undefined
      ? ["it does not name the device below a network interface"]
      : []),
  ];
}
