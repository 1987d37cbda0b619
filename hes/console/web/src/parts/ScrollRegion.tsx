import type { ReactNode, Ref } from "react";

/** What scrolls has a name and takes the focus, so that arrow keys can scroll it. */
export function ScrollRegion({
  label,
  className,
  children,
  ref,
}: {
  label: string;
  className?: string;
  children: ReactNode;
  ref?: Ref<HTMLElement>;
}) {
  const classes = className === undefined ? "table-scroll" : `table-scroll ${className}`;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <section ref={ref} className={classes} aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
