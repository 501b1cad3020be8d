"""Bybit's risk limits of linear contracts: the request for them, and what an answer says.

Bounds (`riskLimitValue`, the upper end) count the position's value in USDT. The deduction (`mmDeduction`) is empty in the first
tier; where another tier leaves it out, it is what makes the requirement continuous, as the help page's tier-by-tier sum does.

Two scales are about: the endpoint's documented example writes rates in percent ("0.5" beside a leverage of 100), public clients
read fractions ("0.005"). Which one an answer uses is told by the answer: initial margin × highest leverage is 1 or 100, or it is
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import quote

import msgspec

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.domain.margin import BadMarginTable, MarginTable, MarginTier, continuous_deductions
from services.exchanges import wire
from services.exchanges.adapter import MarginRequest

EXCHANGE: Final = "bybit"
DOCS: Final = "https://bybit-exchange.github.io/docs/v5/market/risk-limit"
_PATH: Final = "/v5/market/risk-limit?category=linear&symbol="


class _Tier(msgspec.Struct, rename="camel"):
    id: int
    symbol: str
    risk_limit_value: wire.Text = None
    maintenance_margin: wire.Text = None
    initial_margin: wire.Text = None
    max_leverage: wire.Text = None
    mm_deduction: wire.Text = None


class _Result(msgspec.Struct, rename="camel"):
    category: str = ""
    rows: list[_Tier] = msgspec.field(name="list", default_factory=list)
    next_page_cursor: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    result: _Result = msgspec.field(default_factory=_Result)
    ret_code: int = 0
    ret_msg: str = ""


_answer: Final = msgspec.json.Decoder(_Answer)


class BybitMargin:
    """The adapter's requests and answers about maintenance tiers."""

    def margin_requests(self, instruments: Sequence[Instrument]) -> tuple[MarginRequest, ...]:
        """One a contract."""
        return tuple(risk_limit_request(each) for each in instruments)

    def next_margin_request(self, request: MarginRequest, body: bytes) -> MarginRequest | None:
        return next_risk_limit_request(body, request.instruments[0])

    def parse_margin(self, request: MarginRequest, bodies: Sequence[bytes], as_of_us: int) -> tuple[MarginTable, ...]:
        return (parse_risk_limit(bodies, request.instruments[0], as_of_us),)

    def bundled_margin(self, instruments: Sequence[Instrument]) -> tuple[MarginTable, ...]:  # noqa: ARG002
        """None: the endpoint is public."""
        return ()


def risk_limit_request(instrument: Instrument) -> MarginRequest:
    """The request for the tiers of one contract."""
    return MarginRequest(path=f"{_PATH}{quote(instrument.symbol)}", instruments=(instrument,))


def next_risk_limit_request(body: bytes, instrument: Instrument) -> MarginRequest | None:
    """The request for the rest, where an answer of one contract comes in pages; None after the last one."""
    result = _result(body)
    cursor = quote(result.next_page_cursor, safe="%")  # the cursor comes percent-encoded already
    if not (cursor and result.rows):
        return None
    return MarginRequest(path=f"{_PATH}{quote(instrument.symbol)}&cursor={cursor}", instruments=(instrument,))


def parse_risk_limit(bodies: Sequence[bytes], instrument: Instrument, as_of_us: int) -> MarginTable:
    """The table in the answers (all pages) about one contract.

    as_of_us   when the last answer was received
    raises     DecodeError for an error answer, a malformed one, another contract's, an inverse one's, and tiers that are no ladder
    """
    rows = [row for body in bodies for row in _rows(body, instrument)]
    try:
        return _table(rows, instrument, as_of_us)
    except BadMarginTable as error:
        raise DecodeError(f"bybit: {error}"[:400], reason="bad_margin_table") from None
    except wire.MALFORMED as error:
        raise wire.malformed(EXCHANGE, bodies[0] if bodies else b"", error) from None


def _rows(body: bytes, instrument: Instrument) -> list[_Tier]:
    result = _result(body)
    if result.category not in ("", "linear"):
        raise DecodeError(
            f"bybit: risk limits were of {result.category[:40]} contracts; those of linear ones were expected", reason="not_linear"
        )
    for row in result.rows:
        if row.symbol != instrument.symbol:
            raise DecodeError(f"bybit: risk limits were of {row.symbol[:40]!r}, not of {instrument.symbol}", reason="wrong_symbol")
    return result.rows


def _result(body: bytes) -> _Result:
    try:
        answer = _answer.decode(body)
    except wire.MALFORMED as error:
        raise wire.malformed(EXCHANGE, body, error) from None
    if answer.ret_code:
        raise DecodeError(f"bybit: answer was an error, {answer.ret_code} {answer.ret_msg[:200]}", reason="error_answer")
    return answer.result


def _table(rows: Sequence[_Tier], instrument: Instrument, as_of_us: int) -> MarginTable:
    rows = sorted(rows, key=lambda each: wire.decimal_of(each.risk_limit_value))
    rates = [wire.listed_step(row.maintenance_margin, name="maintenanceMargin") / _scale(row) for row in rows]
    bounds = [wire.listed_step(row.risk_limit_value, name="riskLimitValue") for row in rows]
    derived = continuous_deductions(tuple(zip(rates, bounds, strict=True)))
    published = [wire.optional_amount(row.mm_deduction, name="mmDeduction") for row in rows]
    tiers = tuple(
        MarginTier(
            above=bounds[at - 1] if at else Decimal(0),
            up_to=bounds[at],
            maintenance_rate=rates[at],
            deduction_usd=derived[at] if amount is None else amount,
            max_leverage=wire.listed_step(row.max_leverage, name="maxLeverage"),
        )
        for at, (row, amount) in enumerate(zip(rows, published, strict=True))
    )
    return MarginTable(
        exchange=EXCHANGE, instrument=instrument.instrument, tiers=tiers, bound_unit="usd", as_of_us=as_of_us, source=DOCS
    )


def _scale(row: _Tier) -> int:
    """100 where the answer's rates are in percent, 1 where they are fractions."""
    whole = wire.listed_step(row.initial_margin, name="initialMargin") * wire.listed_step(row.max_leverage, name="maxLeverage")
    for scale in (1, 100):
        if abs(whole / scale - 1) <= Decimal("0.1"):
            return scale
    raise DecodeError(
        f"bybit: initialMargin was {row.initial_margin} beside a maxLeverage of {row.max_leverage}; "
        "their product must be 1 (fractions) or 100 (percent)",
        reason="bad_scale",
    )
