/**
 * The icons of the console, drawn after Tabler Icons 3.51.0 (MIT, Copyright (c) 2020-2026 Paweł Kuna).
 *
 * Only those that are used: the package holds 17,000 files, more than all others together.
 */

import type { SVGProps } from "react";

export interface IconProps extends SVGProps<SVGSVGElement> {
  size?: number;
}

export type Icon = (props: IconProps) => React.JSX.Element;

/** An icon is hidden from assistive tools unless it has a name. */
function icon(kind: "outline" | "filled", ...paths: string[]): Icon {
  const paint =
    kind === "filled"
      ? { fill: "currentColor" }
      : ({
          fill: "none",
          stroke: "currentColor",
          strokeWidth: 2,
          strokeLinecap: "round",
          strokeLinejoin: "round",
        } as const);
  return function Drawn({ size = 24, ...rest }) {
    const named = rest["aria-label"] !== undefined;
    return (
      // biome-ignore lint/a11y/noSvgWithoutTitle: hidden, or named by aria-label
      <svg
        width={size}
        height={size}
        viewBox="0 0 24 24"
        {...paint}
        {...(named ? { role: "img" } : { "aria-hidden": true })}
        {...rest}
      >
        {paths.map((path) => (
          <path key={path} d={path} />
        ))}
      </svg>
    );
  };
}

export const IconAlertTriangle = icon(
  "outline",
  "M12 9v4",
  "M10.363 3.591l-8.106 13.534a1.914 1.914 0 0 0 1.636 2.871h16.214a1.914 1.914 0 0 0 1.636 -2.87l-8.106 -13.536a1.914 1.914 0 0 0 -3.274 0",
  "M12 16h.01",
);

export const IconArrowDownLeft = icon("outline", "M17 7l-10 10", "M16 17l-9 0l0 -9");

export const IconArrowLeft = icon("outline", "M5 12l14 0", "M5 12l6 6", "M5 12l6 -6");

export const IconArrowUpRight = icon("outline", "M17 7l-10 10", "M8 7l9 0l0 9");

export const IconBaselineDensityMedium = icon("outline", "M4 20h16", "M4 12h16", "M4 4h16");

export const IconBaselineDensitySmall = icon(
  "outline",
  "M4 3h16",
  "M4 9h16",
  "M4 15h16",
  "M4 21h16",
);

export const IconChartBarOff = icon(
  "outline",
  "M3 13a1 1 0 0 1 1 -1h4a1 1 0 0 1 1 1v6a1 1 0 0 1 -1 1h-4a1 1 0 0 1 -1 -1l0 -6",
  "M12 8h2a1 1 0 0 1 1 1v2m0 4v4a1 1 0 0 1 -1 1h-4a1 1 0 0 1 -1 -1v-10",
  "M15 11v-6a1 1 0 0 1 1 -1h4a1 1 0 0 1 1 1v12m-1 3h-4a1 1 0 0 1 -1 -1v-4",
  "M4 20h14",
  "M3 3l18 18",
);

export const IconCheck = icon("outline", "M5 12l5 5l10 -10");

export const IconCircle = icon("outline", "M3 12a9 9 0 1 0 18 0a9 9 0 1 0 -18 0");

export const IconCircleCheckFilled = icon(
  "filled",
  "M17 3.34a10 10 0 1 1 -14.995 8.984l-.005 -.324l.005 -.324a10 10 0 0 1 14.995 -8.336zm-1.293 5.953a1 1 0 0 0 -1.32 -.083l-.094 .083l-3.293 3.292l-1.293 -1.292l-.094 -.083a1 1 0 0 0 -1.403 1.403l.083 .094l2 2l.094 .083a1 1 0 0 0 1.226 0l.094 -.083l4 -4l.083 -.094a1 1 0 0 0 -.083 -1.32z",
);

export const IconCircleDashed = icon(
  "outline",
  "M8.56 3.69a9 9 0 0 0 -2.92 1.95",
  "M3.69 8.56a9 9 0 0 0 -.69 3.44",
  "M3.69 15.44a9 9 0 0 0 1.95 2.92",
  "M8.56 20.31a9 9 0 0 0 3.44 .69",
  "M15.44 20.31a9 9 0 0 0 2.92 -1.95",
  "M20.31 15.44a9 9 0 0 0 .69 -3.44",
  "M20.31 8.56a9 9 0 0 0 -1.95 -2.92",
  "M15.44 3.69a9 9 0 0 0 -3.44 -.69",
);

export const IconCircleMinus = icon("outline", "M3 12a9 9 0 1 0 18 0a9 9 0 1 0 -18 0", "M9 12l6 0");

