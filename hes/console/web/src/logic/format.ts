/** Numbers, times and spans as people read them. Times always in a zone that the caller names. */

const LOCALE = "en-GB";

const numbers = new Intl.NumberFormat(LOCALE);

export function count(value: number): string {
  return numbers.format(value);
}

const cache = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, form: string, options: Intl.DateTimeFormatOptions) {
  const key = `${zone} ${form}`;
  let found = cache.get(key);
  if (found === undefined) {
    found = new Intl.DateTimeFormat(LOCALE, { ...options, hourCycle: "h23", timeZone: zone });
    cache.set(key, found);
  }
  return found;
}

export const BROWSER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function clock(instant: number, zone: string): string {
  return formatter(zone, "clock", { hour: "2-digit", minute: "2-digit" }).format(instant);
}

export function clockWithSeconds(instant: number, zone: string): string {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
  return formatter(zone, "seconds", options).format(instant);
}

export function day(instant: number, zone: string): string {
  return formatter(zone, "day", { day: "numeric", month: "short" }).format(instant);
}

export function weekday(instant: number, zone: string): string {
  const options = { weekday: "short", day: "numeric", month: "short" } as const;
  return formatter(zone, "weekday", options).format(instant);
}

export function date(instant: number, zone: string): string {
  const options = { day: "numeric", month: "short", year: "numeric" } as const;
  return formatter(zone, "date", options).format(instant);
}

export function dateTime(instant: number, zone: string): string {
  return `${date(instant, zone)}, ${clock(instant, zone)}`;
}

/** `2 Nov 2026, 10:15–10:30`; both dates where the ends lie on different days. */
export function span(start: number, end: number, zone: string): string {
  if (start === end) return dateTime(start, zone);
  if (date(start, zone) === date(end - 1, zone)) {
    return `${dateTime(start, zone)}–${clock(end, zone)}`;
  }
  return `${dateTime(start, zone)} – ${dateTime(end, zone)}`;
}

/** The zone's abbreviation or offset at that instant, such as GMT+1. */
export function offset(instant: number, zone: string): string {
  const parts = formatter(zone, "offset", { timeZoneName: "shortOffset" }).formatToParts(instant);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? zone;
}

export type Ago =
  | { key: "now" | "due" }
  | {
      key:
        | "seconds"
        | "minutes"
        | "hours"
        | "days"
        | "inSeconds"
        | "inMinutes"
        | "inHours"
        | "inDays";
      count: number;
    };

/** How long ago `instant` was at `now`, or how far ahead it lies. */
export function ago(instant: number, now: number): Ago {
  const seconds = Math.round((now - instant) / 1000);
  const ahead = seconds < 0;
  const size = Math.abs(seconds);
  if (size < 2) return { key: ahead ? "due" : "now" };
  if (size < 60) return { key: ahead ? "inSeconds" : "seconds", count: size };
  if (size < 3600) return { key: ahead ? "inMinutes" : "minutes", count: Math.floor(size / 60) };
  if (size < 172_800) return { key: ahead ? "inHours" : "hours", count: Math.floor(size / 3600) };
  return { key: ahead ? "inDays" : "days", count: Math.floor(size / 86_400) };
}

/** 340 ms, 2.4 s, 3 min 10 s. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

export function octets(size: number): string {
  if (size < 1000) return `${size} B`;
  if (size < 1_000_000) return `${(size / 1000).toFixed(1)} kB`;
  return `${(size / 1_000_000).toFixed(1)} MB`;
}
