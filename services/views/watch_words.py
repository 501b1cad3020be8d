"""The list of instruments in words: the cells of its table, each a text, a number to sort by and what it says on hover.

A cell is {"t": text, "v": number to sort by, "h": hover, …}; one that is not known is {"m": why} and is drawn as a dash. Texts are
data: the table writes them as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from services.analytics.rate_anomaly import RateScore
from services.analytics.zscore import risk_label
from services.domain.coverage import EXCHANGE_TITLES, LIQUIDATION_COVERAGE
from services.domain.events import Float64
from services.domain.words import bps_words, price_words, usd_words
from services.views.alert_view import baseline_words, minutes_words
from services.views.answers import Lacking
from services.views.notices import clock_text, coverage_text
from services.views.risk_overall import age_words, score_words
from services.views.watch import BookAge, Liquidated, WatchlistView, WatchRow

Cell = dict[str, Any]
SPARK_STEPS: Final = 100
SPANS: Final = ("1h", "24h")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its name in the address, its heading, what it says, and how it is drawn."""

    id: str
    title: str
    help: str
    kind: str
    is_shown: bool = True
    label: str = ""  # where the heading alone would not say what it is, on a phone


COLUMNS: Final = (
    Column("price", "Price", "Mid of the first chosen exchange whose book is in step", "number"),
    Column("spark", "Trend", "Mid price over the span chosen above the table; a gap is a gap", "spark"),
    Column("change_1h", "1 h", "Change of the price over an hour, on one exchange", "signed", label="Change 1 h"),
    Column("change_24h", "24 h", "Change of the price over 24 hours, on one exchange", "signed", label="Change 24 h"),
    Column("liq_1h", "Liquidated 1 h", "Positions closed by force: orange longs, blue shorts, and how many", "split"),
    Column("liq_24h", "Liquidated 24 h", "Positions closed by force: orange longs, blue shorts, and how many", "split"),
    Column("z", "Z of rate", "How unusual the liquidation rate is (robust), the higher of both sides; as on Liquidations", "level"),
    Column("risk", "Risk", "Overall risk level, stored each minute over all exchanges; as on Risk", "level"),
    Column("imbalance", "Imbalance", "Resting USD within 10 bps of the mid: +1 only bids, −1 only asks", "centre"),
    Column("spread", "Spread", "The tightest of the chosen exchanges", "number"),
    Column("interest_1h", "OI 1 h", "Change of open interest in base units over an hour", "signed"),
    Column("funding", "Funding", "Funding rate of the present interval, mean of the exchanges that told it", "number", False),
    Column("fresh", "Feeds", "Each exchange's book: filled is fresh, half is stale, hollow is out of step", "feeds"),
)
COLUMN_IDS: Final = tuple(column.id for column in COLUMNS)
SHOWN_IDS: Final = tuple(column.id for column in COLUMNS if column.is_shown)


def table_payload(view: WatchlistView, *, columns: Collection[str] = COLUMN_IDS, span: str = "1h") -> dict[str, Any]:
    """What the browser draws: headings, and a row an instrument with its cells by column."""
    chosen = [column for column in COLUMNS if column.id in columns]
    return {
        "columns": [
            {"id": each.id, "title": each.title, "help": each.help, "kind": each.kind, "label": each.label or each.title}
            for each in chosen
        ],
        "rows": [
            {
                "id": row.instrument,
                "name": name_words(row.instrument),
                "cells": {each.id: cell(each.id, row, span) for each in chosen},
            }
            for row in view.rows
        ],
    }


def name_words(instrument: str) -> tuple[str, str]:
    """ "BTC-USDT-PERP" as "BTC" and "USDT perp"."""
    base, _, rest = instrument.partition("-")
    return base, rest.replace("-", " ").replace("PERP", "perp")


def cell(column: str, row: WatchRow, span: str) -> Cell:
    """One cell; `span` is that of the trend line."""
    return _CELLS[column](row, span)


def limited(view: WatchlistView, refusal: str | None) -> WatchlistView:
    """The view for a tier that may not look back a day: what needs one says which tier has it."""
    if refusal is None:
        return view
    return replace(view, rows=tuple(limited_row(row, refusal) for row in view.rows))


def limited_row(row: WatchRow, refusal: str) -> WatchRow:
    """A row without what reaches back a day."""
    reason = Lacking(f"{refusal}.")
    return replace(row, change_24h=reason, liquidated_24h=reason, closes_24h=np.full(1, np.nan))


