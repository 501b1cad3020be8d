"""What a failed attempt to tell somebody is."""

from __future__ import annotations

from services.domain.errors import DashboardError


class Undelivered(DashboardError):
    """It did not arrive. The message is one sentence without secrets; it is stored, logged and shown.

    is_final   trying again cannot help
    wait_s     how long the receiver asked to be left alone, None where it did not
    """

    def __init__(self, message: str, *, is_final: bool = False, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.wait_s = wait_s
