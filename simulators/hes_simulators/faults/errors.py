"""What can be wrong with a fault that somebody asks for."""

from __future__ import annotations


class FaultError(Exception):
    """
    No such fault, parameter, meter or command.

    Args: code: for programs, from a short fixed list. detail: for people; may quote what was asked.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
