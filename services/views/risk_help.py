"""What stands behind the question marks of the Risk page: definitions, formulas, what to beware of."""

from __future__ import annotations

from typing import Final

OVERALL_HELP: Final = (
    "The weighted mean of six parts in [0, 1]: liquidation rate (robust Z over 4), cascade ratio, predicted levels (estimated), "
    "depth missing against the day's median, book imbalance, volatility percentile. Predicted: m/(m + d), m the USD of the "
    "heavier side, each level weighted by exp(−distance/100 bps), d the depth within 50 bps that it would hit; it counts whatever "
    "the maps' score, which stands below. Unknown parts (hatched) are left out and the others' weights, shown behind the names, "
    "made up to 100 %. Low < 0.30 ≤ moderate < 0.45 ≤ high < 0.60 ≤ extreme. The weights are a judgement, not an estimate: the "
    "record says what they are worth (docs/methods.md)."
)
LEVEL_HELP: Final = (
    "A level that says something holds a larger share of the extreme moves than of the time: against chance above 1 ×. Intervals "
    "are 95 %, counting only hours that do not overlap; 100 such hours are needed."
)
TAIL_HELP: Final = (
    "Value at risk (VaR): the loss that is exceeded in 5 % or 1 % of the spans. Expected shortfall (ES): the mean loss of those "
    "spans. Positive numbers are losses, in percent of the position and in USD of a position of 1 M $ without leverage, fees and "
    "slippage. From log returns of the mid, turned into the loss of a long (1 − e^−x) or a short (e^x − 1)."
)
COVERAGE_HELP: Final = (
    "Historical: the quantile of the stored returns. Filtered historical: returns over the volatility of their time (EWMA, "
    "λ = 0.94 a twelfth of the horizon), times the present one. Cornish–Fisher: the normal quantile corrected for skewness and "
    "kurtosis. Coverage: forecasts from the past alone, one horizon after the other, against what followed. Share: Kupiec's test "
    "of how many losses were beyond it; clusters: Christoffersen's test of whether they follow one another. A p-value under 0.05 "
    "speaks against the method. The best coverage is the highest p-value of both tests together, of the worse side. Tests are made "
    "anew every ten minutes (docs/methods.md)."
)
STRESS_HELP: Final = (
    "Depth on the way: all that rests between the mid and the end of the move, the chosen exchanges added up, each from its own "
    "mid. Slippage: distance from the mid to the mean price of one order for all of it. Orders that would come or go while the "
    "price moves are not foreseen: a book at rest, not a forecast. Forced and resting are compared as if nothing else happened."
)
CASCADE_HELP: Final = (
    "Branching ratio of a Hawkes process with an exponential kernel, fitted by maximum likelihood to the liquidation times of the "
    "last 24 h; the interval is by profile likelihood. 0: none triggers another; from 1 on a cascade feeds itself. Feeds with at "
    "most one event a second hide part of a burst; a busy hour in a calm day looks like triggering: then the ratio is an upper "
    "bound. By themselves: what comes without a trigger (μ). Half-life: ln 2/β, when half of what one triggers has happened."
)
BOOK_HELP: Final = (
    "Top-5 share: part of the resting notional that the five largest levels hold. Herfindahl: sum of squared shares, 1 if one "
    "level holds all. Even levels: 1/Herfindahl, how many equal levels would be as concentrated."
)
