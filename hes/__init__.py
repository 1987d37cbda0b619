"""The head-end application: composition root, capabilities, storage, API and console."""
