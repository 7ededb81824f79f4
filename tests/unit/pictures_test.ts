// The documents' pictures: what terminals and dashboards become when they are drawn.
import { type Cast, cutIdle, formatCast, parseCast } from "../../docs/pictures/cast.ts";
import type { Answers, Dashboard } from "../../docs/pictures/dashboard.ts";
import { dashboardSvg } from "../../docs/pictures/dashboard_svg.ts";
import type { Series } from "../../docs/pictures/prometheus.ts";
import { escapeXml } from "../../docs/pictures/svg.ts";
import { Terminal } from "../../docs/pictures/terminal.ts";
import { terminalSvg } from "../../docs/pictures/terminal_svg.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";

function linesOf(width: number, ...texts: string[]) {
  const terminal = new Terminal(width);
  for (const text of texts) terminal.write(text);
  return terminal.lines;
}

const cast = (events: Cast["events"], more: Partial<Cast> = {}): Cast => ({
  width: 20,
  height: 2,
  title: "A test",
  events,
  ...more,
});

Deno.test("pictures: a terminal's text has the styles that were set before it, until they are reset", () => {
  assertEquals(linesOf(20, "a\x1b[31mb\x1b[1mc\x1b[0md \x1b[1;32me\x1b[mf"), [[
    { column: 0, text: "a" },
    { column: 1, text: "b", colour: "red" },
    { column: 2, text: "c", colour: "red", bold: true },
    { column: 3, text: "d " },
    { column: 5, text: "e", colour: "green", bold: true },
    { column: 6, text: "f" },
  ]]);
});

Deno.test("pictures: a terminal wraps at its width, keeps empty lines and joins what comes in parts", () => {
  const texts = linesOf(4, "abcdef\r\n", "\r\n", "ab", "cd\r\n").map((line) => line.map(({ text }) => text));
  assertEquals(texts, [["abcd"], ["ef"], [], ["ab", "cd"]]);
});

Deno.test("pictures: what a terminal cannot draw is refused", () => {
  assertThrows(() => linesOf(9, "\x1b[2J"), Error, 'Cannot draw the control character "\\u001b"');
  assertThrows(() => linesOf(9, "a\rb"), Error, 'Cannot draw the control character "\\r"');
  assertThrows(() => linesOf(9, "\x1b[7mb"), Error, 'Cannot draw the style "7"');
});

Deno.test("pictures: a recording is read as it was written, and its pauses are cut", () => {
  const recorded = cast([[0, "a\r\n"], [0.5, "b"], [60.5, "\x1b[0m"], [61, "c"]]);
  assertEquals(parseCast(formatCast(recorded)), recorded);
  assertEquals(formatCast(recorded).split("\n")[1], '[0,"o","a\\r\\n"]');
  assertEquals(cutIdle(recorded, 2).events.map(([seconds]) => seconds), [0, 0.5, 2.5, 3]);
});

Deno.test("pictures: text is escaped for XML", () => {
  assertEquals(escapeXml('<a b="&">'), "&#60;a b=&#34;&#38;&#34;&#62;");
  const svg = terminalSvg(cast([[0, "a <b> &&\r\n"]], { title: "<&" }));
  assertStringIncludes(svg, ">a &#60;b&#62; &#38;&#38;</text>");
  assertStringIncludes(svg, "<title>&#60;&#38;</title>");
});

Deno.test("pictures: each column of a line has its place and width, in whichever font", () => {
  const svg = terminalSvg(cast([[0, "  one two  \x1b[1;31mthree\x1b[0m\r\n"]]));
  assertStringIncludes(svg, '<text x="16" y="14" textLength="56">one two</text>');
  assertStringIncludes(svg, '<text x="88" y="14" textLength="40" class="red bold">three</text>');
});

Deno.test("pictures: what fits on the terminal stands still", () => {
  const svg = terminalSvg(cast([[0, "a\r\n"], [1, "b\r\n"]]));
  assert(!/animation|keyframes|cover/.test(svg), svg);
});

