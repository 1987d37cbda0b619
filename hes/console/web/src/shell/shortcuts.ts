/** Single-key shortcuts; they can be turned off (WCAG 2.1.4) and never act while one types. */

import { useLocalStorage, useWindowEvent } from "@mantine/hooks";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";

const SEQUENCE_MS = 1500;
export const SEARCH_ID = "meter-search";

export function useShortcutsEnabled() {
  return useLocalStorage({
    key: "hes-shortcuts",
    defaultValue: true,
    getInitialValueInEffect: false,
  });
}

function types(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.closest("input, textarea, select, [role=dialog]") !== null)
  );
}

/** Calls `act` for plain keys. */
export function useKeys(act: (key: string, event: KeyboardEvent) => void): void {
  const [enabled] = useShortcutsEnabled();
  useWindowEvent("keydown", (event) => {
    if (!enabled || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented)
      return;
    if (types(event.target)) return;
    act(event.key, event);
  });
}

export function useGlobalShortcuts(openSheet: () => void): void {
  const navigate = useNavigate();
  const led = useRef(0);
  useKeys((key, event) => {
    const second = event.timeStamp - led.current < SEQUENCE_MS && led.current > 0;
    led.current = key === "g" ? event.timeStamp : 0;
    if (second && key === "m") void navigate({ to: "/meters" });
    else if (second && key === "q") void navigate({ to: "/quarantine" });
    else if (key === "?") openSheet();
    else if (key === "/") {
      event.preventDefault();
      const field = document.getElementById(SEARCH_ID);
      if (field === null) void navigate({ to: "/meters" });
      else field.focus();
    }
  });
}
