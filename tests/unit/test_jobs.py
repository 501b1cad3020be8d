"""Jobs: shared, cancelled when the last one leaves, bounded in number, and without threads after the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services import progress
from services.domain.errors import StoreUnavailable
from services.jobs import GRACE_S, INTERNAL_ERROR, MAX_WAITING, Job, Jobs, TooMuchWork
from services.progress import Cancelled

SOON_S = 20.0


class HandClock:
    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s


class Gate:
    """Work of so many steps, each of which waits to be let through."""

    def __init__(self, n_steps: int = 3) -> None:
        self.n_steps = n_steps
        self.n_begun = 0
        self.reached = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def __call__(self) -> int:
        for done in range(self.n_steps):
            self.n_begun += 1
            self.reached.release()
            assert self.open.acquire(timeout=SOON_S)
            progress.step(done + 1, self.n_steps, "days of books")
        return 42

    def let(self, n: int = 1) -> None:
        for _ in range(n):
            self.open.release()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def jobs(clock: HandClock) -> Iterator[Jobs]:
    before = set(threading.enumerate())  # other tests of this process may have left runtimes that nobody stopped
    made = Jobs(n_workers=1, now_s=clock)
    yield made
    assert made.stop(SOON_S)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("job-")]


def done(jobs: Jobs, key: object, make: Callable[[], Any], waiter: str = "me", stamp: object = None) -> Job:
    job = jobs.submit(key, make, waiter=waiter, stamp=stamp)
    assert job.wait(SOON_S)
    return job


def test_a_job_tells_how_far_it_is_and_then_its_result(jobs: Jobs, clock: HandClock) -> None:
    gate = Gate(2)
    job = jobs.submit("a", gate, waiter="me")
    assert gate.reached.acquire(timeout=SOON_S)
    assert (job.state, job.wait(0)) == ("running", False)
    gate.let()
    assert gate.reached.acquire(timeout=SOON_S)
    assert (job.step_told.n_done, job.step_told.n_total, job.step_told.words) == (1, 2, "days of books")
    clock.s += 7
    gate.let()
    assert job.wait(SOON_S)
    assert (job.state, job.value, job.elapsed_s) == ("done", 42, 7.0)
    clock.s += 7
    assert job.elapsed_s == 7.0
    assert jobs.submit("a", gate, waiter="other") is job


def test_all_who_ask_for_the_same_share_one_job_and_the_last_who_leaves_cancels_it(jobs: Jobs) -> None:
    gate = Gate(5)
    job = jobs.submit("a", gate, waiter="one")
    assert jobs.submit("a", gate, waiter="two") is job
    assert gate.reached.acquire(timeout=SOON_S)
    assert not jobs.leave("a", "one")
    gate.let()
    assert gate.reached.acquire(timeout=SOON_S)
    assert jobs.leave("a", "two")
    gate.let(9)
    assert job.wait(SOON_S)
    assert (job.state, job.value, gate.n_begun, len(jobs)) == ("cancelled", None, 2, 0)
    assert jobs.last("a") is None
    assert done(jobs, "b", lambda: 1).value == 1  # the worker is free


@settings(max_examples=25, deadline=None)
@given(n_steps=st.integers(1, 6), at=st.integers(0, 6))
def test_cancelled_at_any_step_the_worker_is_free_and_nothing_is_kept(n_steps: int, at: int) -> None:
    jobs, gate = Jobs(n_workers=1), Gate(n_steps)
    job = jobs.submit("a", gate, waiter="me")
    for _ in range(min(at, n_steps - 1)):
        gate.let()
    for _ in range(min(at, n_steps - 1) + 1):
        assert gate.reached.acquire(timeout=SOON_S)
    assert jobs.leave("a", "me")
    gate.let(n_steps)
    assert job.wait(SOON_S)
    assert (job.state, job.value) == ("cancelled", None)
    assert jobs.find("a") is None
    assert done(jobs, "a", lambda: "anew").value == "anew"
    assert jobs.stop(SOON_S)


def test_a_job_that_nobody_looks_at_any_more_ends_at_its_next_step(jobs: Jobs, clock: HandClock) -> None:
    gate = Gate(3)
    job = jobs.submit("a", gate, waiter="closed tab")
    assert gate.reached.acquire(timeout=SOON_S)
    clock.s += GRACE_S - 1
    jobs.touch("a", "somebody else")  # who never asked for it
    jobs.touch("a", "closed tab")
    clock.s += GRACE_S - 1
    gate.let()
    assert gate.reached.acquire(timeout=SOON_S)
    clock.s += GRACE_S
    gate.let(2)
    assert job.wait(SOON_S)
    assert job.state == "cancelled"


def test_one_that_waits_in_the_queue_is_cancelled_without_being_begun(jobs: Jobs) -> None:
    first, second = Gate(1), Gate(1)
    running = jobs.submit("a", first, waiter="me")
    assert first.reached.acquire(timeout=SOON_S)
    waiting = jobs.submit("b", second, waiter="me")
    assert waiting.state == "waiting"
    assert jobs.leave("b", "me")
    assert (waiting.state, second.n_begun) == ("cancelled", 0)
    first.let()
    assert running.wait(SOON_S)
    assert running.value == 42


def test_another_stamp_is_made_anew_while_the_former_result_is_at_hand(jobs: Jobs) -> None:
    former = done(jobs, "a", lambda: "old", stamp=1)
    gate = Gate(1)
    job = jobs.submit("a", gate, waiter="me", stamp=2)
    assert job is not former
    last = jobs.last("a")
    assert last is not None
    assert last.value == "old"
    assert jobs.submit("a", gate, waiter="other", stamp=3) is job  # one at a time
    gate.let()
    assert job.wait(SOON_S)
    last = jobs.last("a")
    assert last is not None
    assert last.value == 42


def test_errors_are_sentences_and_the_thread_goes_on(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def away() -> None:
        raise StoreUnavailable("no", ui_message="the store is away")

    def broken() -> None:
        raise ZeroDivisionError("secret")

    assert (done(jobs, "a", away).state, done(jobs, "a", away).error) == ("failed", "The store is away.")
    assert done(jobs, "b", broken).error == INTERNAL_ERROR
    assert "ZeroDivisionError" in caplog.text
    assert jobs.last("a") is None
    jobs.forget("a")
    assert done(jobs, "a", lambda: "there again").value == "there again"


def test_results_are_few_and_let_go_when_nobody_asks_for_them(clock: HandClock) -> None:
    jobs = Jobs(n_workers=2, max_kept=4, kept_s=60.0, now_s=clock)
    for number in range(40):
        done(jobs, number, lambda number=number: [number])
    assert len(jobs) <= 5
    assert done(jobs, 39, lambda: "anew").value == [39]
    clock.s += 61
    assert done(jobs, 39, lambda: "anew").value == "anew"
    assert jobs.stop(SOON_S)


def test_too_much_work_is_refused_in_words(jobs: Jobs) -> None:
    gate = Gate(1)
    jobs.submit("first", gate, waiter="me")
    assert gate.reached.acquire(timeout=SOON_S)
    for number in range(MAX_WAITING):
        jobs.submit(number, lambda: None, waiter="me")
    with pytest.raises(TooMuchWork, match="try again in a moment"):
        jobs.submit("more", lambda: None, waiter="me")
    gate.let()


def test_the_end_cancels_what_runs_and_what_waits() -> None:
    jobs, gate = Jobs(n_workers=1), Gate(3)
    running, waiting = jobs.submit("a", gate, waiter="me"), jobs.submit("b", Gate(1), waiter="me")
    assert gate.reached.acquire(timeout=SOON_S)
    gate.let(3)
    assert jobs.stop(SOON_S)
    assert (running.state in ("cancelled", "done"), waiting.state, len(jobs)) == (True, "cancelled", 0)
    with pytest.raises(TooMuchWork):
        jobs.submit("c", lambda: None, waiter="me")


def test_who_is_not_waited_for_tells_nobody() -> None:
    progress.step(1, 2, "days")
    progress.check()
    assert list(progress.stepping([1, 2], "days")) == [1, 2]

    class Impatient:
        def step(self, done: int, total: int, words: str) -> None:
            del total, words
            if done:
                raise Cancelled

        def check(self) -> None:
            raise Cancelled

    seen = []

    def look() -> None:
        for each in progress.stepping(["a", "b"], "days"):
            seen.append(each)  # noqa: PERF402

    with progress.telling(Impatient()), pytest.raises(Cancelled):
        look()
    assert seen == ["a"]
    progress.check()
