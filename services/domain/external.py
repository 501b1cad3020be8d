"""What others say of the same market, for comparison: CoinGlass's realised totals and its heatmap of expected liquidations.

Never mixed with ours: nothing that is computed from the market reads it. `source` names who says it.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from services.domain.errors import ExchangeRejected

COINGLASS: Final = "coinglass"
ExternalTopic = Literal["totals", "levels"]
EXTERNAL_TOPICS: Final[tuple[ExternalTopic, ...]] = get_args(ExternalTopic)
ExternalState = Literal["ok", "bad_key", "plan_too_low", "quota", "unreachable", "malformed", "refused"]
EXTERNAL_STATES: Final[tuple[ExternalState, ...]] = get_args(ExternalState)


class BadKey(ExchangeRejected):
    """The key was not accepted: asking again with it cannot help."""


class PlanTooLow(ExchangeRejected):
    """The key is good, but its plan does not include what was asked for."""


class ExternalTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Liquidated notional of one span of one contract, as another says. One a (source, exchange, instrument, step, start)."""

    source: str
    exchange: str
    instrument: str
    step_s: int
    start_time_us: int
    long_usd: float
    short_usd: float


class ExternalProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Expected liquidations by price at one moment, as another says, over all exchanges it counts. One a source and instrument.

    prices, usd    one each a level, prices ascending; usd is that source's own measure, good for ranks and not for sums
    as_of_us       when it was fetched; `price` the last close that came with it
    """

    source: str
    instrument: str
    model: str
    range_name: str
    as_of_us: int
    price: float
    prices: tuple[float, ...]
    usd: tuple[float, ...]


class ExternalStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How the last question of a topic was answered. `text` is a sentence for people, without the key; empty when all is well.

    `step_s` is the span of the totals that the key's plan gives; 0 where it does not apply.
    """

    source: str
    topic: ExternalTopic
    instrument: str
    state: ExternalState
    text: str
    time_us: int
    step_s: int = 0
