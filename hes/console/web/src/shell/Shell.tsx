/** The frame of every page: header with the fleet in numbers, navigation, the page itself. */

import { ActionIcon, AppShell, Burger, Group, Kbd, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { IconGauge, IconKeyboard, IconShieldQuestion } from "../parts/icons";
import { FleetNumbers } from "./FleetNumbers";
import { SchemeToggle } from "./SchemeToggle";
import { ShortcutSheet } from "./ShortcutSheet";
import { useGlobalShortcuts } from "./shortcuts";

export function Shell() {
  const { t } = useTranslation();
  const [opened, navigation] = useDisclosure(false);
  const [sheet, sheetHandlers] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const first = useRef(path);
  useGlobalShortcuts(sheetHandlers.open);

  // A new page is announced by moving the focus to it, not on the first load.
  useEffect(() => {
    if (first.current === path) return;
    first.current = path;
    navigation.close();
    main.current?.focus({ preventScroll: true });
  }, [path, navigation.close]);

  return (
    <AppShell
      header={{ height: { base: 84, sm: 56 } }}
      navbar={{ width: 208, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding={0}
      className="shell"
    >
      <a href="#main" className="skip-link">
        {t("app.skip")}
      </a>
      <AppShell.Header className="header">
        <div className="header-top">
          <Burger
            opened={opened}
            onClick={navigation.toggle}
            hiddenFrom="sm"
            size="sm"
            aria-label={opened ? t("nav.close") : t("nav.open")}
          />
          <Link to="/meters" className="brand">
            <img src="/favicon.svg" alt="" width={26} height={26} />
            <span className="brand-name">{t("app.name")}</span>
            <span className="brand-subtitle">{t("app.subtitle")}</span>
          </Link>
          <Group gap={4} wrap="nowrap" className="header-tools">
            <Tooltip
              label={
                <>
                  {t("shortcuts.open")} <Kbd size="xs">?</Kbd>
                </>
              }
            >
              <ActionIcon
                variant="subtle"
                color="gray"
                size="lg"
                visibleFrom="sm"
                onClick={sheetHandlers.open}
                aria-label={t("shortcuts.open")}
              >
                <IconKeyboard size={20} />
              </ActionIcon>
            </Tooltip>
            <SchemeToggle />
          </Group>
        </div>
        <FleetNumbers />
      </AppShell.Header>
      <AppShell.Navbar className="navbar" aria-label={t("nav.label")}>
        <p className="nav-group">{t("nav.operate")}</p>
        <Link to="/meters" className="nav-link" activeOptions={{ includeSearch: false }}>
          <IconGauge size={19} aria-hidden="true" />
          {t("nav.meters")}
        </Link>
        <p className="nav-group">{t("nav.data")}</p>
        <Link to="/quarantine" className="nav-link">
          <IconShieldQuestion size={19} aria-hidden="true" />
          {t("nav.quarantine")}
        </Link>
      </AppShell.Navbar>
      <AppShell.Main id="main" ref={main} tabIndex={-1} className="main">
        <Outlet />
      </AppShell.Main>
      <ShortcutSheet opened={sheet} onClose={sheetHandlers.close} />
    </AppShell>
  );
}
