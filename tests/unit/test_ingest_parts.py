"""Small parts of ingest: inbox, counters, gaps, thinned metrics, trades, plausible times."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.domain.events import EventKind, FeedGap, MarketMetrics, Trade
from services.domain.instruments import InstrumentCatalog
from services.domain.stored import StoredEvent, TradeBar
from services.exchanges.binance import BinanceAdapter
from services.ingest.connection_stats import ConnectionStats
from services.ingest.counters import ErrorCounts, FreshKeys, RecentDelays, RecentKeys, readable_example
from services.ingest.gaps import GapLedger
from services.ingest.inbox import Inbox
from services.ingest.metrics import MetricsThinner
from services.ingest.outlet import Outlet
from services.ingest.plausible import TimeGuard
from services.ingest.session import Frame, Session
from services.ingest.trades import TradeDesk

T0 = 1_700_000_000_000_000
SECOND = 1_000_000


class Listener:
    """Writer and live state in one: keeps what it is given."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.applied: list[Any] = []
        self.bars: list[TradeBar] = []

    def offer(self, event: StoredEvent, *, block: bool = False) -> bool:
        assert not block
        self.stored.append(event)
        return True

    def apply(self, event: Any) -> None:
        self.applied.append(event)

    def add_bar(self, bar: TradeBar) -> None:
        self.bars.append(bar)


def outlet_of(listener: Listener) -> Outlet:
    return Outlet(listener, listener)  # type: ignore[arg-type]


def session(name: str = "public") -> Session:
    stats = ConnectionStats(exchange="binance", name=name, url="", since_time_us=T0)
    return Session(exchange="binance", name=name, adapter=BinanceAdapter(InstrumentCatalog()), opened_time_us=T0, stats=stats)


def trade(number: int, time_us: int, *, usd: int = 100) -> Trade:
    return Trade(
        exchange="okx", instrument="BTC-USDT-PERP", trade_id=str(number), taker_side="buy", price=Decimal(100),
        size_base=Decimal(usd) / 100, notional_usd=Decimal(usd), event_time_us=time_us, received_time_us=time_us + 5,
    )  # fmt: skip


def metrics(time_us: int, **fields: Any) -> MarketMetrics:
    return MarketMetrics(exchange="okx", instrument="BTC-USDT-PERP", event_time_us=time_us, received_time_us=time_us, **fields)


# --- the inbox


def test_one_sessions_share_does_not_take_anothers() -> None:
    inbox = Inbox(limit_frames=3, limit_bytes=1_000)
    noisy, calm = session("noisy"), session("calm")
    assert [inbox.put(Frame(noisy, b"x", T0)) for _ in range(5)] == [True, True, True, False, False]
    assert inbox.put(Frame(calm, b"x", T0))
    assert len(inbox.take(timeout_s=0)) == 4
    assert inbox.put(Frame(noisy, b"x", T0))


def test_bytes_are_bounded_as_well_as_frames() -> None:
    inbox = Inbox(limit_frames=100, limit_bytes=10)
    one = session()
    assert inbox.put(Frame(one, b"x" * 50, T0))
    assert not inbox.put(Frame(one, b"x", T0))


def test_calls_are_never_refused_and_keep_their_place() -> None:
    inbox = Inbox(limit_frames=1, limit_bytes=1_000)
    one = session()
    order: list[str] = []
    inbox.put(Frame(one, b"first", T0))
    inbox.post(lambda: order.append("call"))
    assert not inbox.put(Frame(one, b"refused", T0), after=lambda: order.append("never"))
    first, call = inbox.take(timeout_s=0)
    assert isinstance(first, Frame)
    inbox.put(Frame(one, b"second", T0), after=lambda: order.append("told"))
    told, second = inbox.take(timeout_s=0)
    assert isinstance(second, Frame)
    for each in (call, told):
        assert not isinstance(each, Frame)
        each()
    assert order == ["call", "told"]


def test_an_empty_inbox_gives_nothing_after_its_wait() -> None:
    assert Inbox(limit_frames=1, limit_bytes=1).take(timeout_s=0.01) == []


# --- counters


def test_an_example_is_cut_printable_and_without_secrets() -> None:
    text = readable_example(b'{"apiKey":"abcdef","signature=12345&x" \x00\xff wss://me:hunter2@host/' + b"y" * 500)
    assert len(text) <= 240
    assert text.isprintable()
    for secret in ("abcdef", "12345", "hunter2"):
        assert secret not in text


