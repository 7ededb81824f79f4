/** What all pictures share: colours that suit light and dark pages, and text for XML. */

/** Names of colours, and what each is on a light and on a dark page. */
const COLOURS = {
  page: ["#ffffff", "#0d1117"],
  frame: ["#d0d7de", "#30363d"],
  text: ["#1f2328", "#e6edf3"],
  dim: ["#59636e", "#9198a1"],
  red: ["#cf222e", "#ff7b72"],
  green: ["#116329", "#3fb950"],
  yellow: ["#7d4e00", "#d29922"],
  blue: ["#0550ae", "#79c0ff"],
  magenta: ["#8250df", "#d2a8ff"],
  cyan: ["#1b7c83", "#56d4dd"],
} as const;

export type Colour = keyof typeof COLOURS;

/** For each colour a class of that name. Shapes take it as `currentColor`, which every SVG viewer knows. */
export const COLOUR_RULES = `${rules(0)}
@media (prefers-color-scheme: dark) { ${rules(1)} }`;

function rules(page: 0 | 1): string {
  return Object.entries(COLOURS).map(([name, values]) => `.${name}{color:${values[page]}}`).join(" ");
}

/** Text as it stands in XML, attribute values included. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A rectangle in the page's colour with a frame. Needs the rule `rect{fill:currentColor}`. */
export function framed(x: number, y: number, width: number, height: number, radius: number): string {
  const rectangle = (colour: Colour, inset: number) =>
    `<rect class="${colour}" x="${x + inset}" y="${y + inset}" width="${width - 2 * inset}" height="${
      height - 2 * inset
    }" rx="${radius - inset}"/>`;
  return `${rectangle("frame", 0)}\n${rectangle("page", 1)}`;
}
