import { describe, expect, it } from "vitest";
import {
  asSent,
  consumption,
  NOT_RECEIVED,
  prefixed,
  REGISTER_BACK,
  readable,
  summarise,
} from "./intervals";

const QUARTER = 900;

function readings(...rows: [string, string | null, string[]?][]) {
  return rows.map(([time, value, quality = []]) => ({
    captured_at: `2026-01-31T${time}:00Z`,
    value,
    quality,
  }));
}

describe("consumption", () => {
  it("is the exact difference of neighbours", () => {
    const shown = consumption(
      readings(["10:00", "100.10"], ["10:15", "100.35"], ["10:30", "100.35"]),
      QUARTER,
    );
    expect(shown.map((each) => each.value)).toEqual(["0.25", "0.00"]);
    expect(new Date(shown[0]?.start ?? 0).toISOString()).toBe("2026-01-31T10:00:00.000Z");
    expect(shown[0]?.register).toBe("100.35");
  });

  it("leaves a gap as one empty interval per period", () => {
    const shown = consumption(
      readings(["10:00", "100"], ["11:00", "500"], ["11:15", "510"]),
      QUARTER,
    );
    expect(shown.map((each) => each.value)).toEqual([null, null, null, null, "10"]);
    expect(shown[0]?.flags).toEqual([NOT_RECEIVED]);
  });

  it("takes a null from the meter as missing, on both sides of it", () => {
    const shown = consumption(
      readings(["10:00", "1"], ["10:15", null, ["missing"]], ["10:30", "3"], ["10:45", "4"]),
      QUARTER,
    );
    expect(shown.map((each) => each.value)).toEqual([null, null, "1"]);
    expect(shown.map((each) => each.flags.includes("missing"))).toEqual([true, true, false]);
  });

  it("does not make negative consumption of a register that ran back", () => {
    const shown = consumption(readings(["10:00", "500"], ["10:15", "3"], ["10:30", "5"]), QUARTER);
    expect(shown.map((each) => each.value)).toEqual([null, "2"]);
    expect(shown[0]?.flags).toContain(REGISTER_BACK);
  });

  it("keeps a short interval as it is", () => {
    const shown = consumption(readings(["10:00", "1"], ["10:07", "2", ["off_grid"]]), QUARTER);
    expect(shown).toHaveLength(1);
    expect(shown[0]?.flags).toEqual(["off_grid"]);
  });

  it("has 92 and 100 quarter hours on the days that change the clock", () => {
    const day = (from: string, to: string) => {
      const rows = [];
      for (let time = Date.parse(from); time <= Date.parse(to); time += QUARTER * 1000) {
        rows.push({ captured_at: new Date(time).toISOString(), value: "1", quality: [] });
      }
      return consumption(rows, QUARTER).length;
    };
    expect(day("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")).toBe(92);
    expect(day("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")).toBe(100);
  });
});

describe("asSent", () => {
  const channel = {
    kind: "average",
    stamped_at: "end",
    capture_period_s: QUARTER,
    store: "integer",
  };

  it("puts a value on the period that it stands for", () => {
    const [shown] = asSent(readings(["10:15", "7"]), channel);
    expect(new Date(shown?.start ?? 0).toISOString()).toBe("2026-01-31T10:00:00.000Z");
    const [other] = asSent(readings(["10:15", "7"]), { ...channel, stamped_at: "start" });
    expect(new Date(other?.end ?? 0).toISOString()).toBe("2026-01-31T10:30:00.000Z");
  });

  it.each(["end", "start"])("fills a gap between periods stamped at their %s", (stamped_at) => {
    const shown = asSent(readings(["10:15", "7"], ["11:00", "8"]), { ...channel, stamped_at });
    expect(shown.map((each) => each.value)).toEqual(["7", null, null, "8"]);
    for (let index = 1; index < shown.length; index += 1) {
      expect(shown[index]?.start).toBe(shown[index - 1]?.end);
    }
  });
});

describe("summarise", () => {
  it("adds exactly and finds the peak", () => {
    const summary = summarise(
      consumption(
        readings(["10:00", "0.1"], ["10:15", "0.4"], ["10:30", "0.5"], ["11:00", "9"]),
        QUARTER,
      ),
      true,
    );
    expect(summary.total).toBe("0.4");
    expect(summary.peak?.value).toBe("0.3");
    expect([summary.present, summary.expected]).toEqual([2, 4]);
  });
});

describe("prefixed", () => {
  it.each([
    ["Wh", 400, "Wh"],
    ["Wh", 1400, "kWh"],
    ["W", 2_500_000, "MW"],
    ["V", 23_000, "V"],
    [null, 5_000, ""],
  ])("%s up to %d in %s", (unit, greatest, shown) => {
    expect(prefixed(unit, greatest).unit).toBe(shown);
  });
});

describe("readable", () => {
  it.each([
    ["73651", "Wh", "73.651", "kWh"],
    ["9999", "Wh", "9999", "Wh"],
    ["12764.3", "Wh", "12.7643", "kWh"],
    ["73651", "V", "73651", "V"],
  ])("%s %s is %s %s", (total, unit, value, shown) => {
    expect(readable(total, unit)).toEqual({ value, unit: shown });
  });
});
