/** A moment told by its age, with the exact time and its zone on hover and for assistive tools. */

import { useTranslation } from "react-i18next";
import { useNow } from "../logic/clock";
import { ago, BROWSER_ZONE, dateTime, offset } from "../logic/format";

export function Moment({ at, zone = BROWSER_ZONE }: { at: string; zone?: string }) {
  const { t } = useTranslation();
  const instant = Date.parse(at);
  const now = useNow(instant > Date.now() - 60_000 ? 1000 : 5000);
  const age = ago(instant, now);
  const exact = `${dateTime(instant, zone)} ${offset(instant, zone)}`;
  return (
    <time dateTime={at} title={exact} className="moment">
      {"count" in age ? t(`time.${age.key}`, { count: age.count }) : t(`time.${age.key}`)}
    </time>
  );
}
