"""Oracles of what is said of books and trades: touch, depth, slippage, order flow, toxicity, sizes, concentration, levels."""

from __future__ import annotations

import numpy as np
from scipy.stats import linregress

from services.analytics.concentration import concentration
from services.analytics.depth import band_depth
from services.analytics.level_holds import PastLevels, PricePath, outcomes
from services.analytics.microstructure import microprice, slippages
from services.analytics.order_flow import OrderFlowImbalance
from services.analytics.size_quantiles import RELATIVE_ERROR, SizeQuantiles
from services.analytics.stress import stress
from services.analytics.toxicity import FlowMinutes, kyle_lambda, vpin
from services.analytics.whale_trades import TradeMerger
from services.domain.events import Float64
from services.domain.findings import WhaleTrade
from services.validation.cases import Check, disagreement, relative

_MINUTE_US = 60_000_000


def _sides(rng: np.random.Generator) -> tuple[float, Float64, Float64, Float64, Float64]:
    """A mid, and prices and USD of both sides, best first."""
    mid = 10.0 ** rng.uniform(-6, 6)
    n = int(rng.integers(2, 200))
    away = np.cumsum(rng.uniform(1e-6, 2e-3, n))
    bids, asks = mid * (1 - np.minimum(away, 0.99)), mid * (1 + away)
    bids = np.unique(bids)[::-1]
    return mid, bids, rng.lognormal(9, 2, len(bids)), asks, rng.lognormal(9, 2, n)


def _microprice(rng: np.random.Generator) -> float:
    bid = float(10.0 ** rng.uniform(-6, 6))
    ask = bid * (1 + rng.uniform(1e-6, 1e-2))
    bid_size, ask_size = rng.lognormal(0, 3, 2).tolist()
    wanted = float((ask_size * bid + bid_size * ask) / (ask_size + bid_size))
    return abs(microprice(bid, bid_size, ask, ask_size) - wanted) / bid


def _depth(rng: np.random.Generator) -> float:
    mid, bids, bid_usd, asks, ask_usd = _sides(rng)
    band_bps = float(rng.choice([5, 10, 50, 200]))
    found = band_depth(bids, bid_usd, asks, ask_usd, mid=mid, band_bps=band_bps)
    bid = sum(usd for price, usd in zip(bids, bid_usd, strict=True) if (mid - price) / mid * 1e4 <= band_bps)
    ask = sum(usd for price, usd in zip(asks, ask_usd, strict=True) if (price - mid) / mid * 1e4 <= band_bps)
    imbalance = (bid - ask) / (bid + ask) if bid + ask else np.nan
    found_imbalance = np.nan if found.imbalance is None else found.imbalance
    return max(relative(found.bid_usd, bid), relative(found.ask_usd, ask), relative(found_imbalance, imbalance, floor=1.0))


def _slippage(rng: np.random.Generator) -> float:
    mid, _, _, asks, ask_usd = _sides(rng)
    orders = rng.lognormal(11, 2, 5)
    worst = 0.0
    for order_usd, found in zip(orders, slippages(asks, ask_usd, is_buy=True, orders_usd=orders, mid=mid), strict=True):
        left, base = float(order_usd), 0.0
        for price, usd in zip(asks, ask_usd, strict=True):
            taken = min(left, usd)
            base += taken / price
            left -= taken
        filled = float(order_usd) - left
        worst = max(worst, relative(found.filled_usd, filled), abs(found.bps - (filled / base / mid - 1) * 1e4))
    return worst


def _stress(rng: np.random.Generator) -> float:
    mid, bids, bid_usd, asks, ask_usd = _sides(rng)
    worst = 0.0
    for move in stress(bids, bid_usd, asks, ask_usd, mid=mid):
        prices, usd = (bids, bid_usd) if move.move_pct < 0 else (asks, ask_usd)
        on_the_way = np.abs(prices / mid - 1) * 100 <= abs(move.move_pct)
        worst = max(worst, relative(move.depth_usd, float(sum(usd[on_the_way]))))
    return worst


def _order_flow(rng: np.random.Generator) -> float:
    """The increments as the change of demand plus the change of supply, told apart by where the best price went."""
    tracker, worst, before = OrderFlowImbalance(), 0.0, None
    for _ in range(100):
        bid, ask = int(rng.integers(95, 100)), int(rng.integers(101, 106))
        bid_size, ask_size = rng.lognormal(0, 1, 2)
        found = tracker.on_touch(bid, bid_size, ask, ask_size)
        wanted = 0.0
        if before is not None:
            bid_0, size_b0, ask_0, size_a0 = before
            demand = bid_size if bid > bid_0 else -size_b0 if bid < bid_0 else bid_size - size_b0
            supply = ask_size if ask < ask_0 else -size_a0 if ask > ask_0 else ask_size - size_a0
            wanted = demand - supply
        before = (bid, bid_size, ask, ask_size)
        worst = max(worst, abs(found - wanted))
    return worst


