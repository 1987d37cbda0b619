import { describe, expect, it } from "vitest";
import { dayAround, instantToWall, knownZone, wallToInstant } from "./zone";

const HOUR = 3_600_000;

describe("zone", () => {
  it("knows days of 23, 24 and 25 hours", () => {
    const hours = (text: string) => {
      const [start, end] = dayAround(Date.parse(text), "Europe/Berlin");
      return (end - start) / HOUR;
    };
    expect(hours("2026-03-29T12:00:00Z")).toBe(23);
    expect(hours("2026-06-01T12:00:00Z")).toBe(24);
    expect(hours("2026-10-25T12:00:00Z")).toBe(25);
  });

  it("goes to the instant and back", () => {
    const instant = wallToInstant("2026-07-01T00:00", "Europe/Berlin");
    expect(instant).toBe(Date.parse("2026-06-30T22:00:00Z"));
    expect(instantToWall(instant ?? 0, "Europe/Berlin")).toBe("2026-07-01T00:00");
  });

  it("takes the first of two equal wall times, and moves on over the hour that is skipped", () => {
    expect(wallToInstant("2026-10-25T02:30", "Europe/Berlin")).toBe(
      Date.parse("2026-10-25T00:30:00Z"),
    );
    expect(wallToInstant("2026-03-29T02:30", "Europe/Berlin")).toBe(
      Date.parse("2026-03-29T01:30:00Z"),
    );
  });

  it("answers nonsense with nothing", () => {
    expect(wallToInstant("soon", "Europe/Berlin")).toBeNull();
    expect(knownZone("Mars/Olympus")).toBe("UTC");
  });
});
