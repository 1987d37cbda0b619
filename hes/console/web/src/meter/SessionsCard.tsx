import { Paper } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { duration, octets } from "../logic/format";
import { IconArrowDownLeft, IconArrowUpRight } from "../parts/icons";
import { Moment } from "../parts/Moment";
import { ScrollRegion } from "../parts/ScrollRegion";
import { OutcomeStatus } from "../parts/Status";

type Session = Schemas["Session"];

export function SessionsCard({ meter, zone }: { meter: Schemas["Meter"]; zone: string }) {
  const { t } = useTranslation();
  const { sessions } = meter;
  const ok = sessions.filter((session) => session.outcome === "ok").length;
  return (
    <Paper withBorder className="card">
      <div className="card-head">
        <h2>{t("sessions.title")}</h2>
        {sessions.length > 0 && (
          <span className="dim">{t("sessions.summary", { ok, all: sessions.length })}</span>
        )}
      </div>
      {sessions.length === 0 ? (
        <p className="card-empty">
          {meter.address === null ? t("sessions.pushes") : t("sessions.empty")}
        </p>
      ) : (
        <ScrollRegion className="sessions-scroll" label={t("sessions.table")}>
          <table className="table table-snug">
            <thead>
              <tr>
                <th scope="col">{t("sessions.when")}</th>
                <th scope="col">{t("sessions.outcome")}</th>
                <th scope="col">{t("sessions.cause")}</th>
                <th scope="col" className="number">
                  {t("sessions.duration")}
                </th>
                <th scope="col" className="number">
                  {t("sessions.octets")}
                </th>
                <th scope="col" className="number">
                  {t("sessions.drift")}
                </th>
              </tr>
            </thead>
            <tbody>
              {sessions.map((session) => (
                <Row key={session.id} session={session} zone={zone} />
              ))}
            </tbody>
          </table>
        </ScrollRegion>
      )}
    </Paper>
  );
}

function Row({ session, zone }: { session: Session; zone: string }) {
  const { t } = useTranslation();
  const Direction = session.inbound ? IconArrowDownLeft : IconArrowUpRight;
  const direction = t(session.inbound ? "sessions.inbound" : "sessions.outbound");
  const drift = session.clock_drift_s;
  return (
    <tr>
      <td>
        <span className="with-glyph" title={direction}>
          <Direction size={14} aria-label={direction} className="dim" />
          <Moment at={session.ended_at} zone={zone} />
        </span>
      </td>
      <td>
        <OutcomeStatus outcome={session.outcome} />
      </td>
      <td>
        {session.outcome === "ok" ? (
          <span className="dim">–</span>
        ) : (
          <>
            {session.cause !== null && <span className="cause">{session.cause}</span>}{" "}
            <span className="dim">{t(`phase.${session.phase}`)}</span>
          </>
        )}
      </td>
      <td className="number">
        {duration(Date.parse(session.ended_at) - Date.parse(session.started_at))}
      </td>
      <td
        className="number"
        title={t("sessions.inOut", {
          incoming: octets(session.octets_in),
          outgoing: octets(session.octets_out),
        })}
      >
        {octets(session.octets_in + session.octets_out)}
      </td>
      <td className="number">
        {drift === null ? <span className="dim">–</span> : driftText(drift)}
      </td>
    </tr>
  );
}

function driftText(drift: number): string {
  const size = Math.abs(drift).toFixed(1);
  const sign = size === "0.0" ? "" : drift > 0 ? "+" : "−";
  return `${sign}${size} s`;
}
