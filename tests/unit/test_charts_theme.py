"""Palettes, scales and words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.charts.inputs import HeatMatrix
from services.charts.palette import DARK, LIGHT, Palette, from_oklab, intensity_scale, oklab, ramp, signed_scale
from services.charts.theme import code_counts, colour_range
from services.domain.words import bps_words, price_words, usd_tick, usd_words

HEX = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@given(HEX)
def test_a_colour_survives_oklab(colour: str) -> None:
    assert from_oklab(oklab(colour)) == colour


@pytest.mark.parametrize("palette", [DARK, LIGHT])
@pytest.mark.parametrize("name", ["heat", "long", "short"])
def test_lightness_moves_evenly_along_every_ramp(palette: Palette, name: str) -> None:
    steps = np.diff([oklab(colour)[0] for colour in getattr(palette, name)])
    assert np.all(steps > 0) or np.all(steps < 0)
    assert np.abs(steps).max() < 1.6 * np.abs(steps).min()


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_text_is_legible_on_its_background(palette: Palette) -> None:
    assert contrast(palette.text, palette.background) >= 7.0
    assert contrast(palette.muted, palette.plot) >= 4.5
    assert contrast(palette.buy, palette.plot) >= 3.0
    assert contrast(palette.sell, palette.plot) >= 3.0


def as_deuteranope(colour: str) -> np.ndarray:
    """OKLab of what a deuteranope sees (Viénot, Brettel & Mollon 1999, linear RGB)."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]) @ linear
    seen = np.clip(seen, 0, 1)
    back = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return oklab("#" + "".join(f"{round(float(c) * 255):02x}" for c in back))


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_the_two_sides_stay_apart_for_colour_blind_eyes(palette: Palette) -> None:
    assert np.linalg.norm(as_deuteranope(palette.buy) - as_deuteranope(palette.sell)) > 0.2


def test_a_ramp_whose_lightness_turns_back_is_refused() -> None:
    with pytest.raises(ValueError, match="rise or fall"):
        ramp(["#000000", "#ffffff", "#808080"])


@pytest.mark.parametrize("scale", [intensity_scale(DARK.heat, "#123456"), signed_scale(DARK.short, DARK.long, "#123456")])
def test_a_scale_runs_from_transparent_to_no_data_without_turning_back(scale: list[list[float | str]]) -> None:
    positions = [float(entry[0]) for entry in scale]
    assert positions == sorted(positions)
    assert (positions[0], positions[-1]) == (0.0, 1.0)
    assert scale[0][1] == "rgba(0,0,0,0)"
    assert scale[-1][1] == "#123456"


@pytest.mark.parametrize(
    ("value_usd", "words"),
    [(0, "0 $"), (950, "950 $"), (1_240_000, "1.24 M $"), (-3_100, "-3.1 k $"), (999_999, "1 M $"), (math.nan, "–")],
)
def test_amounts_in_words(value_usd: float, words: str) -> None:
    assert usd_words(value_usd).replace("\u202f", " ") == words


def test_ticks_basis_points_and_prices_in_words() -> None:
    assert [usd_tick(v) for v in (300, 1_000, 25_000_000, 1e9)] == ["300", "1k", "25M", "1B"]
    assert bps_words(12.04).replace("\u202f", " ") == "12 bps"
    assert price_words(118250.25, 1) == "118,250.2"
    assert (price_words(math.nan, 1), bps_words(math.inf)) == ("–", "–")


def heat(codes: np.ndarray) -> HeatMatrix:
    rows, columns = codes.shape
    return HeatMatrix(
        codes=codes,
        time_edges_us=np.arange(columns + 1),
        price_edges=np.arange(rows + 1.0),
        usd_min=1.0,
        usd_ratio=1.1,
        missing=np.zeros(columns, dtype=bool),
    )


@given(st.lists(st.integers(0, 255), min_size=1, max_size=300))
def test_colours_span_the_quantiles_of_what_is_there(values: list[int]) -> None:
    counts = code_counts(heat(np.array([values], dtype=np.uint8)))
    low, high = colour_range(counts)
    seen = sorted(v for v in values if 1 <= v <= 254)
    assert counts.sum() == len(values)
    assert 1 <= low < high <= 254
    if not seen:
        assert (low, high) == (1, 254)
    else:
        upper = seen[max(1, math.ceil(0.99 * len(seen) - 1e-9)) - 1]
        assert high >= upper or high - low == 20


def test_one_giant_does_not_blacken_the_rest() -> None:
    codes = np.full((10, 100), 80, dtype=np.uint8)
    codes[0, 0] = 254
    assert colour_range(code_counts(heat(codes)))[1] <= 100
