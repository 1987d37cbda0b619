"""xDLMS services (IEC 62056-5-3): APDUs as values, to and from octets."""
