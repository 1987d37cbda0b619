"""
Collection plans: what is read of whom, when and by when; what is expected, and what became of it.

`expansion`, `preview`, `capacity`, `plan`, `expecting` and `gaps` are pure; `service` is for
people, `scheduler` and `steps` are what `hes schedule` does.
"""
