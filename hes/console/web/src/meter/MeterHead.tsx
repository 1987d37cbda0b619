import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { date, offset } from "../logic/format";
import { Moment } from "../parts/Moment";
import { OutcomeStatus, StateStatus } from "../parts/Status";

type Meter = Schemas["Meter"];

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function MeterHead({ meter, zone }: { meter: Meter; zone: string }) {
  const { t } = useTranslation();
  const last = meter.sessions[0];
  return (
    <header className="meter-head">
      <div className="meter-title">
        <h1>
          <span className="visually-hidden">{t("meter.title", { serial: "" })}</span>
          {meter.serial}
        </h1>
        <StateStatus state={meter.state} />
        <span className="meter-last">
          <OutcomeStatus outcome={last?.outcome ?? null} />
          {last !== undefined && (
            <span className="dim">
              <Moment at={last.ended_at} zone={zone} />
            </span>
          )}
        </span>
      </div>
      <dl className="facts" aria-label={t("meter.identity")}>
        <Fact name={t("meter.model")}>{meter.model ?? <Unknown />}</Fact>
        <Fact name={t("meter.address")}>
          <Address meter={meter} />
        </Fact>
        <Fact name={t("meter.systemTitle")}>
          {meter.system_title === null ? (
            <Unknown />
          ) : (
            <span className="code">{meter.system_title}</span>
          )}
        </Fact>
        <Fact name={t("meter.security")}>
          <Security meter={meter} />
        </Fact>
        <Fact name={t("meter.timezone")}>
          {meter.timezone} <span className="dim">{offset(Date.now(), zone)}</span>
        </Fact>
        <Fact name={t("meter.commissioned")}>{date(Date.parse(meter.commissioned_at), zone)}</Fact>
        <Fact name={t("meter.lastReading")}>
          {meter.last_reading_at === null ? (
            t("time.never")
          ) : (
            <Moment at={meter.last_reading_at} zone={zone} />
          )}
        </Fact>
        <Fact name={t("meter.nextRead")}>
          <NextRead meter={meter} zone={zone} />
        </Fact>
      </dl>
    </header>
  );
}

function Unknown() {
  const { t } = useTranslation();
  return <span className="dim">{t("meter.unknown")}</span>;
}

function Address({ meter }: { meter: Meter }) {
  const { t } = useTranslation();
  if (meter.address === null) {
    return (
      <span className="dim">
        {meter.peer === null ? t("meter.pushOnly") : t("meter.pushedFrom", { peer: meter.peer })}
      </span>
    );
  }
  const host = meter.address.includes(":") ? `[${meter.address}]` : meter.address;
  return (
    <>
      <span className="code">{`${host}:${meter.port}`}</span>{" "}
      <span className="dim">{meter.transport}</span>
    </>
  );
}

/** As the collector chooses: the lowest client that is not the public one (client SAP 16). */
function workingAssociation(meter: Meter) {
  const sorted = [...meter.associations].sort((a, b) => a.client_sap - b.client_sap);
  return sorted.find((each) => each.client_sap !== 16) ?? sorted[0];
}

function Security({ meter }: { meter: Meter }) {
  const { t } = useTranslation();
  const association = workingAssociation(meter);
  if (association === undefined) return <Unknown />;
  const { client_sap, server_sap, mechanism, suite, policy } = association;
  return (
    <span title={t("meter.client", { client: client_sap, server: server_sap })}>
      {t(`mechanism.${mechanism}`)}
      <span className="dim">
        {", "}
        {policy !== "plain" && `${t("meter.suite", { suite })}, `}
        {t(`policy.${policy}`)}
      </span>
    </span>
  );
}

function NextRead({ meter, zone }: { meter: Meter; zone: string }) {
  const { t } = useTranslation();
  const next = meter.next_read;
  if (next === null) return <span className="dim">{t("meter.pushOnly")}</span>;
  if (next.reading) return t("meter.reading");
  return (
    <>
      <Moment at={next.due_at} zone={zone} />
      {next.failed_attempts > 0 && (
        <span className="dim"> {t("meter.failedAttempts", { count: next.failed_attempts })}</span>
      )}
    </>
  );
}
