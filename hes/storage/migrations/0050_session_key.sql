-- The time belongs to the key, so that sessions can be cut into chunks by it.
ALTER TABLE session
    DROP CONSTRAINT session_pkey,
    ADD CONSTRAINT session_pkey PRIMARY KEY (session_id, ended_at);
