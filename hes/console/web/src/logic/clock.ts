/** The head-end's clock as this page sees it: ages are told by it, not by the browser's. */

import { useSyncExternalStore } from "react";

const TICK_MS = 1000;

let skew = 0;
let ticked = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Learn the head-end's time from an answer of its. */
export function learnServerTime(instant: number): void {
  const next = instant - Date.now();
  // Small differences are the way of the answer, not of the clock.
  if (Math.abs(next - skew) > 2 * TICK_MS) skew = next;
}

export function serverNow(): number {
  return Date.now() + skew;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  ticked = serverNow();
  timer ??= setInterval(() => {
    ticked = serverNow();
    for (const each of listeners) each();
  }, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Now, anew every `everyMs`. */
export function useNow(everyMs = TICK_MS): number {
  return useSyncExternalStore(subscribe, () => Math.floor(ticked / everyMs) * everyMs + everyMs);
}
