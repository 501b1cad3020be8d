"""Hawkes processes with a known branching ratio: the truth that fits are measured against."""

from __future__ import annotations

import numpy as np

from services.domain.events import Float64

MAX_EVENTS = 5_000_000


def simulate_hawkes(rng: np.random.Generator, *, mu: float, branching_ratio: float, beta: float, window_s: float) -> Float64:
    """Event times in [0, window_s), ascending, of the intensity μ + Σ n β exp(−β (t − tᵢ)); nothing happened before 0.

    mu       events a second that nothing triggered    branching_ratio  mean number of events one triggers directly, in [0, 1)
    beta     decay a second of the excitation
    raises   ValueError for a parameter out of range, or if more than 5 million events came about
    cost     O(events); the cluster representation: immigrants are Poisson, each event has Poisson(n) children at exponential delays
    source   Hawkes & Oakes (1974)
    """
    if not (mu > 0 and beta > 0 and window_s > 0 and 0 <= branching_ratio < 1):
        raise ValueError(
            f"μ was {mu}, n {branching_ratio}, β {beta} and the window {window_s} s; all must be above 0, and n below 1"
        )
    generation = rng.uniform(0, window_s, rng.poisson(mu * window_s))
    generations, n_events = [generation], len(generation)
    while len(generation):
        parents = np.repeat(generation, rng.poisson(branching_ratio, len(generation)))
        children = parents + rng.exponential(1 / beta, len(parents))
        generation = children[children < window_s]  # what comes after the window triggers only what comes later still
        generations.append(generation)
        n_events += len(generation)
        if n_events > MAX_EVENTS:
            raise ValueError(f"more than {MAX_EVENTS} events came about; shorten the window or lower μ")
    return np.sort(np.concatenate(generations))
