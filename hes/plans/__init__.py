"""Collection plans, expected intervals, the scheduler.

Its turn comes with the collection engine.
"""
