"""An oracle that disagrees is seen, by its size; what cannot be compared is an error, not a pass."""

from __future__ import annotations

import numpy as np
import pytest

from services.validation import oracles_book, oracles_liquidations, oracles_risk
from services.validation.cases import Check, disagreement, relative, run_check

CHECKS = [*oracles_liquidations.CHECKS, *oracles_book.CHECKS, *oracles_risk.CHECKS]


def check_of(case: object) -> Check:
    return Check(number="x", function="y.z", oracle="o", case=case, tolerance=0.5, unit="u", n_cases=50)  # type: ignore[arg-type]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.number)
def test_every_number_agrees_with_its_oracle_within_the_tolerance(check: Check) -> None:
    row = run_check(check, seed=5, share=0.1)
    assert row.is_met, f"{row.number} was {row.worst:g} {row.unit} off"


def test_the_largest_deviation_of_all_cases_counts() -> None:
    drawn: list[float] = []

    def case(rng: np.random.Generator) -> float:
        drawn.append(float(rng.random()))
        return drawn[-1]

    row = run_check(check_of(case), seed=1)
    assert row.worst == max(drawn)
    assert row.n_cases == len(set(drawn)) == 50
    assert not row.is_met


def test_the_same_seed_draws_the_same_cases() -> None:
    first, again, other = (run_check(check_of(lambda rng: rng.random()), seed=seed).worst for seed in (1, 1, 2))
    assert first == again != other


def test_a_deviation_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(ArithmeticError, match="case 0 was nan"):
        run_check(check_of(lambda _rng: float("nan")), seed=1)


def test_unknown_must_meet_unknown_and_lengths_must_fit() -> None:
    nan = float("nan")
    assert relative(np.array([1.0, nan]), np.array([1.1, nan])) == pytest.approx(0.1 / 1.1)
    assert relative(np.array([1.0, nan]), np.array([nan, 1.0])) == float("inf")
    assert relative(np.array([1.0]), np.array([1.0, 2.0])) == float("inf")
    assert relative(nan, nan) == 0.0
    assert disagreement(["a", "b"], ["a", "c"]) == 1.0
    assert disagreement(["a"], ["a", "b"]) == float("inf")


def test_a_wrong_routine_is_found_by_its_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    right = oracles_book.microprice
    monkeypatch.setattr(oracles_book, "microprice", lambda bid, bid_size, ask, ask_size: right(bid, ask_size, ask, bid_size))
    row = run_check(next(check for check in CHECKS if check.number == "microprice"), seed=5)
    assert not row.is_met
