/** The meters table: search on the server, pages by cursor, only the rows in sight are drawn. */

import { ActionIcon, Button, Paper, SegmentedControl, Text, TextInput } from "@mantine/core";
import { useDebouncedCallback, useLocalStorage } from "@mantine/hooks";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { createColumnHelper, tableFeatures, useTable } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { LIVE_PAGES, metersQuery } from "../api/queries";
import { i18n } from "../i18n";
import { serverNow } from "../logic/clock";
import { BROWSER_ZONE, clockWithSeconds, count } from "../logic/format";
import {
  IconBaselineDensityMedium,
  IconBaselineDensitySmall,
  IconClockExclamation,
  IconGauge,
  IconSearch,
  IconSearchOff,
  IconX,
} from "../parts/icons";
import { Moment } from "../parts/Moment";
import { EmptyState, ProblemPanel, StaleNote } from "../parts/Problems";
import { ScrollRegion } from "../parts/ScrollRegion";
import { RowsSkeleton } from "../parts/Skeletons";
import { OutcomeStatus, StateStatus, Status } from "../parts/Status";
import { SEARCH_ID, useKeys } from "../shell/shortcuts";

type Meter = Schemas["MeterSummary"];

const DAY_MS = 86_400_000;
const SEARCH_DELAY_MS = 250;
const HEIGHTS = { comfortable: 44, compact: 28 } as const;
type Density = keyof typeof HEIGHTS;

const route = getRouteApi("/meters");
const features = tableFeatures({});
const helper = createColumnHelper<typeof features, Meter>();

const columns = helper.columns([
  helper.accessor("serial", {
    header: () => i18n.t("meters.serial"),
    cell: (info) => (
      <Link
        to="/meters/$meterId"
        params={{ meterId: info.row.original.id }}
        className="anchor serial"
        data-row={info.row.index}
      >
        {info.getValue()}
      </Link>
    ),
  }),
  helper.accessor("model", {
    header: () => i18n.t("meters.model"),
    cell: (info) => info.getValue() ?? <span className="dim">–</span>,
  }),
  helper.accessor("address", {
    header: () => i18n.t("meters.address"),
    cell: (info) => <Address meter={info.row.original} />,
  }),
  helper.accessor("last_session", {
    header: () => i18n.t("meters.lastSession"),
    cell: (info) => <LastSession session={info.getValue()} />,
  }),
  helper.accessor("last_reading_at", {
    header: () => i18n.t("meters.lastReading"),
    cell: (info) => <LastReading at={info.getValue()} />,
  }),
  helper.accessor("state", {
    header: () => i18n.t("meters.state"),
    cell: (info) => <StateStatus state={info.getValue()} />,
  }),
]);

function Address({ meter }: { meter: Meter }) {
  const { t } = useTranslation();
  if (meter.address === null) return <span className="dim">{t("meters.pushOnly")}</span>;
  const host = meter.address.includes(":") ? `[${meter.address}]` : meter.address;
  return <span className="code">{`${host}:${meter.port}`}</span>;
}

function LastSession({ session }: { session: Meter["last_session"] }) {
  return (
    <span className="cell-pair">
      <OutcomeStatus outcome={session?.outcome ?? null} />
      {session !== null && (
        <span className="dim">
          <Moment at={session.ended_at} />
          {session.cause !== null && <span className="cause"> · {session.cause}</span>}
        </span>
      )}
    </span>
  );
}

function LastReading({ at }: { at: string | null }) {
  const { t } = useTranslation();
  if (at === null) return <span className="dim">{t("meters.noReading")}</span>;
  if (serverNow() - Date.parse(at) < DAY_MS) return <Moment at={at} />;
  return (
    <span title={t("meters.silent")}>
      <Status tone="late" glyph={IconClockExclamation}>
        <Moment at={at} />
      </Status>
    </span>
  );
}

