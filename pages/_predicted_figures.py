"""What the predicted levels page draws: the choice of its controls, its data at this moment, its figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from _figures import Drawn
from _loaders import desk, every, every_patiently, now
from _reading import StillReading, long_words

from services.charts.inputs import Bubbles, ThemeName
from services.charts.level_heatmap import LEVELS, LONG, SHORT, level_heatmap, marks_words, sums_words
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.freshness import Fresh
from services.views.predicted import PredictedChart, PredictedView, build_predicted
from services.views.predicted_axis import LevelChoice, LevelSpan
from services.views.predicted_heat import HeatCache
from services.views.predicted_marks import build_rates, is_single, summed_marks
from services.views.predicted_words import cell_words
from services.views.selection import Selection

MARKS_S, RATES_S = 120.0, 3_600.0
FOR_EVER_S = 1e11
MAX_HELD = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What refreshes find again: sums of maps, and those of liquidations by place."""

    heats: HeatCache
    marks: dict[str, Fresh[Bubbles]]


def _kept() -> _Kept:
    """One for each desk, so that another runtime in the same process (a test's) has maps of its own."""
    nothing = Selection("", ("",), "1h")
    if desk().is_past:  # kept for its own moment only: what was kept at a later one knows more
        return desk().now("predicted/kept", nothing, lambda _: _Kept(HeatCache(), {})).value
    return every("predicted/kept", nothing, FOR_EVER_S, lambda *_: _Kept(HeatCache(), {})).value


def _rates(choice: LevelChoice) -> dict[str, float]:
    """Maintenance rates by exchange, read once an hour; none while the store is away."""

    def build(_context: ViewContext, selection: Selection, _now_us: int) -> dict[str, float]:
        found = attempt(partial(build_rates, desk().runtime.store, selection))
        return {} if isinstance(found, Lacking) else found

    return every("predicted/rates", LevelChoice(choice.instrument, choice.exchanges, "1h"), RATES_S, build).value


def marks_now(choice: LevelChoice) -> None:
    """Sum up the liquidations of a long window, for the next refresh; where they are read one by one, nothing."""
    if is_single(choice.level_window):
        return

    def build(context: ViewContext, selection: Selection, now_us: int) -> Bubbles:
        return summed_marks(context, selection, LevelSpan.ending(now_us, window=choice.level_window), now_us)

    held = _kept().marks
    plain = replace(choice, leverages=None, is_signed=False, range_pct=None)
    try:
        fresh = every_patiently("predicted/marks", plain, MARKS_S, build, words=f"liquidations of {long_words(plain)}")
    except StillReading:  # they come with a later refresh
        return
    held.pop(plain.place, None)
    held[plain.place] = fresh
    while len(held) > MAX_HELD:
        held.pop(next(iter(held)), None)


def page_now(choice: LevelChoice) -> Fresh[Drawn[PredictedView]]:
    """The page at this moment; sums of liquidations are drawn as soon as they are at hand."""
    kept = _kept()
    if desk().is_past:
        marks_now(choice)  # a moment that stands has no next refresh
    marks = kept.marks.get(replace(choice, range_pct=None).place)

    rates = _rates(choice)

    def build(context: ViewContext, selection: Selection, now_us: int, name: str) -> PredictedView:
        del selection  # the choice, of which `now` sees but the name
        sums = None if marks is None else marks.value
        return build_predicted(context, choice, now_us, name, kept=kept.heats, marks=sums, rates=rates)

    named = replace(choice, marks_name="" if marks is None else marks.revision)
    return now("predicted", named, build, partial(draw_predicted, choice=choice))


def draw_predicted(view: PredictedView, colours: ThemeName, *, choice: LevelChoice) -> Drawn[PredictedView]:
    """The heatmap with what lies over it; no figure while there is nothing to draw on."""
    chart = view.chart
    if chart is None:
        return Drawn(view, None, {})
    levels = {LONG: chart.long, SHORT: chart.short} if choice.is_signed else {LEVELS: chart.both}
    figure = level_heatmap(
        replace(chart.frame, theme=colours),
        levels=levels,
        line=chart.line,
        liquidations=chart.marks,
        profile=chart.profile,
        cumulated=chart.cumulated,
        words=_corner(chart, view),
    )
    return Drawn(view, figure, levels)


def _corner(chart: PredictedChart, view: PredictedView) -> str:
    if chart.marks is None:
        marks = "liquidations are being summed up"
    else:
        marks = marks_words(chart.marks) if chart.are_marks_single else sums_words(chart.marks)
    return " · ".join(part for part in (cell_words(view), f"circles: {marks}") if part)
