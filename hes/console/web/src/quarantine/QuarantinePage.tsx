/** What arrived and became no reading, newest first. */

import { ActionIcon, Button, CopyButton, Paper, Text, VisuallyHidden } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { quarantineQuery } from "../api/queries";
import { en } from "../i18n/en";
import { BROWSER_ZONE, clockWithSeconds, count } from "../logic/format";
import {
  IconCheck,
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleMinus,
  IconCircleXFilled,
  IconClockExclamation,
  IconCopy,
  IconShieldCheck,
} from "../parts/icons";
import { Moment } from "../parts/Moment";
import { EmptyState, ProblemPanel, StaleNote } from "../parts/Problems";
import { ScrollRegion } from "../parts/ScrollRegion";
import { RowsSkeleton } from "../parts/Skeletons";
import { Status } from "../parts/Status";
import { ReplayDialog } from "./ReplayDialog";

type Frame = Schemas["QuarantinedFrame"];

export function QuarantinePage() {
  const { t } = useTranslation();
  const query = useInfiniteQuery(quarantineQuery);
  const frames = query.data?.pages.flatMap((page) => page.items) ?? [];
  const [replayed, setReplayed] = useState<Frame | null>(null);

  useEffect(() => {
    document.title = `${t("quarantine.title")} · ${t("app.name")}`;
  }, [t]);

  return (
    <div className="page page-fill">
      <div className="page-head">
        <h1>{t("quarantine.title")}</h1>
        <p className="about">{t("quarantine.about")}</p>
      </div>
      {query.isError && query.data !== undefined && (
        <StaleNote
          error={query.error}
          since={clockWithSeconds(query.dataUpdatedAt, BROWSER_ZONE)}
        />
      )}
      <Paper withBorder className="card card-fill">
        {query.data === undefined ? (
          query.isError ? (
            <ProblemPanel error={query.error} onRetry={() => void query.refetch()} />
          ) : (
            <RowsSkeleton label={t("meters.loadingMore")} />
          )
        ) : frames.length === 0 ? (
          <EmptyState title={t("quarantine.emptyTitle")} icon={<IconShieldCheck size={28} />}>
            <Text c="dimmed">{t("quarantine.emptyText")}</Text>
          </EmptyState>
        ) : (
          <>
            <ScrollRegion label={t("quarantine.table")}>
              <table className="table table-comfortable quarantine-table">
                <thead>
                  <tr>
                    <th scope="col">{t("quarantine.received")}</th>
                    <th scope="col">{t("quarantine.reason")}</th>
                    <th scope="col">{t("quarantine.meter")}</th>
                    <th scope="col">{t("quarantine.identity")}</th>
                    <th scope="col">{t("quarantine.peer")}</th>
                    <th scope="col" className="number">
                      {t("quarantine.octets")}
                    </th>
                    <th scope="col">{t("quarantine.raw")}</th>
                    <th scope="col">{t("quarantine.state")}</th>
                    <th scope="col">
                      <VisuallyHidden>{t("quarantine.replay")}</VisuallyHidden>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {frames.map((frame) => (
                    <Row key={frame.id} frame={frame} onReplay={() => setReplayed(frame)} />
                  ))}
                </tbody>
              </table>
            </ScrollRegion>
            <div className="table-foot">
              <span>{t("quarantine.rows", { shown: count(frames.length) })}</span>
              {query.hasNextPage && (
                <Button
                  variant="default"
                  size="compact-sm"
                  loading={query.isFetchingNextPage}
                  onClick={() => void query.fetchNextPage()}
                >
                  {t("quarantine.more")}
                </Button>
              )}
            </div>
          </>
        )}
      </Paper>
      {replayed !== null && (
        <ReplayDialog
          id={replayed.id}
          hasRows={replayed.rows !== null}
          onClose={() => setReplayed(null)}
        />
      )}
    </div>
  );
}

function isReason(reason: string): reason is keyof typeof en.reason {
  return reason in en.reason;
}

function Row({ frame, onReplay }: { frame: Frame; onReplay: () => void }) {
  const { t } = useTranslation();
  const shownOctets = frame.raw.length / 2;
  return (
    <tr>
      <td>
        <Moment at={frame.received_at} />
      </td>
      <td className="reason">
        {isReason(frame.reason) ? t(`reason.${frame.reason}`) : frame.reason}
      </td>
      <td>
        {frame.meter_id === null ? (
          <span className="dim">{t("quarantine.unknownMeter")}</span>
        ) : (
          <Link to="/meters/$meterId" params={{ meterId: frame.meter_id }} className="anchor">
            {frame.meter_serial ?? frame.meter_id}
          </Link>
        )}
      </td>
      <td className="code">{frame.identity ?? <span className="dim">–</span>}</td>
      <td className="code">{frame.peer ?? <span className="dim">–</span>}</td>
      <td className="number">{count(frame.octets)}</td>
      <td>
        <span
          className="hex"
          title={t("quarantine.cut", { shown: shownOctets, all: frame.octets })}
        >
          <code className="code">
            {frame.raw.slice(0, 32)}
            {frame.octets > 16 && "…"}
          </code>
          <CopyButton value={frame.raw}>
            {({ copied, copy }) => (
              <ActionIcon
                variant="subtle"
                color="gray"
                onClick={copy}
                aria-label={copied ? t("quarantine.copied") : t("quarantine.copy")}
              >
                {copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
              </ActionIcon>
            )}
          </CopyButton>
        </span>
      </td>
      <td>
        <EntryState frame={frame} />
      </td>
      <td>
        {frame.state === "open" && frame.requested_at === null && (
          <Button variant="default" size="compact-sm" onClick={onReplay}>
            {t("quarantine.replay")}
          </Button>
        )}
      </td>
    </tr>
  );
}

/** What became of an entry, and who did it or why it failed. */
function EntryState({ frame }: { frame: Frame }) {
  const { t } = useTranslation();
  if (frame.state === "replayed" || frame.state === "dropped") {
    const replayed = frame.state === "replayed";
    return (
      <span title={`${frame.handled_by ?? ""}: ${frame.handled_why ?? ""}`}>
        <Status
          tone={replayed ? "ok" : "quiet"}
          glyph={replayed ? IconCircleCheckFilled : IconCircleMinus}
        >
          {t(replayed ? "entry.replayed" : "entry.dropped")}
        </Status>
      </span>
    );
  }
  if (frame.requested_at !== null) {
    return (
      <Status tone="plain" glyph={IconCircleDashed}>
        {t("entry.requested")}
      </Status>
    );
  }
  if (frame.said !== null) {
    return (
      <span title={frame.said}>
        <Status tone="failed" glyph={IconCircleXFilled}>
          {t("entry.refused")}
        </Status>
      </span>
    );
  }
  return (
    <Status tone="late" glyph={IconClockExclamation}>
      {t("entry.open")}
    </Status>
  );
}
