"""What is true, as JSON Lines: liquidations with their traders and their cascades, everything planted, and who stands where."""

import json
import math
from pathlib import Path
from typing import Final, Literal, Self

from services.simulator.cascades import CascadeChange, CascadeWatch
from services.simulator.icebergs import IcebergChange
from services.simulator.instruments import EXCHANGES, Contract, Exchange
from services.simulator.market import SymbolMarket
from services.simulator.plants import ExecutedWhale
from services.simulator.positions import PositionSide
from services.simulator.venue import ForcedOrder, Venue, VenueStep
from services.simulator.walls import Wall

Label = dict[str, object]
#: How often the open positions are written, and the width of their bins in log-price.
MAP_EVERY_MS: Final = 300_000
MAP_BIN: Final = 5e-4
_SIDES: Final[tuple[PositionSide, ...]] = ("long", "short")


class TruthLog:
    """Appends labels to a file; counts liquidations in any case. Closing flushes.

    mode        "x" refuses a file that exists already: FileExistsError
    exchanges   whose labels are written
    """

    def __init__(self, path: Path | None, *, mode: Literal["a", "x"] = "a", exchanges: tuple[Exchange, ...] = EXCHANGES) -> None:
        self._file = path.open(mode, encoding="utf-8") if path is not None else None
        self._exchanges = exchanges
        self._watches: dict[tuple[Exchange, str, PositionSide], CascadeWatch] = {}
        self._next_map_ms: dict[tuple[Exchange, str], int] = {}
        #: Liquidations that truly occurred: exchange → symbol → count.
        self.liquidations: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._file is not None:
            self._file.flush()

    def record(self, market: SymbolMarket, exchange: Exchange, step: VenueStep, event_ms: int) -> None:
        """Label what one venue's step produced."""
        name = market.spec.name
        if step.liquidations:
            counts = self.liquidations.setdefault(exchange, {})
            counts[name] = counts.get(name, 0) + len(step.liquidations)
        if self._file is None or exchange not in self._exchanges:
            return
        venue = market.venues[exchange]
        head: Label = {"exchange": exchange, "symbol": name, "event_time_us": event_ms * 1000}
        labels = self._maps(venue, name, event_ms)
        labels += [_liquidation(venue, order) for order in step.liquidations]
        labels += [_cascade(change) for change in self._cascades(venue, step, event_ms)]
        labels += [_wall(venue, wall) for wall in step.walls]
        labels += [_iceberg(venue.contract, change) for change in step.icebergs]
        labels += [_whale(venue.contract, whale) for whale in step.whales if whale.lots]
        for label in labels:
            self._file.write(json.dumps({"label": label.pop("label"), **head, **label}, separators=(",", ":")) + "\n")

    def _maps(self, venue: Venue, name: str, event_ms: int) -> list[Label]:
        """At the start, and at the first step of every whole 5 minutes UTC: where everybody stands who is open."""
        key = (venue.contract.exchange, name)
        if event_ms < self._next_map_ms.get(key, 0):
            return []
        self._next_map_ms[key] = event_ms - event_ms % MAP_EVERY_MS + MAP_EVERY_MS
        return [_open_positions(venue)]

    def _cascades(self, venue: Venue, step: VenueStep, event_ms: int) -> list[CascadeChange]:
        changes: list[CascadeChange] = []
        for position_side in _SIDES:
            key = (venue.contract.exchange, venue.contract.canonical, position_side)
            watch = self._watches.get(key)
            if watch is None:
                watch = self._watches[key] = CascadeWatch(position_side, least=venue.cascade_least)
            fallen = [_fill(venue.contract, order) for order in step.liquidations if order.position.position_side == position_side]
            changes += watch.observe(fallen, event_ms, is_staged=venue.cascade.position_side == position_side)
        return changes


def _fill(contract: Contract, order: ForcedOrder) -> tuple[float, float]:
    """Average fill price and notional of a forced order."""
    price = order.average_ticks * contract.price.step
    return price, price * order.lots * contract.base_per_lot


