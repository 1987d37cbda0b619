"""What an operator may set, read once and passed in."""
