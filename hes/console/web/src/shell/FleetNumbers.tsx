/** `N meters · N sessions/min · N readings`, and as of when. */

import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { statsQuery } from "../api/queries";
import { BROWSER_ZONE, clockWithSeconds, count, offset } from "../logic/format";
import { IconAlertTriangle } from "../parts/icons";

export function FleetNumbers() {
  const { t } = useTranslation();
  const { data, isError } = useQuery(statsQuery);
  if (data === undefined) {
    return (
      <div className="fleet">
        {isError && (
          <span className="fleet-lost">
            <IconAlertTriangle size={16} aria-hidden="true" />
            {t("stats.lostShort")}
          </span>
        )}
      </div>
    );
  }
  const asOf = Date.parse(data.as_of);
  const time = clockWithSeconds(asOf, BROWSER_ZONE);
  const numbers = [
    t("stats.meters", { count: data.meters, shown: count(data.meters) }),
    t("stats.sessions", {
      count: data.sessions_last_minute,
      shown: count(data.sessions_last_minute),
    }),
    t("stats.readings", { count: data.readings, shown: count(data.readings) }),
  ];
  return (
    <section className="fleet" aria-label={t("stats.label")}>
      <span className="fleet-numbers">
        {numbers.map((text, index) => (
          <span key={text}>
            {index > 0 && <span className="fleet-dot"> · </span>}
            {text}
          </span>
        ))}
      </span>
      {isError ? (
        <span className="fleet-lost">
          <IconAlertTriangle size={16} aria-hidden="true" />
          {t("stats.lost", { time })}
        </span>
      ) : (
        <span className="fleet-as-of" title={offset(asOf, BROWSER_ZONE)}>
          <span className="live-dot" aria-hidden="true" />
          <span>
            {t("stats.live")}, {t("stats.asOf", { time })}
          </span>
        </span>
      )}
    </section>
  );
}
