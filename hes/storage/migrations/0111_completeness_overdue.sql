-- Beside what we hold (`bits`): what was expected and not held at its deadline (`overdue`: those of
-- them that we hold were late), and what no meter can give us any more (`lost`). Null: none.
-- `open`: perhaps some are overdue, and neither held nor lost; the gap finder looks at these rows.
-- The writer does not touch it, so that its updates stay in place.
ALTER TABLE completeness
    ADD COLUMN overdue varbit,
    ADD COLUMN lost varbit,
    ADD COLUMN open boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT completeness_overdue_check CHECK (
        bit_length(overdue) = bit_length(bits) AND (NOT open OR overdue IS NOT NULL)
    ),
    ADD CONSTRAINT completeness_lost_check CHECK (
        bit_length(lost) = bit_length(bits) AND bit_count(lost & bits) = 0
    );
