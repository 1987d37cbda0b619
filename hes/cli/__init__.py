"""The `hes` command: nouns, then verbs; data on stdout, chatter on stderr."""
