"""Whose alerts a session sees."""

from __future__ import annotations

from _access import visitor

__all__ = ["owner", "visitor"]


def owner() -> str:
    """Under whose name alert rules, alerts and targets are; "" is somebody who did not sign in, and owns nothing."""
    return visitor().owner
