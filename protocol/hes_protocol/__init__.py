"""DLMS/COSEM, sans-io, for both roles: bytes in, events out; events in, bytes out."""
