"""The doctor against exchanges that answer, that are away, and whose time is another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.simulator.process import SimulatorProcess
from tests.chaos.app_process import ROOT, clean_environment, free_port
from tests.chaos.market import as_settings, start_jumping_market, start_market


def examine(place: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Status and report of `python -m services.cli doctor`, which writes nothing to standard error."""
    environment = clean_environment({"HEATMAP_SOURCE": "live", "HEATMAP_DATA_DIR": str(place / "data"), **settings})
    command = [sys.executable, "-m", "services.cli", "doctor", "--port", str(free_port()), *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def line_of(report: str, what: str) -> str:
    return next(line for line in report.splitlines() if f" {what}: " in line)


@pytest.fixture
def place(short_tmp: Path) -> Path:
    short_tmp.chmod(0o711)  # as root the embedded server is another user, who must pass; it would do so itself, and say it
    path = short_tmp / f"doctor-{time.monotonic_ns()}"
    path.mkdir()
    return path


def test_it_names_the_embedded_server_and_leaves_it_stopped(place: Path) -> None:
    status, report = examine(place, "--offline")
    assert status == 0
    assert line_of(report, "store").startswith("ok       store: 18")
    assert "(embedded)" in report
    assert not (place / "data" / "postgres" / "postmaster.pid").exists()


def test_exchanges_that_answer_are_reachable_with_their_clock(place: Path) -> None:
    with start_market(["BTCUSDT"]) as market:
        status, report = examine(place, HEATMAP_STORE="memory", **as_settings(market.endpoints, ["BTCUSDT"]))
    assert status == 0
    for name in ("binance", "okx", "bybit"):
        assert line_of(report, name).startswith(f"ok       {name}: reachable in ")


def test_an_exchange_that_is_away_is_a_problem_and_the_others_are_still_asked(place: Path) -> None:
    with start_market(["BTCUSDT"]) as market:
        settings = {**as_settings(market.endpoints, ["BTCUSDT"]), "OKX_REST_URL": f"http://127.0.0.1:{free_port()}"}
        status, report = examine(place, HEATMAP_STORE="memory", **settings)
    assert status == 2
    assert line_of(report, "okx").startswith("problem  okx: ")
    assert "the app keeps trying by itself" in report
    assert line_of(report, "bybit").startswith("ok ")


def test_a_clock_that_is_an_hour_off_is_a_warning(place: Path) -> None:
    market: SimulatorProcess = start_jumping_market(["BTCUSDT"])
    with market:
        os.kill(market.pid, signal.SIGUSR1)
        status, report = examine(place, HEATMAP_STORE="memory", **as_settings(market.endpoints, ["BTCUSDT"]))
    assert status == 0
    for name in ("binance", "okx", "bybit"):
        assert line_of(report, name) == f"warning  {name}: reachable, and this machine's clock is -3600.0 s off"
    assert "set the clock (NTP)" in report
