"""The server's (meter's) side of an association: bytes in, events out; replies in, bytes out."""
