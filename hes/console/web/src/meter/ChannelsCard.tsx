import { Paper, UnstyledButton } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { Moment } from "../parts/Moment";
import { ScrollRegion } from "../parts/ScrollRegion";
import { channelName, periodText } from "./channelNames";

interface Props {
  channels: readonly Schemas["Channel"][];
  shownId: number | undefined;
  zone: string;
  onShow: (id: number) => void;
}

export function ChannelsCard({ channels, shownId, zone, onShow }: Props) {
  const { t } = useTranslation();
  return (
    <Paper withBorder className="card">
      <div className="card-head">
        <h2>{t("channels.title")}</h2>
        <span className="dim">{channels.length > 0 && channels.length}</span>
      </div>
      {channels.length === 0 ? (
        <p className="card-empty">{t("channels.empty")}</p>
      ) : (
        <ScrollRegion className="sessions-scroll" label={t("channels.table")}>
          <table className="table table-snug">
            <thead>
              <tr>
                <th scope="col">{t("channels.channel")}</th>
                <th scope="col">{t("channels.obis")}</th>
                <th scope="col">{t("channels.unit")}</th>
                <th scope="col">{t("channels.period")}</th>
                <th scope="col">{t("channels.source")}</th>
                <th scope="col">{t("channels.latest")}</th>
              </tr>
            </thead>
            <tbody>
              {channels.map((channel) => {
                const name = channelName(t, channel);
                const shown = channel.id === shownId;
                return (
                  <tr key={channel.id} className={shown ? "shown" : undefined}>
                    <td>
                      <UnstyledButton
                        className="link-button"
                        onClick={() => onShow(channel.id)}
                        aria-label={t("channels.show", { name })}
                        aria-current={shown ? "true" : undefined}
                      >
                        {name}
                      </UnstyledButton>
                    </td>
                    <td className="code">{channel.obis}</td>
                    <td>{channel.unit ?? <span className="dim">–</span>}</td>
                    <td>{periodText(t, channel.capture_period_s)}</td>
                    <td>
                      {channel.source === null ? (
                        <span className="dim">{t("channels.spot")}</span>
                      ) : (
                        <span className="code">{channel.source}</span>
                      )}
                    </td>
                    <td>
                      {channel.last_captured_at === null ? (
                        <span className="dim">–</span>
                      ) : (
                        <Moment at={channel.last_captured_at} zone={zone} />
                      )}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </ScrollRegion>
      )}
    </Paper>
  );
}
