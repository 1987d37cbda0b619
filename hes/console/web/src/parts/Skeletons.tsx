import { Skeleton } from "@mantine/core";

const WIDTHS = [92, 78, 88, 70, 95, 82, 76, 90];

/** Grey lines where rows will be. */
export function RowsSkeleton({ label }: { label: string }) {
  return (
    <div role="status" aria-label={label} className="rows-skeleton">
      {WIDTHS.map((width) => (
        <Skeleton key={width} height={16} width={`${width}%`} />
      ))}
    </div>
  );
}

export function PageSkeleton() {
  return (
    <div aria-busy="true">
      <Skeleton height={32} width={220} mb="lg" />
      <Skeleton height={420} />
    </div>
  );
}
