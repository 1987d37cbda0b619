/** A state as glyph, text and colour; none of the three alone. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { en } from "../i18n/en";
import {
  type Icon,
  IconCircle,
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleMinus,
  IconCircleXFilled,
  IconClockExclamation,
  IconPlayerPauseFilled,
  IconShieldExclamation,
} from "./icons";

export type Tone = "ok" | "plain" | "late" | "failed" | "quiet";

type Glyph = Icon;

export function Status({
  tone,
  glyph: Drawn,
  children,
}: {
  tone: Tone;
  glyph: Glyph;
  children: ReactNode;
}) {
  return (
    <span className={`status status-${tone}`}>
      <Drawn size={16} aria-hidden="true" className="status-glyph" />
      <span>{children}</span>
    </span>
  );
}

type Outcome = Schemas["LastSession"]["outcome"];

const OUTCOMES: Record<Outcome, { tone: Tone; glyph: Glyph }> = {
  ok: { tone: "ok", glyph: IconCircleCheckFilled },
  transport: { tone: "failed", glyph: IconCircleXFilled },
  application: { tone: "failed", glyph: IconCircleXFilled },
  security: { tone: "failed", glyph: IconShieldExclamation },
  storage: { tone: "late", glyph: IconClockExclamation },
};

/** How a session ended; null: there was none. */
export function OutcomeStatus({ outcome }: { outcome: Outcome | null }) {
  const { t } = useTranslation();
  if (outcome === null) {
    return (
      <Status tone="quiet" glyph={IconCircleDashed}>
        {t("outcome.none")}
      </Status>
    );
  }
  return <Status {...OUTCOMES[outcome]}>{t(`outcome.${outcome}`)}</Status>;
}

const STATES: Record<keyof typeof en.state, { tone: Tone; glyph: Glyph }> = {
  discovered: { tone: "late", glyph: IconCircleDashed },
  quarantined: { tone: "late", glyph: IconClockExclamation },
  commissioned: { tone: "quiet", glyph: IconCircle },
  in_service: { tone: "plain", glyph: IconCircleCheckFilled },
  suspended: { tone: "quiet", glyph: IconPlayerPauseFilled },
  retired: { tone: "quiet", glyph: IconCircleMinus },
};

function isState(state: string): state is keyof typeof en.state {
  return state in en.state;
}

/** Where in its life a meter is. */
export function StateStatus({ state }: { state: string }) {
  const { t } = useTranslation();
  if (!isState(state)) {
    return (
      <Status tone="quiet" glyph={IconCircle}>
        {state}
      </Status>
    );
  }
  return <Status {...STATES[state]}>{t(`state.${state}`)}</Status>;
}