Deno.test("pictures: what does not fit scrolls, each line at its time, and begins again after the last", () => {
  const svg = terminalSvg(cast([[0, "a\r\n"], [1, "b\r\n"], [2, "c\r\n"], [99, "d\r\n"]]));
  // 2 s at half speed and a pause that is cut to 2 s, then 8 s for the last lines
  assertStringIncludes(svg, "animation: cover 14.0s step-end infinite");
  const frames = (name: string) =>
    [...svg.split(`@keyframes ${name} {`)[1]!.split(" }")[0]!.matchAll(
      /([\d.]+)%\{transform:translateY\((-?\d+)px\)/g,
    )]
      .map(([, at, y]) => [Number(at), Number(y)]);
  // at first one of the terminal's two lines is covered; then it is full, and lines go up
  assertEquals(frames("cover"), [[0, -19], [14.29, 0]]);
  assertEquals(frames("scroll"), [[0, 0], [28.57, -19], [42.86, -38]]);
  // without motion: the last lines
  assertStringIncludes(svg, "#lines { transform: translateY(-38px)");
  assertStringIncludes(svg, "@media (prefers-reduced-motion: reduce) { #lines, #cover { animation: none } }");
});

const DASHBOARD: Dashboard = {
  title: "Devices & pods",
  panels: [
    {
      title: "Missing",
      type: "stat",
      gridPos: { x: 0, y: 0, w: 4, h: 4 },
      fieldConfig: {
        defaults: {
          unit: "none",
          thresholds: { steps: [{ color: "green", value: null }, { color: "red", value: 1 }] },
        },
      },
      targets: [{ expr: "missing", legendFormat: "" }],
    },
    {
      title: "Who",
      type: "table",
      gridPos: { x: 12, y: 0, w: 12, h: 8 },
      fieldConfig: { defaults: { unit: "none" } },
      targets: [{ expr: "who", legendFormat: "" }],
      transformations: [{ options: { excludeByName: { job: true } } }],
    },
    {
      title: "Received",
      type: "timeseries",
      gridPos: { x: 0, y: 8, w: 12, h: 8 },
      fieldConfig: { defaults: { unit: "Bps" } },
      targets: [{ expr: "received", legendFormat: "{{pod}} {{device}}" }],
    },
  ],
};

const series = (metric: Series["metric"], ...values: Series["values"]): Series => ({ metric, values });

const ANSWERS: Answers = {
  start: 60,
  end: 120,
  step: 20,
  answers: {
    missing: [series({}, [60, "0"], [120, "2"])],
    who: [
      series({ pod: "trainer-0", job: "node" }, [60, "1"], [120, "1"]),
      series({ pod: "trainer-1", job: "node" }, [60, "1"]),
    ],
    received: [series({ pod: "trainer-0", device: "mlx5_0" }, [60, "0"], [80, "3e6"], [120, "1e6"])],
  },
};

Deno.test("pictures: a dashboard's number has the last value, in the colour of its threshold", () => {
  assertEquals(/<text class="(\w+) number"[^>]*>(.*?)</.exec(dashboardSvg(DASHBOARD, ANSWERS))?.slice(1), [
    "red",
    "2",
  ]);
});

Deno.test("pictures: a dashboard's table has the series that are still there, and no excluded label", () => {
  const svg = dashboardSvg(DASHBOARD, ANSWERS);
  assertEquals([...svg.matchAll(/<text class="cell \w+"[^>]*>(.*?)</g)].map(([, text]) => text), [
    "pod",
    "trainer-0",
  ]);
});

Deno.test("pictures: a dashboard's curve has its legend and units, and a gap where values are missing", () => {
  const svg = dashboardSvg(DASHBOARD, ANSWERS);
  assertStringIncludes(svg, ">trainer-0 mlx5_0</text>");
  for (const level of ["0 B/s", "1 MB/s", "4 MB/s"]) assertStringIncludes(svg, `>${level}</text>`);
  for (const minute of ["00:01", "00:02"]) assertStringIncludes(svg, `>${minute}</text>`);
  assert(/<path class="series green" d="M84 \S+L\S+ \S+M584 \S+"\/>/.test(svg), svg);
});

Deno.test("pictures: a dashboard that was changed since its answers were recorded is refused", () => {
  const { missing: _, ...answers } = ANSWERS.answers;
  assertThrows(
    () => dashboardSvg(DASHBOARD, { ...ANSWERS, answers }),
    Error,
    'panel "Missing": record it again',
  );
  const [panel] = DASHBOARD.panels;
  const other = { ...DASHBOARD, panels: [{ ...panel!, type: "gauge" }] };
  assertThrows(() => dashboardSvg(other, ANSWERS), Error, 'Cannot draw panel "Missing" of type "gauge"');
});
