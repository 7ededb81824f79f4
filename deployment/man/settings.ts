/** The page of the settings file, made of its comments, and of the network configuration, made of the table of its keys. */
import { KEYS } from "../../src/plugin/config/keys.ts";
import { type DescribedKey, describeKeys, withoutLinks } from "../build/netconf_schema.ts";
import * as roff from "./roff.ts";

/** The file in which packages put it. */
export const SETTINGS_FILE = "/etc/rdma-cni.conf";

/** A setting and the comment above it. */
interface Setting {
  readonly name: string;
  readonly value: string;
  readonly description: string;
}

/**
 * Reads a settings file. A comment that stands alone describes the file.
 *
 * @throws {Error} if a setting has no description, or something else than a setting and its comment stands together
 */
export function parseSettings(text: string): { description: string; settings: Setting[] } {
  const [description, ...paragraphs] = text.trim().replace(/^# ?/gm, "").split(/\n{2,}/);
  const settings = paragraphs.map((paragraph) => {
    const [, description, name, value] = /^(.+)\n([A-Z_]+)=(.*)$/s.exec(paragraph) ?? [];
    if (name === undefined) {
      throw new Error(`Cannot describe the setting "${paragraph}": no comment is above it`);
    }
    return { name, value: value!, description: description! };
  });
  return { description: description!, settings };
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
      roff.section("DESCRIPTION", [roff.paragraph(roff.prose(description))]),
      roff.section(
        "SETTINGS",
        settings.map(({ name, value, description }) =>
          roff.item(`${roff.bold(name)}=${roff.italic(value)}`, roff.prose(description))
        ),
      ),
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
