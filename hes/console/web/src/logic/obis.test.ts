import { expect, it } from "vitest";
import { describeObis } from "./obis";

it.each([
  ["1.0.1.8.0.255", "energyImport", null, null],
  ["1.0.2.8.2.255", "energyExport", null, 2],
  ["1.0.1.27.0.255", "averagePowerImport", null, null],
  ["1.0.2.6.0.255", "maximumPowerExport", null, null],
  ["1.0.1.29.0.255", "energyImportPeriod", null, null],
  ["1.0.14.7.0.255", "frequency", null, null],
  ["1.0.32.7.0.255", "voltage", 1, null],
  ["1.0.52.7.0.255", "voltage", 2, null],
  ["1.0.71.7.0.255", "current", 3, null],
  ["1.0.41.8.0.255", "energyImport", 2, null],
  ["0.0.1.0.0.255", "clock", null, null],
  ["0.0.96.10.1.255", "status", null, null],
])("%s is %s", (code, name, phase, tariff) => {
  expect(describeObis(code)).toEqual({ name, phase, tariff });
});

it.each(["1.0.99.1.0.255", "1.0.1.8.0", "x", "1.0.1.99.0.255"])("%s has no name", (code) => {
  expect(describeObis(code)).toBeNull();
});
