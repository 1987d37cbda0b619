import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { idOfSerial, queryClient } from "./api/queries";
import { Crashed, NotFound } from "./parts/Problems";
import { PageSkeleton } from "./parts/Skeletons";
import { Shell } from "./shell/Shell";

export interface MetersSearch {
  q?: string;
}

export const PERIODS = ["24h", "7d", "31d", "custom"] as const;
export const ZONES = ["meter", "utc", "browser"] as const;

/** What a meter's page shows, kept in its address; what is left out is as by default. */
export interface MeterSearch {
  channel?: number;
  period?: (typeof PERIODS)[number];
  /** Milliseconds since 1970 UTC, for the period `custom`. */
  from?: number;
  to?: number;
  as?: "register";
  zone?: (typeof ZONES)[number];
}

function instant(value: unknown): number | undefined {
  const number = typeof value === "number" ? value : Number.NaN;
  return Number.isSafeInteger(number) && Math.abs(number) < 8.64e15 ? number : undefined;
}

function oneOf<T extends string>(choices: readonly T[], value: unknown): T | undefined {
  return choices.find((choice) => choice === value);
}

/** Only what is there, so that addresses stay short. */
function present<T extends object>(search: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as T;
}

const rootRoute = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  errorComponent: Crashed,
});

const indexRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/meters", replace: true });
  },
});

export const metersRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/meters",
  validateSearch: (search: Record<string, unknown>): MetersSearch => {
    const { q } = search;
    const text = typeof q === "number" ? String(q) : q;
    return typeof text === "string" && text !== "" ? { q: text.slice(0, 64) } : {};
  },
  component: lazyRouteComponent(() => import("./meters/MetersPage"), "MetersPage"),
});

export const meterRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/meters/$meterId",
  validateSearch: (search: Record<string, unknown>): MeterSearch =>
    present<MeterSearch>({
      channel: instant(search.channel),
      period: oneOf(PERIODS, search.period),
      from: instant(search.from),
      to: instant(search.to),
      as: oneOf(["register"] as const, search.as),
      zone: oneOf(ZONES, search.zone),
    }),
  // People know serials, and type them. What cannot be found out here, the page says.
  beforeLoad: async ({ params, search }) => {
    const meterId = await idOfSerial(params.meterId).catch(() => undefined);
    if (meterId !== undefined) {
      throw redirect({ to: "/meters/$meterId", params: { meterId }, search, replace: true });
    }
  },
  component: lazyRouteComponent(() => import("./meter/MeterPage"), "MeterPage"),
});

const quarantineRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/quarantine",
  component: lazyRouteComponent(() => import("./quarantine/QuarantinePage"), "QuarantinePage"),
});

export const router = createRouter({
  routeTree: rootRoute.addChildren([indexRoute, metersRoute, meterRoute, quarantineRoute]),
  context: { queryClient },
  defaultPreload: "intent",
  defaultPendingComponent: PageSkeleton,
  defaultErrorComponent: Crashed,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
