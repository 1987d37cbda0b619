"""`python -m hes` is the `hes` command."""

from hes.cli import main

main()
