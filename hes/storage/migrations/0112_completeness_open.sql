-- Where intervals are to be found again.
CREATE INDEX completeness_open ON completeness (day, meter_id) WHERE open;
