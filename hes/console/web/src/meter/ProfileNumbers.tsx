/** The period in numbers: total, peak, how much of it is there. */

import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { grouped } from "../logic/decimal";
import { count, dateTime, span } from "../logic/format";
import { type Interval, readable, summarise } from "../logic/intervals";

export function ProfileNumbers({
  intervals,
  channel,
  zone,
  adds,
  covers,
}: {
  intervals: readonly Interval[];
  channel: Schemas["Channel"];
  zone: string;
  adds: boolean;
  covers: boolean;
}) {
  const { t } = useTranslation();
  const { total, peak, expected, present, flagged } = useMemo(
    () => summarise(intervals, adds),
    [intervals, adds],
  );
  const unit = channel.unit === null ? "" : ` ${channel.unit}`;
  const sum = total === null ? null : readable(total, channel.unit);
  const latest = intervals.findLast((each) => each.value !== null);
  const share = expected === 0 ? 0 : Math.floor((1000 * present) / expected) / 10;
  return (
    <dl className="numbers">
      {sum !== null && (
        <div>
          <dt>{t("profile.total")}</dt>
          <dd>
            {grouped(sum.value)}
            <span className="unit"> {sum.unit}</span>
          </dd>
        </div>
      )}
      {covers && peak?.value != null && (
        <div>
          <dt>{t("profile.peak")}</dt>
          <dd>
            {grouped(peak.value)}
            <span className="unit">{unit}</span>
          </dd>
          <dd className="note">{span(peak.start, peak.end, zone)}</dd>
        </div>
      )}
      {!covers && latest?.value != null && (
        <div>
          <dt>{t("profile.latest")}</dt>
          <dd>
            {grouped(latest.value)}
            <span className="unit">{unit}</span>
          </dd>
          <dd className="note">{dateTime(latest.end, zone)}</dd>
        </div>
      )}
      {channel.capture_period_s > 0 && (
        <div>
          <dt>{t("profile.completeness")}</dt>
          <dd>
            {share}
            <span className="unit"> %</span>
          </dd>
          <dd className="note">
            {t("profile.completenessOf", { present: count(present), expected: count(expected) })}
          </dd>
        </div>
      )}
      {flagged > 0 && (
        <div>
          <dt>{t("profile.flagged")}</dt>
          <dd>{count(flagged)}</dd>
        </div>
      )}
    </dl>
  );
}