export function MetersPage() {
  const { t } = useTranslation();
  const { q = "" } = route.useSearch();
  const [density, setDensity] = useLocalStorage<Density>({
    key: "hes-meters-density",
    defaultValue: "comfortable",
    getInitialValueInEffect: false,
  });
  const query = useInfiniteQuery(metersQuery(q));
  const meters = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data]);
  const total = query.data?.pages[0]?.total_estimate ?? 0;
  const updated = clockWithSeconds(query.dataUpdatedAt, BROWSER_ZONE);

  useEffect(() => {
    document.title = `${t("meters.title")} · ${t("app.name")}`;
  }, [t]);

  return (
    <div className="page page-fill">
      <div className="page-head">
        <h1>{t("meters.title")}</h1>
        <Search q={q} />
        <p className="found" role="status">
          {query.data !== undefined &&
            (q === ""
              ? t("meters.count", { count: total, shown: count(total) })
              : t("meters.found", { count: total, shown: count(total) }))}
        </p>
        <SegmentedControl
          size="xs"
          className="density"
          aria-label={t("meters.density")}
          value={density}
          onChange={(value) => setDensity(value as Density)}
          data={[
            {
              value: "comfortable",
              label: <IconBaselineDensityMedium size={16} aria-label={t("meters.comfortable")} />,
            },
            {
              value: "compact",
              label: <IconBaselineDensitySmall size={16} aria-label={t("meters.compact")} />,
            },
          ]}
        />
      </div>
      {query.isError && query.data !== undefined && (
        <StaleNote error={query.error} since={updated} />
      )}
      <Paper withBorder className="card card-fill">
        {query.data === undefined ? (
          query.isError ? (
            <ProblemPanel error={query.error} onRetry={() => void query.refetch()} />
          ) : (
            <RowsSkeleton label={t("meters.loadingMore")} />
          )
        ) : meters.length === 0 ? (
          <NoMeters q={q} />
        ) : (
          <MetersTable
            meters={meters}
            total={total}
            density={density}
            hasMore={query.hasNextPage}
            loadingMore={query.isFetchingNextPage}
            onMore={() => void query.fetchNextPage()}
            paused={query.data.pages.length > LIVE_PAGES}
          />
        )}
      </Paper>
    </div>
  );
}

function Search({ q }: { q: string }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [text, setText] = useState(q);
  const sent = useRef(q);

  // The address is the truth: going back puts its search into the field again.
  useEffect(() => {
    if (q !== sent.current) {
      sent.current = q;
      setText(q);
    }
  }, [q]);

  const search = (value: string) => {
    sent.current = value;
    void navigate({ to: "/meters", search: value === "" ? {} : { q: value }, replace: true });
  };
  const searchSoon = useDebouncedCallback(search, SEARCH_DELAY_MS);
  const clear = () => {
    searchSoon.cancel();
    setText("");
    search("");
  };

  return (
    <TextInput
      id={SEARCH_ID}
      type="search"
      className="search"
      aria-label={t("meters.search")}
      placeholder={t("meters.placeholder")}
      maxLength={64}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        searchSoon(event.currentTarget.value.trim());
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape" && text !== "") {
          event.preventDefault();
          clear();
        }
      }}
      leftSection={<IconSearch size={16} aria-hidden="true" />}
      rightSection={
        text !== "" && (
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={t("meters.clear")}
            onClick={() => {
              clear();
              document.getElementById(SEARCH_ID)?.focus();
            }}
          >
            <IconX size={15} />
          </ActionIcon>
        )
      }
    />
  );
}

