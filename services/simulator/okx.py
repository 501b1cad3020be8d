"""OKX v5 public WebSocket: books with checksum, trades, sampled liquidations per instrument type, marks, heartbeat.

Source: the exchange's "WebSocket / Public Channel" and "Order Book Trading" pages.
"""

import json
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Final

from services.simulator.clock import Clock
from services.simulator.faults import FaultPlan
from services.simulator.hub import Peer
from services.simulator.instruments import Contract, Exchange
from services.simulator.market import Market, SymbolMarket
from services.simulator.okx_rest import OkxRest, open_interest_row
from services.simulator.schedule import FUNDING_INTERVAL_MS, next_funding_ms
from services.simulator.server import ApiError, ExchangeServer, Limits, RestReply, compact
from services.simulator.venue import ForcedOrder, Venue, VenueStep
from services.simulator.views import DepthView, LevelChange

_DEPTH: Final = 400
_CHECKSUM_LEVELS: Final = 25
_LIQUIDATION_WINDOW_S: Final = 1.0
_REMEMBERED_LIQUIDATIONS: Final = 20
#: A book without a change is repeated, empty and with an unchanged sequence, after this time.
_HEARTBEAT_S: Final = 60.0
_REQUESTS_AN_HOUR: Final = 480
#: Channels by the argument that selects an instrument.
_BY_INSTRUMENT: Final = frozenset({"books", "trades", "mark-price", "funding-rate", "open-interest"})
_CHANNEL_NAMES: Final = {
    "books": "depth", "trades": "trades", "mark-price": "mark", "index-tickers": "index",
    "funding-rate": "funding", "open-interest": "open_interest", "liquidation-orders": "liquidations",
}  # fmt: skip


class _BookFeed:
    """The `books` channel of one instrument: what subscribers hold, and its sequence."""

    def __init__(self, venue: Venue, event_ms: int) -> None:
        self.venue = venue
        self.view = DepthView(venue.book, _DEPTH)
        self.seq_id = 10_000_000 + venue.last_trade.trade_id
        self.event_ms = event_ms
        self.sent = -inf


