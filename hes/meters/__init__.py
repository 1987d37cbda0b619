"""The inventory: meters, their associations and addresses, import from files."""
