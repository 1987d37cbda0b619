"""Readings for billing and MDM systems: CSV, NDJSON, Parquet, CIM XML, ESPI.

Its turn comes after the API's conventions.
"""