def test_errors_are_counted_by_exchange_and_name_with_the_latest_example() -> None:
    errors = ErrorCounts()
    assert [errors.add("okx", "not_json", text, time_us=number) for number, text in enumerate(["a", "b"])] == [1, 2]
    errors.add("bybit", "not_json", "c", time_us=9)
    newest, oldest = errors.all()
    assert (newest.exchange, newest.n_seen) == ("bybit", 1)
    assert (oldest.n_seen, oldest.example, oldest.last_time_us) == (2, "b", 1)


def test_a_flood_of_names_stays_bounded() -> None:
    errors = ErrorCounts()
    for number in range(2_000):
        errors.add("okx", f"name {number}", "", time_us=number)
    assert len(errors.all()) == 500
    assert errors.count("okx", "name 1999") == 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 50), st.floats(0, 1))
def test_percentiles_are_of_the_latest_values(values: list[float], n_kept: int, share: float) -> None:
    delays = RecentDelays(n_kept)
    for value in values:
        delays.add(value)
    kept = sorted(values[-n_kept:])
    assert delays.percentile(share) == kept[min(len(kept) - 1, math.floor(share * len(kept)))]


@given(st.lists(st.integers(0, 20), max_size=200), st.integers(1, 30))
def test_recent_keys_agree_with_a_plain_list(keys: list[int], n_kept: int) -> None:
    recent, twin = RecentKeys(n_kept), list[int]()
    for key in keys:
        assert recent.is_new(key) == (key not in twin)
        if key in twin:
            twin.remove(key)
        twin = [*twin, key][-n_kept:]
    assert len(recent) == len(twin)


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 6)), max_size=100))
def test_fresh_keys_remember_for_at_least_a_span_and_at_most_two(steps: list[tuple[int, int]]) -> None:
    fresh, last_accepted, now_us = FreshKeys(20, n_max=1_000), dict[int, int](), 0
    for key, pause_us in steps:
        now_us += pause_us
        age_us = now_us - last_accepted[key] if key in last_accepted else None
        if fresh.is_new(key, now_us):
            assert age_us is None or age_us >= 20
            last_accepted[key] = now_us
        else:
            assert age_us is not None
            assert age_us < 40 + 6  # a turn waits for the next key


def test_fresh_keys_stay_bounded_in_a_burst_and_forget_after_a_pause() -> None:
    fresh = FreshKeys(1_000, n_max=50)
    for key in range(10_000):
        assert fresh.is_new(key, 5)
    assert len(fresh) <= 100
    assert fresh.is_new(9_999, 50_000)


# --- gaps


def test_a_gap_opens_once_and_closes_with_the_same_start() -> None:
    listener = Listener()
    gaps = GapLedger(outlet_of(listener))
    gaps.open("okx", None, EventKind.BOOK, "disconnect", T0)
    gaps.open("okx", None, EventKind.BOOK, "stale", T0 + 1)
    gaps.close("okx", None, EventKind.BOOK, T0 + 9)
    gaps.close("okx", None, EventKind.BOOK, T0 + 10)
    first, last = listener.stored
    assert isinstance(first, FeedGap)
    assert isinstance(last, FeedGap)
    assert (first.reason, first.start_time_us, first.end_time_us) == ("disconnect", T0, None)
    assert (last.reason, last.start_time_us, last.end_time_us) == ("disconnect", T0, T0 + 9)
    assert listener.applied == listener.stored


def test_a_gap_never_ends_before_it_began() -> None:
    listener = Listener()
    gaps = GapLedger(outlet_of(listener))
    gaps.open("okx", None, EventKind.BOOK, "disconnect", T0)
    gaps.close("okx", None, EventKind.BOOK, T0 - 5)
    assert listener.stored[-1].end_time_us == T0  # type: ignore[union-attr]


def test_an_adopted_gap_is_closed_and_a_closed_one_is_not_adopted() -> None:
    listener = Listener()
    gaps = GapLedger(outlet_of(listener))
    old = FeedGap(exchange="okx", instrument=None, kind=EventKind.TRADE, reason="disconnect", start_time_us=T0, end_time_us=None)
    done = FeedGap(exchange="okx", instrument=None, kind=EventKind.BOOK, reason="stale", start_time_us=T0, end_time_us=T0 + 1)
    gaps.adopt([old, done])
    assert len(gaps) == 1
    gaps.close("okx", None, EventKind.TRADE, T0 + 7)
    (closed,) = listener.stored
    assert isinstance(closed, FeedGap)
    assert (closed.start_time_us, closed.end_time_us) == (T0, T0 + 7)


