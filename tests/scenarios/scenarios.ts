import { ADD } from "./add.ts";
import { CHECK } from "./check.ts";
import { DEL } from "./del.ts";
import { GC } from "./gc.ts";
import { INFINIBAND } from "./infiniband.ts";
import { LATE } from "./late.ts";
import { NAMES } from "./names.ts";
import type { Scenario } from "./scenario.ts";

export const SCENARIOS: readonly Scenario[] = [
  ...ADD,
  ...DEL,
  ...NAMES,
  ...GC,
  ...CHECK,
  ...LATE,
  ...INFINIBAND,
];