def _flow(rng: np.random.Generator) -> FlowMinutes:
    m = int(rng.integers(120, 600))
    buy, sell = rng.lognormal(12, 1, m), rng.lognormal(12, 1, m)
    change = rng.normal(0, 5, m) + (buy - sell) / 1e6 * rng.uniform(-5, 20)
    change[rng.random(m) < 0.05] = np.nan
    return FlowMinutes(np.arange(m, dtype=np.int64) * _MINUTE_US, buy, sell, change, 0)


def _vpin(rng: np.random.Generator) -> float:
    """Buckets filled one by one with what each minute traded."""
    flow = _flow(rng)
    found = vpin(flow, bucket_usd=float((flow.buy_usd + flow.sell_usd).sum()) / rng.uniform(60, 300), n_buckets=50)
    one_sided, bought, filled = [], 0.0, 0.0
    for buy, sell in zip(flow.buy_usd, flow.sell_usd, strict=True):
        left = total = buy + sell
        while left > 0:
            taken = min(left, found.bucket_usd - filled)
            bought += taken * buy / total
            filled += taken
            left -= taken
            if filled >= found.bucket_usd * (1 - 1e-12):
                one_sided.append(abs(2 * bought - filled) / found.bucket_usd)
                bought = filled = 0.0
    wanted = [np.mean(one_sided[k : k + 50]) for k in range(len(one_sided) - 49)]
    return relative(found.values, np.array(wanted))


def _kyle(rng: np.random.Generator) -> float:
    flow = _flow(rng)
    found = kyle_lambda(flow)
    known = ~np.isnan(flow.change_bps)
    wanted = linregress((flow.buy_usd - flow.sell_usd)[known] / 1e6, flow.change_bps[known])
    return float(max(abs(found.bps_per_musd - wanted.slope), abs(found.t_stat - wanted.slope / wanted.stderr)))


def _sizes(rng: np.random.Generator) -> float:
    sketch, sizes = SizeQuantiles(), rng.lognormal(rng.uniform(4, 9), rng.uniform(0.5, 2.5), 5_000)
    kept = []
    for index, usd in enumerate(sizes):
        time_us = index * 30_000_000  # 42 h: the first third has left the window at the end
        sketch.add(float(usd), time_us)
        kept.append((time_us // 3_600_000_000, float(usd)))
    last_hour = kept[-1][0]
    inside = [usd for hour, usd in kept if hour > last_hour - 24]
    worst = 0.0
    for q in (0.5, 0.9, 0.99, 0.999):
        found, wanted = sketch.quantile(q), float(np.quantile(inside, q, method="inverted_cdf"))
        worst = max(worst, float("inf") if found is None else abs(found / wanted - 1))
    return worst


def _whale_trades(rng: np.random.Generator) -> float:
    """Runs as a list of lists: a trade joins the last one when its side is the same and it came at most 100 ms later."""
    merger, time_us, bound_usd = TradeMerger("x", "y"), 0, 50_000.0
    runs: list[list[tuple[int, bool, float]]] = []
    found: list[WhaleTrade] = []
    for key in range(400):
        time_us += int(rng.choice([0, 20_000, 99_999, 100_000, 100_001, 400_000]))
        is_buy, usd = bool(rng.random() < 0.6), float(rng.lognormal(8.5, 1.5))
        ended = merger.add(time_us, is_buy, 100.0, usd, key, bound_usd)
        found += [ended] if ended is not None else []
        if runs and runs[-1][-1][1] == is_buy and time_us - runs[-1][-1][0] <= 100_000:
            runs[-1].append((time_us, is_buy, usd))
        else:
            runs.append([(time_us, is_buy, usd)])
    last = merger.flush(time_us + 1_000_000)
    found += [last] if last is not None else []
    sums = [(run[0][0], run[0][1], len(run), round(sum(usd for _, _, usd in run), 3)) for run in runs]
    wanted = [row for row in sums if row[3] >= bound_usd]
    return disagreement([(row.event_time_us, row.is_buy, row.n_trades, round(row.notional_usd, 3)) for row in found], wanted)


def _concentration(rng: np.random.Generator) -> float:
    usd = rng.lognormal(9, rng.uniform(0.1, 4), rng.integers(1, 300))
    found, total = concentration(usd), sum(usd)
    top = sum(sorted(usd, reverse=True)[:5]) / total
    return max(relative(found.herfindahl, sum((each / total) ** 2 for each in usd)), relative(found.top_share, top))


def _holds(rng: np.random.Generator) -> float:
    """Each level followed minute by minute, with a hole in the path."""
    n, k = 600, 40
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 5e-4, n)))
    highs, lows = closes * (1 + rng.exponential(3e-4, n)), closes * (1 - rng.exponential(3e-4, n))
    hole = int(rng.integers(50, n - 50))
    closes[hole] = highs[hole] = lows[hole] = np.nan
    times_us = np.arange(n, dtype=np.int64) * _MINUTE_US
    known_us = rng.integers(1, n, k) * _MINUTE_US
    until_us = known_us + rng.integers(1, 400, k) * _MINUTE_US
    levels = PastLevels(100 * (1 + rng.normal(0, 0.004, k)), rng.random(k), known_us, until_us)
    path = PricePath(times_us, highs, lows, closes)
    found = outcomes(path, levels)
    wanted = [_one_outcome(path, levels, row) for row in range(k)]
    names = ("held", "broke", "open", "void", "standing")
    said = [next((name for name in names if getattr(found, name)[row]), "untouched") for row in range(k)]
    return disagreement(said, wanted)


