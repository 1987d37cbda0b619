import type { TFunction } from "i18next";
import type { Schemas } from "../api/client";
import { describeObis } from "../logic/obis";

type Channel = Schemas["Channel"];

/** What a channel measures in words; its OBIS code where there are none. */
export function channelName(t: TFunction, channel: Channel): string {
  const described = describeObis(channel.obis);
  if (described === null) return channel.obis;
  const { name, phase, tariff } = described;
  const parts: string[] = [t(`obis.${name}`)];
  if (phase !== null) parts.push(t("obis.phase", { phase }));
  if (tariff !== null) parts.push(t("obis.tariff", { tariff }));
  return parts.join(", ");
}

export function periodText(t: TFunction, seconds: number): string {
  if (seconds === 0) return t("channels.noPeriod");
  if (seconds % 86_400 === 0) return t("channels.days", { count: seconds / 86_400 });
  if (seconds % 3600 === 0) return t("channels.hours", { count: seconds / 3600 });
  if (seconds % 60 === 0) return t("channels.minutes", { count: seconds / 60 });
  return t("channels.seconds", { count: seconds });
}

/** One line in the channel selector. */
export function channelLabel(t: TFunction, channel: Channel): string {
  const name = channelName(t, channel);
  const parts = name === channel.obis ? [name] : [name, channel.obis];
  parts.push(
    channel.capture_period_s === 0 ? t("channels.spot") : periodText(t, channel.capture_period_s),
  );
  return parts.join(" · ");
}
