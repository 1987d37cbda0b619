"""Who did what, when and why: the tamper-evident log. Its turn comes with people and commands."""