# --- metrics


def test_metrics_rows_are_spaced_and_the_latest_always_arrives() -> None:
    thinner = MetricsThinner(5 * SECOND)
    assert thinner.add(metrics(T0, mark_price=Decimal(1))) is not None
    assert thinner.add(metrics(T0 + SECOND, mark_price=Decimal(2), funding_rate=Decimal(7))) is None
    assert thinner.add(metrics(T0 + 2 * SECOND, mark_price=Decimal(3))) is None
    assert thinner.due(T0 + 4 * SECOND) == []
    (row,) = thinner.due(T0 + 5 * SECOND)
    assert (row.mark_price, row.funding_rate, row.event_time_us) == (Decimal(3), Decimal(7), T0 + 2 * SECOND)
    assert thinner.due(T0 + 60 * SECOND) == []


def test_a_field_that_was_not_said_again_is_not_stored_again() -> None:
    thinner = MetricsThinner(5 * SECOND)
    thinner.add(metrics(T0, open_interest_base=Decimal(9)))
    row = thinner.add(metrics(T0 + 6 * SECOND, mark_price=Decimal(1)))
    assert row is not None
    assert row.open_interest_base is None


# --- trades


def test_a_trade_counts_once_and_large_ones_are_kept_whole() -> None:
    listener = Listener()
    desk = TradeDesk(outlet_of(listener), large_trade_usd=1_000.0)
    for each in (trade(1, T0), trade(2, T0 + 1, usd=1_000), trade(1, T0), trade(2, T0 + 1, usd=1_000)):
        desk.on_trade(each)
    desk.finish()
    assert desk.n_duplicates == 2
    assert [each.trade_id for each in listener.stored if isinstance(each, Trade)] == ["2"]
    (bar,) = [each for each in listener.stored if isinstance(each, TradeBar)]
    assert (bar.n_trades, sum(bar.buy_usd)) == (2, 1_100.0)


def test_a_bar_closes_by_time_alone_and_the_filling_one_is_shown() -> None:
    listener = Listener()
    desk = TradeDesk(outlet_of(listener), large_trade_usd=1e9)
    desk.on_trade(trade(1, T0))
    desk.tick(T0 + SECOND)
    assert [bar.start_time_us for bar in listener.bars] == [T0]
    assert listener.stored == []
    desk.tick(T0 + 4 * SECOND)
    assert [each.start_time_us for each in listener.stored if isinstance(each, TradeBar)] == [T0]


# --- times


def test_a_wild_time_is_refused_and_the_next_sound_one_accepted() -> None:
    guard = TimeGuard()
    assert guard.accepts(T0, T0 + 50_000)
    assert not guard.accepts(T0 + 3_600 * SECOND, T0 + SECOND)
    assert not guard.accepts(T0 - 48 * 3_600 * SECOND, T0 + SECOND)
    assert guard.accepts(T0 + SECOND, T0 + SECOND)


def test_old_events_of_the_same_day_are_sound() -> None:
    guard = TimeGuard()
    assert guard.accepts(T0, T0)
    assert guard.accepts(T0 - 3_600 * SECOND, T0), "a liquidation that is repeated after a subscription"


def test_when_our_own_clock_jumps_events_are_accepted_again() -> None:
    guard = TimeGuard()
    assert guard.accepts(T0, T0)
    verdicts = [guard.accepts(T0 + n * SECOND, T0 - 30 * 24 * 3_600 * SECOND + n * SECOND) for n in range(100)]
    assert not any(verdicts[:60])
    assert all(verdicts[60:])


def test_a_short_jump_of_the_exchanges_clock_is_never_believed_however_many_events_it_has() -> None:
    guard = TimeGuard()
    assert guard.accepts(T0, T0)
    hour = 3_600 * SECOND
    assert not any(guard.accepts(T0 + hour + n * 1_000, T0 + n * 1_000) for n in range(30_000))
    assert guard.accepts(T0 + 31 * SECOND, T0 + 31 * SECOND)
    assert not guard.accepts(T0 + hour + 61 * SECOND, T0 + 61 * SECOND), "a sound one in between starts the minute anew"
