"""The ring of recent trades against a deque."""

from collections import deque
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.domain.columns import trade_columns
from services.domain.events import Trade, event_hash
from services.live.trade_ring import TradeRing


def trade(number: int, time_us: int) -> Trade:
    return Trade(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        trade_id=str(number),
        taker_side="buy" if number % 2 else "sell",
        price=Decimal(number + 1),
        size_base=Decimal("0.5"),
        notional_usd=Decimal(number + 1) / 2,
        event_time_us=time_us,
        received_time_us=time_us,
    )


@given(st.lists(st.integers(0, 1_000), max_size=900), st.integers(1, 700), st.integers(0, 1_000))
def test_the_ring_holds_what_a_bounded_queue_holds(times: list[int], n_max: int, before_us: int) -> None:
    ring, queue = TradeRing("okx", n_max), deque[Trade](maxlen=n_max)

    def check() -> None:
        slow = trade_columns(list(queue), [event_hash(each.dedupe_key) for each in queue])
        fast = ring.columns()
        for name in slow.__dataclass_fields__:
            assert getattr(fast, name).tolist() == getattr(slow, name).tolist()
        assert len(ring) == len(queue)

    for number, time_us in enumerate(times):
        ring.add(trade(number, time_us))
        queue.append(trade(number, time_us))
    check()
    kept = [each for each in queue if each.event_time_us >= before_us]
    assert ring.drop_before(before_us) == len(queue) - len(kept)
    queue = deque(kept, maxlen=n_max)
    check()
    for number, time_us in enumerate(times[:50]):
        ring.add(trade(number, time_us))
        queue.append(trade(number, time_us))
    check()


def test_unchanged_columns_are_the_same_object() -> None:
    ring = TradeRing("okx", 3)
    ring.add(trade(1, 1))
    first = ring.columns()
    assert ring.columns() is first
    ring.add(trade(2, 2))
    assert len(first) == 1
    assert len(ring.columns()) == 2
