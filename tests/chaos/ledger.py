"""What the store holds, read by SQL of our own: the app is not asked about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from db.embedded import start_embedded
from services.exchanges.registry import ADAPTERS
from tests.chaos.market import Key

_LIQUIDATIONS = """
    SELECT i.exchange, i.instrument, (extract(epoch FROM l.event_time) * 1000000)::bigint, l.event_hash
    FROM liquidation_events l JOIN instruments i USING (instrument_id)
"""
_GAPS = """
    SELECT exchange, reason, (extract(epoch FROM start_time) * 1000000)::bigint,
           (extract(epoch FROM end_time) * 1000000)::bigint
    FROM feed_gaps WHERE kind = 'liquidation' ORDER BY start_time
"""


@dataclass(frozen=True)
class Gap:
    exchange: str
    reason: str
    start_us: int
    end_us: int | None

    def holds(self, exchange: str, time_us: int) -> bool:
        return self.exchange == exchange and self.start_us <= time_us and (self.end_us is None or time_us <= self.end_us)


@dataclass(frozen=True)
class Ledger:
    """The liquidations (each key with how often it is there), trades by exchange, and the liquidation feeds' gaps."""

    liquidations: Counter[Key]
    n_trades: dict[str, int]
    gaps: list[Gap]

    @property
    def n_duplicates(self) -> int:
        return sum(self.liquidations.values()) - len(self.liquidations)

    def by_exchange(self, exchange: str) -> int:
        return sum(n for key, n in self.liquidations.items() if key.exchange == exchange)

    def in_gap(self, exchange: str, time_us: int) -> bool:
        return any(gap.holds(exchange, time_us) for gap in self.gaps)


def read_ledger(url: str, schema: str = "heatmap_live") -> Ledger:
    with closing(psycopg2.connect(url, options=f"-c search_path={schema} -c timezone=UTC")) as opened, opened.cursor() as cursor:
        cursor.execute(_LIQUIDATIONS)
        liquidations = Counter(Key(*row) for row in cursor.fetchall())
        cursor.execute("SELECT exchange, sum(n_trades) FROM trade_bars JOIN instruments USING (instrument_id) GROUP BY 1")
        n_trades = {exchange: int(n) for exchange, n in cursor.fetchall()}
        cursor.execute(_GAPS)
        gaps = [Gap(*row) for row in cursor.fetchall()]
    return Ledger(liquidations, n_trades, gaps)


def read_embedded(data_dir: Path, schema: str = "heatmap_live") -> Ledger:
    """The ledger of an app's own server. While the app runs its server is shared; otherwise it is started and stopped again."""
    server = start_embedded(data_dir)
    try:
        return read_ledger(server.dsn, schema)
    finally:
        server.stop()


def spool_bytes(data_dir: Path, source: str = "live") -> int:
    return sum(path.stat().st_size for path in (data_dir / f"spool-{source}").glob("*.seg"))


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, write: Callable[[str], object] = print
) -> None:
    """A table in Markdown, as docs/faults.md has it."""
    write(f"\n{title}\n")
    write("| " + " | ".join(header) + " |")
    write("|" + "---|" * len(header))
    for row in rows:
        write("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) + " |")


def trades_sent(stats: Mapping[str, Any]) -> dict[str, int]:
    """Trades that the simulator delivered, by exchange."""
    return {name: int(stats[name]["channels"].get("trades", {"events": 0})["events"]) for name in ADAPTERS}
