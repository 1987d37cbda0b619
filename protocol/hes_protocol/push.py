"""What a push says: values by OBIS, recognised by the structure of the payload."""
