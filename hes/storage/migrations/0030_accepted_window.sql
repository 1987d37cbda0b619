-- Which counters at and below `accepted_counter` were accepted: bit i, from the left, stands for
-- accepted_counter - i. Null: nobody knows, so all of them count as accepted.
ALTER TABLE association ADD COLUMN accepted_window bit(1024);