def watchlist_words(view: WatchlistView) -> str:
    """What the list says now, in one line: where most was liquidated, what is unusual, what is risky."""
    if not view.rows:
        return "No instrument is chosen."
    sums = {row.instrument: row.liquidated_1h for row in view.rows}
    known = {name: each for name, each in sums.items() if isinstance(each, Liquidated)}
    parts = []
    if known:
        first = max(known, key=lambda name: known[name].long_usd + known[name].short_usd)
        total_usd = sum(each.long_usd + each.short_usd for each in known.values())
        most_usd = known[first].long_usd + known[first].short_usd
        many = f" on {len(known)} instruments, most on {name_words(first)[0]} ({usd_words(most_usd)})" if len(known) > 1 else ""
        parts.append(
            f"{usd_words(total_usd)} liquidated in the last hour{many}" if most_usd else "Nothing liquidated in the last hour"
        )
    unusual = [name_words(row.instrument)[0] for row in view.rows if (best := best_side(row)) is not None and best[1].z_robust >= 3]
    parts.append(f"unusual rates on {', '.join(unusual)}" if unusual else "no rate above Z 3")
    return "; ".join(parts) + f". {coverage_text(view.exchanges)}."


def best_side(row: WatchRow) -> tuple[str, RateScore] | None:
    """The side with the higher robust Z, and its score; None while neither has one."""
    scored = [(side.position_side, best) for side in row.sides if (best := side.best) is not None]
    return max(scored, key=lambda each: each[1].z_robust, default=None)


