"""Magnet levels: the prices about which predicted liquidations concentrate, as the page lists them."""

from __future__ import annotations

import numpy as np

from services.analytics.magnet_levels import MagnetLevel, magnet_levels
from services.analytics.predicted_levels import LONG, SHORT
from services.domain.words import bps_words, price_words, usd_words
from services.views.liquidation_map_view import DEFAULT_REACH_PCT
from services.views.predicted import PredictedView

MAGNETS_HELP = (
    "Local maxima of the predicted mass of one side, smoothed over 10 bps, that stand out by a tenth of the highest. USD within "
    "the bounds at half the prominence. A magnet says where forced orders would come, not that the price goes there: whether it "
    "does more often than by chance is what the score below measures."
)


def build_magnets(view: PredictedView, *, n_max: int = 10) -> tuple[MagnetLevel, ...]:
    """Magnets of the tiers shown, the largest first; none without a map of now. Cost about 1 ms."""
    if view.now is None or not len(view.now.snapshot.usd):
        return ()
    usd = view.now.snapshot.by_side(view.leverages)
    long_usd, short_usd = np.ascontiguousarray(usd[:, LONG]), np.ascontiguousarray(usd[:, SHORT])
    reach = (view.selection.range_pct or DEFAULT_REACH_PCT) / 100
    return magnet_levels(view.now.snapshot.price_edges, long_usd, short_usd, view.now.price, reach=reach, n_max=n_max)


def magnet_words(magnets: tuple[MagnetLevel, ...], *, decimals: int) -> str:
    """The largest of each side, in a sentence."""
    if not magnets:
        return "No price stands out: the predicted mass is even, or there is none within reach."
    parts = []
    for side, word in (("short", "above"), ("long", "below")):
        first = next((each for each in magnets if each.position_side == side), None)
        if first is not None:
            parts.append(
                f"**{usd_words(first.notional_usd, digits=2)}** of {side}s around **{price_words(first.price, decimals)}**, "
                f"{bps_words(abs(first.distance_bps))} {word}"
            )
    return f"The largest: {'; '.join(parts)}."


def magnet_rows(magnets: tuple[MagnetLevel, ...]) -> list[dict[str, str | float]]:
    """From the highest price down, as on a price axis."""
    return [
        {
            "price": each.price,
            "distance": f"{each.distance_bps / 100:+.2f} %",
            "positions": "Longs" if each.position_side == "long" else "Shorts",
            "usd": each.notional_usd,
        }
        for each in sorted(magnets, key=lambda each: -each.price)
    ]
