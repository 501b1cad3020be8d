"""Bybit v5 linear WebSocket: books of four depths, trades, tickers, complete liquidations, heartbeat.

Source: the exchange's v5 "Websocket Stream / Public" pages.
"""

import json
from collections.abc import Mapping
from math import inf
from typing import Final

from services.simulator.bybit_rest import BybitRest, ticker_fields
from services.simulator.clock import Clock
from services.simulator.faults import FaultPlan
from services.simulator.hub import Peer
from services.simulator.instruments import Contract, Exchange
from services.simulator.market import Market, SymbolMarket
from services.simulator.server import ApiError, ExchangeServer, Limits, RestReply, compact
from services.simulator.venue import ForcedOrder, Venue, VenueStep
from services.simulator.views import DepthView, LevelChange

#: Depths of the `orderbook` topics and the shortest time between two messages, ms.
_DEPTHS: Final = {1: 10, 50: 20, 200: 100, 1000: 200}
_MOST_ARGS: Final = 10
_LIQUIDATION_PUSH_MS: Final = 500


class _BookFeed:
    """One `orderbook.N` topic: what subscribers hold, and its update id."""

    def __init__(self, venue: Venue, depth: int) -> None:
        self.venue = venue
        self.view = DepthView(venue.book, depth)
        self.update_id = 20_000_000 + venue.last_trade.trade_id
        self.sent = -inf


