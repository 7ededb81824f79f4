import type { Series } from "./prometheus.ts";

/** What is drawn of a dashboard of Grafana, as it exports it. */
export interface Dashboard {
  title: string;
  panels: Panel[];
}

export interface Panel {
  title: string;
  type: string;
  /** Place on a grid of 24 columns. */
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig: {
    defaults: { unit: string; thresholds?: { steps: { color: string; value: number | null }[] } };
  };
  targets: { expr: string; legendFormat: string }[];
  transformations?: { options: { excludeByName: Record<string, boolean> } }[];
}

/** What Prometheus answered to the dashboard's expressions. */
export interface Answers {
  /** Of the first and the last value, in seconds since 1970, and the seconds between values. */
  start: number;
  end: number;
  step: number;
  /** The answer to each expression. */
  answers: Record<string, Series[]>;
}
