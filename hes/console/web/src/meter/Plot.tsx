/**
 * uPlot in React: the canvas has a role, a name and a cursor for the arrow keys, whose value is
 * announced; `ValuesTable` is its twin. Refreshed data keep the zoom that the reader chose.
 */

import { useComputedColorScheme } from "@mantine/core";
import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import uPlot from "uplot";
import { grouped } from "../logic/decimal";
import { clock, date, dateTime, day, span } from "../logic/format";
import { type Interval, prefixed } from "../logic/intervals";
import { bars, coloursOf, drawQuality } from "./drawing";
import { useFlagText } from "./ValuesTable";

const HEIGHT = 300;
const NARROW_HEIGHT = 240;
const NARROW = 560;
const FONT = '11.5px "Inter Variable", system-ui, sans-serif';
const DAY_S = 86_400;

interface Props {
  intervals: readonly Interval[];
  /** Milliseconds since 1970 UTC. */
  from: number;
  to: number;
  bars: boolean;
  fromZero: boolean;
  unit: string | null;
  per: string | null;
  name: string;
  zone: string;
}

interface Cursor {
  index: number;
  /** Pixels from the left edge of the figure. */
  left: number;
  width: number;
  top: number;
  flip: boolean;
}

function ofKey(key: string, index: number, last: number): number | null {
  switch (key) {
    case "ArrowLeft":
      return Math.max(index - 1, 0);
    case "ArrowRight":
      return Math.min(index + 1, last);
    case "PageUp":
      return Math.max(index - 24, 0);
    case "PageDown":
      return Math.min(index + 24, last);
    case "Home":
      return 0;
    case "End":
      return last;
    default:
      return null;
  }
}

/** The interval that holds a time in seconds, else the nearest before it. */
function indexAt(intervals: readonly Interval[], second: number): number {
  let low = 0;
  let high = intervals.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((intervals[middle]?.start ?? 0) <= second * 1000) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function Plot(props: Props) {
  const { intervals, from, to, unit, per, name, zone } = props;
  const { t } = useTranslation();
  const flagText = useFlagText();
  const scheme = useComputedColorScheme("light");
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  /** What the reader dragged over, in seconds; null: all of the period. */
  const zoom = useRef<[number, number] | null>(null);
  const [cursor, setCursor] = useState<Cursor | null>(null);
  const [announced, setAnnounced] = useState("");

  let greatest = 0;
  for (const each of intervals) greatest = Math.max(greatest, Math.abs(each.plotted ?? 0));
  const scale = prefixed(unit, greatest);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a plot is made anew for these alone
  useLayoutEffect(() => {
    const element = host.current;
    if (element === null) return;
    const made = new uPlot(
      options(element, latest, zoom, scale.factor, setCursor),
      dataOf(),
      element,
    );
    plot.current = made;
    const resized = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: heightOf(element) });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
      setCursor(null);
    };
  }, [scheme, zone, scale.factor, props.bars]);

  function dataOf(): uPlot.AlignedData {
    const shown = latest.current.intervals;
    const x = shown.map((each) => (latest.current.bars ? each.start : each.end) / 1000);
    return [x, shown.map((each) => each.plotted)];
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: data are read through `latest`
  useEffect(() => {
    const made = plot.current;
    if (made === null) return;
    made.setData(dataOf());
  }, [intervals, from, to]);

  const shown = cursor === null ? undefined : intervals[cursor.index];

  const texts = (each: Interval): [string, string] => {
    const when = props.bars ? span(each.start, each.end, zone) : dateTime(each.end, zone);
    const value =
      each.value === null
        ? t("table.noValue")
        : `${grouped(each.value)}${unit === null ? "" : ` ${unit}`}`;
    return [when, value];
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const made = plot.current;
    if (made === null) return;
    if (event.key === "Escape") {
      made.setCursor({ left: -10, top: -10 });
      return;
    }
    const current = cursor?.index ?? (event.key === "ArrowLeft" ? intervals.length : -1);
    const next = ofKey(event.key, current, intervals.length - 1);
    const interval = next === null ? undefined : intervals[next];
    if (interval === undefined) return;
    event.preventDefault();
    const middle = props.bars ? (interval.start + interval.end) / 2 : interval.end;
    made.setCursor({ left: made.valToPos(middle / 1000, "x"), top: made.over.clientHeight / 3 });
    setAnnounced(`${texts(interval).join(": ")} ${interval.flags.map(flagText).join(", ")}`);
  };

  const missing = intervals.some((each) => each.value === null);
  const flagged = intervals.some((each) => each.value !== null && each.flags.length > 0);
  const present = intervals.filter((each) => each.value !== null).length;
  const label = t("profile.figure", {
    name,
    from: dateTime(from, zone),
    to: dateTime(to, zone),
    zone,
    present,
    expected: intervals.length,
  });
  return (
    <div className="plot">
      <div className="plot-head">
        <span className="plot-unit">
          {per === null ? scale.unit : t("profile.axis", { unit: scale.unit, period: per })}
        </span>
        <ul className="legend">
          <li>
            <span className={props.bars ? "key key-bar" : "key key-line"} aria-hidden="true" />
            {t("profile.legendValue")}
          </li>
          {missing && (
            <li>
              <span className="key key-missing" aria-hidden="true" />
              {t("profile.legendMissing")}
            </li>
          )}
          {flagged && (
            <li>
              <span className="key key-flag" aria-hidden="true" />
              {t("profile.legendFlagged")}
            </li>
          )}
        </ul>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: a figure element is not focusable as such */}
      <div
        role="figure"
        aria-label={label}
        className="plot-figure"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move its cursor
        tabIndex={0}
        onKeyDown={onKeyDown}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      >
        <div ref={host} className="plot-canvas" />
        {cursor !== null && shown !== undefined && (
          <>
            {props.bars && (
              <div className="plot-hover" style={{ left: cursor.left, width: cursor.width }} />
            )}
            <div
              className={cursor.flip ? "plot-tip plot-tip-flip" : "plot-tip"}
              style={{ left: cursor.left + cursor.width / 2 }}
              aria-hidden="true"
            >
              <span className="tip-value">{texts(shown)[1]}</span>
              <span className="tip-time">{texts(shown)[0]}</span>
              {shown.flags.length > 0 && (
                <span className="tip-flags">{shown.flags.map(flagText).join(", ")}</span>
              )}
            </div>
          </>
        )}
      </div>
      <p className="visually-hidden" aria-live="polite">
        {announced}
      </p>
      <p className="plot-hint">
        {zone} · {t("profile.hint")}
      </p>
    </div>
  );
}

