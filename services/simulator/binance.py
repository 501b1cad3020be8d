"""Binance USDⓈ-M over WebSocket: two path families, combined and raw streams, sampled liquidations.

Source: the exchange's "Websocket Market Streams" pages and the change notice of 2026-03-06 (/public and /market).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from services.simulator.binance_rest import BinanceRest
from services.simulator.clock import Clock
from services.simulator.faults import FaultPlan
from services.simulator.hub import Peer
from services.simulator.instruments import Contract, Exchange
from services.simulator.market import Market, SymbolMarket
from services.simulator.schedule import next_funding_ms
from services.simulator.server import ApiError, ExchangeServer, Limits, RestReply, compact
from services.simulator.venue import ForcedOrder, Venue, VenueStep
from services.simulator.views import LevelChange, changes_of

#: `/ws`, `/stream` and the same under a family; `ws` may carry raw stream names behind it.
_PATH: Final = re.compile(r"(/public|/market)?/(stream|ws(/[^/]+)*)/?")
#: Streams served on /public (and on the old paths); all others are served on /market only.
_PUBLIC_STREAMS: Final = ("depth", "bookTicker")
_MOST_STREAMS: Final = 1_024
_MESSAGES_A_SECOND: Final = 10
#: `@depth` speeds as stream suffix and period in milliseconds; no suffix means 250 ms.
_SPEEDS: Final = {"@100ms": 100, "": 250, "@250ms": 250, "@500ms": 500}
_LIQUIDATION_WINDOW_S: Final = 1.0
#: Update ids that pass between a frame and a snapshot: changes that came and went.
_IDS_BETWEEN: Final = 6
_RAW, _WRAPPED = "raw:", "wrapped:"


@dataclass
class _Depth:
    """Update ids of one symbol: `base` is the `u` of the last 100 ms step, `now` counts changes made since."""

    base: int
    now: int
    #: Per slower speed: last `u` sent, and prices changed since.
    slow: dict[int, "_SlowDepth"] = field(default_factory=dict)


@dataclass
class _SlowDepth:
    last_u: int
    due: float
    bids: set[int] = field(default_factory=set)
    asks: set[int] = field(default_factory=set)


class BinanceServer(ExchangeServer):
    """The futures streams and REST of Binance for every listed symbol."""

    exchange: Exchange = "binance"
    limits = Limits(connects=300, window_s=300.0)

    def __init__(self, market: Market, faults: FaultPlan, *, clock: Clock | None = None) -> None:
        super().__init__(market, faults, clock=clock)
        self._depth: dict[str, _Depth] = {}
        self._latest_forced: dict[str, tuple[ForcedOrder, int]] = {}
        self._forced_sent: dict[str, float] = {}
        self._mark_second: dict[str, int] = {}
        self._rest = BinanceRest(market, self.snapshot_id, self.clock)

    # -- clients ------------------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return _PATH.fullmatch(path) is not None

    def greet(self, peer: Peer, query: Mapping[str, str]) -> None:
        form = peer.path.strip("/").split("/")
        peer.wrapped = "stream" in form
        named = query.get("streams", "").split("/") if peer.wrapped else form[form.index("ws") + 1 :]
        self._subscribe(peer, [name for name in named if name])

    def on_text(self, peer: Peer, text: str, now: float) -> None:
        if peer.messages_within(1.0, now) > _MESSAGES_A_SECOND and self.enforce_limits:
            self.close_soon(peer, 1008, "Too many requests")
            return
        try:
            message = json.loads(text)
        except ValueError:
            self._refuse(peer, 3, "Invalid JSON: expected value at line 1 column 1", None)
            return
        if not isinstance(message, dict):
            self._refuse(peer, 2, "Invalid request: expected an object", None)
            return
        self._serve(peer, message)

    def _serve(self, peer: Peer, message: dict[str, object]) -> None:
        method, params, number = message.get("method"), message.get("params", []), message.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            streams = sorted(topic.partition(":")[2] for topic in peer.topics)
            self.hub.reply(peer, compact({"result": streams, "id": number}))
            return
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            known = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
            self._refuse(peer, 2, f"Invalid request: unknown variant `{method}`, expected one of {known}", number)
            return
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            self._refuse(peer, 2, "Invalid request: invalid type: params must be an array of strings", number)
            return
        if method == "SUBSCRIBE" and len(peer.topics) + len(params) > _MOST_STREAMS:
            self._refuse(peer, 2, f"Invalid request: more than {_MOST_STREAMS} streams on one connection", number)
            return
        self.hub.reply(peer, compact({"result": None, "id": number}))
        if method == "SUBSCRIBE":
            self._subscribe(peer, params)
        else:
            for name in params:
                self.hub.unsubscribe(peer, self._topic(peer, name))

    def _refuse(self, peer: Peer, code: int, text: str, number: object) -> None:
        self.hub.reply(peer, compact({"error": {"code": code, "msg": text}, "id": number}))

    def _topic(self, peer: Peer, stream: str) -> str:
        """The topic of a stream on this connection; a stream on the wrong path is accepted and stays silent."""
        is_public = stream.partition("@")[2].startswith(_PUBLIC_STREAMS)
        served = is_public != peer.path.startswith("/market")
        return ((_WRAPPED if peer.wrapped else _RAW) if served else "silent:") + stream

    def _subscribe(self, peer: Peer, streams: list[str]) -> None:
        for stream in streams:
            self.hub.subscribe(peer, self._topic(peer, stream))

    # -- data ---------------------------------------------------------------------------------------------------

    def _emit(self, stream: str, data: str, *, channel: str, symbol: str, now: float, events: int = 1) -> None:
        self.hub.publish(_RAW + stream, data, channel=channel, symbol=symbol, events=events, now=now)
        if self.hub.wanted(_WRAPPED + stream):
            text = f'{{"stream":"{stream}","data":{data}}}'
            self.hub.publish(_WRAPPED + stream, text, channel=channel, symbol=symbol, events=events, now=now)

    def _wanted(self, stream: str) -> bool:
        return self.hub.wanted(_WRAPPED + stream) or self.hub.wanted(_RAW + stream)

    def publish(self, market: SymbolMarket, step: VenueStep, event_ms: int, now: float) -> None:
        venue = market.venues["binance"]
        self._publish_trades(venue, step, event_ms, now)
        self._publish_depth(venue, step, event_ms, now)
        self._publish_liquidations(venue, step, event_ms, now)
        self._publish_mark(market, event_ms, now)

    def _publish_trades(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        contract = venue.contract
        stream = f"{contract.symbol.lower()}@aggTrade"
        if not step.trades or not self._wanted(stream):
            return
        for trade in step.trades:
            data = (
                f'{{"e":"aggTrade","E":{event_ms + 1},"a":{trade.trade_id},"s":"{contract.symbol}",'
                f'"p":"{contract.price.text(trade.price_ticks)}","q":"{contract.lot.text(trade.lots)}",'
                f'"f":{trade.trade_id},"l":{trade.trade_id},"T":{event_ms},"m":{"false" if trade.taker_buys else "true"}}}'
            )
            self._emit(stream, data, channel="trades", symbol=contract.canonical, now=now)

    def depth_state(self, venue: Venue) -> _Depth:
        """Update ids of a symbol, made on first use."""
        name = venue.contract.canonical
        state = self._depth.get(name)
        if state is None:
            start = 5_000_000_000_000 + venue.last_trade.trade_id * 1_000
            state = self._depth[name] = _Depth(base=start, now=start)
        return state

    def snapshot_id(self, venue: Venue) -> int:
        """The id of the book at this moment, somewhat after the last frame.

        So a snapshot falls inside the next frame (U <= lastUpdateId <= u), as it does on the live exchange. The book
        itself is left alone: asking must not change the market.
        """
        state = self.depth_state(venue)
        state.now += _IDS_BETWEEN
        return state.now

    def _publish_depth(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        state, symbol = self.depth_state(venue), venue.contract.symbol
        previous, changes = state.base, len(step.bid_changes) + len(step.ask_changes)
        skipped = 0 if state.now > previous else 1 + changes % 7
        state.now = max(state.now, previous + skipped) + changes
        state.base = state.now
        stream = f"{symbol.lower()}@depth@100ms"
        if self._wanted(stream):
            ids = f'"U":{previous + 1 + skipped},"u":{state.base},"pu":{previous}'
            best_ask = venue.book.asks.best()
            crossing = []
            if best_ask is not None and self.faults.take("crossed_book", "binance", "depth", symbol):
                crossing = [LevelChange(best_ask + 1, 1_000)]
            data = self._depth_text(venue, ids, step.bid_changes, step.ask_changes, event_ms, crossing)
            self._emit(stream, data, channel="depth", symbol=symbol, now=now)
        for suffix, period_ms in _SPEEDS.items():
            stream = f"{symbol.lower()}@depth{suffix}"
            if period_ms > 100 and self._wanted(stream):
                self._publish_slow(venue, stream, period_ms, step, event_ms, now)
        if self._wanted(f"{symbol.lower()}@bookTicker"):
            self._publish_touch(venue, state.base, event_ms, now)

    def _depth_text(
        self, venue: Venue, ids: str, bids: list[int], asks: list[int], event_ms: int, crossing: Sequence[LevelChange] = ()
    ) -> str:
        contract = venue.contract
        b = _levels_text(contract, [*changes_of(venue.book.bids, bids), *crossing])
        a = _levels_text(contract, changes_of(venue.book.asks, asks))
        return f'{{"e":"depthUpdate","E":{event_ms + 2},"T":{event_ms},"s":"{contract.symbol}",{ids},"b":[{b}],"a":[{a}]}}'

    def _publish_slow(self, venue: Venue, stream: str, period_ms: int, step: VenueStep, event_ms: int, now: float) -> None:
        state = self.depth_state(venue)
        slow = state.slow.get(period_ms)
        if slow is None:
            state.slow[period_ms] = _SlowDepth(last_u=state.base, due=now + period_ms / 1_000)
            return
        slow.bids.update(step.bid_changes)
        slow.asks.update(step.ask_changes)
        if now < slow.due:
            return
        ids = f'"U":{slow.last_u + 1},"u":{state.base},"pu":{slow.last_u}'
        data = self._depth_text(venue, ids, sorted(slow.bids), sorted(slow.asks), event_ms)
        slow.bids.clear()
        slow.asks.clear()
        slow.last_u, slow.due = state.base, max(slow.due + period_ms / 1_000, now)
        self._emit(stream, data, channel="depth", symbol=venue.contract.canonical, now=now)

    def _publish_touch(self, venue: Venue, update_id: int, event_ms: int, now: float) -> None:
        contract, book = venue.contract, venue.book
        bid, ask = book.bids.top(1)[0], book.asks.top(1)[0]
        data = (
            f'{{"e":"bookTicker","u":{update_id},"s":"{contract.symbol}","b":"{contract.price.text(bid[0])}",'
            f'"B":"{contract.lot.text(bid[1])}","a":"{contract.price.text(ask[0])}","A":"{contract.lot.text(ask[1])}",'
            f'"T":{event_ms},"E":{event_ms + 1}}}'
        )
        stream = f"{contract.symbol.lower()}@bookTicker"
        self._emit(stream, data, channel="book_ticker", symbol=contract.canonical, now=now)

    def _publish_liquidations(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        """Only the latest of a symbol within 1,000 ms is published; the others are never seen."""
        symbol = venue.contract.symbol
        if step.liquidations:
            self._latest_forced[symbol] = (step.liquidations[-1], event_ms)
        waiting = self._latest_forced.get(symbol)
        if waiting is None or now - self._forced_sent.get(symbol, -inf) < _LIQUIDATION_WINDOW_S:
            return
        del self._latest_forced[symbol]
        self._forced_sent[symbol] = now
        data = forced_order_text(venue.contract, *waiting, event_ms)
        for stream in (f"{symbol.lower()}@forceOrder", "!forceOrder@arr"):
            if self._wanted(stream):
                self._emit(stream, data, channel="liquidations", symbol=symbol, now=now)

    def _publish_mark(self, market: SymbolMarket, event_ms: int, now: float) -> None:
        symbol, second = market.spec.name, event_ms // 1_000
        if self._mark_second.get(symbol) == second:
            return
        self._mark_second[symbol] = second
        suffixes = ("@1s", "") if second % 3 == 0 else ("@1s",)
        for suffix in suffixes:
            stream = f"{symbol.lower()}@markPrice{suffix}"
            self._emit(stream, _mark_text(market, event_ms), channel="mark", symbol=symbol, now=now)
            # The first symbol's turn is everybody's turn in the stream of all marks.
            if self._wanted(f"!markPrice@arr{suffix}") and market is next(iter(self.market.symbols.values())):
                everybody = self.market.symbols.values()
                data = f"[{','.join([_mark_text(each, event_ms) for each in everybody])}]"
                self._emit(f"!markPrice@arr{suffix}", data, channel="mark", symbol="", events=len(everybody), now=now)

    # -- errors and REST ----------------------------------------------------------------------------------------

    def rest(self, path: str, query: Mapping[str, str]) -> RestReply:
        return self._rest.answer(path, query)

    def refusal(self, kind: str, seconds: float) -> ApiError:
        return self._rest.refusal(kind, seconds)

    def error_frame(self) -> str:
        return compact({"error": {"code": 2, "msg": "Invalid request: missing field `method`"}, "id": None})

    def forget(self, name: str) -> None:
        self._depth.pop(name, None)
        self._latest_forced.pop(name, None)
        self._forced_sent.pop(name, None)
        self._mark_second.pop(name, None)


def _mark_text(market: SymbolMarket, event_ms: int) -> str:
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{market.spec.name}",'
        f'"p":"{market.venues["binance"].mark_price:.8f}","P":"{market.index_price:.8f}",'
        f'"i":"{market.index_price:.8f}","r":"{market.funding_rate:.8f}","T":{next_funding_ms(event_ms)}}}'
    )


def _levels_text(contract: Contract, levels: list[LevelChange]) -> str:
    price, lot = contract.price.text, contract.lot.text
    return ",".join([f'["{price(ticks)}","{lot(lots)}"]' for ticks, lots in levels])


def forced_order_text(contract: Contract, order: ForcedOrder, trade_ms: int, event_ms: int) -> str:
    """A `forceOrder` event: `S` is the side of the order, so a long that was liquidated shows SELL."""
    whole = float(order.average_ticks).is_integer()
    average = (
        contract.price.text(int(order.average_ticks))
        if whole
        else contract.price.mean_text(order.average_ticks * contract.price.step)
    )
    lots = contract.lot.text(order.lots)
    sold = "SELL" if order.position.position_side == "long" else "BUY"
    return (
        f'{{"e":"forceOrder","E":{event_ms},"o":{{"s":"{contract.symbol}","S":"{sold}","o":"LIMIT","f":"IOC",'
        f'"q":"{lots}","p":"{contract.price.text(order.bankruptcy_ticks)}","ap":"{average}","X":"FILLED",'
        f'"l":"{lots}","z":"{lots}","T":{trade_ms}}}}}'
    )