def _liquidation(venue: Venue, order: ForcedOrder) -> Label:
    position, contract = order.position, venue.contract
    return {
        "label": "liquidation",
        "trader_id": position.trader_id,
        "position_side": position.position_side,
        "entry_price": position.entry_price,
        "leverage": position.leverage,
        "liquidation_price": position.liquidation_price,
        "bankruptcy_price": position.bankruptcy_price,
        "is_planted": position.is_planted,
        "mark_price": venue.mark_price,
        "size_base": order.lots * contract.base_per_lot,
        "average_fill_price": order.average_ticks * contract.price.step,
    }


def _open_positions(venue: Venue) -> Label:
    """USD at liquidation prices in bins of log-price, a row of the four arrays for each bin, side and leverage that has any."""
    true = venue.true_map()
    usd: dict[tuple[int, bool, int], float] = {}
    rows = zip(true.liquidation_price.tolist(), true.is_long.tolist(), true.leverage.tolist(), true.usd.tolist(), strict=True)
    for price, is_long, leverage, usd_each in rows:
        key = (math.floor(math.log(price) / MAP_BIN), is_long, leverage)
        usd[key] = usd.get(key, 0.0) + usd_each
    keys = sorted(usd)
    return {
        "label": "open_positions",
        "mark_price": venue.mark_price,
        "open_interest_base": venue.open_interest_base,
        "n_positions": len(venue.traders),
        "n_planted": venue.traders.n_planted,
        "bin_width": MAP_BIN,
        "bins": [key[0] for key in keys],
        "is_long": [int(key[1]) for key in keys],
        "leverages": [key[2] for key in keys],
        "usd": [round(usd[key]) for key in keys],
    }


def _cascade(change: CascadeChange) -> Label:
    return {
        "label": f"cascade_{change.what}",
        "position_side": change.position_side,
        "direction": "down" if change.position_side == "long" else "up",
        "first_time_us": change.first_ms * 1000,
        "last_time_us": change.last_ms * 1000,
        "n_liquidations": change.n_liquidations,
        "notional_usd": change.notional_usd,
        "first_price": change.first_price,
        "last_price": change.last_price,
        "was_staged": change.was_staged,
    }


def _wall(venue: Venue, wall: Wall) -> Label:
    contract = venue.contract
    best_bid, best_ask = venue.book.bids.best(), venue.book.asks.best()
    ended = "pulled" if wall.kind == "spoof" and wall.ending == "pulled" else "ended"
    label: Label = {
        "label": f"{wall.kind}_{'planted' if wall.lots else ended}",
        "kind": wall.kind,
        "book_side": "ask" if wall.is_ask else "bid",
        "price": wall.price_ticks * contract.price.step,
        "size_base": wall.lots * contract.base_per_lot,
        "planned_life_s": wall.life_s,
        "was_eaten": wall.was_eaten,
        "ending": wall.ending,
    }
    if best_bid is not None and best_ask is not None:
        label["distance_bps"] = wall.distance_bps(best_bid, best_ask)
    if wall.kind == "spoof":
        label["chain_id"] = wall.chain_id
    return label


def _iceberg(contract: Contract, change: IcebergChange) -> Label:
    label: Label = {
        "label": f"iceberg_{change.what}",
        "iceberg_id": change.iceberg_id,
        "book_side": "ask" if change.is_ask else "bid",
        "price": change.price_ticks * contract.price.step,
        "clip_base": change.clip_lots * contract.base_per_lot,
        "total_base": change.total_lots * contract.base_per_lot,
        "executed_base": change.executed_lots * contract.base_per_lot,
        "n_refills": change.n_refills,
    }
    if change.what == "ended":
        return {**label, "was_exhausted": change.was_exhausted}
    return {**label, "planned_life_s": change.planned_life_s} if change.what == "planted" else label


def _whale(contract: Contract, whale: ExecutedWhale) -> Label:
    price, size_base = whale.average_ticks * contract.price.step, whale.lots * contract.base_per_lot
    return {
        "label": "whale_trade",
        "taker_side": "buy" if whale.taker_buys else "sell",
        "size_base": size_base,
        "average_price": price,
        "notional_usd": price * size_base,
        "n_slices": whale.n_slices,
        "n_trades": whale.n_trades,
    }
