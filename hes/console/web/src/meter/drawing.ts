/** What uPlot does not draw by itself: bars of unequal width, bands over what is missing. */

import type uPlot from "uplot";
import { type Interval, MISSING_FLAGS } from "../logic/intervals";

export interface Colours {
  line: string;
  fill: string;
  grid: string;
  text: string;
  missing: string;
  flag: string;
}

const LANE_PX = 6;
const HATCH_PX = 7;
const BAR_GAP_FROM_PX = 6;
const BAR_TOP_FROM_PX = 4;

/** The chart's colours, which the theme keeps as CSS variables. */
export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(`--hes-plot${name}`).trim();
  return {
    line: read(""),
    fill: read("-fill"),
    grid: read("-grid"),
    text: read("-text"),
    missing: read("-missing"),
    flag: read("-flag"),
  };
}

export function isMissing(interval: Interval): boolean {
  return interval.value === null || interval.flags.some((flag) => MISSING_FLAGS.has(flag));
}

function isFlagged(interval: Interval): boolean {
  return !isMissing(interval) && interval.flags.length > 0;
}

/** [start, end) in seconds of each run of neighbours that `holds` is true of. */
export function runs(
  intervals: readonly Interval[],
  holds: (interval: Interval) => boolean,
): [number, number][] {
  const found: [number, number][] = [];
  let open: [number, number] | null = null;
  for (const interval of intervals) {
    if (!holds(interval)) {
      open = null;
      continue;
    }
    if (open === null) {
      open = [interval.start / 1000, interval.end / 1000];
      found.push(open);
    } else {
      open[1] = interval.end / 1000;
    }
  }
  return found;
}

/** The intervals of a line that stands on instants: from the last value to the next. */
export function gapsBetween(intervals: readonly Interval[]): [number, number][] {
  const found: [number, number][] = [];
  let last: number | null = null;
  let gap = false;
  for (const interval of intervals) {
    if (isMissing(interval)) {
      gap = true;
      continue;
    }
    const at = interval.end / 1000;
    if (gap && last !== null) found.push([last, at]);
    gap = false;
    last = at;
  }
  return found;
}

/** A uPlot path builder: one rectangle per interval, as wide as the interval is long. */
export function bars(intervals: readonly Interval[]): uPlot.Series.PathBuilder {
  return (u, _series, first, last) => {
    const fill = new Path2D();
    const stroke = new Path2D();
    const zero = Math.round(u.valToPos(Math.max(0, u.scales.y?.min ?? 0), "y", true));
    for (let index = first; index <= last; index += 1) {
      const interval = intervals[index];
      if (interval === undefined || interval.plotted === null) continue;
      const left = u.valToPos(interval.start / 1000, "x", true);
      const right = u.valToPos(interval.end / 1000, "x", true);
      const top = Math.round(u.valToPos(interval.plotted, "y", true));
      const wide = (right - left) / devicePixelRatio;
      const gap = wide > BAR_GAP_FROM_PX ? devicePixelRatio : 0;
      const width = Math.max(right - left - gap, 0.75);
      fill.rect(left, Math.min(top, zero), width, Math.abs(zero - top));
      if (wide > BAR_TOP_FROM_PX) stroke.rect(left, top, width, 0);
    }
    return { stroke, fill };
  };
}

function hatch(context: CanvasRenderingContext2D, colour: string): CanvasPattern | string {
  const size = Math.round(HATCH_PX * devicePixelRatio);
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const pen = tile.getContext("2d");
  if (pen === null) return colour;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.4 * devicePixelRatio;
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat") ?? colour;
}

/** Hatched bands over what is missing; a lane at the top over what is flagged. */
export function drawQuality(
  u: uPlot,
  intervals: readonly Interval[],
  covers: boolean,
  colours: Colours,
): void {
  const context = u.ctx;
  const { left, top, width, height } = u.bbox;
  const band = ([from, to]: [number, number], y: number, tall: number) => {
    const start = Math.max(u.valToPos(from, "x", true), left);
    const end = Math.min(u.valToPos(to, "x", true), left + width);
    if (end > start) context.fillRect(start, y, Math.max(end - start, devicePixelRatio), tall);
  };
  context.save();
  context.fillStyle = hatch(context, colours.missing);
  const missing = covers ? runs(intervals, isMissing) : gapsBetween(intervals);
  for (const run of missing) band(run, top, height);
  context.fillStyle = colours.flag;
  for (const run of runs(intervals, isFlagged)) band(run, top, LANE_PX * devicePixelRatio);
  context.restore();
}