def _one_outcome(path: PricePath, levels: PastLevels, row: int) -> str:
    price, touched, void = float(levels.prices[row]), False, False
    first = int(levels.from_us[row]) // _MINUTE_US
    before = next((c for c in path.closes[:first][::-1] if not np.isnan(c)), np.nan)
    if not abs(before / price - 1) * 1e4 > 2:
        return "standing"
    up = 1.0 if before > price else -1.0
    for at in range(first, len(path.closes)):
        if np.isnan(path.closes[at]):
            continue
        near, far = (path.lows[at], path.highs[at]) if up > 0 else (path.highs[at], path.lows[at])
        below = up * (near - price) / price * 1e4
        if not touched and (path.times_us[at] >= levels.until_us[row] or below > 2):
            if path.times_us[at] >= levels.until_us[row]:
                return "untouched"
            continue
        is_after_hole = bool(np.isnan(path.closes[at - 1]))
        was_touched, touched = touched, True
        void = void or (not was_touched and is_after_hole)
        turned = up * ((far if was_touched else path.closes[at]) - price) / price * 1e4
        if below <= -10:
            return "void" if void or is_after_hole else "broke"
        if turned >= 20:
            return "void" if void or is_after_hole else "held"
    return "void" if void else "open" if touched else "untouched"


CHECKS = (
    Check(
        number="microprice", function="microstructure.microprice", oracle="(A₁·b + B₁·a)/(A₁ + B₁)", case=_microprice,
        tolerance=1e-12, unit="of the price",
    ),
    Check(
        number="depth, imbalance", function="depth.band_depth", oracle="loop over levels", case=_depth, tolerance=1e-12,
        unit="relative",
    ),
    Check(
        number="slippage", function="microstructure.slippages", oracle="loop that walks the book", case=_slippage,
        tolerance=1e-6, unit="bps",
    ),
    Check(
        number="stress: depth on the way", function="stress.stress", oracle="loop over levels", case=_stress, tolerance=1e-12,
        unit="relative",
    ),
    Check(
        number="order-flow imbalance", function="order_flow.OrderFlowImbalance", oracle="demand and supply by three cases each",
        case=_order_flow, tolerance=1e-12, unit="base units",
    ),
    Check(
        number="VPIN", function="toxicity.vpin", oracle="buckets filled in a loop", case=_vpin, tolerance=1e-9, unit="relative",
        n_cases=40,
    ),
    Check(
        number="Kyle's λ and its t", function="toxicity.kyle_lambda", oracle="scipy.stats.linregress", case=_kyle,
        tolerance=1e-9, unit="absolute",
    ),
    Check(
        number="trade-size quantiles", function="size_quantiles.SizeQuantiles", oracle="numpy.quantile of the window",
        case=_sizes, tolerance=RELATIVE_ERROR, unit="relative", n_cases=30,
    ),
    Check(
        number="whale trades: merged runs", function="whale_trades.TradeMerger", oracle="list of runs", case=_whale_trades,
        tolerance=0.0, unit="runs that differ", n_cases=60,
    ),
    Check(
        number="concentration", function="concentration.concentration", oracle="Σ share², sorted sum", case=_concentration,
        tolerance=1e-9, unit="relative",
    ),
    Check(
        number="hold of levels", function="level_holds.outcomes", oracle="each level followed minute by minute", case=_holds,
        tolerance=0.0, unit="levels that differ", n_cases=60,
    ),
)  # fmt: skip
