"""Times every exchange shares."""

from typing import Final

FUNDING_INTERVAL_MS: Final = 8 * 3_600_000


def next_funding_ms(event_ms: int) -> int:
    """The next funding time after `event_ms`: 00:00, 08:00 and 16:00 UTC."""
    return (event_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
