"""Key levels as pages show them."""

from __future__ import annotations

from services.insights.key_levels import KeyLevel
from services.views.key_levels_view import N_DRAWN, level_lines, level_rows, levels_words


def level(price: float, *, strength: float = 0.5, usd: float = 0.0, mid: float = 100.0) -> KeyLevel:
    return KeyLevel(
        price=price, low=price, high=price, scores=(("wall", 2 * strength),), notional_usd=usd,
        distance_bps=(price / mid - 1) * 10_000, sources=("Wall: 1 M $ bid",),
    )  # fmt: skip


def test_levels_below_the_mid_support_and_those_above_resist() -> None:
    below, above = level_lines([level(99.0), level(101.0)], decimals=1)
    assert (below.tone, below.label) == ("support", "S 99.0")
    assert (above.tone, above.label) == ("resistance", "R 101.0")
    assert below.words == "strength 0.50: wall<br>Wall: 1 M $ bid"


def test_no_more_than_ten_are_drawn_and_the_table_reads_from_the_top_price_down() -> None:
    many = [level(90.0 + k) for k in range(20)]
    assert len(level_lines(many, decimals=0)) == N_DRAWN
    prices = [row["price"] for row in level_rows(many)]
    assert prices == sorted(prices, reverse=True)
    assert level_rows([level(99.0)])[0]["usd"] is None  # nothing rests or was liquidated there: unknown, not 0 USD


def test_one_line_names_the_nearest_to_each_side() -> None:
    text = levels_words([level(98.0), level(99.0, usd=2e6), level(103.0), level(101.0)], decimals=0)
    assert text == "Nearest key levels: 99, 100\u202fbps below (wall, 2\u202fM\u202f$); 101, 100\u202fbps above (wall)."
    assert levels_words([], decimals=0) == "No price has two reasons to matter yet."
