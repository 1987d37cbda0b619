"""`python -m hes.services FOLDER`: have the database's programs ready before they are needed."""

import sys
from pathlib import Path

import click

from hes.services.errors import ServerMissingError
from hes.services.postgres import data_major
from hes.services.sources import find_postgres


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
def main(data: Path) -> None:
    """Fetch the programs into DATA/servers, or say why not and what is used instead."""
    try:
        find_postgres(
            data / "servers",
            data_major=data_major(data / "postgres"),
            report=lambda line: click.echo(line, err=True),
        )
    except ServerMissingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
