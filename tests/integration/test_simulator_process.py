"""The simulator as a process: its start, its ends, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from services.simulator.process import SimulatorFailed, SimulatorProcess
from tests.integration.simulator_client import PATHS, Client, get, is_book, subscribe

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "services.simulator", "--symbols", "BTCUSDT"]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that only waits: somebody's parent."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def four_free_ports() -> int:
    """The first of four free ports in a row, below those the system hands out by itself."""
    for base in range(20_000 + os.getpid() % 997, 30_000, 4):
        with suppress(OSError), ExitStack() as stack:
            for port in range(base, base + 4):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return base
    raise AssertionError("no four free ports in a row")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_with_clients_connected(number: signal.Signals) -> None:
    process = subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    endpoints = json.loads(process.stdout.readline())
    with Client(endpoints["bybit"]["ws"] + PATHS["bybit"]) as client:
        client.send(subscribe("bybit", "orderbook.50.BTCUSDT"))
        client.until(is_book)
        process.send_signal(number)
        assert client.close_code() == 1006
    out, complaints = process.communicate(timeout=2)
    assert (process.returncode, out, complaints) == (0, "", "")


def test_it_ends_by_itself_when_its_parent_is_gone(bystander: subprocess.Popen[bytes]) -> None:
    command = [*COMMAND, "--parent-pid", str(bystander.pid)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.6)
    assert process.poll() is None
    bystander.kill()  # nobody has waited for it: to the system it is still there, as a zombie
    process.communicate(timeout=3)
    assert process.returncode == 0


def test_it_serves_on_loopback_only_at_ports_that_follow_each_other() -> None:
    base = four_free_ports()
    with SimulatorProcess.start(["BTCUSDT"], extra_args=["--port-base", str(base)]) as simulator:
        addresses = [simulator.endpoints[name]["rest"] for name in ("binance", "okx", "bybit")]
        assert [*addresses, simulator.endpoints["control"]] == [f"http://127.0.0.1:{base + index}" for index in range(4)]
        assert simulator.endpoints["pid"] == simulator.pid != os.getpid()
        assert get(addresses[0] + "/fapi/v1/ping").body == {}


def test_a_taken_port_is_said_in_one_sentence() -> None:
    sentence = r"ended with status 2: simulator could not start: .*in use"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SimulatorFailed, match=sentence) as failed:
        SimulatorProcess.start(["BTCUSDT"], extra_args=["--port-base", str(taken.getsockname()[1])])
    assert "Traceback" not in str(failed.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--symbols", "btcusdt"], "symbol was 'btcusdt'"),
        (["--depth-hz", "0"], "--depth-hz was 0; expected 1 to 50"),
        (["--truth", "/nowhere/at/all/truth.jsonl"], "simulator could not start: "),
    ],
)
def test_a_wrong_argument_is_refused_with_status_2(arguments: list[str], says: str) -> None:
    ended = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=15, check=False)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_stopping_twice_is_stopping_once() -> None:
    simulator = SimulatorProcess.start(["BTCUSDT"])
    assert simulator.is_running()
    simulator.stop()
    simulator.stop()
    assert not simulator.is_running()
    with pytest.raises(SimulatorFailed, match="did not answer"):
        simulator.stats()