function NoMeters({ q }: { q: string }) {
  const { t } = useTranslation();
  if (q !== "") {
    return (
      <EmptyState title={t("meters.nothingTitle", { q })} icon={<IconSearchOff size={28} />}>
        <Text c="dimmed">{t("meters.nothingText")}</Text>
        <Button component={Link} to="/meters" variant="default">
          {t("meters.clear")}
        </Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState title={t("meters.emptyTitle")} icon={<IconGauge size={28} />}>
      <Text c="dimmed">{t("meters.emptyText")}</Text>
      <pre className="code commands">{"hes meter import meters.jsonl\nhes up --meters 100"}</pre>
    </EmptyState>
  );
}

interface TableProps {
  meters: Meter[];
  total: number;
  density: Density;
  hasMore: boolean;
  loadingMore: boolean;
  onMore: () => void;
  paused: boolean;
}

function MetersTable(props: TableProps) {
  const { meters, total, density, hasMore, loadingMore, onMore, paused } = props;
  const { t } = useTranslation();
  const navigate = useNavigate();
  const scroller = useRef<HTMLElement>(null);
  const table = useTable({ features, columns, data: meters, getRowId: (meter) => meter.id });
  const rows = table.getRowModel().rows;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => HEIGHTS[density],
    overscan: 12,
    scrollPaddingEnd: 40,
  });
  const shown = virtual.getVirtualItems();
  const lastShown = shown.at(-1)?.index ?? 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: another density is another height
  useEffect(() => {
    virtual.measure();
  }, [virtual, density]);

  useEffect(() => {
    if (hasMore && !loadingMore && lastShown > rows.length - 40) onMore();
  }, [hasMore, loadingMore, lastShown, rows.length, onMore]);

  // A row out of sight is drawn first; keys that come meanwhile go on from it.
  const awaited = useRef<number | null>(null);
  useKeys((key) => {
    if (key !== "j" && key !== "k") return;
    const focused = document.activeElement?.getAttribute("data-row");
    const current = awaited.current ?? (focused == null ? -1 : Number(focused));
    const next = Math.min(Math.max(current + (key === "j" ? 1 : -1), 0), rows.length - 1);
    awaited.current = next;
    virtual.scrollToIndex(next);
    const focus = (attempts: number) => {
      if (awaited.current !== next) return;
      const link = scroller.current?.querySelector<HTMLElement>(`[data-row="${next}"]`);
      if (link == null && attempts > 0) {
        requestAnimationFrame(() => focus(attempts - 1));
        return;
      }
      awaited.current = null;
      link?.focus({ preventScroll: true });
    };
    focus(10);
  });

  const above = shown[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (shown.at(-1)?.end ?? 0);
  return (
    <>
      <ScrollRegion ref={scroller} label={t("meters.table")}>
        <table className={`table meters-table table-${density}`} aria-rowcount={total + 1}>
          <thead>
            {table.getHeaderGroups().map((group) => (
              <tr key={group.id} aria-rowindex={1}>
                {group.headers.map((header) => (
                  <th key={header.id} scope="col" className={`col-${header.column.id}`}>
                    <table.FlexRender header={header} />
                  </th>
                ))}
              </tr>
            ))}
          </thead>
          <tbody>
            {above > 0 && (
              // biome-ignore lint/a11y/noAriaHiddenOnFocusable: an empty row takes no focus
              <tr aria-hidden="true" className="spacer">
                <td colSpan={columns.length} style={{ height: above }} />
              </tr>
            )}
            {shown.map((item) => {
              const row = rows[item.index];
              if (row === undefined) return null;
              return (
                // The row repeats its link for the mouse; keyboards use the link itself.
                <tr
                  key={row.id}
                  aria-rowindex={item.index + 2}
                  className="row-link"
                  style={{ height: HEIGHTS[density] }}
                  onClick={(event) => {
                    if ((event.target as Element).closest("a") !== null) return;
                    if (getSelection()?.toString()) return;
                    void navigate({ to: "/meters/$meterId", params: { meterId: row.original.id } });
                  }}
                >
                  {row.getAllCells().map((cell) => (
                    <td key={cell.id} className={`col-${cell.column.id}`}>
                      <table.FlexRender cell={cell} />
                    </td>
                  ))}
                </tr>
              );
            })}
            {below > 0 && (
              // biome-ignore lint/a11y/noAriaHiddenOnFocusable: an empty row takes no focus
              <tr aria-hidden="true" className="spacer">
                <td colSpan={columns.length} style={{ height: below }} />
              </tr>
            )}
          </tbody>
        </table>
      </ScrollRegion>
      <div className="table-foot">
        <span>{t("meters.loaded", { shown: count(rows.length), total: count(total) })}</span>
        {paused && <span>{t("meters.paused")}</span>}
        {hasMore && (
          <Button variant="default" size="compact-sm" onClick={onMore} loading={loadingMore}>
            {t("meters.more")}
          </Button>
        )}
      </div>
    </>
  );
}
