"""Pure: COSEM or MQTT payload -> ReadingBatch; local time -> UTC; validation rules. No I/O."""
