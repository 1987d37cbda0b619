"""What can be wrong with a scenario."""

from __future__ import annotations


class ScenarioError(Exception):
    """
    A scenario that cannot be played.

    Args: where: file, table and key. detail: what is wrong there, for people.
    """

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.where = where
        self.detail = detail
