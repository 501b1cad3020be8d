"""The comparison with CoinGlass in words and table rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.analytics.information import Information
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.words import usd_words
from services.views.answers import Lacking
from services.views.external import BIN, REACH, TOGETHER, LevelsCompared, TotalsCompared
from services.views.validation_words import UNKNOWN, Row

EXTERNAL_HELP: Final = (
    "CoinGlass's liquidation history of the same contracts, and its heatmap of expected liquidations, fetched with your key on a "
    "schedule. Compared are spans in which every minute of ours was watched. Ratio: ours over theirs; below 1 we saw less, as with "
    "feeds that publish a sample. Rank correlation: Spearman's, with a 95 % block-bootstrap interval; 1 is the same order."
)


def totals_rows(totals: Iterable[TotalsCompared]) -> list[Row]:
    """One row an exchange."""
    return [
        {
            "Totals on": "All of these" if each.exchange == TOGETHER else EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "Spans compared": f"{each.n:,} of {each.step_s // 3_600} h",
            "Ours": usd_words(each.ours_usd),
            "CoinGlass": usd_words(each.theirs_usd),
            "Ratio": UNKNOWN if each.ratio is None else f"{each.ratio:.2f}",
            "Rank correlation": correlation_words(each.by_span),
            "By day": correlation_words(each.by_day),
        }
        for each in totals
    ]


def totals_reasons(totals: Iterable[TotalsCompared]) -> list[str]:
    """Why correlations are missing, each sentence once."""
    found = (part.text for each in totals for part in (each.by_span, each.by_day) if isinstance(part, Lacking))
    return list(dict.fromkeys(found))


def levels_words(levels: LevelsCompared, now_us: int) -> str:
    """One sentence with n and interval."""
    told = levels.information
    minutes = max(0, now_us - levels.as_of_us) // 60_000_000
    return (
        f"Expected liquidations over {told.n} price bins of {BIN:.1%} within ±{REACH:.0%} of the price: rank correlation "
        f"{correlation_words(told)} of our map with CoinGlass's of {minutes} min ago."
    )


def correlation_words(told: Information | Lacking) -> str:
    """ "0.83 (0.71 to 0.90)"; "–" where there is none."""
    if isinstance(told, Lacking):
        return UNKNOWN
    return f"{told.ic:.2f} ({told.low:.2f} to {told.high:.2f})"
