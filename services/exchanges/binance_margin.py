"""Binance's leverage brackets, shipped with the program: Binance answers `/fapi/v1/leverageBracket` only to an account's key.

Five default contracts, and one generic table for all others, marked as a fallback: that of ENS, SNX and AERO, which allows 75x and
stands in the middle between the large contracts and the new ones. A liquidation price made with it is an estimate.

From the leverage tiers that freqtrade publishes with its releases (freqtrade/exchange/binance_leverage_tiers.json, read off the
authenticated endpoint), in a copy that lists quarterly contracts to 2026-09-25 and none to 2026-12-25: it was made between
2026-03-27 and 2026-06-26. Binance changes brackets by announcement and several times a year; the large contracts' rarely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from services.domain.instruments import Instrument
from services.domain.margin import MarginTable, MarginTier, TableOrigin, continuous_deductions, linear_instrument
from services.exchanges.adapter import MarginRequest

EXCHANGE: Final = "binance"
DOCS: Final = "https://www.binance.com/en/futures/trading-rules/perpetual/leverage-margin"
SOURCE: Final = "https://github.com/freqtrade/freqtrade/blob/develop/freqtrade/exchange/binance_leverage_tiers.json"
AS_OF_US: Final = 1_774_569_600_000_000  # 2026-03-27 00:00 UTC, the earliest day on which the copy can have been made

_MILLION: Final = 1_000_000
_Row = tuple[int, str, int]  # upper bound in USD, maintenance rate, highest leverage

_BTC: Final[tuple[_Row, ...]] = (
    (300_000, "0.004", 150), (800_000, "0.005", 100), (3 * _MILLION, "0.0065", 75), (12 * _MILLION, "0.01", 50),
    (70 * _MILLION, "0.02", 25), (100 * _MILLION, "0.025", 20), (230 * _MILLION, "0.05", 10), (480 * _MILLION, "0.1", 5),
    (600 * _MILLION, "0.125", 4), (800 * _MILLION, "0.15", 3), (1_200 * _MILLION, "0.25", 2), (1_800 * _MILLION, "0.5", 1),
)  # fmt: skip
_ETH: Final[tuple[_Row, ...]] = (
    (300_000, "0.004", 150), (800_000, "0.005", 100), (3 * _MILLION, "0.0065", 75), (12 * _MILLION, "0.01", 50),
    (50 * _MILLION, "0.02", 25), (65 * _MILLION, "0.025", 20), (150 * _MILLION, "0.05", 10), (320 * _MILLION, "0.1", 5),
    (400 * _MILLION, "0.125", 4), (530 * _MILLION, "0.15", 3), (800 * _MILLION, "0.25", 2), (1_200 * _MILLION, "0.5", 1),
)  # fmt: skip
_SOL: Final[tuple[_Row, ...]] = (
    (50_000, "0.005", 100), (400_000, "0.0065", 75), (_MILLION, "0.01", 50), (4 * _MILLION, "0.02", 25),
    (8 * _MILLION, "0.025", 20), (40 * _MILLION, "0.05", 10), (80 * _MILLION, "0.1", 5), (100 * _MILLION, "0.125", 4),
    (200 * _MILLION, "0.25", 2), (400 * _MILLION, "0.5", 1),
)  # fmt: skip
_ADA: Final[tuple[_Row, ...]] = (
    (10_000, "0.005", 75), (50_000, "0.01", 50), (200_000, "0.015", 40), (_MILLION, "0.02", 25),
    (2 * _MILLION, "0.025", 20), (10 * _MILLION, "0.05", 10), (20 * _MILLION, "0.1", 5), (25 * _MILLION, "0.125", 4),
    (50 * _MILLION, "0.25", 2), (100 * _MILLION, "0.5", 1),
)  # fmt: skip
_BNB: Final[tuple[_Row, ...]] = (
    (10_000, "0.005", 75), (200_000, "0.006", 50), (400_000, "0.01", 40), (1_500_000, "0.02", 25),
    (3 * _MILLION, "0.025", 20), (15 * _MILLION, "0.05", 10), (30 * _MILLION, "0.1", 5), (37_500_000, "0.125", 4),
    (75 * _MILLION, "0.25", 2), (150 * _MILLION, "0.5", 1),
)  # fmt: skip
_GENERIC: Final[tuple[_Row, ...]] = (
    (5_000, "0.01", 75), (10_000, "0.015", 50), (50_000, "0.02", 25), (100_000, "0.025", 20), (175_000, "0.0333", 15),
    (250_000, "0.05", 10), (750_000, "0.1", 5), (1_500_000, "0.125", 4), (4_500_000, "0.1667", 3), (7_500_000, "0.25", 2),
    (12_500_000, "0.5", 1),
)  # fmt: skip

_ROWS: Final[Mapping[str, tuple[_Row, ...]]] = {
    "BTC-USDT-PERP": _BTC,
    "ETH-USDT-PERP": _ETH,
    "SOL-USDT-PERP": _SOL,
    "ADA-USDT-PERP": _ADA,
    "BNB-USDT-PERP": _BNB,
}


class BinanceMargin:
    """The adapter's maintenance tiers: no endpoint is public, so there is nothing to ask."""

    def margin_requests(self, instruments: Sequence[Instrument]) -> tuple[MarginRequest, ...]:  # noqa: ARG002
        return ()

    def next_margin_request(self, request: MarginRequest, body: bytes) -> MarginRequest | None:  # noqa: ARG002
        return None

    def parse_margin(self, request: MarginRequest, bodies: Sequence[bytes], as_of_us: int) -> tuple[MarginTable, ...]:  # noqa: ARG002
        return ()

    def bundled_margin(self, instruments: Sequence[Instrument]) -> tuple[MarginTable, ...]:
        """Each contract's own table, or the generic one, marked as a fallback."""
        return tuple(bundled_margin_table(each.instrument) for each in instruments)


def bundled_margin_table(instrument: str) -> MarginTable:
    """The table of one contract: its own ("bundled") or the generic one ("fallback").

    instrument   our name or Binance's symbol
    raises       NotLinear for an inverse contract (BTCUSD_PERP), BadInstrumentName for what is no contract's name
    """
    name = linear_instrument(instrument)
    rows = _ROWS.get(name)
    return _table(name, _GENERIC, "fallback") if rows is None else _table(name, rows, "bundled")


def _table(name: str, rows: tuple[_Row, ...], origin: TableOrigin) -> MarginTable:
    """The deductions are not written down above: Binance's published ones are what its recursion gives (a test compares them)."""
    deductions = continuous_deductions(tuple((Decimal(rate), Decimal(bound)) for bound, rate, _ in rows))
    tiers = tuple(
        MarginTier(
            above=Decimal(rows[at - 1][0] if at else 0),
            up_to=Decimal(bound),
            maintenance_rate=Decimal(rate),
            deduction_usd=deductions[at],
            max_leverage=Decimal(leverage),
        )
        for at, (bound, rate, leverage) in enumerate(rows)
    )
    return MarginTable(
        exchange=EXCHANGE, instrument=name, tiers=tiers, bound_unit="usd", as_of_us=AS_OF_US, source=SOURCE, origin=origin
    )
