/** What the pages ask of the API, and how often they ask again. */

import {
  infiniteQueryOptions,
  keepPreviousData,
  QueryClient,
  queryOptions,
} from "@tanstack/react-query";
import { learnServerTime, serverNow } from "../logic/clock";
import { client, dataOf, ProblemError, type Schemas } from "./client";

const SECOND = 1000;
const PAGE_ROWS = 200;
/** Above so many loaded pages a live table would ask too much; it stands still and says so. */
export const LIVE_PAGES = 5;
const READINGS_PAGE = 1000;
/** A year of quarter hours and some. */
export const MOST_READINGS = 40_000;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2 * SECOND,
      retry: (failures, error) =>
        failures < 1 && error instanceof ProblemError && error.problem.status !== 0
          ? error.temporary
          : false,
      retryDelay: SECOND,
      refetchOnWindowFocus: true,
      networkMode: "always",
    },
  },
});

export const statsQuery = queryOptions({
  queryKey: ["stats"],
  queryFn: async ({ signal }) => {
    const stats = await dataOf(client.GET("/v1/stats", { signal }));
    learnServerTime(Date.parse(stats.as_of));
    return stats;
  },
  refetchInterval: 3 * SECOND,
});

export function metersQuery(q: string) {
  return infiniteQueryOptions({
    queryKey: ["meters", q],
    queryFn: ({ pageParam, signal }) =>
      dataOf(
        client.GET("/v1/meters", {
          params: {
            query: {
              limit: PAGE_ROWS,
              ...(q === "" ? {} : { q }),
              ...(pageParam === null ? {} : { cursor: pageParam }),
            },
          },
          signal,
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
    refetchInterval: (query) =>
      (query.state.data?.pages.length ?? 0) > LIVE_PAGES ? false : 5 * SECOND,
  });
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The id of the meter with this serial; undefined where it is an id already, or nobody's. */
export async function idOfSerial(serial: string): Promise<string | undefined> {
  if (UUID.test(serial)) return undefined;
  const { items } = await dataOf(
    client.GET("/v1/meters", { params: { query: { q: serial, limit: 100 } } }),
  );
  return items.find((meter) => meter.serial === serial)?.id;
}

export function meterQuery(meterId: string) {
  return queryOptions({
    queryKey: ["meter", meterId],
    queryFn: ({ signal }) =>
      dataOf(
        client.GET("/v1/meters/{meter_id}", { params: { path: { meter_id: meterId } }, signal }),
      ),
    refetchInterval: 5 * SECOND,
  });
}

export function channelsQuery(meterId: string) {
  return queryOptions({
    queryKey: ["channels", meterId],
    queryFn: ({ signal }) =>
      dataOf(
        client.GET("/v1/meters/{meter_id}/channels", {
          params: { path: { meter_id: meterId } },
          signal,
        }),
      ),
    refetchInterval: 10 * SECOND,
  });
}

/** Which readings: a span that ends now, or two instants in milliseconds. */
export type Range = { lastMs: number } | { from: number; to: number };

export interface ReadingsInRange {
  readings: Schemas["Reading"][];
  from: number;
  to: number;
  truncated: boolean;
}

/** Readings in a range and the one before it, from which the first difference is taken. */
export function readingsQuery(meterId: string, channel: Schemas["Channel"], range: Range) {
  const rolling = "lastMs" in range;
  return queryOptions({
    queryKey: ["readings", meterId, channel.id, range],
    queryFn: async ({ signal }): Promise<ReadingsInRange> => {
      const now = serverNow();
      const from = rolling ? now - range.lastMs : range.from;
      const to = rolling ? now : range.to;
      const before = channel.capture_period_s * SECOND;
      const readings: Schemas["Reading"][] = [];
      let cursor: string | null = null;
      do {
        const page: Schemas["ReadingList"] = await dataOf(
          client.GET("/v1/meters/{meter_id}/readings", {
            params: {
              path: { meter_id: meterId },
              query: {
                channel: channel.id,
                from: new Date(from - before).toISOString(),
                // The register at the end of the last interval belongs to it.
                to: new Date(to + 1).toISOString(),
                limit: READINGS_PAGE,
                ...(cursor === null ? {} : { cursor }),
              },
            },
            signal,
          }),
        );
        readings.push(...page.items);
        cursor = page.next_cursor;
      } while (cursor !== null && readings.length < MOST_READINGS);
      return { readings, from, to, truncated: cursor !== null };
    },
    refetchInterval: rolling ? 10 * SECOND : false,
  });
}

export const quarantineQuery = infiniteQueryOptions({
  queryKey: ["quarantine"],
  queryFn: ({ pageParam, signal }) =>
    dataOf(
      client.GET("/v1/quarantine", {
        params: { query: { limit: 50, ...(pageParam === null ? {} : { cursor: pageParam }) } },
        signal,
      }),
    ),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor,
  refetchInterval: (query) =>
    (query.state.data?.pages.length ?? 0) > LIVE_PAGES ? false : 5 * SECOND,
});

/** Has a collector take an entry of the quarantine in again. */
export function replayEntry(id: number, why: string, anyTime: boolean) {
  return dataOf(
    client.POST("/v1/quarantine/{id}/replay", {
      params: { path: { id }, query: { why, any_time: anyTime } },
    }),
  );
}
