"""The composition root: the only module besides cli that may import everything."""