def spark_points(closes: Float64) -> list[int | None]:
    """Heights 0 … 100 between the lowest and the highest of the closes, None where unknown; a flat line lies in the middle."""
    known = closes[np.isfinite(closes)]
    if not len(known):
        return []
    low, high = float(known.min()), float(known.max())
    if high == low:
        return [SPARK_STEPS // 2 if np.isfinite(each) else None for each in closes]
    return [round((float(each) - low) / (high - low) * SPARK_STEPS) if np.isfinite(each) else None for each in closes]


def _missing(reason: Lacking) -> Cell:
    return {"m": reason.text}


def _price(row: WatchRow, _span: str) -> Cell:
    if isinstance(row.price, Lacking):
        return _missing(row.price)
    return {"t": price_words(row.price, row.decimals), "v": row.price}


def _spark(row: WatchRow, span: str) -> Cell:
    closes, change = (row.closes_1h, row.change_1h) if span == "1h" else (row.closes_24h, row.change_24h)
    points = spark_points(closes)
    if not points:
        return _missing(change if isinstance(change, Lacking) else Lacking("No price of this span is known."))
    known = closes[np.isfinite(closes)]
    low, high = price_words(float(known.min()), row.decimals), price_words(float(known.max()), row.decimals)
    tone = 0 if isinstance(change, Lacking) else int(np.sign(change))
    return {"p": points, "s": tone, "v": 0.0 if isinstance(change, Lacking) else change, "h": f"Low {low}, high {high} in {span}"}


def _signed(share: float | Lacking, hover: str) -> Cell:
    if isinstance(share, Lacking):
        return _missing(share)
    percent = round(share * 100, 2) + 0.0
    return {"t": f"{percent:+.2f}\u202f%", "v": share, "s": int(np.sign(percent)), "h": hover}


def _liquidated(found: Liquidated | Lacking, window: str) -> Cell:
    if isinstance(found, Lacking):
        return _missing(found)
    total_usd = found.long_usd + found.short_usd
    n = found.n_long + found.n_short
    return {
        "t": usd_words(total_usd),
        "v": total_usd,
        "l": found.long_usd / total_usd if total_usd else 0.0,
        "n": f"{n:,}",
        "a": found.share < 0.995 or bool(found.left_out),
        "h": _liquidated_words(found, window),
    }


def _liquidated_words(found: Liquidated, window: str) -> str:
    lines = [
        f"Longs {usd_words(found.long_usd)} ({found.n_long:,}), shorts {usd_words(found.short_usd)} ({found.n_short:,}) in {window}"
    ]
    for each in found.totals:
        kind = LIQUIDATION_COVERAGE.get(each.exchange, "sampled")
        note = "sampled, a lower bound" if kind == "sampled" else kind
        lines.append(f"{_title(each.exchange)}: {usd_words(each.long_usd)} / {usd_words(each.short_usd)} ({note})")
    if found.share < 0.995:
        lines.append(f"Watched {found.share:.0%} of the window: more may have happened")
    if found.left_out:
        lines.append(f"Not watched in the last hour: {', '.join(_title(name) for name in found.left_out)}")
    return "\n".join(lines)


def _z(row: WatchRow, _span: str) -> Cell:
    best = best_side(row)
    if best is None:
        score = row.sides[0].score
        return _missing(score if isinstance(score, Lacking) else Lacking("No score yet."))
    side, score = best
    lines = [
        f"{each.position_side.capitalize()}s: Z {known.z_robust:.1f}, {usd_words(known.usd)} in "
        f"{minutes_words(known.duration_min)} "
        f"until {clock_text(known.end_us)}, {baseline_words(known)}"
        for each in row.sides
        if (known := each.best) is not None
    ]
    z = round(score.z_robust, 1) + 0.0
    return {"t": f"{z:.1f}", "u": side, "v": score.z_robust, "g": risk_label(score.z_robust), "h": "\n".join(lines)}


def _risk(row: WatchRow, _span: str) -> Cell:
    risk = row.risk
    if isinstance(risk, Lacking):
        return _missing(risk)
    parts = [f"{bar.name}: {bar.words}" for bar in risk.bars if bar.value is not None][:3]
    age = age_words(risk.end_us, row.as_of_us)
    told = f"As of {clock_text(risk.end_us)}, {age} ago" + (", stale" if risk.is_stale else "")
    return {
        "t": score_words(risk.score), "u": risk.level, "v": risk.score, "g": risk.level, "a": risk.is_stale,
        "h": "\n".join([told, *parts]),
    }  # fmt: skip


def _imbalance(row: WatchRow, _span: str) -> Cell:
    band = row.imbalance
    if isinstance(band, Lacking):
        return _missing(band)
    if band.imbalance is None:
        return _missing(Lacking("Nothing rests within 10 bps of the mid."))
    more = "" if band.is_covered else "; the known book ends inside the band"
    return {
        "t": f"{round(band.imbalance, 2) + 0.0:+.2f}",
        "v": band.imbalance,
        "h": f"Bids {usd_words(band.bid_usd)}, asks {usd_words(band.ask_usd)} within {band.band_bps:g} bps{more}",
    }


def _spread(row: WatchRow, _span: str) -> Cell:
    spreads = row.spreads_bps
    if isinstance(spreads, Lacking):
        return _missing(spreads)
    told = "\n".join(f"{_title(name)} {bps_words(each)}" for name, each in spreads.items())
    return {"t": bps_words(min(spreads.values())), "v": min(spreads.values()), "h": told}


def _funding(row: WatchRow, _span: str) -> Cell:
    rates = row.funding
    if isinstance(rates, Lacking):
        return _missing(rates)
    mean = sum(rates.values()) / len(rates)
    told = "\n".join(f"{_title(name)} {rate * 100:+.4f} %" for name, rate in rates.items())
    return {"t": f"{mean * 100:+.4f}\u202f%", "v": mean, "h": f"Longs pay shorts where it is positive\n{told}"}


def _fresh(row: WatchRow, _span: str) -> Cell:
    states = [{"x": _title(each.exchange), "f": each.state} for each in row.freshness]
    worst = max((-1 if each.age_us is None else each.age_us for each in row.freshness), default=-1)
    n_away = sum(each.age_us is None for each in row.freshness)
    return {"f": states, "v": n_away * 1e15 + worst, "h": "\n".join(_age_words(each) for each in row.freshness)}


def _age_words(each: BookAge) -> str:
    if each.age_us is None:
        return f"{_title(each.exchange)}: out of step, or not connected"
    return f"{_title(each.exchange)}: {each.age_us / 1e6:.1f} s old" + (", stale" if each.state == "stale" else "")


def _title(exchange: str) -> str:
    return EXCHANGE_TITLES.get(exchange, exchange)


def _titles(exchanges: Sequence[str]) -> str:
    return ", ".join(_title(name) for name in exchanges)


_CELLS: Final[dict[str, Callable[[WatchRow, str], Cell]]] = {
    "price": _price,
    "spark": _spark,
    "change_1h": lambda row, _span: _signed(row.change_1h, "Against the price an hour ago"),
    "change_24h": lambda row, _span: _signed(row.change_24h, "Against the price 24 hours ago"),
    "liq_1h": lambda row, _span: _liquidated(row.liquidated_1h, "1 h"),
    "liq_24h": lambda row, _span: _liquidated(row.liquidated_24h, "24 h"),
    "z": _z,
    "risk": _risk,
    "imbalance": _imbalance,
    "spread": _spread,
    "interest_1h": lambda row, _span: _signed(row.interest_1h, f"Open interest of {_titles(row.interest_exchanges)}"),
    "funding": _funding,
    "fresh": _fresh,
}