class OkxServer(ExchangeServer):
    """Swaps of OKX for every listed symbol."""

    exchange: Exchange = "okx"
    limits = Limits(connects=3, window_s=1.0, ping_interval_s=None, idle_s=30.0, idle_code=4004)

    def __init__(self, market: Market, faults: FaultPlan, *, clock: Clock | None = None, idle_s: float = 30.0) -> None:
        super().__init__(market, faults, clock=clock)
        self.limits = replace(self.limits, idle_s=idle_s)
        self._feeds: dict[str, _BookFeed] = {}
        self._latest_forced: dict[str, tuple[ForcedOrder, int]] = {}
        self._forced_sent: dict[str, float] = {}
        self._recent: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_LIQUIDATIONS)
        self._slow_ms: dict[tuple[str, str], int] = {}
        self._rest = OkxRest(market, self.published_book, self.clock)

    # -- clients ------------------------------------------------------------------------------------------------

    def accepts(self, path: str) -> bool:
        return path.rstrip("/") in ("/ws/v5/public", "/ws/v5/business")

    def greet(self, peer: Peer, query: Mapping[str, str]) -> None:
        """OKX subscribes by message only."""

    def on_text(self, peer: Peer, text: str, now: float) -> None:
        if text == "ping":
            self.hub.reply(peer, "pong")
            return
        try:
            message = json.loads(text)
            operation, args = message["op"], message["args"]
            pairs = [{str(k): str(v) for k, v in arg.items()} for arg in args]
        except (ValueError, KeyError, TypeError, AttributeError):
            self._error(peer, "60012", f"Invalid request: {text[:200]}")
            return
        if operation not in ("subscribe", "unsubscribe"):
            self._error(peer, "60012", f"Invalid request: {text[:200]}")
            return
        if peer.messages_within(3_600.0, now) > _REQUESTS_AN_HOUR and self.enforce_limits:
            self._error(peer, "60014", "Requests too frequent. Please refer to the operation frequency limit.")
            return
        for arg in pairs:
            self._serve(peer, operation, arg, now)

    def _serve(self, peer: Peer, operation: str, arg: dict[str, str], now: float) -> None:
        topic = self._topic(arg) if peer.path.rstrip("/").endswith("/public") else None
        if topic is None:
            named = ",".join(f"{key}:{value}" for key, value in arg.items())
            advice = "Please use the correct URL, channel and parameters referring to API document."
            self._error(peer, "60018", f"Wrong URL or {named} doesn't exist. {advice}")
            return
        self.hub.reply(peer, compact({"event": operation, "arg": arg, "connId": peer.conn_id}))
        if operation == "unsubscribe":
            self.hub.unsubscribe(peer, topic)
            return
        self._first_data(peer, arg, now)
        self.hub.subscribe(peer, topic)

    def _topic(self, arg: dict[str, str]) -> str | None:
        """The topic an argument names, None when there is no such channel or instrument."""
        channel, instrument = arg.get("channel", ""), arg.get("instId", "")
        if channel == "liquidation-orders":
            return "liquidation-orders" if arg.get("instType") == "SWAP" else None
        if channel == "index-tickers":
            known = {f"{market.spec.base}-{market.spec.quote}" for market in self.market.symbols.values()}
        elif channel in _BY_INSTRUMENT:
            known = {market.spec.contracts["okx"].symbol for market in self.market.symbols.values()}
        else:
            return None
        return f"{channel}:{instrument}" if instrument in known else None

    def _first_data(self, peer: Peer, arg: dict[str, str], now: float) -> None:
        channel = arg["channel"]
        if channel == "books":
            name = arg["instId"].removesuffix("-SWAP").replace("-", "")
            feed = self._feed(self.market.symbols[name].venues["okx"])
            text = self._book_text(feed, "snapshot", *_as_changes(feed.view), prev_seq_id=-1)
            self.hub.send_first(peer, text, channel="depth", symbol=name, now=now)
        elif channel == "liquidation-orders" and self._recent:
            # The first message repeats what was published lately: not new events.
            rows = ",".join(row for _, row in self._recent)
            text = f'{{"arg":{{"channel":"liquidation-orders","instType":"SWAP"}},"data":[{rows}]}}'
            self.hub.send_first(peer, text, channel="liquidations_repeated", symbol="", now=now, events=len(self._recent))
        else:
            # Due at the next step, for everybody: a new subscriber does not wait half a minute for the funding rate.
            name = arg.get("instId", "").removesuffix("-SWAP").replace("-", "")
            self._slow_ms.pop((name, channel), None)

    def _error(self, peer: Peer, code: str, text: str) -> None:
        self.hub.reply(peer, compact({"event": "error", "code": code, "msg": text, "connId": peer.conn_id}))

    # -- data ---------------------------------------------------------------------------------------------------

    def publish(self, market: SymbolMarket, step: VenueStep, event_ms: int, now: float) -> None:
        venue = market.venues["okx"]
        self._publish_trades(venue, step, event_ms, now)
        self._publish_book(venue, event_ms, now)
        self._publish_liquidations(venue, step, event_ms, now)
        self._publish_slow(market, venue, event_ms, now)

    def _emit(self, venue: Venue, channel: str, row: str, now: float) -> None:
        instrument = venue.contract.symbol
        text = f'{{"arg":{{"channel":"{channel}","instId":"{instrument}"}},"data":[{row}]}}'
        name = _CHANNEL_NAMES[channel]
        self.hub.publish(f"{channel}:{instrument}", text, channel=name, symbol=venue.contract.canonical, now=now)

    def _publish_trades(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        contract = venue.contract
        if not step.trades or not self.hub.wanted(f"trades:{contract.symbol}"):
            return
        for trade in step.trades:
            bought = "buy" if trade.taker_buys else "sell"
            row = (
                f'{{"instId":"{contract.symbol}","tradeId":"{trade.trade_id}",'
                f'"px":"{contract.price.text(trade.price_ticks)}","sz":"{contract.lot.text(trade.lots)}",'
                f'"side":"{bought}","ts":"{event_ms}","count":"1"}}'
            )
            self._emit(venue, "trades", row, now)

    def _feed(self, venue: Venue) -> _BookFeed:
        name = venue.contract.canonical
        feed = self._feeds.get(name)
        if feed is None or feed.venue is not venue:
            feed = self._feeds[name] = _BookFeed(venue, self.clock.now_ms())
        elif not self.hub.wanted(f"books:{venue.contract.symbol}") and any(feed.view.advance()):
            feed.seq_id += 1
        return feed

    def published_book(self, venue: Venue) -> tuple[DepthView, int]:
        """The view that subscribers hold now, and its sequence id."""
        feed = self._feed(venue)
        return feed.view, feed.seq_id

    def _publish_book(self, venue: Venue, event_ms: int, now: float) -> None:
        contract = venue.contract
        topic = f"books:{contract.symbol}"
        if not self.hub.wanted(topic):
            return
        feed = self._feed(venue)
        bids, asks = feed.view.advance()
        if not bids and not asks and now - feed.sent < _HEARTBEAT_S:
            return
        previous = feed.seq_id
        feed.seq_id += len(bids) + len(asks)
        feed.event_ms, feed.sent = event_ms, now
        bids.reverse()
        if self.faults.take("crossed_book", "okx", "depth", contract.canonical):
            bids.insert(0, LevelChange(max(feed.view.held()[1]) + 1, 1_000))
        text = self._book_text(feed, "update", bids, asks, prev_seq_id=previous)
        self.hub.publish(topic, text, channel="depth", symbol=contract.canonical, now=now)

    def _book_text(
        self, feed: _BookFeed, action: str, bids: list[LevelChange], asks: list[LevelChange], *, prev_seq_id: int
    ) -> str:
        contract = feed.venue.contract
        return (
            f'{{"arg":{{"channel":"books","instId":"{contract.symbol}"}},"action":"{action}","data":[{{'
            f'"asks":[{levels_text(contract, asks)}],"bids":[{levels_text(contract, bids)}],"ts":"{feed.event_ms}",'
            f'"checksum":{checksum(contract, feed.view)},"seqId":{feed.seq_id},"prevSeqId":{prev_seq_id}}}]}}'
        )

    def _publish_liquidations(self, venue: Venue, step: VenueStep, event_ms: int, now: float) -> None:
        """At most one a contract and second, under one topic for every swap."""
        name = venue.contract.canonical
        if step.liquidations:
            self._latest_forced[name] = (step.liquidations[-1], event_ms)
        waiting = self._latest_forced.get(name)
        if waiting is None or now - self._forced_sent.get(name, -inf) < _LIQUIDATION_WINDOW_S:
            return
        del self._latest_forced[name]
        self._forced_sent[name] = now
        row = liquidation_row(venue.contract, *waiting)
        self._recent.append((name, row))
        text = f'{{"arg":{{"channel":"liquidation-orders","instType":"SWAP"}},"data":[{row}]}}'
        self.hub.publish("liquidation-orders", text, channel="liquidations", symbol=name, now=now)

    def _due(self, venue: Venue, channel: str, period_ms: int, event_ms: int) -> bool:
        """Whether a slow channel that somebody wants is due; the clock of each is its own."""
        if not self.hub.wanted(f"{channel}:{venue.contract.symbol}"):
            return False
        slot, key = event_ms // period_ms, (venue.contract.canonical, channel)
        if self._slow_ms.get(key) == slot:
            return False
        self._slow_ms[key] = slot
        return True

    def _publish_slow(self, market: SymbolMarket, venue: Venue, event_ms: int, now: float) -> None:
        instrument, spec = venue.contract.symbol, market.spec
        if self._due(venue, "mark-price", 200, event_ms):
            mark = venue.contract.price.text(venue.contract.price_ticks(venue.mark_price))
            row = f'{{"instId":"{instrument}","instType":"SWAP","markPx":"{mark}","ts":"{event_ms}"}}'
            self._emit(venue, "mark-price", row, now)
        if self._due(venue, "open-interest", 3_000, event_ms):
            self._emit(venue, "open-interest", compact(open_interest_row(market, event_ms)), now)
        if self._due(venue, "funding-rate", 30_000, event_ms):
            self._emit(venue, "funding-rate", compact(_funding_row(market, event_ms)), now)
        index = f"{spec.base}-{spec.quote}"
        if self.hub.wanted(f"index-tickers:{index}"):
            slot, key = event_ms // 1_000, (spec.name, "index-tickers")
            if self._slow_ms.get(key) != slot:
                self._slow_ms[key] = slot
                price = f"{market.index_price:.{venue.contract.price.decimals}f}"
                row = (
                    f'{{"instId":"{index}","idxPx":"{price}","high24h":"{price}","low24h":"{price}",'
                    f'"open24h":"{price}","sodUtc0":"{price}","sodUtc8":"{price}","ts":"{event_ms}"}}'
                )
                text = f'{{"arg":{{"channel":"index-tickers","instId":"{index}"}},"data":[{row}]}}'
                self.hub.publish(f"index-tickers:{index}", text, channel="index", symbol=spec.name, now=now)

    # -- errors and REST ----------------------------------------------------------------------------------------

    def rest(self, path: str, query: Mapping[str, str]) -> RestReply:
        return self._rest.answer(path, query)

    def refusal(self, kind: str, seconds: float) -> ApiError:
        return self._rest.refusal(kind, seconds)

    def error_frame(self) -> str:
        return compact({"event": "error", "code": "60012", "msg": "Invalid request: {}", "connId": "00000000"})

    def closing_notice(self) -> str | None:
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return compact({"event": "notice", "code": "64008", "msg": text, "connId": "00000000"})

    def forget(self, name: str) -> None:
        self._feeds.pop(name, None)
        self._latest_forced.pop(name, None)
        self._forced_sent.pop(name, None)


def _as_changes(view: DepthView) -> tuple[list[LevelChange], list[LevelChange]]:
    bids, asks = view.held()
    return [LevelChange(*level) for level in bids.items()], [LevelChange(*level) for level in asks.items()]


def levels_text(contract: Contract, levels: list[LevelChange]) -> str:
    """Levels as [price, contracts, "0", orders]; the number of orders is made up from the lots."""
    price, lot = contract.price.text, contract.lot.text
    return ",".join([f'["{price(ticks)}","{lot(lots)}","0","{(1 + lots % 9) if lots else 0}"]' for ticks, lots in levels])


def checksum(contract: Contract, view: DepthView) -> int:
    """CRC32, as a signed 32-bit integer, of the best 25 levels interleaved bid:size:ask:size as sent."""
    bids, asks = (list(side.items())[:_CHECKSUM_LEVELS] for side in view.held())
    price, lot = contract.price.text, contract.lot.text
    parts: list[str] = []
    for index in range(max(len(bids), len(asks))):
        for side in (bids, asks):
            if index < len(side):
                ticks, lots = side[index]
                parts.append(price(ticks))
                parts.append(lot(lots))
    unsigned = zlib.crc32(":".join(parts).encode())
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def liquidation_row(contract: Contract, order: ForcedOrder, trade_ms: int) -> str:
    """One row of `liquidation-orders`: `side` is the order's, `posSide` the position's, `sz` in contracts."""
    position_side = order.position.position_side
    sold = "sell" if position_side == "long" else "buy"
    family = f"{contract.base}-{contract.quote}"
    return (
        f'{{"details":[{{"bkLoss":"0","bkPx":"{contract.price.text(order.bankruptcy_ticks)}","ccy":"",'
        f'"posSide":"{position_side}","side":"{sold}","sz":"{contract.lot.text(order.lots)}","ts":"{trade_ms}"}}],'
        f'"instFamily":"{family}","instId":"{contract.symbol}","instType":"SWAP","uly":"{family}"}}'
    )


def _funding_row(market: SymbolMarket, event_ms: int) -> dict[str, str]:
    at = next_funding_ms(event_ms)
    return {
        "formulaType": "noRate",
        "fundingRate": f"{market.funding_rate:.10f}".rstrip("0"),
        "fundingTime": str(at),
        "impactValue": "20000",
        "instId": market.spec.contracts["okx"].symbol,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": str(at + FUNDING_INTERVAL_MS),
        "premium": "0.0001",
        "settFundingRate": f"{market.funding_rate:.10f}".rstrip("0"),
        "settState": "settled",
        "ts": str(event_ms),
    }
