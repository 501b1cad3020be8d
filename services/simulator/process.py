"""Start and stop the simulator as a process of its own, and talk to its control port."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

_ROOT: Final = Path(__file__).resolve().parents[2]
_START_S: Final = 15.0
_STOP_S: Final = 3.0
_ANSWER_S: Final = 10.0


class SimulatorFailed(RuntimeError):
    """The simulator did not start, or refused a command; the text says why."""


class SimulatorProcess:
    """A running simulator. Stop it with `stop()` or use it as a context manager; it also ends with its parent."""

    def __init__(self, process: subprocess.Popen[str], complaints: IO[str]) -> None:
        self._process = process
        self._complaints = complaints
        #: As printed at the start: {"binance": {"ws", "rest"}, "okx": …, "bybit": …, "control": url, "pid": int}.
        self.endpoints: dict[str, Any] = {}
        self.pid = process.pid

    @classmethod
    def start(
        cls,
        symbols: Sequence[str],
        *,
        seed: int = 7,
        depth_hz: float = 10,
        liquidations_per_second: float | None = None,
        extra_args: Sequence[str] = (),
    ) -> Self:
        """Start a simulator on free loopback ports. SimulatorFailed when it is not ready within 15 s."""
        command = [sys.executable, "-m", "services.simulator", "--symbols", ",".join(symbols), "--seed", str(seed)]
        command += ["--depth-hz", f"{depth_hz:g}", "--parent-pid", str(os.getpid())]
        if liquidations_per_second is not None:
            command += ["--liquidations-per-second", f"{liquidations_per_second:g}"]
        # Not a pipe: nobody would read it while the simulator runs, and a full one would stop it.
        complaints = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115 - closed by stop()
        process = subprocess.Popen(  # noqa: S603 - our own module, arguments of our own
            [*command, *extra_args],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        started = cls(process, complaints)
        try:
            started.endpoints = started._first_line()
        except SimulatorFailed:
            started.stop()
            raise
        return started

    def fault(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Put a fault in force; `fields` such as symbol, exchange and count are listed in docs/simulator.md."""
        return self._ask("/fault", {"kind": kind, **fields})

    def change_symbols(self, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> dict[str, Any]:
        """List and delist symbols while running."""
        return self._ask("/symbols", {"add": list(add), "remove": list(remove)})

    def stats(self) -> dict[str, Any]:
        """Counts of what was sent so far, per exchange and channel."""
        return self._ask("/stats", None)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process, by force if it does not go within 3 s. Calling it again does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._complaints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.endpoints["control"] + path, data=data)  # noqa: S310 - loopback http
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310 - loopback http
                return dict(json.load(answer))
        except urllib.error.HTTPError as refused:
            with refused:
                raise SimulatorFailed(json.load(refused)["error"]) from refused
        except OSError as wrong:
            raise SimulatorFailed(f"simulator did not answer at {self.endpoints['control']}: {wrong}") from wrong

    def _first_line(self) -> dict[str, Any]:
        """The line the simulator prints when it is ready."""
        out = self._process.stdout
        if out is None:
            raise SimulatorFailed("simulator was started without a pipe")
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # A blocking readline has no timeout of its own on every platform; a thread gives it one.
        reader = threading.Thread(target=lambda: lines.put(out.readline()), daemon=True, name="simulator-start")
        reader.start()
        try:
            line = lines.get(timeout=_START_S)
        except queue.Empty:
            # Its end closes the pipe, which ends the reader before anybody closes the file under it.
            self._process.kill()
            reader.join()
            raise SimulatorFailed(f"simulator was not ready within {_START_S:g} s") from None
        reader.join()
        if not line:
            status = self._process.wait(_STOP_S)
            self._complaints.seek(0)
            raise SimulatorFailed(f"simulator ended with status {status}: {self._complaints.read().strip()}")
        return dict(json.loads(line))
