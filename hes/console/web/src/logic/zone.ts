/** The meter's civil time: wall clock to instant and back, with the days that change the clock. */

import { Temporal } from "temporal-polyfill";

/** `zone` if this browser knows it, else UTC: a wrong name must not take the page away. */
export function knownZone(zone: string): string {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return "UTC";
  }
}

/** What a `datetime-local` field says, read in `zone`; null if it says nothing sound. */
export function wallToInstant(wall: string, zone: string): number | null {
  try {
    return Temporal.PlainDateTime.from(wall).toZonedDateTime(zone).epochMilliseconds;
  } catch {
    return null;
  }
}

/** An instant as a `datetime-local` field wants it, in `zone`. */
export function instantToWall(instant: number, zone: string): string {
  return Temporal.Instant.fromEpochMilliseconds(instant)
    .toZonedDateTimeISO(zone)
    .toPlainDateTime()
    .toString({ smallestUnit: "minute" });
}

/** First instant of the civil day that holds `instant`, and of the day after it. */
export function dayAround(instant: number, zone: string): [number, number] {
  const start = Temporal.Instant.fromEpochMilliseconds(instant)
    .toZonedDateTimeISO(zone)
    .startOfDay();
  return [start.epochMilliseconds, start.add({ days: 1 }).epochMilliseconds];
}
