"""The ring of recent bars against a sorted dictionary."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.stored import TradeBar
from services.live.bar_ring import BarRing


def bar(second: int, close: float) -> TradeBar:
    return TradeBar(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        start_time_us=second * 1_000_000,
        open=1.0,
        high=close + 2,
        low=0.5,
        close=close,
        n_trades=3,
        buy_usd=(1.0, close, 0.0, 0.0, 0.0),
        sell_usd=(0.0, 0.0, 2.5, 0.0, close),
    )


PUTS = st.lists(st.tuples(st.integers(0, 300), st.sampled_from([1.0, 2.0]), st.booleans()), max_size=400)


@settings(deadline=None)
@given(PUTS, st.integers(1, 200), st.integers(0, 300))
def test_the_ring_holds_the_latest_bars_in_order(puts: list[tuple[int, float, bool]], n_max: int, before_s: int) -> None:
    ring, slow = BarRing("okx", "BTC-USDT-PERP", n_max), {}
    for second, close, is_read in puts:
        made = bar(second, close)
        assert ring.put(made) == (slow.get(second) != made)
        slow[second] = made
        if len(slow) > n_max:
            del slow[min(slow)]
        if is_read:  # the next reading makes only what changed since
            assert ring.tuple() == tuple(slow[each] for each in sorted(slow))
    assert ring.tuple() == tuple(slow[second] for second in sorted(slow))
    kept = {second: made for second, made in slow.items() if second >= before_s}
    assert ring.drop_before(before_s * 1_000_000) == len(slow) - len(kept)
    assert ring.tuple() == tuple(kept[second] for second in sorted(kept))
    assert len(ring) == len(kept)
    assert ring.tuple() is ring.tuple()
