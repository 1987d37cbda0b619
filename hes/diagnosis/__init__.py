"""Why a meter is not read, and what to do about it.

Its turn comes after the collection engine.
"""
