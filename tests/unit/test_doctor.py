"""The doctor's findings: what is wrong, and what to do about it."""

from __future__ import annotations

import argparse
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from services.commands import doctor

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Settings of a machine on which all is well: a data directory of its own, the store in memory."""
    for name, text in {"HEATMAP_DATA_DIR": str(tmp_path / "data"), "HEATMAP_STORE": "memory", "HEATMAP_SOURCE": "sim"}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 10**11, 10**11))
    return tmp_path / "data"


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", *arguments])
    return args.run(args), capsys.readouterr().out


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_all_well_is_status_0_and_one_line_a_finding(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = examine(capsys, "--port", str(free_port()))
    assert status == 0
    lines = text.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 4
    assert [line.split(":")[0].split(maxsplit=1)[1] for line in lines] == ["settings", "data directory", "port", "store"]
    assert "source sim" in lines[0]
    assert "100 GB free" in lines[1]


def test_a_bad_setting_ends_the_examination(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEATMAP_PRICE_RANGE", "90")
    status, text = examine(capsys)
    assert status == 2
    assert text.startswith("problem  settings: HEATMAP_PRICE_RANGE was '90'; it must be a number from 0.1 to 50")
    assert "docs/settings.md" in text
    assert "port" not in text


def test_a_directory_that_cannot_be_written_is_a_problem_with_a_way_out(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_text("a file in the way")
    monkeypatch.setenv("HEATMAP_DATA_DIR", str(settings / "below"))
    status, text = examine(capsys, "--port", str(free_port()))
    assert status == 2
    assert "problem  data directory" in text
    assert "→ make it writable" in text


def test_examining_leaves_nothing_in_the_data_directory(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examine(capsys, "--port", str(free_port()))
    assert list(settings.iterdir()) == []


def test_a_disk_that_is_nearly_full_is_a_warning(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 10**12 - 10**9, 10**9))
    status, text = examine(capsys, "--port", str(free_port()))
    assert status == 0
    assert "warning  data directory" in text
    assert "1.0 GB free" in text


def test_a_port_in_use_is_a_warning_that_names_the_variable(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, text = examine(capsys, "--port", str(port))
    assert status == 0
    assert f"warning  port: {port} is in use" in text
    assert "STREAMLIT_SERVER_PORT" in text


def test_a_store_that_cannot_be_opened_is_a_problem_without_its_password(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEATMAP_STORE", "postgres")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:secretword@127.0.0.1:{free_port()}/none")
    status, text = examine(capsys, "--port", str(free_port()))
    assert status == 2
    assert "problem  store: PostgreSQL at postgresql://me:***@127.0.0.1" in text
    assert "secretword" not in text


def test_a_store_with_a_recording_or_a_simulation_needs_no_exchange(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = examine(capsys, "--port", str(free_port()))
    assert not any(name in text.split("port:")[1] for name in ("binance", "okx", "bybit"))
