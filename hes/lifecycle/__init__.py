"""
What becomes of data in the long run: backups, how long things are kept, erasure of a person.

`backup` makes and checks base backups of the whole server; what must follow a restore is
`hes.storage.epochs`. `retention` and `erasure` decide what goes and what stays; the SQL is in
`hes.storage`.
"""
