/** Pages and panels for what went wrong: title, detail, request id to quote, a way on. */

import { ActionIcon, Button, CopyButton, Group, Paper, Text, Title } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { ProblemError } from "../api/client";
import { IconAlertTriangle, IconCheck, IconCopy } from "./icons";

function useProblemTexts(error: Error): { title: string; detail: string; requestId: string } {
  const { t } = useTranslation();
  if (error instanceof ProblemError) {
    const { problem } = error;
    if (problem.code === "unreachable") {
      return {
        title: t("problem.unreachableTitle"),
        detail: t("problem.unreachableDetail"),
        requestId: "",
      };
    }
    return {
      title: problem.title || t("problem.unexpectedTitle"),
      detail: problem.detail || t("problem.unexpectedDetail"),
      requestId: problem.request_id,
    };
  }
  return {
    title: t("problem.unexpectedTitle"),
    detail: t("problem.unexpectedDetail"),
    requestId: "",
  };
}

function RequestId({ id }: { id: string }) {
  const { t } = useTranslation();
  return (
    <Group gap={6} wrap="nowrap">
      <Text size="sm" c="dimmed">
        {t("problem.requestId")}
      </Text>
      <code className="code">{id}</code>
      <CopyButton value={id}>
        {({ copied, copy }) => (
          <ActionIcon
            variant="subtle"
            size="sm"
            onClick={copy}
            aria-label={copied ? t("problem.copied") : t("problem.copy")}
          >
            {copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
          </ActionIcon>
        )}
      </CopyButton>
    </Group>
  );
}

/** In place of what could not be loaded. */
export function ProblemPanel({
  error,
  onRetry,
  isPage = false,
}: {
  error: Error;
  onRetry?: () => void;
  /** In place of the whole page: its heading is the page's. */
  isPage?: boolean;
}) {
  const { t } = useTranslation();
  const { title, detail, requestId } = useProblemTexts(error);
  return (
    <div role="alert" className="state-panel">
      <IconAlertTriangle size={28} aria-hidden="true" className="status-failed" />
      <Title order={isPage ? 1 : 2} size="h4">
        {title}
      </Title>
      <Text c="dimmed" maw={520}>
        {detail}
      </Text>
      {requestId !== "" && <RequestId id={requestId} />}
      {onRetry !== undefined && (
        <Button variant="default" onClick={onRetry}>
          {t("problem.retry")}
        </Button>
      )}
    </div>
  );
}

/** Above what is shown but could not be brought up to date. */
export function StaleNote({ error, since }: { error: Error; since: string }) {
  const { t } = useTranslation();
  const { title, detail } = useProblemTexts(error);
  return (
    <div role="status" className="stale-note">
      <IconAlertTriangle size={18} aria-hidden="true" />
      <span>
        <strong>{title}.</strong> {detail} {t("problem.stale", { time: since })}
      </span>
    </div>
  );
}

export function EmptyState({
  title,
  children,
  icon,
  isPage = false,
}: {
  title: string;
  children?: React.ReactNode;
  icon: React.ReactNode;
  isPage?: boolean;
}) {
  return (
    <div className="state-panel">
      <span aria-hidden="true" className="state-icon">
        {icon}
      </span>
      <Title order={isPage ? 1 : 2} size="h4">
        {title}
      </Title>
      {children}
    </div>
  );
}

export function NotFound() {
  const { t } = useTranslation();
  return (
    <Paper withBorder className="card">
      <EmptyState isPage title={t("problem.notFoundTitle")} icon={<IconAlertTriangle size={28} />}>
        <Text c="dimmed">{t("problem.notFoundText")}</Text>
        <Button component={Link} to="/meters" variant="default">
          {t("problem.goMeters")}
        </Button>
      </EmptyState>
    </Paper>
  );
}

/** A fault of this page's own code; the browser's console has the cause. */
export function Crashed() {
  const { t } = useTranslation();
  return (
    <Paper withBorder className="card">
      <EmptyState isPage title={t("problem.crashedTitle")} icon={<IconAlertTriangle size={28} />}>
        <Text c="dimmed">{t("problem.crashedDetail")}</Text>
        <Button variant="default" onClick={() => location.reload()}>
          {t("problem.reload")}
        </Button>
      </EmptyState>
    </Paper>
  );
}
