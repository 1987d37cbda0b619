/** The same values as the plot, each exact, for whoever cannot or will not look at a canvas. */

import { Pagination } from "@mantine/core";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { en } from "../i18n/en";
import { grouped } from "../logic/decimal";
import { count, dateTime, span } from "../logic/format";
import { type Interval, MISSING_FLAGS } from "../logic/intervals";
import { IconAlertTriangle, IconCircleDashed } from "../parts/icons";
import { ScrollRegion } from "../parts/ScrollRegion";
import { Status } from "../parts/Status";

const ROWS = 24;

interface Props {
  intervals: readonly Interval[];
  unit: string | null;
  withRegister: boolean;
  covers: boolean;
  caption: string;
  zone: string;
}

function isFlag(flag: string): flag is keyof typeof en.quality {
  return flag in en.quality;
}

export function useFlagText(): (flag: string) => string {
  const { t } = useTranslation();
  return (flag) => (isFlag(flag) ? t(`quality.${flag}`) : flag);
}

function Quality({ flags }: { flags: readonly string[] }) {
  const { t } = useTranslation();
  const flagText = useFlagText();
  if (flags.length === 0) return <span className="dim">{t("table.good")}</span>;
  const missing = flags.some((flag) => MISSING_FLAGS.has(flag));
  return (
    <Status
      tone={missing ? "quiet" : "late"}
      glyph={missing ? IconCircleDashed : IconAlertTriangle}
    >
      {flags.map(flagText).join(", ")}
    </Status>
  );
}

export function ValuesTable({ intervals, unit, withRegister, covers, caption, zone }: Props) {
  const { t } = useTranslation();
  const [wanted, setPage] = useState(1);
  const latestFirst = useMemo(() => [...intervals].reverse(), [intervals]);
  const pages = Math.max(1, Math.ceil(latestFirst.length / ROWS));
  const page = Math.min(wanted, pages);
  const first = (page - 1) * ROWS;
  const rows = latestFirst.slice(first, first + ROWS);
  const inUnit = unit === null ? "" : ` (${unit})`;
  return (
    <>
      <div className="card-head">
        <h2>{t("table.title")}</h2>
        <span className="dim">
          {t("table.of", {
            from: count(first + 1),
            to: count(first + rows.length),
            all: count(latestFirst.length),
          })}
        </span>
      </div>
      <ScrollRegion label={caption}>
        <table className="table table-snug values-table">
          <caption className="visually-hidden">{caption}</caption>
          <thead>
            <tr>
              <th scope="col">{covers ? t("table.interval") : t("table.time")}</th>
              <th scope="col" className="number">
                {t("table.value")}
                {inUnit}
              </th>
              {withRegister && (
                <th scope="col" className="number">
                  {t("table.register")}
                  {inUnit}
                </th>
              )}
              <th scope="col">{t("table.quality")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((each) => (
              <tr key={`${each.start} ${each.end}`}>
                <td>{covers ? span(each.start, each.end, zone) : dateTime(each.end, zone)}</td>
                <td className="number">{each.value === null ? "–" : grouped(each.value)}</td>
                {withRegister && (
                  <td className="number dim col-register">
                    {each.register === null ? "–" : grouped(each.register)}
                  </td>
                )}
                <td>
                  <Quality flags={each.flags} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
      {pages > 1 && (
        <nav aria-label={t("table.pagination")} className="pages">
          <Pagination
            total={pages}
            value={page}
            onChange={setPage}
            size="sm"
            siblings={1}
            withEdges={false}
            getItemProps={(number) => ({
              "aria-label": t("table.page", { page: number, pages }),
            })}
            getControlProps={(control) => ({
              "aria-label": control === "previous" ? t("table.previousPage") : t("table.nextPage"),
            })}
          />
        </nav>
      )}
    </>
  );
}
