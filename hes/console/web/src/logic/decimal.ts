/** Exact decimals: readings are decimal strings and never become binary floats in a table. */

export interface Decimal {
  /** The digits; the value is `units * 10^-scale`. */
  units: bigint;
  scale: number;
}

const FORM = /^(-?)(\d+)(?:\.(\d+))?$/;

/** The decimal that a text writes, null if it writes none. */
export function parseDecimal(text: string): Decimal | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const [, sign = "", whole = "0", fraction = ""] = match;
  return { units: BigInt(`${sign}${whole}${fraction}`), scale: fraction.length };
}

function aligned(a: Decimal, b: Decimal): [bigint, bigint, number] {
  const scale = Math.max(a.scale, b.scale);
  return [
    a.units * 10n ** BigInt(scale - a.scale),
    b.units * 10n ** BigInt(scale - b.scale),
    scale,
  ];
}

export function subtract(a: Decimal, b: Decimal): Decimal {
  const [left, right, scale] = aligned(a, b);
  return { units: left - right, scale };
}

export function add(a: Decimal, b: Decimal): Decimal {
  const [left, right, scale] = aligned(a, b);
  return { units: left + right, scale };
}

export function toText({ units, scale }: Decimal): string {
  const negative = units < 0n;
  const digits = (negative ? -units : units).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  const fraction = digits.slice(digits.length - scale);
  return `${negative ? "-" : ""}${whole}${scale > 0 ? `.${fraction}` : ""}`;
}

export function toNumber(value: Decimal): number {
  return Number(toText(value));
}

/** Commas between thousands, the decimals as they are: exact and readable. */
export function grouped(text: string): string {
  const match = FORM.exec(text);
  if (match === null) return text;
  const [, sign = "", whole = "0", fraction] = match;
  const parted = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${sign === "-" ? "−" : ""}${parted}${fraction === undefined ? "" : `.${fraction}`}`;
}