export const IconCircleXFilled = icon(
  "filled",
  "M17 3.34a10 10 0 1 1 -14.995 8.984l-.005 -.324l.005 -.324a10 10 0 0 1 14.995 -8.336zm-6.489 5.8a1 1 0 0 0 -1.218 1.567l1.292 1.293l-1.292 1.293l-.083 .094a1 1 0 0 0 1.497 1.32l1.293 -1.292l1.293 1.292l.094 .083a1 1 0 0 0 1.32 -1.497l-1.292 -1.293l1.292 -1.293l.083 -.094a1 1 0 0 0 -1.497 -1.32l-1.293 1.292l-1.293 -1.292l-.094 -.083z",
);

export const IconClockExclamation = icon(
  "outline",
  "M20.986 12.502a9 9 0 1 0 -5.973 7.98",
  "M12 7v5l3 3",
  "M19 16v3",
  "M19 22v.01",
);

export const IconCopy = icon(
  "outline",
  "M7 9.667a2.667 2.667 0 0 1 2.667 -2.667h8.666a2.667 2.667 0 0 1 2.667 2.667v8.666a2.667 2.667 0 0 1 -2.667 2.667h-8.666a2.667 2.667 0 0 1 -2.667 -2.667l0 -8.666",
  "M4.012 16.737a2.005 2.005 0 0 1 -1.012 -1.737v-10c0 -1.1 .9 -2 2 -2h10c.75 0 1.158 .385 1.5 1",
);

export const IconGauge = icon(
  "outline",
  "M3 12a9 9 0 1 0 18 0a9 9 0 1 0 -18 0",
  "M11 12a1 1 0 1 0 2 0a1 1 0 1 0 -2 0",
  "M13.41 10.59l2.59 -2.59",
  "M7 12a5 5 0 0 1 5 -5",
);

export const IconInfoCircle = icon(
  "outline",
  "M3 12a9 9 0 1 0 18 0a9 9 0 0 0 -18 0",
  "M12 9h.01",
  "M11 12h1v4h1",
);

export const IconKeyboard = icon(
  "outline",
  "M2 8a2 2 0 0 1 2 -2h16a2 2 0 0 1 2 2v8a2 2 0 0 1 -2 2h-16a2 2 0 0 1 -2 -2l0 -8",
  "M6 10l0 .01",
  "M10 10l0 .01",
  "M14 10l0 .01",
  "M18 10l0 .01",
  "M6 14l0 .01",
  "M18 14l0 .01",
  "M10 14l4 .01",
);

export const IconMoon = icon(
  "outline",
  "M12 3c.132 0 .263 0 .393 0a7.5 7.5 0 0 0 7.92 12.446a9 9 0 1 1 -8.313 -12.454l0 .008",
);

export const IconPlayerPauseFilled = icon(
  "filled",
  "M9 4h-2a2 2 0 0 0 -2 2v12a2 2 0 0 0 2 2h2a2 2 0 0 0 2 -2v-12a2 2 0 0 0 -2 -2z",
  "M17 4h-2a2 2 0 0 0 -2 2v12a2 2 0 0 0 2 2h2a2 2 0 0 0 2 -2v-12a2 2 0 0 0 -2 -2z",
);

export const IconSearch = icon("outline", "M3 10a7 7 0 1 0 14 0a7 7 0 1 0 -14 0", "M21 21l-6 -6");

export const IconSearchOff = icon(
  "outline",
  "M5.039 5.062a7 7 0 0 0 9.91 9.89m1.584 -2.434a7 7 0 0 0 -9.038 -9.057",
  "M3 3l18 18",
);

export const IconShieldCheck = icon(
  "outline",
  "M11.46 20.846a12 12 0 0 1 -7.96 -14.846a12 12 0 0 0 8.5 -3a12 12 0 0 0 8.5 3a12 12 0 0 1 -.09 7.06",
  "M15 19l2 2l4 -4",
);

export const IconShieldExclamation = icon(
  "outline",
  "M15.04 19.745c-.942 .551 -1.964 .976 -3.04 1.255a12 12 0 0 1 -8.5 -15a12 12 0 0 0 8.5 -3a12 12 0 0 0 8.5 3a12 12 0 0 1 .195 6.015",
  "M19 16v3",
  "M19 22v.01",
);

export const IconShieldQuestion = icon(
  "outline",
  "M15.065 19.732c-.95 .557 -1.98 .986 -3.065 1.268a12 12 0 0 1 -8.5 -15a12 12 0 0 0 8.5 -3a12 12 0 0 0 8.5 3c.51 1.738 .617 3.55 .333 5.303",
  "M19 22v.01",
  "M19 19a2.003 2.003 0 0 0 .914 -3.782a1.98 1.98 0 0 0 -2.414 .483",
);

export const IconSun = icon(
  "outline",
  "M8 12a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
  "M3 12h1m8 -9v1m8 8h1m-9 8v1m-6.4 -15.4l.7 .7m12.1 -.7l-.7 .7m0 11.4l.7 .7m-12.1 -.7l-.7 .7",
);

export const IconX = icon("outline", "M18 6l-12 12", "M6 6l12 12");
