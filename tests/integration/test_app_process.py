"""The whole product as a process: it serves, collects, ends when told to, and says in one sentence what only the user can mend."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path

import psutil
import pytest

from services.simulator.process import SimulatorProcess
from tests.chaos.app_process import ROOT, AppProcess, eventually, free_port, server_processes
from tests.chaos.market import as_settings
from tests.chaos.old_postgres import OldPostgres
from tests.chaos.page import Visitor

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def place(short_tmp: Path, request: pytest.FixtureRequest) -> Path:
    """A directory of this test alone, short enough for a server's socket."""
    short_tmp.chmod(0o711)  # as root the embedded server is another user, who must pass; it would do so itself, and say it
    path = short_tmp / f"app-{abs(hash(request.node.name)) % 10**8}"
    path.mkdir()
    return path


def is_collecting(visitor: Visitor) -> bool:
    metrics = visitor.see("feed_health").metrics
    return metrics.get("Books in step") == "6 / 6" and metrics["Connections"] == "4 / 4" and metrics["Stored"] != "0"


def assert_says_and_ends(app: AppProcess, *words: str) -> None:
    """Exit code 2, and one line on standard error that has all these words."""
    assert app.process.wait(20) == 2
    lines = app.stderr.splitlines()
    assert len(lines) == 1, app.stderr
    assert lines[0].startswith("unified-heatmap: ")
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_collects_and_ends_in_an_orderly_way_when_told_to(place: Path, number: signal.Signals) -> None:
    with AppProcess(place / "data", HEATMAP_SYMBOLS="BTCUSDT,ETHUSDT") as app:
        app.wait_ready()
        with Visitor(app.url) as visitor:  # a session that stays open must not keep the server up
            assert eventually(lambda: is_collecting(visitor))
            (simulator,) = app.simulators()
            assert app.servers()
            status, took_s = app.end(number)
        assert status == 0
        assert took_s < 10
        assert "Traceback" not in app.stderr
        assert not simulator.is_running()
        assert not server_processes(place / "data")


def test_a_signal_during_the_start_ends_it_without_a_trace(place: Path) -> None:
    with AppProcess(place / "data") as app:
        assert eventually(lambda: bool(app.servers()))
        status, took_s = app.end(signal.SIGTERM)
        assert status == 0
        assert took_s < 10
        assert "Traceback" not in app.stderr
        assert eventually(lambda: not server_processes(place / "data"))


def test_streamlit_run_works_as_well_and_starts_one_collector(place: Path) -> None:
    with SimulatorProcess.start(SYMBOLS) as market:
        settings = as_settings(market.endpoints, SYMBOLS)
        with AppProcess(place / "data", source="live", command=["-m", "streamlit", "run", "app.py"], **settings) as app:
            app.wait_ready()
            with Visitor(app.url) as visitor, Visitor(app.url) as another:
                assert eventually(lambda: is_collecting(visitor))
                assert is_collecting(another)
            stats = market.stats()
            assert [stats[name]["connections_opened"] for name in ("binance", "okx", "bybit")] == [2, 1, 1]
            app.end()
        assert not server_processes(place / "data")


def test_an_edited_page_leaves_one_collector(place: Path) -> None:
    copy = place / "copy"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".data", "tests", "docs", "benchmarks", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, copy, ignore=ignored)
    page = copy / "pages" / "liquidity.py"
    with SimulatorProcess.start(SYMBOLS) as market:
        settings = {**as_settings(market.endpoints, SYMBOLS), "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "poll"}
        with AppProcess(place / "data", source="live", root=copy, **settings) as app:
            app.wait_ready()
            with Visitor(app.url) as visitor:
                assert eventually(lambda: is_collecting(visitor))
                visitor.see("liquidity")
                n_threads = psutil.Process(app.process.pid).num_threads()
                page.write_text(page.read_text() + '\nst.caption("edited while it ran")\n')
                assert eventually(lambda: "edited while it ran" in visitor.see("liquidity").words)
                assert is_collecting(visitor)
                stats = market.stats()
                assert [stats[name]["connections_opened"] for name in ("binance", "okx", "bybit")] == [2, 1, 1]
                assert [stats[name]["connections"] for name in ("binance", "okx", "bybit")] == [2, 1, 1]
                assert psutil.Process(app.process.pid).num_threads() <= n_threads + 4  # script threads come and go


def test_without_a_network_it_says_who_cannot_be_reached_and_when_it_tries_again(place: Path) -> None:
    urls = {
        f"{name}_{kind}_URL": f"{scheme}://127.0.0.1:9"
        for name in ("BINANCE", "OKX", "BYBIT")
        for kind, scheme in (("WS", "ws"), ("REST", "http"))
    }
    with AppProcess(place / "data", source="live", **urls) as app:
        app.wait_ready()
        with Visitor(app.url) as visitor:

            def all_are_named() -> bool:
                alerts = visitor.see("liquidations").alerts
                return all(
                    any(name in text and "refused" in text and "Next try at" in text for text in alerts)
                    for name in ("Binance", "OKX", "Bybit")
                )

            assert eventually(all_are_named)
            health = visitor.see("feed_health")
            assert health.metrics["Connections"] == "0 / 4"
            assert set(health.table("REST")["REST"]) <= {"unreachable", "not tried yet"}
            assert health.metrics["Entries"] == "0"  # nothing is invented
        status, took_s = app.end()
        assert status == 0
        assert took_s < 10


def test_a_port_in_use_is_one_sentence(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with AppProcess(place / "data", STREAMLIT_SERVER_PORT=port) as app:
            assert_says_and_ends(app, f"port {port}", "STREAMLIT_SERVER_PORT")
    assert not (place / "data").exists()


@pytest.mark.parametrize("store", ["postgres", "memory"])
def test_a_data_directory_that_cannot_be_written_is_one_sentence(place: Path, store: str) -> None:
    (place / "file").write_text("in the way")
    with AppProcess(place / "file" / "data", HEATMAP_STORE=store) as app:
        assert_says_and_ends(app, "HEATMAP_DATA_DIR", "Not a directory")


def test_a_data_directory_with_a_space_is_one_sentence_that_names_the_way_out(place: Path) -> None:
    with AppProcess(place / "with a space") as app:
        assert_says_and_ends(app, "HEATMAP_DATA_DIR", "without spaces", "DATABASE_URL")


def test_a_wrong_database_url_is_one_sentence_without_the_password(place: Path) -> None:
    url = f"postgresql://nobody:secretword@127.0.0.1:{free_port()}/none"
    with AppProcess(place / "data", DATABASE_URL=url) as app:
        assert_says_and_ends(app, "nobody:***@127.0.0.1", "refused", "DATABASE_URL")
        assert "secretword" not in app.stderr


def test_an_old_postgresql_is_one_sentence(place: Path) -> None:
    with OldPostgres(version="12.22", number=120_022) as server, AppProcess(place / "data", DATABASE_URL=server.url) as app:
        assert_says_and_ends(app, "12.22", "14 or newer", "DATABASE_URL")


@pytest.mark.parametrize("command", [("app.py",), ("-m", "streamlit", "run", "app.py")], ids=["app.py", "streamlit run"])
def test_a_bad_setting_is_one_sentence(place: Path, command: tuple[str, ...]) -> None:
    with AppProcess(place / "data", command=command, HEATMAP_MAX_EVENTS="many") as app:
        assert_says_and_ends(app, "HEATMAP_MAX_EVENTS", "'many'", "whole number")
