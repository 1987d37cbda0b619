import { Kbd, Modal, Switch } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { useShortcutsEnabled } from "./shortcuts";

export function ShortcutSheet({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [enabled, setEnabled] = useShortcutsEnabled();
  const rows: [string[], string][] = [
    [["/"], t("shortcuts.search")],
    [["g", "m"], t("shortcuts.goMeters")],
    [["g", "q"], t("shortcuts.goQuarantine")],
    [["j"], t("shortcuts.next")],
    [["k"], t("shortcuts.previous")],
    [["Enter"], t("shortcuts.openRow")],
    [["←", "→"], t("shortcuts.plot")],
    [["?"], t("shortcuts.help")],
  ];
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={t("shortcuts.title")}
      closeButtonProps={{ "aria-label": t("nav.close") }}
    >
      <dl className="shortcut-list">
        {rows.map(([keys, text]) => (
          <div key={text}>
            <dt>
              {keys.map((key) => (
                <Kbd key={key}>{key}</Kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <Switch
        mt="md"
        checked={enabled}
        onChange={(event) => setEnabled(event.currentTarget.checked)}
        label={t("shortcuts.enabled")}
      />
    </Modal>
  );
}
