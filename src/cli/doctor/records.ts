/** The records of the plugin, compared with the kernel. */
import { ok, problem, type Verdict, warning } from "../report.ts";
import { findStateFault } from "../../node/faults.ts";
import { judge, quote } from "../../node/fate.ts";
import type { Inventory } from "../../node/inventory.ts";
import { State, STATE_DIRECTORY, type StoredRecord } from "../../plugin/record/state.ts";
import type { ExaminedNode } from "./finding.ts";

/** The state directory below a root. */
export function stateDirectory(root: string): string {
  return `${root}${STATE_DIRECTORY}`;
}

/** Examines whether the records match the kernel: a line for each that does not, and one for all others. */
export function examineRecords({ root, executable }: ExaminedNode, inventory: Inventory): Verdict[] {
  const directory = stateDirectory(root);
  const { records, unreadable } = inventory;
  const fault = findStateFault(new State(directory));
  const unsafe = fault ? [problem(fault.text, fault.fix)] : [];
  const faults = [
    ...unreadable.map(({ file, fault }) =>
      warning(`${fault}; the pod's DEL will use only the deviceID`, `rm ${quote(`${directory}/${file}`)}`)
    ),
    ...records.flatMap((record) => examineRecord(inventory, record, quote(executable)) ?? []),
  ];
  const good = records.length + unreadable.length - faults.length;
  if (good === 0 && faults.length > 0) return [...unsafe, ...faults];
  return [ok(good === 0 ? "none" : `${good} in ${directory} that match the kernel`), ...unsafe, ...faults];
}

function examineRecord(inventory: Inventory, record: StoredRecord, program: string): Verdict | undefined {
  const { state, reason, remedy = "" } = judge(inventory, record, program);
  const { file } = record;
  switch (state) {
    case "present":
      return undefined;
    case "missing":
      return problem(`${file}: ${reason}`, remedy);
    default:
      return warning(`${file}${state === "stale" ? " is stale" : ""}: ${reason}`, remedy);
  }
}