class BybitServer(ExchangeServer):
    """Linear perpetuals of Bybit for every listed symbol."""

    exchange: Exchange = "bybit"
    limits = Limits(connects=500, window_s=300.0, ping_interval_s=None, idle_s=600.0)

    def __init__(self, market: Market, faults: FaultPlan, *, clock: Clock | None = None) -> None:
        super().__init__(market, faults, clock=clock)
        self._feeds: dict[tuple[str, int], _BookFeed] = {}
        self._forced: dict[str, list[tuple[ForcedOrder, int]]] = {}
        self._pushed_slot: dict[str, int] = {}
        self._tickers: dict[str, dict[str, str]] = {}
        self._seq = 80_000_000_000
        self._rest = BybitRest(market, self._deepest, self.clock)

    # -- clients ------------------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return path.rstrip("/") == "/v5/public/linear"

    def greet(self, peer: Peer, query: Mapping[str, str]) -> None:
        """Bybit subscribes by message only."""

    def on_text(self, peer: Peer, text: str, now: float) -> None:
        try:
            message = json.loads(text)
            operation, number = message["op"], str(message.get("req_id", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer_op(peer, "", "", success=False, text="error:request parse error")
            return
        if operation == "ping":
            self._answer_op(peer, "ping", number, text="pong")
            return
        args = message.get("args")
        if operation not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            self._answer_op(peer, str(operation), number, success=False, text=f"error:unknown op {operation}")
            return
        refusal = self._refusal_of(peer, operation, args)
        if refusal:
            self._answer_op(peer, operation, number, success=False, text=refusal)
            return
        self._answer_op(peer, operation, number, text="")
        for topic in args:
            if operation == "subscribe":
                self._first_data(peer, topic, now)
                self.hub.subscribe(peer, topic)
            else:
                self.hub.unsubscribe(peer, topic)

    def _refusal_of(self, peer: Peer, operation: str, args: list[object]) -> str | None:
        """Why a subscription is refused as a whole, None when it is not."""
        if len(args) > _MOST_ARGS:
            return f"args size >{_MOST_ARGS}"
        for topic in args:
            if not isinstance(topic, str) or not self._known_channel(topic):
                return f"error:handler not found,topic:{topic}"
            if topic.rpartition(".")[2] not in self.market.symbols:
                return f"Invalid symbol :[{topic}]"
            if operation == "subscribe" and topic in peer.topics:
                return f"error:already subscribed,topic:{topic}"
        return None

    @staticmethod
    def _known_channel(topic: str) -> bool:
        channel = topic.rpartition(".")[0]
        return channel in ("publicTrade", "tickers", "allLiquidation") or channel in {f"orderbook.{depth}" for depth in _DEPTHS}

    def _answer_op(self, peer: Peer, operation: str, number: str, *, text: str, success: bool = True) -> None:
        answer = {"success": success, "ret_msg": text, "conn_id": peer.conn_id, "req_id": number, "op": operation}
        self.hub.reply(peer, compact(answer))

    def _first_data(self, peer: Peer, topic: str, now: float) -> None:
        channel, _, symbol = topic.rpartition(".")
        market = self.market.symbols[symbol]
        if channel.startswith("orderbook."):
            feed = self._feed(market.venues["bybit"], int(channel.partition(".")[2]))
            text = self._book_text(feed, "snapshot", *_held(feed), self.clock.now_ms())
            self.hub.send_first(peer, text, channel="depth", symbol=symbol, now=now)
        elif channel == "tickers":
            if not self.hub.wanted(topic) or symbol not in self._tickers:
                self._tickers[symbol] = ticker_fields(market, self.clock.now_ms())
            text = self._ticker_text(symbol, "snapshot", self._tickers[symbol], self.clock.now_ms())
            self.hub.send_first(peer, text, channel="ticker", symbol=symbol, now=now)

    # -- data ---------------------------------------------------------------------------------------------------

    def publish(self, market: SymbolMarket, step: VenueStep, event_ms: int, now: float) -> None:
        venue = market.venues["bybit"]
        self._publish_trades(venue, step, event_ms, now)
        for depth, period_ms in _DEPTHS.items():
            if self.hub.wanted(f"orderbook.{depth}.{market.spec.name}"):
                self._publish_book(venue, depth, period_ms, event_ms, now)
        self._publish_liquidations(venue, step, event_ms, now)
        self._publish_ticker(market, event_ms, now)

    def _publish_trades(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        contract = venue.contract
        topic = f"publicTrade.{contract.symbol}"
        if not step.trades or not self.hub.wanted(topic):
            return
        rows: list[str] = []
        before = step.trades[0].price_ticks
        for trade in step.trades:
            self._seq += 1
            bought = "Buy" if trade.taker_buys else "Sell"
            moved = "PlusTick" if trade.price_ticks > before else "MinusTick" if trade.price_ticks < before else "Zero"
            before = trade.price_ticks
            rows.append(
                f'{{"T":{event_ms},"s":"{contract.symbol}","S":"{bought}","v":"{contract.lot.text(trade.lots)}",'
                f'"p":"{contract.price.text(trade.price_ticks)}","L":"{moved if moved != "Zero" else "ZeroPlusTick"}",'
                f'"i":"{_trade_uuid(trade.trade_id)}","BT":false,"RPI":false,"seq":{self._seq}}}'
            )
        text = f'{{"topic":"{topic}","type":"snapshot","ts":{event_ms + 1},"data":[{",".join(rows)}]}}'
        self.hub.publish(topic, text, channel="trades", symbol=contract.symbol, events=len(rows), now=now)

    def _feed(self, venue: Venue, depth: int) -> _BookFeed:
        key = (venue.contract.symbol, depth)
        feed = self._feeds.get(key)
        if feed is None or feed.venue is not venue:
            feed = self._feeds[key] = _BookFeed(venue, depth)
        elif not self.hub.wanted(f"orderbook.{depth}.{venue.contract.symbol}") and any(feed.view.advance()):
            feed.update_id += 1
        return feed

    def _deepest(self, venue: Venue) -> tuple[DepthView, int, int]:
        """What the 1000-level topic holds now, its update id, and the cross sequence."""
        feed = self._feed(venue, max(_DEPTHS))
        return feed.view, feed.update_id, self._seq

    def _publish_book(self, venue: Venue, depth: int, period_ms: int, event_ms: int, now: float) -> None:
        symbol = venue.contract.symbol
        known = self._feeds.get((symbol, depth))
        feed = self._feed(venue, depth)
        if feed is not known:
            # The symbol was listed anew under its subscribers: the service restarted, which shows as u == 1.
            feed.update_id = 1
            text = self._book_text(feed, "snapshot", *_held(feed), event_ms)
            self.hub.publish(f"orderbook.{depth}.{symbol}", text, channel="depth", symbol=symbol, now=now)
            return
        if (now - feed.sent) * 1_000 < period_ms * 0.75:
            return
        bids, asks = feed.view.advance()
        if not bids and not asks:
            return
        feed.sent = now
        feed.update_id += 1
        bids.reverse()
        if self.faults.take("crossed_book", "bybit", "depth", symbol):
            bids.insert(0, LevelChange(max(feed.view.held()[1]) + 1, 1_000))
        text = self._book_text(feed, "delta", bids, asks, event_ms)
        self.hub.publish(f"orderbook.{depth}.{symbol}", text, channel="depth", symbol=symbol, now=now)

    def _book_text(self, feed: _BookFeed, kind: str, bids: list[LevelChange], asks: list[LevelChange], event_ms: int) -> str:
        contract = feed.venue.contract
        self._seq += 1 + len(bids) + len(asks)
        return (
            f'{{"topic":"orderbook.{feed.view.depth}.{contract.symbol}","type":"{kind}","ts":{event_ms + 2},'
            f'"data":{{"s":"{contract.symbol}","b":[{_levels_text(contract, bids)}],"a":[{_levels_text(contract, asks)}],'
            f'"u":{feed.update_id},"seq":{self._seq}}},"cts":{event_ms}}}'
        )

    def _publish_liquidations(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        """Every liquidation, batched by 500 ms; each message holds new ones only."""
        contract = venue.contract
        topic = f"allLiquidation.{contract.symbol}"
        waiting = self._forced.setdefault(contract.symbol, [])
        waiting += [(order, event_ms) for order in step.liquidations]
        slot = event_ms // _LIQUIDATION_PUSH_MS
        if not waiting or self._pushed_slot.get(contract.symbol) == slot:
            return
        self._pushed_slot[contract.symbol] = slot
        rows = ",".join([liquidation_row(contract, order, at) for order, at in waiting])
        text = f'{{"topic":"{topic}","type":"snapshot","ts":{event_ms},"data":[{rows}]}}'
        self.hub.publish(topic, text, channel="liquidations", symbol=contract.symbol, events=len(waiting), now=now)
        waiting.clear()

    def _publish_ticker(self, market: SymbolMarket, event_ms: int, now: float) -> None:
        symbol = market.spec.name
        topic = f"tickers.{symbol}"
        if not self.hub.wanted(topic):
            return
        before, after = self._tickers.get(symbol), ticker_fields(market, event_ms)
        if before is None:
            self._tickers[symbol] = after
            text = self._ticker_text(symbol, "snapshot", after, event_ms)
            self.hub.publish(topic, text, channel="ticker", symbol=symbol, now=now)
            return
        changed = {name: value for name, value in after.items() if before[name] != value}
        if changed:
            self._tickers[symbol] = after
            text = self._ticker_text(symbol, "delta", {"symbol": symbol, **changed}, event_ms)
            self.hub.publish(topic, text, channel="ticker", symbol=symbol, now=now)

    def _ticker_text(self, symbol: str, kind: str, fields: Mapping[str, str], event_ms: int) -> str:
        self._seq += 1
        return compact({"topic": f"tickers.{symbol}", "type": kind, "data": dict(fields), "cs": self._seq, "ts": event_ms})

    # -- errors and REST ----------------------------------------------------------------------------------------

    def rest(self, path: str, query: Mapping[str, str]) -> RestReply:
        return self._rest.answer(path, query)

    def refusal(self, kind: str, seconds: float) -> ApiError:
        return self._rest.refusal(kind, seconds)

    def error_frame(self) -> str:
        text = "error:handler not found,topic:unknown"
        return compact({"success": False, "ret_msg": text, "conn_id": "", "req_id": "", "op": "subscribe"})

    def forget(self, name: str) -> None:
        for depth in _DEPTHS:
            self._feeds.pop((name, depth), None)
        self._forced.pop(name, None)
        self._tickers.pop(name, None)


def _held(feed: _BookFeed) -> tuple[list[LevelChange], list[LevelChange]]:
    bids, asks = feed.view.held()
    return [LevelChange(*level) for level in bids.items()], [LevelChange(*level) for level in asks.items()]


def _trade_uuid(trade_id: int) -> str:
    digits = f"{trade_id * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _levels_text(contract: Contract, levels: list[LevelChange]) -> str:
    price, lot = contract.price.text, contract.lot.text
    return ",".join([f'["{price(ticks)}","{lot(lots) if lots else 0}"]' for ticks, lots in levels])


def liquidation_row(contract: Contract, order: ForcedOrder, trade_ms: int) -> str:
    """One row of `allLiquidation`: `S` is the side of the position, so a long that was liquidated shows Buy."""
    held = "Buy" if order.position.position_side == "long" else "Sell"
    return (
        f'{{"T":{trade_ms},"s":"{contract.symbol}","S":"{held}","v":"{contract.lot.text(order.lots)}",'
        f'"p":"{contract.price.text(order.bankruptcy_ticks)}"}}'
    )
