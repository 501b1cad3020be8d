"""OKX's position tiers of isolated swaps: the request for them, and what an answer says.

Bounds count contracts, rates are fractions (`"mmr": "0.004"`), and there is no deduction: the rate of a tier holds for the whole
position. A tier's `minSz` has been written both as the former tier's `maxSz` and as one more than it; both are read alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Final

import msgspec

from services.domain.errors import DecodeError
from services.domain.instruments import BadInstrumentName, Instrument
from services.domain.margin import BadMarginTable, MarginTable, MarginTier, NotLinear, linear_instrument
from services.exchanges import wire
from services.exchanges.adapter import MarginRequest

EXCHANGE: Final = "okx"
DOCS: Final = "https://www.okx.com/docs-v5/en/#public-data-rest-api-get-position-tiers"
_FAMILIES_PER_REQUEST: Final = 5
_WEIGHT: Final = 2  # 10 requests in two seconds (?), of the 20 that are our budget (okx_rest)


class _Tier(msgspec.Struct, rename="camel"):
    tier: str = ""
    inst_family: str = ""
    uly: str = ""
    min_sz: wire.Text = None
    max_sz: wire.Text = None
    mmr: wire.Text = None
    max_lever: wire.Text = None


class _Answer(msgspec.Struct):
    data: list[_Tier]
    code: str | int = "0"
    msg: str = ""


_answer: Final = msgspec.json.Decoder(_Answer)


class OkxMargin:
    """The adapter's requests and answers about maintenance tiers."""

    def margin_requests(self, instruments: Sequence[Instrument]) -> tuple[MarginRequest, ...]:
        return position_tiers_requests(instruments)

    def next_margin_request(self, request: MarginRequest, body: bytes) -> MarginRequest | None:  # noqa: ARG002
        """None: an answer is whole."""
        return None

    def parse_margin(self, request: MarginRequest, bodies: Sequence[bytes], as_of_us: int) -> tuple[MarginTable, ...]:
        return tuple(table for body in bodies for table in parse_position_tiers(body, request.instruments, as_of_us))

    def bundled_margin(self, instruments: Sequence[Instrument]) -> tuple[MarginTable, ...]:  # noqa: ARG002
        """None: the endpoint is public."""
        return ()


def position_tiers_requests(instruments: Sequence[Instrument]) -> tuple[MarginRequest, ...]:
    """The requests for the isolated tiers of these swaps, five instrument families each."""
    return tuple(
        MarginRequest(
            instruments=tuple(batch),
            path=f"/api/v5/public/position-tiers?instType=SWAP&tdMode=isolated&instFamily={','.join(map(_family, batch))}",
            weight=_WEIGHT,
        )
        for batch in (
            instruments[start : start + _FAMILIES_PER_REQUEST] for start in range(0, len(instruments), _FAMILIES_PER_REQUEST)
        )
    )


def parse_position_tiers(body: bytes, instruments: Sequence[Instrument], as_of_us: int) -> tuple[MarginTable, ...]:
    """The tables of an answer to one of `position_tiers_requests`, one for each of the instruments that it has rows of.

    as_of_us   when the answer was received
    raises     DecodeError for an error answer, a malformed one, tiers that are no ladder, and an inverse or unasked-for family
    """
    try:
        answer = _answer.decode(body)
        if str(answer.code) != "0":
            raise DecodeError(f"okx: answer was an error, {str(answer.code)[:40]} {answer.msg[:200]}", reason="error_answer")
        return _tables(answer.data, {_family(each): each for each in instruments}, as_of_us)
    except NotLinear as error:
        raise DecodeError(f"okx: {error}"[:400], reason="not_linear") from None
    except BadMarginTable as error:
        raise DecodeError(f"okx: {error}"[:400], reason="bad_margin_table") from None
    except wire.MALFORMED as error:
        raise wire.malformed(EXCHANGE, body, error) from None


def _tables(rows: Sequence[_Tier], asked: dict[str, Instrument], as_of_us: int) -> tuple[MarginTable, ...]:
    by_family: dict[str, list[_Tier]] = {}
    for row in rows:
        by_family.setdefault(row.inst_family or row.uly, []).append(row)
    for family in by_family:
        if family not in asked:
            with suppress(BadInstrumentName):
                linear_instrument(f"{family}-SWAP")  # an inverse family is named as such before it is said to be unasked for
            raise DecodeError(f"okx: position tiers were of {family[:40]!r}, which was not asked for", reason="wrong_symbol")
    return tuple(_table(found, asked[family], as_of_us) for family, found in by_family.items())


def _table(rows: Sequence[_Tier], instrument: Instrument, as_of_us: int) -> MarginTable:
    tiers: list[MarginTier] = []
    for row in sorted(rows, key=lambda each: wire.decimal_of(each.max_sz)):
        least, most = wire.decimal_of(row.min_sz), wire.listed_step(row.max_sz, name="maxSz")
        above = tiers[-1].up_to if tiers else Decimal(0)
        if not above <= least <= above + 1:
            raise DecodeError(
                f"okx: tier {row.tier[:10]} of {instrument.symbol} began at {least} contracts; {above} was expected", reason="gap"
            )
        tiers.append(
            MarginTier(
                above=above,
                up_to=most,
                maintenance_rate=wire.listed_step(row.mmr, name="mmr"),
                max_leverage=wire.listed_step(row.max_lever, name="maxLever"),
            )
        )
    return MarginTable(
        exchange=EXCHANGE,
        instrument=instrument.instrument,
        tiers=tuple(tiers),
        bound_unit="contracts",
        contract_size_base=instrument.contract_size_base,
        as_of_us=as_of_us,
        source=DOCS,
    )


def _family(instrument: Instrument) -> str:
    return instrument.symbol.removesuffix("-SWAP")
