import { fileURLToPath } from "node:url";
import { parseCast } from "./cast.ts";
import type { Answers, Dashboard } from "./dashboard.ts";
import { dashboardSvg } from "./dashboard_svg.ts";
import { terminalSvg } from "./terminal_svg.ts";

/** Where recordings and pictures are, with a slash at its end. */
export const PICTURES = fileURLToPath(new URL(".", import.meta.url));
/** What Prometheus answered, as JSON. */
export const ANSWERS = `${PICTURES}dashboard.json`;

const DASHBOARD = fileURLToPath(
  new URL("../../deployment/monitoring/grafana-dashboard.json", import.meta.url),
);

export function readDashboard(): Dashboard {
  return JSON.parse(Deno.readTextFileSync(DASHBOARD));
}

/** Draws all recordings: SVGs by the names of their files. */
export function drawPictures(): Map<string, string> {
  const casts = [...Deno.readDirSync(PICTURES)].map(({ name }) => name).filter((name) =>
    name.endsWith(".cast")
  );
  const answers: Answers = JSON.parse(Deno.readTextFileSync(ANSWERS));
  return new Map([
    ...casts.map((name): [string, string] => [
      name.replace(/cast$/, "svg"),
      terminalSvg(parseCast(Deno.readTextFileSync(PICTURES + name))),
    ]),
    ["dashboard.svg", dashboardSvg(readDashboard(), answers)],
  ]);
}
