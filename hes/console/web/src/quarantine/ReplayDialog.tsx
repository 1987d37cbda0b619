/** Asks why an entry is to be taken in again, then asks the head-end for it. */

import { Button, Modal, Switch, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { replayEntry } from "../api/queries";
import { ProblemPanel } from "../parts/Problems";

/** `id`: the entry, which has refused rows or is a frame. */
export function ReplayDialog({
  id,
  hasRows,
  onClose,
}: {
  id: number;
  hasRows: boolean;
  onClose: () => void;
}) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [why, setWhy] = useState("");
  const [anyTime, setAnyTime] = useState(false);
  const replay = useMutation({
    mutationFn: () => replayEntry(id, why.trim(), anyTime),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["quarantine"] });
      onClose();
    },
  });

  return (
    <Modal
      opened
      onClose={onClose}
      title={t("replay.title")}
      closeButtonProps={{ "aria-label": t("nav.close") }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          replay.mutate();
        }}
      >
        <p className="about">{t("replay.about")}</p>
        <TextInput
          mt="md"
          data-autofocus
          required
          maxLength={500}
          label={t("replay.why")}
          value={why}
          onChange={(event) => setWhy(event.currentTarget.value)}
        />
        {hasRows && (
          <Switch
            mt="md"
            checked={anyTime}
            onChange={(event) => setAnyTime(event.currentTarget.checked)}
            label={t("replay.anyTime")}
          />
        )}
        {replay.isError && <ProblemPanel error={replay.error} />}
        <Button mt="md" type="submit" loading={replay.isPending} disabled={why.trim() === ""}>
          {t("replay.submit")}
        </Button>
      </form>
    </Modal>
  );
}
