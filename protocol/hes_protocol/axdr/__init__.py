"""A-XDR (IEC 61334-6) coding of COSEM data, both ways, without recursion."""
