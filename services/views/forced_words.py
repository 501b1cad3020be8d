"""What is said of predicted levels where other pages use them: near the price, in stress, in the overall risk, with their score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.analytics.evidence import price_words
from services.analytics.magnet_levels import MagnetLevel
from services.analytics.stress import StressMove
from services.charts.mark_inputs import MagnetBand
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import PositionSide
from services.domain.words import usd_words
from services.views.answers import Lacking
from services.views.forced import NEAR_PCT, ForcedNow, Predicted
from services.views.notices import span_text
from services.views.predicted_score import ExchangeScore, verdict_words
from services.views.risk_book import NearMove

PREDICTED_HELP: Final = (
    "Estimated: open positions that would be liquidated on the way, from open interest, traded prices and a leverage prior; no "
    "exchange publishes them. The page *Predicted levels* shows the whole map and how it is made; its score says whether "
    "liquidations came where the maps said, beyond what volatility alone foretold."
)
FORCED_HELP: Final = (
    "Forced: predicted liquidations on the way (longs in a fall, shorts in a rise), of the map of each exchange whose book is in "
    "step, relative to its mid, without what the price has crossed since. Estimated; positions that would be closed before, cross "
    "margin and new positions on the way are not in it. Per $ resting: above 1 more is forced than rests there, and the move would "
    "feed itself."
)
_SIDE_ORDERS: Final[dict[PositionSide, str]] = {"long": "sold", "short": "bought"}


def near_words(predicted: Predicted | Lacking, now_us: int) -> str:
    """What stands within 1 % of the price, and how old the map is; or why that is not known."""
    if isinstance(predicted, Lacking):
        return predicted.text
    absent = f"; no map: {_names(predicted.absent)}" if predicted.absent else ""
    below, above = usd_words(predicted.near_long_usd), usd_words(predicted.near_short_usd)
    return (
        f"Within {NEAR_PCT:g} %: **{below}** of longs below, **{above}** of shorts above "
        f"(estimated, {span_text(max(now_us - predicted.as_of_us, 0))} old{absent})."
    )


def verdicts_words(scores: Sequence[ExchangeScore] | Lacking) -> str:
    """What the score says of each exchange's maps; exchanges that share a verdict share the words."""
    if isinstance(scores, Lacking):
        return f"Score of the maps: {scores.text}"
    by_verdict: dict[str, list[str]] = {}
    for each in scores:
        by_verdict.setdefault(verdict_words(each), []).append(each.exchange)
    return f"Score of the maps: {'; '.join(f'{_names(names)} {words}' for words, names in by_verdict.items())}."


def forced_words(forced: ForcedNow | None) -> str:
    """Whose predicted levels are counted."""
    if forced is None:
        return ""
    absent = f" {_names(forced.absent)} has no map of the last 5 min, so what is forced is a lower bound." if forced.absent else ""
    return f"Forced, estimated: predicted levels of {_names(forced.exchanges)}.{absent}"


def forced_cells(move: StressMove) -> dict[str, str]:
    """ "12 M $", "0.85": forced on the way, and per $ resting there; ≤ where the known books end before the move does."""
    if move.forced_usd is None:
        return {}
    return {"Forced (est.)": usd_words(move.forced_usd), "Per $ resting": ratio_words(move)}


def ratio_words(move: StressMove) -> str:
    """Forced over resting; "–" where nothing rests on the way."""
    if move.forced_usd is None or move.depth_usd <= 0:
        return "–"
    most = "" if move.is_complete else "≤ "
    return f"{most}{move.forced_usd / move.depth_usd:.2g}"


def near_rows(moves: Sequence[NearMove]) -> list[dict[str, str]]:
    """Small moves: what each would force against what rests on the way."""
    return [
        {
            "Move": f"{each.move.move_pct:+.2f} %",
            "Passes": "–" if each.magnet is None else f"the magnet at {price_words(each.magnet.price)}",
            "Depth on the way": ("" if each.move.is_complete else "≥ ") + usd_words(each.move.depth_usd),
            **forced_cells(each.move),
        }
        for each in moves
    ]


def gap_words(moves: Sequence[NearMove]) -> str:
    """What moves of 1 % to either side would force, against what rests there, in one line; empty where no map is known."""
    parts = []
    for each in moves:
        move = each.move
        if each.magnet is not None or move.forced_usd is None:
            continue
        falls = move.move_pct < 0
        verb, side, book = ("fall", "longs", "bids") if falls else ("rise", "shorts", "asks")
        least = "" if move.is_complete else "at least "
        parts.append(
            f"a {verb} of {abs(move.move_pct):g} % would force **{usd_words(move.forced_usd)}** of {side} against "
            f"{least}{usd_words(move.depth_usd)} of {book} ({_ratio_sentence(move)})"
        )
    return f"By the predicted levels {'; '.join(parts)}. Estimated." if parts else ""


def _ratio_sentence(move: StressMove) -> str:
    if move.forced_usd is None or move.depth_usd <= 0:
        return "nothing rests there"
    ratio = move.forced_usd / move.depth_usd
    if not move.is_complete:
        return f"at most {ratio:.2g} per $ resting: the known books end before"
    return f"{ratio:.2g} per $ resting" + (": it would feed itself" if ratio > 1 else "")


def magnet_bands(predicted: Predicted | Lacking) -> tuple[MagnetBand, ...]:
    """Magnets as bands for a chart, largest first."""
    if isinstance(predicted, Lacking) or not predicted.magnets:
        return ()
    largest_usd = max(each.notional_usd for each in predicted.magnets)
    return tuple(
        MagnetBand(
            low=each.low,
            high=each.high,
            peak=each.price,
            is_long=each.position_side == "long",
            strength=each.notional_usd / largest_usd,
            label=usd_words(each.notional_usd, digits=2),
            words=_magnet_words(each),
        )
        for each in predicted.magnets
    )


def _magnet_words(magnet: MagnetLevel) -> str:
    return (
        f"Predicted, estimated: {usd_words(magnet.notional_usd)} of {magnet.position_side}s<br>would be "
        f"{_SIDE_ORDERS[magnet.position_side]} by force from {price_words(magnet.low)} to "
        f"{price_words(magnet.high)}<br>{magnet.distance_bps / 100:+.2f} % from the price"
    )


def _names(exchanges: Sequence[str]) -> str:
    return ", ".join(EXCHANGE_TITLES.get(name, name) for name in exchanges)
