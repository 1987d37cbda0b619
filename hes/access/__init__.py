"""People, roles, API keys and the one policy function. Its turn comes with the console's door."""
