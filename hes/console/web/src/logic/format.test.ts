import { describe, expect, it } from "vitest";
import { ago, duration, octets, offset, span } from "./format";

const NOW = Date.parse("2026-11-21T12:00:00Z");

describe("format", () => {
  it.each([
    [1_000, { key: "now" }],
    [42_000, { key: "seconds", count: 42 }],
    [200_000, { key: "minutes", count: 3 }],
    [47 * 3_600_000, { key: "hours", count: 47 }],
    [72 * 3_600_000, { key: "days", count: 3 }],
    [-30_000, { key: "inSeconds", count: 30 }],
  ])("%d ms ago", (age, shown) => {
    expect(ago(NOW - age, NOW)).toEqual(shown);
  });

  it("writes an interval in the meter's zone, both days where they differ", () => {
    const quarter = Date.parse("2026-11-20T22:45:00Z");
    expect(span(quarter, quarter + 900_000, "Europe/Berlin")).toBe("20 Nov 2026, 23:45–00:00");
    expect(span(quarter, quarter + 86_400_000, "UTC")).toBe(
      "20 Nov 2026, 22:45 – 21 Nov 2026, 22:45",
    );
    expect(offset(quarter, "Europe/Berlin")).toBe("GMT+1");
  });

  it("keeps durations and sizes short", () => {
    expect([duration(340), duration(2_440), duration(190_000)]).toEqual([
      "340 ms",
      "2.4 s",
      "3 min 10 s",
    ]);
    expect([octets(640), octets(5_120)]).toEqual(["640 B", "5.1 kB"]);
  });
});
