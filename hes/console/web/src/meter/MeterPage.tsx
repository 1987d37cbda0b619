/** One meter: who it is, how its sessions went, what it measured. */

import { Paper } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { channelsQuery, meterQuery } from "../api/queries";
import { BROWSER_ZONE, clockWithSeconds } from "../logic/format";
import { knownZone } from "../logic/zone";
import { IconArrowLeft } from "../parts/icons";
import { ProblemPanel, StaleNote } from "../parts/Problems";
import { PageSkeleton, RowsSkeleton } from "../parts/Skeletons";
import type { MeterSearch } from "../router";
import { ChannelsCard } from "./ChannelsCard";
import { LoadProfile } from "./LoadProfile";
import { MeterHead } from "./MeterHead";
import { SessionsCard } from "./SessionsCard";

const route = getRouteApi("/meters/$meterId");

export function MeterPage() {
  const { t } = useTranslation();
  const { meterId } = route.useParams();
  const search = route.useSearch();
  const navigate = useNavigate();
  const profile = useRef<HTMLDivElement>(null);
  const meter = useQuery(meterQuery(meterId));
  const channels = useQuery(channelsQuery(meterId));
  const serial = meter.data?.serial;

  useEffect(() => {
    if (serial !== undefined) document.title = `${serial} · ${t("app.name")}`;
  }, [serial, t]);

  const show = (changed: MeterSearch) =>
    void navigate({
      to: "/meters/$meterId",
      params: { meterId },
      search: changed,
      replace: true,
      resetScroll: false,
    });

  const back = (
    <Link to="/meters" className="anchor back">
      <IconArrowLeft size={16} aria-hidden="true" />
      {t("meter.back")}
    </Link>
  );
  if (meter.data === undefined) {
    return (
      <div className="page">
        {back}
        {meter.isError ? (
          <Paper withBorder className="card">
            <ProblemPanel isPage error={meter.error} onRetry={() => void meter.refetch()} />
          </Paper>
        ) : (
          <PageSkeleton />
        )}
      </div>
    );
  }
  const zone = knownZone(meter.data.timezone);
  const shown = channels.data?.items.find((channel) => channel.id === search.channel);
  const channel = shown ?? channels.data?.items[0];
  const aside = (
    <>
      <SessionsCard meter={meter.data} zone={zone} />
      {channels.data !== undefined && (
        <ChannelsCard
          channels={channels.data.items}
          shownId={channel?.id}
          zone={zone}
          onShow={(id) => {
            const { channel: _, as: __, ...rest } = search;
            show({ ...rest, channel: id });
            profile.current?.scrollIntoView({ block: "start" });
          }}
        />
      )}
    </>
  );
  return (
    <div className="page">
      {back}
      <MeterHead meter={meter.data} zone={zone} />
      {meter.isError && (
        <StaleNote
          error={meter.error}
          since={clockWithSeconds(meter.dataUpdatedAt, BROWSER_ZONE)}
        />
      )}
      <div ref={profile} className="profile-anchor">
        {channels.data === undefined ? (
          <Paper withBorder className="card">
            {channels.isError ? (
              <ProblemPanel error={channels.error} onRetry={() => void channels.refetch()} />
            ) : (
              <RowsSkeleton label={t("profile.loading")} />
            )}
          </Paper>
        ) : channel === undefined ? (
          <div className="meter-aside">{aside}</div>
        ) : (
          <LoadProfile
            meter={meter.data}
            channels={channels.data.items}
            channel={channel}
            search={search}
            onSearch={show}
            aside={aside}
          />
        )}
      </div>
    </div>
  );
}
