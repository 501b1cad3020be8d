"""Alerts on the charts: a bell on the time axis where one fired."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from _alerts_data import inbox
from _figures import Drawn
from _loaders import desk, theme

from services.charts.inputs import View
from services.charts.marks import with_bells
from services.domain.windows import TimeWindow
from services.views.alerts_view import alert_bells
from services.views.freshness import Fresh

Built = TypeVar("Built")


def belled(
    fresh: Fresh[Drawn[Built]], frame_of: Callable[[Built], View | None], *, axes: tuple[tuple[str, str], ...]
) -> Fresh[Drawn[Built]]:
    """The figure with the alerts of who looks on its time axes; the same object where there are none."""
    drawn = fresh.value
    frame = frame_of(drawn.view)
    if drawn.figure is None or frame is None:
        return fresh
    end_us = max(frame.start_us + 1, min(frame.end_us, desk().now_us()))  # a moment of the past knows no later ones
    bells = alert_bells(inbox().events, frame.instrument, TimeWindow(frame.start_us, end_us))
    if not bells:
        return fresh
    figure = with_bells(drawn.figure, bells, axes=axes, theme=theme())
    name = hash(tuple((bell.time_us, bell.lines) for bell in bells))
    return Fresh(Drawn(drawn.view, figure, drawn.matrices), f"{fresh.revision}/bells{name}")