function heightOf(element: Element): number {
  return element.clientWidth < NARROW ? NARROW_HEIGHT : HEIGHT;
}

function options(
  element: HTMLElement,
  latest: { readonly current: Props },
  zoom: { current: [number, number] | null },
  factor: number,
  onCursor: (cursor: Cursor | null) => void,
): uPlot.Options {
  const colours = coloursOf(element);
  const { bars: asBars, fromZero, zone } = latest.current;
  const axis: uPlot.Axis = {
    stroke: colours.text,
    font: FONT,
    grid: { stroke: colours.grid, width: 1 },
    ticks: { stroke: colours.grid, width: 1, size: 4 },
  };
  return {
    width: element.clientWidth,
    height: heightOf(element),
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), zone),
    legend: { show: false },
    padding: [10, 12, 0, 0],
    scales: {
      x: {
        time: true,
        range: () => zoom.current ?? [latest.current.from / 1000, latest.current.to / 1000],
      },
      y: {
        range: (_u, min, max) => {
          if (fromZero) {
            const low = min < 0 ? min * 1.08 : 0;
            return [low, max > 0 ? max * 1.1 : 1];
          }
          const room = max > min ? (max - min) * 0.08 : Math.abs(max) * 0.05 || 1;
          return [min - room, max + room];
        },
      },
    },
    series: [
      {},
      {
        stroke: colours.line,
        width: asBars ? 1.25 : 1.75,
        points: { show: asBars ? false : pointsWhereSparse, size: 5, fill: colours.line },
        ...(asBars
          ? {
              fill: colours.fill,
              paths: (u, series, first, last) =>
                bars(latest.current.intervals)(u, series, first, last),
            }
          : {}),
      },
    ],
    axes: [
      {
        ...axis,
        space: 68,
        size: 34,
        values: (_u, splits, _axis, _space, increment) =>
          splits.map((second) => tick(second * 1000, increment, zone)),
      },
      {
        ...axis,
        size: 58,
        values: (_u, splits) => splits.map((value) => axisNumber(value * factor)),
      },
    ],
    cursor: {
      y: false,
      points: { show: !asBars },
      drag: { x: true, y: false, setScale: false },
      dataIdx: (_u, _series, hovered, second) =>
        asBars ? indexAt(latest.current.intervals, second) : hovered,
      bind: {
        dblclick: (u) => () => {
          zoom.current = null;
          u.setData(u.data);
          return null;
        },
      },
    },
    hooks: {
      init: [
        (u) => {
          // The figure around it has the role and the name.
          u.root.querySelector("canvas")?.setAttribute("aria-hidden", "true");
        },
      ],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width === 0) return;
          zoom.current = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          u.setData(u.data);
        },
      ],
      drawClear: [(u) => drawQuality(u, latest.current.intervals, asBars, colours)],
      setCursor: [(u) => onCursor(cursorOf(u, latest.current))],
    },
  };
}

function pointsWhereSparse(u: uPlot, _series: number, first: number, last: number): boolean {
  return last - first < u.over.clientWidth / 14;
}

function cursorOf(u: uPlot, { intervals, bars: asBars }: Props): Cursor | null {
  const { left = -10, top = 0 } = u.cursor;
  const index = u.cursor.idxs?.[1];
  const interval = index == null ? undefined : intervals[index];
  if (left < 0 || index == null || interval === undefined) return null;
  const offset = u.over.offsetLeft;
  const edge = u.over.clientWidth;
  const inside = (value: number) => Math.min(Math.max(value, 0), edge);
  const start = inside(u.valToPos((asBars ? interval.start : interval.end) / 1000, "x"));
  const end = asBars ? inside(u.valToPos(interval.end / 1000, "x")) : start;
  return {
    index,
    left: offset + start,
    width: Math.max(end - start, 0),
    top,
    flip: start > edge / 2,
  };
}

/** Midnight is told by its day, the rest by the clock; coarse ticks by their day. */
function tick(instant: number, incrementS: number, zone: string): string {
  if (incrementS >= 28 * DAY_S) return date(instant, zone);
  const time = clock(instant, zone);
  return incrementS >= DAY_S || time === "00:00" ? day(instant, zone) : time;
}

const axisNumbers = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 6 });

function axisNumber(value: number): string {
  return axisNumbers.format(value);
}
