/**
 * The network configuration as a zod schema: the authority on what is allowed, and the source of the types. Loading
 * zod takes longer than all the rest of a call, so a good configuration is recognised by `config.ts` alone and this
 * module is loaded only to say what is wrong with a bad one. A test holds both against each other.
 */
import * as z from "zod/mini";
import en from "zod/v4/locales/en.js";
import { IDENTIFIER, IDENTIFIER_RULE } from "../cni/environment.ts";
import { LOG_LEVELS } from "../log.ts";
import { DEVICE_INFO_PATH_RULE, deviceInfoPathForm } from "./device_info_path.ts";
import { NAME_CONFLICTS } from "./device_name.ts";

z.config(en());

/** Go's decoders take null for absent, so runtimes may send it. */
function optional<T extends z.core.$ZodType>(schema: T) {
  return z.nullish(schema);
}

const attachments = optional(z.array(z.looseObject({ containerID: z.string(), ifname: z.string() })));

const deviceList = z.array(
  z.union([z.string().check(z.minLength(1)), z.int().check(z.positive())]),
).check(z.minLength(1));
const byte = optional(z.int().check(z.gte(0), z.lte(255)));

const rdmaQoS = z.strictObject({ tos: byte, trafficClass: byte }).check(
  z.refine((value) => (value.tos ?? value.trafficClass ?? undefined) !== undefined, {
    error: 'must have "tos" or "trafficClass"',
  }),
);

const deviceInfoPath = z.string().check(
  z.regex(deviceInfoPathForm(), { error: DEVICE_INFO_PATH_RULE }),
);

export const configSchema = z.looseObject({
  cniVersion: optional(z.string()),
  name: z.string().check(z.regex(IDENTIFIER, { error: IDENTIFIER_RULE })),
  type: optional(z.string()),
  deviceID: optional(z.string()),
  allowPF: optional(z.boolean()),
  rdmaDevices: optional(z.union([z.enum(["all", "first"]), deviceList], {
    error: 'must be "all", "first", or a list of names and of numbers from 1',
  })),
  optional: optional(z.boolean()),
  onSharedMode: optional(z.enum(["fail", "skip"])),
  rdmaQoS: optional(rdmaQoS),
  logLevel: optional(z.enum(LOG_LEVELS)),
  logFile: optional(z.string().check(z.regex(/^(\/[^\n]*)?$/, { error: "must be an absolute path" }))),
  rdmaDeviceName: optional(z.string()),
  rdmaDeviceNameConflict: optional(z.enum(NAME_CONFLICTS)),
  args: optional(z.looseObject({
    cni: optional(z.looseObject({ debug: optional(z.boolean()), rdmaDeviceName: optional(z.string()) })),
  })),
  runtimeConfig: optional(z.looseObject({
    deviceID: optional(z.string()),
    CNIDeviceInfoFile: optional(deviceInfoPath),
  })),
  prevResult: optional(z.looseObject({
    cniVersion: optional(z.string()),
    interfaces: optional(z.array(z.looseObject({
      name: optional(z.string()),
      mac: optional(z.string()),
      sandbox: optional(z.string()),
      pciID: optional(z.string()),
    }))),
  })),
  "cni.dev/valid-attachments": attachments,
  "cni.dev/attachments": attachments,
});

export type ConfigSchema = typeof configSchema;

/** A configuration as it comes, checked. */
export type RawConfig = z.infer<ConfigSchema>;
