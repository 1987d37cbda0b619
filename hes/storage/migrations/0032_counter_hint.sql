-- Counters above a gap: those given out on the word of a meter that nobody has authenticated yet.
-- All from the first to the last may be used up; `reserved_to` leaps over them when it comes there,
-- or to their end once an authenticated exchange has shown that the meter takes them.
ALTER TABLE own_counter
    ADD COLUMN hinted_from int8,
    ADD COLUMN hinted_to int8,
    ADD CONSTRAINT own_counter_hinted CHECK (
        (hinted_from IS NULL) = (hinted_to IS NULL)
        AND hinted_from > reserved_to AND hinted_to BETWEEN hinted_from AND 4294967295
    );
