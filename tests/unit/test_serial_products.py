"""Products by parts are the products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.serial import MATMUL_WORK, serial_dot, serial_matmul


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 700), st.integers(0, 700))
def test_a_matrix_product_by_parts_is_the_product(seed: int, m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    np.testing.assert_allclose(serial_matmul(left, right), left @ right, atol=1e-9)


def test_rows_too_many_for_one_part_are_parted_as_well() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(900, 700)), rng.normal(size=(700, 6))
    assert left.size > MATMUL_WORK
    np.testing.assert_allclose(serial_matmul(left, right), left @ right, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 8_192, 30_000])
def test_a_scalar_product_by_parts_is_the_product(n: int) -> None:
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=n), rng.normal(size=n)
    assert serial_dot(left, right) == pytest.approx(float(left @ right), abs=1e-9)
