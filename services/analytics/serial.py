"""Products by parts that are too small for the linear algebra library to share among threads.

Its threads wait for each other actively. On a machine whose cores are busy (with the collector) a product of half a millisecond
was seen to take ten, because one of its threads had no core to run on.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from services.domain.events import Float64

DOT_LENGTH: Final = 1 << 13  # OpenBLAS starts threads from 10,000 elements on
MATMUL_WORK: Final = 1 << 18  # and for a matrix product from n·m·k = 2¹⁸ on


def serial_dot(left: Float64, right: Float64) -> float:
    """Σ left·right of (n,) arrays."""
    return sum(float(left[i : i + DOT_LENGTH] @ right[i : i + DOT_LENGTH]) for i in range(0, len(left), DOT_LENGTH))


def serial_matmul(left: Float64, right: Float64) -> Float64:
    """(m, k) @ (k, n), by parts of the columns of `right`, and of the rows of `left` where one column is too much already."""
    n_rows, n_inner = left.shape
    if n_rows * n_inner > MATMUL_WORK:
        step = max(MATMUL_WORK // max(n_inner, 1), 1)
        return np.concatenate([serial_matmul(left[i : i + step], right) for i in range(0, n_rows, step)])
    step = max(MATMUL_WORK // max(left.size, 1), 1)
    product = np.empty((n_rows, right.shape[1]))
    for i in range(0, right.shape[1], step):
        product[:, i : i + step] = left @ right[:, i : i + step]
    return product
