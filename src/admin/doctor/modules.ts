import { listNetworkFunctions } from "../../kernel/inventory.ts";
import { getModuleState, getRelease } from "../../kernel/module.ts";
import type { Level } from "../verdict.ts";
import { type Finding, ok } from "./finding.ts";

/** Which module makes RDMA devices of the functions that a network driver is bound to. */
const RDMA_DRIVERS: ReadonlyMap<string, string> = new Map([
  ["mlx5_core", "mlx5_ib"],
  ["mlx4_core", "mlx4_ib"],
  ["ice", "irdma"],
  ["i40e", "irdma"],
  ["iavf", "irdma"],
  ["idpf", "irdma"],
  ["bnxt_en", "bnxt_re"],
  ["hns3", "hns_roce_hw_v2"],
  ["hclge", "hns_roce_hw_v2"],
  ["mana", "mana_ib"],
  ["ionic", "ionic_rdma"],
]);

interface Want {
  readonly name: string;
  readonly level: Level;
  readonly why: string;
}

const CORE: readonly Want[] = [
  { name: "ib_core", level: "problem", why: "there is no RDMA subsystem without it" },
  { name: "ib_uverbs", level: "problem", why: "programs in pods cannot use RDMA devices without it" },
  { name: "rdma_ucm", level: "warning", why: "programs in pods cannot use RDMA CM without it" },
];

/** Whether ib_core, what programs need of it, and the modules for this node's adapters are there. */
export function examineModules(root: string): Finding[] {
  const findings = [...CORE, ...wantedDrivers(root)].map((want) => examineModule(want, root));
  const present = findings.filter(({ level }) => level === "ok").map(({ text }) => text);
  const absent = findings.filter(({ level }) => level !== "ok");
  return present.length > 0 ? [ok("modules", present.join(", ")), ...absent] : absent;
}

function wantedDrivers(root: string): Want[] {
  const bound = new Set(listNetworkFunctions(root).map(({ driver }) => driver ?? ""));
  const wanted = new Map<string, string>();
  for (const driver of bound) {
    const name = RDMA_DRIVERS.get(driver);
    if (name !== undefined) wanted.set(name, driver);
  }
  // An adapter that is not used for RDMA is no problem.
  return Array.from(wanted, ([name, driver]) => {
    return { name, level: "warning", why: `functions of driver ${driver} have no RDMA devices without it` };
  });
}

function examineModule({ name, level, why }: Want, root: string): Finding {
  const state = getModuleState(name, root);
  if (state === "loaded" || state === "built in") return ok("modules", `${name} ${state}`);
  if (state === "not loaded") {
    return {
      group: "modules",
      level,
      text: `${name} is not loaded: ${why}`,
      fix: `modprobe ${name} && echo ${name} > /etc/modules-load.d/${name}.conf`,
    };
  }
  return {
    group: "modules",
    level,
    text: `${name} is not among the modules of kernel ${getRelease(root)}: ${why}`,
    fix:
      "install the package with the rest of this kernel's modules (linux-modules-extra, kernel-modules-extra)",
  };
}
