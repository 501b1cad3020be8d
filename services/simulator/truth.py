"""What truly happened, as JSON Lines: every liquidation with its trader, every planted wall."""

import json
from pathlib import Path
from typing import Self

from services.simulator.instruments import Exchange
from services.simulator.market import SymbolMarket
from services.simulator.venue import VenueStep


class TruthLog:
    """Appends labels to a file; counts them in any case. Closing flushes."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="utf-8") if path is not None else None
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
        if self._file is None:
            return
        contract = market.spec.contracts[exchange]
        head: dict[str, object] = {"exchange": exchange, "symbol": name, "event_time_us": event_ms * 1000}
        for order in step.liquidations:
            position = order.position
            self._write(
                {
                    "label": "liquidation",
                    **head,
                    "trader_id": position.trader_id,
                    "position_side": position.position_side,
                    "entry_price": position.entry_price,
                    "leverage": position.leverage,
                    "liquidation_price": position.liquidation_price,
                    "bankruptcy_price": position.bankruptcy_price,
                    "mark_price": market.venues[exchange].mark_price,
                    "size_base": order.lots * contract.base_per_lot,
                    "average_fill_price": order.average_ticks * contract.price.step,
                }
            )
        for wall in step.walls:
            self._write(
                {
                    "label": "wall_planted" if wall.lots else "wall_ended",
                    **head,
                    "book_side": "ask" if wall.is_ask else "bid",
                    "price": wall.price_ticks * contract.price.step,
                    "size_base": wall.lots * contract.base_per_lot,
                    "planned_life_s": wall.life_s,
                    "was_eaten": wall.was_eaten,
                }
            )

    def _write(self, label: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(label, separators=(",", ":")) + "\n")
