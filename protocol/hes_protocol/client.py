"""The client's side of an association: bytes in, events out; requests in, bytes out."""
