/** The load profile of one channel: what to show, the plot, and the same as a table. */

import { Button, Paper, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { MOST_READINGS, type ReadingsInRange, readingsQuery } from "../api/queries";
import { BROWSER_ZONE, clockWithSeconds, count, dateTime, offset } from "../logic/format";
import {
  asSent,
  consumption,
  coversPeriod,
  type Interval,
  isPlottable,
  showsConsumption,
} from "../logic/intervals";
import { dayAround, knownZone } from "../logic/zone";
import { IconChartBarOff, IconInfoCircle } from "../parts/icons";
import { EmptyState, ProblemPanel, StaleNote } from "../parts/Problems";
import type { MeterSearch } from "../router";
import { channelName, periodText } from "./channelNames";
import { Plot } from "./Plot";
import { ProfileControls, rangeOf, zoneOf } from "./ProfileControls";
import { ProfileNumbers } from "./ProfileNumbers";
import { ValuesTable } from "./ValuesTable";

type Channel = Schemas["Channel"];

interface Props {
  meter: Schemas["Meter"];
  channels: readonly Channel[];
  channel: Channel;
  search: MeterSearch;
  onSearch: (search: MeterSearch) => void;
  /** What stands beside the table of values. */
  aside: ReactNode;
}

function intervalsOf(data: ReadingsInRange, channel: Channel, asRegister: boolean): Interval[] {
  const all = asRegister
    ? asSent(data.readings, channel)
    : consumption(data.readings, channel.capture_period_s);
  const covers = !asRegister || coversPeriod(channel);
  return all.filter((each) =>
    covers ? each.end > data.from && each.start < data.to : each.start >= data.from,
  );
}

export function LoadProfile({ meter, channels, channel, search, onSearch, aside }: Props) {
  const { t } = useTranslation();
  const meterZone = knownZone(meter.timezone);
  const zone = zoneOf(search, meterZone);
  const differences = showsConsumption(channel) && channel.capture_period_s > 0;
  const asRegister = search.as === "register" || !differences;
  const covers = !asRegister || coversPeriod(channel);
  const query = useQuery(readingsQuery(meter.id, channel, rangeOf(search)));
  const { data } = query;
  const intervals = useMemo(
    () => (data === undefined ? [] : intervalsOf(data, channel, asRegister)),
    [data, channel, asRegister],
  );
  const name = channelName(t, channel);
  return (
    <>
      <Paper withBorder className="card profile">
        <div className="card-head">
          <h2>{t("profile.title")}</h2>
          {meterZone !== meter.timezone && (
            <span className="dim">{t("profile.zoneUnknown", { zone: meter.timezone })}</span>
          )}
        </div>
        <ProfileControls
          channels={channels}
          channel={channel}
          search={search}
          onSearch={onSearch}
          meterZone={meterZone}
          differences={differences}
          asRegister={asRegister}
        />
        {data === undefined ? (
          query.isError ? (
            <ProblemPanel error={query.error} onRetry={() => void query.refetch()} />
          ) : (
            <div role="status" aria-label={t("profile.loading")} className="profile-loading">
              <Skeleton height={64} />
              <Skeleton height={300} />
            </div>
          )
        ) : intervals.length === 0 ? (
          <NoReadings
            channel={channel}
            zone={zone}
            onDay={(from, to) => onSearch({ ...search, period: "custom", from, to })}
          />
        ) : (
          <>
            <Notes query={query} data={data} />
            <ProfileNumbers
              intervals={intervals}
              channel={channel}
              zone={zone}
              adds={!asRegister || channel.kind === "delta"}
              covers={covers}
            />
            {isPlottable(channel) ? (
              <Plot
                key={`${channel.id} ${asRegister} ${search.period} ${search.from} ${search.to}`}
                intervals={intervals}
                from={data.from}
                to={data.to}
                bars={covers}
                fromZero={covers}
                unit={channel.unit}
                per={covers ? periodText(t, channel.capture_period_s) : null}
                name={name}
                zone={zone}
              />
            ) : (
              <p className="card-empty">{t("profile.notPlottable")}</p>
            )}
          </>
        )}
      </Paper>
      <div className="meter-columns">
        {intervals.length > 0 && (
          <Paper withBorder className="card">
            <ValuesTable
              key={`${channel.id} ${search.period} ${search.from} ${search.to}`}
              intervals={intervals}
              unit={channel.unit}
              withRegister={!asRegister}
              covers={covers}
              caption={t("table.caption", { name, zone })}
              zone={zone}
            />
          </Paper>
        )}
        <div className="meter-aside">{aside}</div>
      </div>
    </>
  );
}

function Notes({
  query,
  data,
}: {
  query: { error: Error | null; dataUpdatedAt: number };
  data: ReadingsInRange;
}) {
  const { t } = useTranslation();
  return (
    <div className="profile-notes">
      {query.error !== null && (
        <StaleNote
          error={query.error}
          since={clockWithSeconds(query.dataUpdatedAt, BROWSER_ZONE)}
        />
      )}
      {data.truncated && (
        <p className="stale-note" role="status">
          <IconInfoCircle size={18} aria-hidden="true" />
          {t("profile.truncated", { shown: count(MOST_READINGS) })}
        </p>
      )}
    </div>
  );
}

function NoReadings({
  channel,
  zone,
  onDay,
}: {
  channel: Channel;
  zone: string;
  onDay: (from: number, to: number) => void;
}) {
  const { t } = useTranslation();
  const latest = channel.last_captured_at === null ? null : Date.parse(channel.last_captured_at);
  return (
    <EmptyState title={t("profile.emptyTitle")} icon={<IconChartBarOff size={28} />}>
      <Text c="dimmed">
        {latest === null
          ? t("profile.emptyNone")
          : t("profile.emptyLatest", {
              time: `${dateTime(latest, zone)} ${offset(latest, zone)}`,
            })}
      </Text>
      {latest !== null && (
        <Button
          variant="default"
          onClick={() => {
            // Midnight is the end of the day before.
            const [start, end] = dayAround(latest - 1, zone);
            onDay(start, end);
          }}
        >
          {t("profile.showLatest")}
        </Button>
      )}
    </EmptyState>
  );
}
