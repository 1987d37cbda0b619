"""Losses, tampering and load analysis. Its turn comes after the roll-ups."""
