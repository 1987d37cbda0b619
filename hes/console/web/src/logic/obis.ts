/** Names for the OBIS codes that operators meet most; the code itself is always shown beside. */

export type ObisName =
  | "energyImport"
  | "energyExport"
  | "reactiveImport"
  | "reactiveExport"
  | "powerImport"
  | "powerExport"
  | "energyImportPeriod"
  | "energyExportPeriod"
  | "averagePowerImport"
  | "averagePowerExport"
  | "maximumPowerImport"
  | "maximumPowerExport"
  | "voltage"
  | "current"
  | "powerFactor"
  | "frequency"
  | "clock"
  | "status"
  | "serial"
  | "gasVolume"
  | "waterVolume";

/** Value group C of electricity: what is measured. */
const QUANTITIES: Readonly<Record<number, "import" | "export" | "reactiveIn" | "reactiveOut">> = {
  1: "import",
  2: "export",
  3: "reactiveIn",
  4: "reactiveOut",
};

const NAMES: Readonly<Record<string, Readonly<Record<string, ObisName>>>> = {
  import: {
    energy: "energyImport",
    period: "energyImportPeriod",
    power: "powerImport",
    average: "averagePowerImport",
    maximum: "maximumPowerImport",
  },
  export: {
    energy: "energyExport",
    period: "energyExportPeriod",
    power: "powerExport",
    average: "averagePowerExport",
    maximum: "maximumPowerExport",
  },
  reactiveIn: { energy: "reactiveImport" },
  reactiveOut: { energy: "reactiveExport" },
};

/** Value group D: how it was processed (IEC 62056-6-1). */
function processing(d: number): string {
  if (d === 8) return "energy";
  if ([9, 29, 30].includes(d)) return "period";
  if ([4, 5, 14, 15, 24, 25, 27, 28].includes(d)) return "average";
  if ([6, 16, 26].includes(d)) return "maximum";
  return d === 7 ? "power" : "";
}

export interface NamedObis {
  name: ObisName;
  phase: 1 | 2 | 3 | null;
  tariff: number | null;
}

/** What a dotted OBIS code measures, null if it is not one of the usual ones. */
export function describeObis(code: string): NamedObis | null {
  const groups = code.split(".").map(Number);
  const [a, , c = 0, d = 0, e = 0] = groups;
  if (groups.length !== 6 || groups.some((group) => !Number.isInteger(group))) return null;
  const plain = (name: ObisName): NamedObis => ({ name, phase: null, tariff: null });
  if (a === 0) {
    if (c === 1 && d === 0) return plain("clock");
    if (c === 96 && d === 1) return plain("serial");
    if (c === 96 && (d === 10 || d === 5)) return plain("status");
    return null;
  }
  if (a === 7 && d <= 3 && c <= 3) return plain("gasVolume");
  if ((a === 8 || a === 9) && c === 1) return plain("waterVolume");
  if (a !== 1) return null;
  if (c === 96 && d === 5) return plain("status");
  // Groups C of 21..34, 41..54, 61..74 are those of 1..14 for one phase.
  const phase = c > 20 && c < 75 ? ((Math.floor((c - 1) / 20) || 1) as 1 | 2 | 3) : null;
  const base = phase === null ? c : c - 20 * phase;
  const tariff = e > 0 && e < 64 ? e : null;
  if (d === 7 && base === 12) return { name: "voltage", phase, tariff };
  if (d === 7 && base === 11) return { name: "current", phase, tariff };
  if (d === 7 && base === 13) return { name: "powerFactor", phase, tariff };
  if (d === 7 && base === 14) return { name: "frequency", phase, tariff };
  const quantity = QUANTITIES[base];
  const name = quantity === undefined ? undefined : NAMES[quantity]?.[processing(d)];
  return name === undefined ? null : { name, phase, tariff };
}
