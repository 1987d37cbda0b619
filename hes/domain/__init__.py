"""Frozen value types, errors and the narrow ports that the layers share.

Knows `hes_protocol.cosem` and nothing else of ours.
"""
