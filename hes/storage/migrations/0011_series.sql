-- A channel's versions: physical value = raw * 10^scaler in the DLMS unit code `unit`. A channel's
-- first series is valid from -infinity. Which row goes to which series: hes.pipeline.series.
CREATE TABLE series (
    series_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id int4 NOT NULL REFERENCES channel,
    scaler int2 NOT NULL,
    unit int2 NOT NULL,
    valid_from timestamptz NOT NULL,
    CONSTRAINT series_key UNIQUE (channel_id, scaler, unit),
    CONSTRAINT series_scaler_check CHECK (scaler BETWEEN -128 AND 127),
    CONSTRAINT series_unit_check CHECK (unit BETWEEN 0 AND 255)
);
