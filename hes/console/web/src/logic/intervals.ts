/**
 * From stored readings to what a load profile shows: intervals with a value or a reason for none.
 *
 * A cumulative register becomes consumption per interval, the exact difference of neighbours that
 * are one capture period apart. A gap stays a gap: nothing is spread over it.
 */

import { add, type Decimal, parseDecimal, subtract, toNumber, toText } from "./decimal";

export interface ReadingLike {
  captured_at: string;
  value: string | null;
  unit?: string | null;
  quality: readonly string[];
  revised?: boolean;
}

export interface ChannelLike {
  kind: string;
  stamped_at: string;
  capture_period_s: number;
  store: string;
}

/** One row of the plot and of its table. Times are milliseconds since 1970 UTC. */
export interface Interval {
  start: number;
  end: number;
  value: string | null;
  /** The same for the plot; null draws nothing. */
  plotted: number | null;
  /** What the meter's register said at the end, where `value` is a difference. */
  register: string | null;
  flags: readonly string[];
}

export interface Summary {
  total: string | null;
  peak: Interval | null;
  expected: number;
  present: number;
  flagged: number;
}

/** Flags of the console's own: no reading was received; the register ran backwards. */
export const NOT_RECEIVED = "not_received";
export const REGISTER_BACK = "register_back";

export const MISSING_FLAGS: ReadonlySet<string> = new Set([NOT_RECEIVED, "missing", REGISTER_BACK]);

const NEARLY = 1.5;

export function showsConsumption(channel: ChannelLike): boolean {
  return channel.kind === "cumulative" && channel.store === "integer";
}

export function isPlottable(channel: ChannelLike): boolean {
  return channel.store !== "text" && channel.kind !== "status";
}

function at(reading: ReadingLike): number {
  return Date.parse(reading.captured_at);
}

function decimalOf(reading: ReadingLike): Decimal | null {
  return reading.value === null ? null : parseDecimal(reading.value);
}

function flagsOf(reading: ReadingLike): readonly string[] {
  return reading.revised === true ? [...reading.quality, "revised"] : reading.quality;
}

/** Empty intervals that fill (from, to) on the period's grid, counted from `from`. */
function notReceived(from: number, to: number, period: number): Interval[] {
  const count = Math.round((to - from) / period);
  return Array.from({ length: count }, (_, index) => ({
    start: from + index * period,
    end: index === count - 1 ? to : from + (index + 1) * period,
    value: null,
    plotted: null,
    register: null,
    flags: [NOT_RECEIVED],
  }));
}

/** Differences of a cumulative register, for readings in the order of time. */
export function consumption(readings: readonly ReadingLike[], periodS: number): Interval[] {
  const period = periodS * 1000;
  const intervals: Interval[] = [];
  for (let index = 1; index < readings.length; index += 1) {
    const before = readings[index - 1];
    const reading = readings[index];
    if (before === undefined || reading === undefined) continue;
    const start = at(before);
    const end = at(reading);
    if (period > 0 && end - start > period * NEARLY) {
      intervals.push(...notReceived(start, end, period));
      continue;
    }
    intervals.push(difference(before, reading, start, end));
  }
  return intervals;
}

function difference(
  before: ReadingLike,
  reading: ReadingLike,
  start: number,
  end: number,
): Interval {
  const from = decimalOf(before);
  const to = decimalOf(reading);
  const none = { start, end, value: null, plotted: null, register: reading.value };
  if (from === null || to === null || before.unit !== reading.unit) {
    return { ...none, flags: [...new Set([...flagsOf(reading), "missing"])] };
  }
  const used = subtract(to, from);
  if (used.units < 0n) return { ...none, flags: [...flagsOf(reading), REGISTER_BACK] };
  return {
    start,
    end,
    value: toText(used),
    plotted: toNumber(used),
    register: reading.value,
    flags: flagsOf(reading),
  };
}

/** Whether a channel's values stand for a whole period rather than for an instant. */
export function coversPeriod(channel: ChannelLike): boolean {
  return (channel.kind === "delta" || channel.kind === "average") && channel.capture_period_s > 0;
}

/** Values as they were sent: each on the period that it stands for, or on its own instant. */
export function asSent(readings: readonly ReadingLike[], channel: ChannelLike): Interval[] {
  const period = channel.capture_period_s * 1000;
  const before = coversPeriod(channel) && channel.stamped_at === "end" ? period : 0;
  const after = coversPeriod(channel) && channel.stamped_at === "start" ? period : 0;
  const intervals: Interval[] = [];
  let last: number | null = null;
  for (const reading of readings) {
    const moment = at(reading);
    if (last !== null && period > 0 && moment - last > period * NEARLY) {
      intervals.push(
        ...notReceived(last, moment - period, period).map((each) => ({
          ...each,
          start: each.start + period - before,
          end: each.start + period + after,
        })),
      );
    }
    const number = reading.value === null ? Number.NaN : Number(reading.value);
    intervals.push({
      start: moment - before,
      end: moment + after,
      value: reading.value,
      plotted: Number.isFinite(number) ? number : null,
      register: null,
      flags: flagsOf(reading),
    });
    last = moment;
  }
  return intervals;
}

/** Numbers above the plot. `expected` counts intervals between the first and the last shown. */
export function summarise(intervals: readonly Interval[], adds: boolean): Summary {
  let total: Decimal | null = adds ? { units: 0n, scale: 0 } : null;
  let peak: Interval | null = null;
  let present = 0;
  let flagged = 0;
  for (const interval of intervals) {
    if (interval.value === null) continue;
    present += 1;
    if (interval.flags.length > 0) flagged += 1;
    const value = parseDecimal(interval.value);
    if (total !== null && value !== null) total = add(total, value);
    if (interval.plotted !== null && (peak?.plotted == null || interval.plotted > peak.plotted)) {
      peak = interval;
    }
  }
  return {
    total: total === null || present === 0 ? null : toText(total),
    peak,
    expected: intervals.length,
    present,
    flagged,
  };
}

/** A prefix that keeps a chart's numbers short: 1,000 Wh are 1 kWh. */
export function prefixed(unit: string | null, greatest: number): { unit: string; factor: number } {
  const plain = unit ?? "";
  if (!/^(W|Wh|var|varh|VA|VAh)$/.test(plain)) return { unit: plain, factor: 1 };
  if (greatest >= 1e6) return { unit: `M${plain}`, factor: 1e-6 };
  if (greatest >= 1e3) return { unit: `k${plain}`, factor: 1e-3 };
  return { unit: plain, factor: 1 };
}

const KILO_FROM = 10_000;

/** A sum in a unit that reads well, exact all the same: 73651 Wh are 73.651 kWh. */
export function readable(total: string, unit: string | null): { value: string; unit: string } {
  const value = parseDecimal(total);
  const plain = unit ?? "";
  const { unit: prefix } = prefixed(unit, KILO_FROM);
  if (value === null || prefix === plain || Math.abs(toNumber(value)) < KILO_FROM) {
    return { value: total, unit: plain };
  }
  return { value: toText({ units: value.units, scale: value.scale + 3 }), unit: prefix };
}
