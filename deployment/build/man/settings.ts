/** The page of the settings file, made of its comments, and of the network configuration, made of the table of its keys. */
import { KEYS } from "../../../src/plugin/config/keys.ts";
import { type DescribedKey, describeKeys, withoutLinks } from "../netconf_schema.ts";
import { formatBlock, parseBlocks } from "./blocks.ts";
import * as roff from "./roff.ts";

/** Where packages put it. */
export const SETTINGS_FILE = "/etc/rdma-cni.conf";

/** What a settings file says: in general, and about each setting. */
interface Settings {
  readonly description: string;
  readonly settings: readonly Setting[];
}

interface Setting {
  readonly name: string;
  readonly value: string;
  readonly description: string;
}

/**
 * Reads a settings file. The comment above a setting describes it, and a comment that stands alone describes the file. A
 * setting may be commented out, without a space behind the mark: `#NAME=value`.
 *
 * @throws {Error} if it has no settings, or one without a description
 */
export function parseSettings(text: string): Settings {
  const description: string[] = [];
  const settings: Setting[] = [];
  for (const paragraph of text.trim().split(/\n{2,}/)) {
    let comment = "";
    for (const line of paragraph.split("\n")) {
      const [, name, value = ""] = /^#?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
      if (name === undefined) {
        comment += `${line.replace(/^# ?/, "")}\n`;
        continue;
      }
      if (comment === "") throw new Error(`Cannot describe the setting "${name}": no comment is above it`);
      settings.push({ name, value, description: comment });
      comment = "";
    }
    if (comment !== "") description.push(comment);
  }
  if (settings.length === 0) {
    throw new Error('Cannot describe the settings: no line is of the form "NAME=value"');
  }
  return { description: description.join("\n"), settings };
}

const NETWORK_CONFIGURATION =
  `A network is JSON: a file that the container runtime reads, for instance in /etc/cni/net.d, or the text in spec.config
of a NetworkAttachmentDefinition. These are the keys of the plugin of type "rdma" in it. The name of a key inside an
object follows a dot. rdma-cni-validate(8) checks networks.`;

/**
 * The page rdma-cni.conf(5).
 *
 * @param settingsFile the text of the settings file
 * @param example the text of a network configuration
 */
export function settingsPage(settingsFile: string, example: string): roff.Page {
  const { description, settings } = parseSettings(settingsFile);
  return {
    name: "rdma-cni.conf",
    volume: 5,
    purpose: "settings of rdma-cni, and the network configuration of its plugin",
    sections: [
      roff.section("SYNOPSIS", [roff.bold(SETTINGS_FILE)]),
      roff.section("DESCRIPTION", parseBlocks(description).flatMap(formatBlock)),
      roff.section("SETTINGS", settings.flatMap(formatSetting)),
      roff.section("NETWORK CONFIGURATION", [
        roff.paragraph(roff.prose(NETWORK_CONFIGURATION)),
        ...describeKeys(KEYS).map(formatKey),
      ]),
      roff.section("EXAMPLES", [
        roff.paragraph("A network in which two plugins follow each other:"),
        roff.literal(example),
      ]),
    ],
  };
}

function formatSetting({ name, value, description }: Setting): string[] {
  const [first, ...more] = parseBlocks(description);
  const { text, list } = first!;
  return [
    roff.item(`${roff.bold(name)}=${roff.italic(value)}`, roff.prose(text)),
    ...roff.indented([...formatBlock({ text: "", list }), ...more.flatMap(formatBlock)]),
  ];
}

function formatKey({ name, type, fallback, description }: DescribedKey): string {
  const values = fallback === "" ? type : `${type}; default ${fallback}`;
  return roff.item(
    `${roff.bold(name)} (${formatMarkdown(values)})`,
    formatMarkdown(roff.sentence(withoutLinks(description))),
  );
}

/** Markdown without links; code is bold. */
function formatMarkdown(text: string): string {
  return text.split("`").map((part, i) => i % 2 === 0 ? roff.prose(part) : roff.bold(part)).join("");
}
