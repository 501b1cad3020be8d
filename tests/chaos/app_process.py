"""The whole product as a process of its own: started, watched from outside, ended in every way there is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).parents[2]
READY_WITHIN_S: Final = 90.0  # 2 s on a machine that has nothing else to do
_HEATMAP_URLS: Final = ("DATABASE_URL", "BINANCE_", "OKX_", "BYBIT_")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether the condition came true in time."""
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        if condition():
            return True
        time.sleep(0.05)
    return False


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without the settings of whoever runs the tests, and with `extra`."""
    ours = ("HEATMAP_", "STREAMLIT_", *_HEATMAP_URLS)
    return {**{name: text for name, text in os.environ.items() if not name.startswith(ours)}, **extra}


class AppProcess:
    """`python app.py` (or another command) on a free port. Use as a context manager: nothing outlives it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        source: str = "sim",
        command: Sequence[str] = ("app.py",),
        root: Path = ROOT,
        **settings: str,
    ) -> None:
        self.data_dir = data_dir
        self.port = int(settings.pop("STREAMLIT_SERVER_PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {"HEATMAP_SOURCE": source, "HEATMAP_DATA_DIR": str(data_dir), "STREAMLIT_SERVER_PORT": str(self.port), **settings}
        logs = data_dir.parent if data_dir.parent.is_dir() else Path(settings.get("TMPDIR", tempfile.gettempdir()))
        self._log_path = logs / f"app-{self.port}-{time.monotonic_ns()}.log"
        self._out_path = self._log_path.with_suffix(".out")
        with self._log_path.open("wb") as log, self._out_path.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=root, env=clean_environment(given), stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )
        self.started = time.monotonic()

    @property
    def stderr(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def stdout(self) -> str:
        return self._out_path.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self) -> float:
        """Seconds from the start until the server answers; AssertionError with the app's own words when it does not."""
        while time.monotonic() - self.started < READY_WITHIN_S:
            assert self.process.poll() is None, f"the app ended with {self.process.returncode}: {self.stderr}"
            if self.answers("/_stcore/health"):
                return time.monotonic() - self.started
            time.sleep(0.05)
        raise AssertionError(f"the app did not answer within {READY_WITHIN_S:.0f} s: {self.stderr}")

    def answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=2) as answer:  # noqa: S310 - loopback
                return int(answer.status) == 200
        except OSError:
            return False

    def end(self, number: int = signal.SIGTERM, within_s: float = 20.0) -> tuple[int, float]:
        """Send the signal; exit status and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(within_s), time.monotonic() - began

    def kill(self) -> None:
        """kill -9, and no more: its children and its server see to themselves."""
        self.process.kill()
        self.process.wait(10)

    def simulators(self) -> list[psutil.Process]:
        """The simulator processes it started."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in children if "services.simulator" in each.cmdline()]

    def servers(self) -> list[psutil.Process]:
        """The embedded server's processes of this data directory, whoever is their parent."""
        return server_processes(self.data_dir)

    def __enter__(self) -> AppProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def server_processes(data_dir: Path) -> list[psutil.Process]:
    """The postmaster of a data directory and its children."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()) == (data_dir / "postgres").resolve():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # it ended while we looked, or is nobody we may look at
    return found
