"""The embedded server through its life: started, shared, killed, recovered, stopped by its last user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest

from db.connect import open_store
from db.embedded import EmbeddedServer, start_embedded
from db.postmaster import is_server_of, read_pid_file
from tests.pg import execute
from tests.store_rows import BTC, T0, WHOLE_DAY, liquidation

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
_numbers = count(1)
APP = """
import sys, time
from pathlib import Path
from db.embedded import start_embedded
server = start_embedded(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.fixture
def data_dir(short_tmp: Path) -> Iterator[Path]:
    """A data directory of this test alone; whatever still runs on it afterwards is stopped."""
    place = short_tmp / f"e{next(_numbers)}"
    yield place
    pgdata = place / "postgres"
    found = read_pid_file(pgdata)
    if found is not None and is_server_of(found.pid, pgdata):
        os.kill(found.pid, signal.SIGQUIT)
        psutil.wait_procs([psutil.Process(found.pid)], timeout=10)
    shutil.rmtree(place)


def server_pid(place: Path) -> int:
    found = read_pid_file(place / "postgres")
    assert found is not None
    return found.pid


def is_up(place: Path) -> bool:
    found = read_pid_file(place / "postgres")
    return found is not None and is_server_of(found.pid, place / "postgres")


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def start_app(place: Path) -> subprocess.Popen:
    """Another process that uses the server until a line comes on its standard input."""
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(place)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert app.stdout is not None
    assert app.stdout.readline() == "up\n"
    return app


def kill_app(app: subprocess.Popen) -> None:
    app.kill()
    app.communicate(timeout=10)


def make_note(server: EmbeddedServer, note: str) -> None:
    execute(server.dsn, "CREATE TABLE IF NOT EXISTS notes (note text)")
    execute(server.dsn, "INSERT INTO notes VALUES (%s)", (note,))


def notes(server: EmbeddedServer) -> list[str]:
    return [note for (note,) in execute(server.dsn, "SELECT note FROM notes ORDER BY 1")]


def test_a_server_starts_keeps_its_data_and_stops(data_dir: Path) -> None:
    server = start_embedded(data_dir)
    make_note(server, "kept")
    server.stop()
    server.stop()
    assert not is_up(data_dir)
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    again = start_embedded(data_dir)
    assert notes(again) == ["kept"]
    again.stop()


def test_it_listens_on_no_network_and_its_files_are_its_own(data_dir: Path) -> None:
    server = start_embedded(data_dir)
    assert execute(server.dsn, "SHOW listen_addresses") == [("",)]
    assert (data_dir / "postgres").stat().st_mode & 0o077 == 0
    assert (data_dir / "postgres" / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0
    assert execute(server.dsn, "SHOW synchronous_commit") == [("on",)]
    server.stop()


def test_the_environment_of_the_user_does_not_reach_the_server(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6543", "PGDATA": "/nowhere", "PGHOST": "example.invalid", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    server = start_embedded(data_dir)
    assert execute(server.dsn, "SHOW port") == [("5432",)]
    server.stop()


def test_two_users_share_a_server_and_the_last_one_stops_it(data_dir: Path) -> None:
    first = start_embedded(data_dir)
    second = start_embedded(data_dir)
    assert first.dsn == second.dsn
    first.stop()
    assert execute(second.dsn, "SELECT 1") == [(1,)]
    second.stop()
    assert not is_up(data_dir)


def test_users_that_start_together_get_one_server(data_dir: Path) -> None:
    servers: list[EmbeddedServer] = []
    threads = [threading.Thread(target=lambda: servers.append(start_embedded(data_dir))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.dsn for server in servers}) == 1
    for server in servers:
        assert is_up(data_dir)
        server.stop()
    assert not is_up(data_dir)


def test_the_server_of_another_process_outlives_our_stop(data_dir: Path) -> None:
    app = start_app(data_dir)
    server = start_embedded(data_dir)
    server.stop()
    assert is_up(data_dir)
    app.communicate("stop\n", timeout=20)
    assert app.returncode == 0
    assert not is_up(data_dir)


def test_after_kill_9_of_the_app_the_next_start_reuses_its_server_and_can_stop_it(data_dir: Path) -> None:
    app = start_app(data_dir)
    pid = server_pid(data_dir)
    kill_app(app)
    assert is_up(data_dir)
    server = start_embedded(data_dir)
    assert server_pid(data_dir) == pid
    server.stop()
    assert not is_up(data_dir)


def test_after_kill_9_of_app_and_server_everything_committed_is_there(data_dir: Path) -> None:
    store = open_store(database_url=None, data_dir=data_dir)
    store.append([liquidation(T0 + each) for each in range(500)])
    os.kill(server_pid(data_dir), signal.SIGKILL)
    again = open_store(database_url=None, data_dir=data_dir)  # beside the first, which never said goodbye
    assert len(again.liquidations(WHOLE_DAY, BTC)) == 500
    assert store.append([liquidation(T0 + 500)]).n_inserted == 1  # the first one's pool has found the new server
    again.close()
    store.close()
    assert not is_up(data_dir)


def test_a_pid_file_that_names_a_stranger_is_removed_and_the_stranger_lives(data_dir: Path) -> None:
    server = start_embedded(data_dir)
    make_note(server, "kept")
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
    (data_dir / "postgres" / ".s.PGSQL.5432").touch()
    again = start_embedded(data_dir)
    assert notes(again) == ["kept"]
    assert stranger.poll() is None
    again.stop()
    stranger.kill()
    stranger.wait(10)


def test_a_pid_file_that_names_a_zombie_is_removed(data_dir: Path) -> None:
    start_embedded(data_dir).stop()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    assert eventually(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
    (data_dir / "postgres" / "postmaster.pid").write_text(
        f"{zombie.pid}\n{data_dir}/postgres\n1\n5432\n{data_dir}/postgres\n\n\nready   \n"
    )
    server = start_embedded(data_dir)
    assert execute(server.dsn, "SELECT 1") == [(1,)]
    server.stop()
    zombie.wait(10)


@pytest.mark.parametrize("content", ["", "12", "not a pid\n", "1\n"])
def test_a_torn_pid_file_is_removed(data_dir: Path, content: str) -> None:
    start_embedded(data_dir).stop()
    (data_dir / "postgres" / "postmaster.pid").write_text(content)
    server = start_embedded(data_dir)
    assert execute(server.dsn, "SELECT 1") == [(1,)]
    server.stop()


def test_a_server_that_lost_its_socket_is_started_again(data_dir: Path) -> None:
    app = start_app(data_dir)
    pid = server_pid(data_dir)
    kill_app(app)
    (data_dir / "postgres" / ".s.PGSQL.5432").unlink()
    server = start_embedded(data_dir)
    assert server_pid(data_dir) != pid
    assert execute(server.dsn, "SELECT 1") == [(1,)]
    server.stop()


def test_a_path_too_long_for_a_socket_gets_a_private_directory_for_it(data_dir: Path) -> None:
    long_place = data_dir / ("x" * 60) / ("y" * 60)
    server = start_embedded(long_place)
    found = read_pid_file(long_place / "postgres")
    assert found is not None
    assert found.socket_dir is not None
    assert found.socket_dir != long_place / "postgres"
    assert found.socket_dir.stat().st_mode & 0o077 == 0
    assert execute(server.dsn, "SELECT 1") == [(1,)]
    server.stop()
    found.socket_dir.rmdir()


def test_what_a_killed_initdb_left_is_cleared_away(data_dir: Path) -> None:
    leftover = data_dir / "postgres.new-abc"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")
    (data_dir / "postgres").mkdir()
    start_embedded(data_dir).stop()
    assert not leftover.exists()


def test_opening_and_closing_five_times_leaves_no_thread_no_file_and_no_server(data_dir: Path) -> None:
    open_store(database_url=None, data_dir=data_dir).close()
    process = psutil.Process()
    before = (threading.active_count(), process.num_fds())
    for _ in range(5):
        store = open_store(database_url=None, data_dir=data_dir)
        store.append([liquidation()])
        store.close()
    assert (threading.active_count(), process.num_fds()) == before
    assert not is_up(data_dir)
