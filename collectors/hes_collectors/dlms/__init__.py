"""The DLMS/COSEM collector on trio: outbound sessions, inbound pushes."""
