-- What an association is for, and whether it stands without being opened (IEC 62056-5-3, pre-established
-- associations). A collector reads as management, else as reader, else as public.
ALTER TABLE association
    ADD COLUMN role text NOT NULL DEFAULT 'management',
    ADD CONSTRAINT association_role_check CHECK (
        role IN ('management', 'reader', 'public', 'pre_established')
    );
UPDATE association SET role = 'public' WHERE client_sap = 16;

-- Which model a meter was recognised as by what it says of itself; what an operator says (`model`)
-- stands above it.
ALTER TABLE meter ADD COLUMN recognised_model text;
