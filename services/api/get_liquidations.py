"""GET /api/heatmap/liquidations/{symbol}: the events themselves, newest first, page by page."""

from __future__ import annotations

from typing import Final, Literal

from services.api.cursors import CURSOR, Cursor, question_digest
from services.api.endpoint import LIVE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.envelope import iso_all
from services.api.errors import ApiError
from services.api.liquidation_pages import Page, Wanted, newest_page, reader
from services.api.moment import gaps_of, newest_us
from services.api.parameters import EXCHANGE, SYMBOL, TIME_WINDOW, choice, integer, number
from services.api.told import Payload
from services.domain.coverage import LIQUIDATION_PRICE_KIND
from services.domain.events import PriceKind
from services.domain.windows import TimeWindow

MAX_LIMIT: Final = 1_000


class LiquidationTold(Payload):
    """A forced close. `positionSide` is that of the position which was closed; `id` names the event for ever."""

    id: str
    event_time: str
    received_time: str
    exchange: str
    position_side: Literal["long", "short"]
    price: float
    price_kind: PriceKind
    size_base: float
    notional_usd: float


class LiquidationsTold(Payload):
    """`nextCursor` goes on with the older ones; null: that was all of the window."""

    instrument: str
    events: list[LiquidationTold]
    next_cursor: str | None


def get_liquidations(asked: Asked) -> Answer:
    """A page of liquidations; raises StoreUnavailable, because what is missing could not be told from what never was."""
    values, runtime = asked.values, asked.desk.runtime
    digest = question_digest(values)
    cursor: Cursor | None = values["cursor"]
    if cursor is not None and cursor.question != digest:
        raise ApiError(
            400, "invalid_parameter",
            "cursor was made for another question; it goes with the symbol and all parameters of the answer that told it",
            details={"parameter": "cursor", "was": cursor.text(), "allowed": "the same question as before"},
        )  # fmt: skip
    window = TimeWindow.ending(asked.now_us + 1, name=values["timeWindow"]) if cursor is None else cursor.window
    exchanges = asked.exchanges
    page = newest_page(
        reader(runtime.store, runtime.live, asked.instrument, exchanges),
        window,
        Wanted(values["minUsd"], values["positionSide"]),
        limit=values["limit"],
        before=None if cursor is None else (cursor.time_us, cursor.key_hash),
    )
    data = LiquidationsTold(instrument=asked.instrument, events=_told(page), next_cursor=_next(page, window, digest))
    facts = Facts(
        as_of_us=asked.now_us,
        newest_us=newest_us(asked.desk.context, asked.instrument, exchanges),
        exchanges=exchanges,
        window=window,
        gaps=gaps_of(asked.desk.context, window, asked.instrument, exchanges, kinds=("liquidation",)),
        n=len(page.rows),
    )
    return Answer(data, facts)


def _next(page: Page, window: TimeWindow, digest: bytes) -> str | None:
    if not page.has_more:
        return None
    return Cursor(digest, window, int(page.rows.event_time_us[-1]), int(page.rows.key_hash[-1])).text()


def _told(page: Page) -> list[LiquidationTold]:
    rows = page.rows
    columns = (
        rows.key_hash.tolist(), iso_all(rows.event_time_us), iso_all(rows.received_time_us), rows.exchange.tolist(),
        rows.is_long.tolist(), rows.price.tolist(), rows.size_base.tolist(), rows.notional_usd.tolist(),
    )  # fmt: skip
    return [
        LiquidationTold(
            id=f"{key & 0xFFFF_FFFF_FFFF_FFFF:016x}",
            event_time=event_time,
            received_time=received_time,
            exchange=exchange,
            position_side="long" if is_long else "short",
            price=price,
            price_kind=LIQUIDATION_PRICE_KIND[exchange],
            size_base=size_base,
            notional_usd=notional_usd,
        )
        for key, event_time, received_time, exchange, is_long, price, size_base, notional_usd in zip(*columns, strict=True)
    ]


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/liquidations/{symbol}",
        name="getLiquidations",
        tag="liquidations",
        summary="Realised liquidations, newest first, a page at a time.",
        description=(
            "A cursor pins the window of the walk: rows that arrive meanwhile are newer and do not move the rest. "
            "Feeds of Binance and OKX are sampled (at most one liquidation a second an instrument): see `meta.coverage`."
        ),
        handler=get_liquidations,
        answers=LiquidationsTold,
        parameters=(
            SYMBOL,
            TIME_WINDOW,
            EXCHANGE,
            choice("positionSide", ("long", "short"), "Only positions of this side; absent: both."),
            number("minUsd", 0, 1e12, "Only of at least this notional.", default=0),
            integer("limit", 1, MAX_LIMIT, "The most events of one page.", default=100),
            CURSOR,
        ),
        errors=(404, 503),
        keep_s=LIVE_KEEP_S,
    ),
)
