"""Batches on their way: the bus, the writer (resolve, stage, merge) and its receipts."""
