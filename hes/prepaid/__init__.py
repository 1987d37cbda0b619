"""Accounts, credit and tokens on a double-entry ledger. Its turn comes with prepayment."""
