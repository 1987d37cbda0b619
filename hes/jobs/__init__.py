"""Commands to one meter or a fleet that end in a known state.

Its turn comes after the collection engine.
"""
