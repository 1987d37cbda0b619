import { describe, expect, it } from "vitest";
import { add, grouped, parseDecimal, subtract, toText } from "./decimal";

function d(text: string) {
  const value = parseDecimal(text);
  if (value === null) throw new Error(text);
  return value;
}

describe("decimal", () => {
  it.each([
    ["6842204.5", "6842204.25", "0.25"],
    ["0.3", "0.1", "0.2"],
    ["9223372036854775807", "9223372036854775806", "1"],
    ["1", "2.50", "-1.50"],
  ])("%s - %s = %s", (a, b, difference) => {
    expect(toText(subtract(d(a), d(b)))).toBe(difference);
  });

  it("adds without rounding", () => {
    expect(toText(add(d("0.1"), d("0.2")))).toBe("0.3");
  });

  it.each(["", "1e3", "abc", "1.", ".5", "+1"])("refuses %j", (text) => {
    expect(parseDecimal(text)).toBeNull();
  });

  it.each([
    ["1234567.8901", "1,234,567.8901"],
    ["-1000", "−1,000"],
    ["999", "999"],
    ["off", "off"],
  ])("groups %s", (text, shown) => {
    expect(grouped(text)).toBe(shown);
  });
});
