/** What the load profile shows: channel, period, difference or register, zone. */

import { Button, NativeSelect, SegmentedControl, Text } from "@mantine/core";
import { useId, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import type { Range } from "../api/queries";
import { serverNow } from "../logic/clock";
import { BROWSER_ZONE } from "../logic/format";
import { instantToWall, wallToInstant } from "../logic/zone";
import type { MeterSearch } from "../router";
import { channelLabel } from "./channelNames";

const DAY_MS = 86_400_000;
const LONGEST_DAYS = 400;
const SPANS = { "24h": DAY_MS, "7d": 7 * DAY_MS, "31d": 31 * DAY_MS } as const;

/** The range that an address asks for; half a custom one is none. */
export function rangeOf({ period = "24h", from, to }: MeterSearch): Range {
  if (period !== "custom") return { lastMs: SPANS[period] };
  if (from === undefined || to === undefined || from >= to) return { lastMs: DAY_MS };
  return { from, to };
}

export function zoneOf(search: MeterSearch, meterZone: string): string {
  if (search.zone === "utc") return "UTC";
  return search.zone === "browser" ? BROWSER_ZONE : meterZone;
}

function without(search: MeterSearch, ...names: (keyof MeterSearch)[]): MeterSearch {
  const rest = { ...search };
  for (const name of names) delete rest[name];
  return rest;
}

interface Props {
  channels: readonly Schemas["Channel"][];
  channel: Schemas["Channel"];
  search: MeterSearch;
  onSearch: (search: MeterSearch) => void;
  meterZone: string;
  /** Whether the channel can be shown as differences at all. */
  differences: boolean;
  asRegister: boolean;
}

export function ProfileControls(props: Props) {
  const { channels, channel, search, onSearch, meterZone, differences, asRegister } = props;
  const { t } = useTranslation();
  const zone = zoneOf(search, meterZone);
  const period = search.period ?? "24h";
  const range = rangeOf(search);
  return (
    <>
      <div className="controls">
        <NativeSelect
          label={t("profile.channel")}
          className="control-channel"
          value={channel.id}
          onChange={(event) =>
            onSearch({ ...without(search, "as"), channel: Number(event.currentTarget.value) })
          }
          data={channels.map((each) => ({
            value: String(each.id),
            label: channelLabel(t, each),
          }))}
        />
        <div className="control">
          <Text component="span" size="sm" fw={500} id="period-label">
            {t("profile.period")}
          </Text>
          <SegmentedControl
            aria-labelledby="period-label"
            value={period}
            onChange={(value) => {
              if (value === "custom") {
                const to = serverNow();
                const length = period === "custom" ? DAY_MS : SPANS[period];
                onSearch({ ...search, period: "custom", from: to - length, to });
              } else if (value === "24h") {
                onSearch(without(search, "period", "from", "to"));
              } else {
                onSearch({
                  ...without(search, "from", "to"),
                  period: value as NonNullable<MeterSearch["period"]>,
                });
              }
            }}
            data={[
              { value: "24h", label: t("profile.last24h") },
              { value: "7d", label: t("profile.last7d") },
              { value: "31d", label: t("profile.last31d") },
              { value: "custom", label: t("profile.custom") },
            ]}
          />
        </div>
        {differences && (
          <div className="control">
            <Text component="span" size="sm" fw={500} id="values-label">
              {t("profile.values")}
            </Text>
            <SegmentedControl
              aria-labelledby="values-label"
              value={asRegister ? "register" : "consumption"}
              onChange={(value) =>
                onSearch(
                  value === "register" ? { ...search, as: "register" } : without(search, "as"),
                )
              }
              data={[
                { value: "consumption", label: t("profile.consumption") },
                { value: "register", label: t("profile.register") },
              ]}
            />
          </div>
        )}
        <NativeSelect
          label={t("profile.zone")}
          className="control-zone"
          value={search.zone ?? "meter"}
          onChange={(event) => {
            const value = event.currentTarget.value as NonNullable<MeterSearch["zone"]>;
            onSearch(value === "meter" ? without(search, "zone") : { ...search, zone: value });
          }}
          data={[
            { value: "meter", label: t("profile.zoneMeter", { zone: meterZone }) },
            { value: "utc", label: t("profile.zoneUtc") },
            { value: "browser", label: t("profile.zoneBrowser", { zone: BROWSER_ZONE }) },
          ]}
        />
      </div>
      {"from" in range && (
        <CustomRange
          key={`${search.from} ${search.to} ${zone}`}
          range={range}
          zone={zone}
          onRange={(from, to) => onSearch({ ...search, period: "custom", from, to })}
        />
      )}
    </>
  );
}

function CustomRange({
  range,
  zone,
  onRange,
}: {
  range: { from: number; to: number };
  zone: string;
  onRange: (from: number, to: number) => void;
}) {
  const { t } = useTranslation();
  const [from, setFrom] = useState(() => instantToWall(range.from, zone));
  const [to, setTo] = useState(() => instantToWall(range.to, zone));
  const [error, setError] = useState<string | null>(null);
  const ids = [useId(), useId(), useId()] as const;
  const apply = () => {
    const start = wallToInstant(from, zone);
    const end = wallToInstant(to, zone);
    if (start === null || end === null || start >= end) {
      setError(t("profile.badRange"));
    } else if (end - start > LONGEST_DAYS * DAY_MS) {
      setError(t("profile.longRange", { days: LONGEST_DAYS }));
    } else {
      setError(null);
      onRange(start, end);
    }
  };
  const field = (id: string, label: string, value: string, change: (value: string) => void) => (
    <div className="control">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="datetime-local"
        className="wall-input"
        value={value}
        aria-invalid={error !== null}
        aria-describedby={ids[2]}
        onChange={(event) => change(event.currentTarget.value)}
      />
    </div>
  );
  return (
    <form
      className="controls controls-custom"
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      {field(ids[0], t("profile.from"), from, setFrom)}
      {field(ids[1], t("profile.to"), to, setTo)}
      <Button type="submit">{t("profile.show")}</Button>
      <span id={ids[2]} className="dim">
        {error === null ? zone : <span className="status-failed">{error}</span>}
      </span>
    </form>
  );
}
