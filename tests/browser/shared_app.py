"""One app for a whole test run: the first of its processes to ask starts it, the last to leave stops it.

Test files run in several processes (pytest-xdist), and an app costs half a core. Users hold a shared file lock, which the kernel
gives back even after a crash; whoever can take it alone is the last.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.browser.running import SimulatedApp

_started: dict[int, SimulatedApp] = {}  # by pid: a dropped Popen complains of a process that still runs


@dataclass(frozen=True, slots=True)
class RunningApp:
    """Where it answers. It is everybody's: a test that disturbs the market or the store starts one of its own."""

    url: str
    port: int


@contextmanager
def shared_app(place: Path, *, prepare: Callable[[Path], None], **settings: str) -> Iterator[RunningApp]:
    """The app of the run that `place` belongs to; nobody else may use that directory. `prepare` fills its data directory."""
    place.mkdir(exist_ok=True)
    note = place / "app.json"
    with (place / "users.lock").open("ab") as users:
        with _alone(place):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not note.exists():
                note.write_text(json.dumps(_start(place, prepare, settings)), encoding="utf-8")
            known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        try:
            yield RunningApp(known["url"], known["port"])
        finally:
            with _alone(place):
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass  # another process of the run still looks at it
                else:
                    note.unlink()
                    _stop(known["pid"])


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    with (place / "app.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(place: Path, prepare: Callable[[Path], None], settings: dict[str, str]) -> dict[str, Any]:
    prepare(place / "data")
    app = SimulatedApp(place / "data", **settings)
    try:
        app.wait_ready()
    except BaseException:
        app.kill()
        raise
    _started[app.process.pid] = app
    return {"url": app.url, "port": app.port, "pid": app.process.pid}


def _stop(pid: int) -> None:
    """It may be the child of another process of the run, which has ended or waits for tests."""
    mine = _started.pop(pid, None)
    if mine is not None:
        mine.end()
        return
    try:
        process = psutil.Process(pid)
        process.terminate()
        process.wait(20)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        process.kill()
