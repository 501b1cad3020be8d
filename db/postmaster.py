"""What postmaster.pid says, and whether it is true.

A pid file outlives its server: the pid may be gone, a zombie, or somebody else's by now. Believing it would hand out a dead
address, and a signal to it would hit a stranger. So a pid counts only while it is a postgres that works in our data directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The first lines of a postmaster.pid: process, socket directory (None while it starts), status word."""

    pid: int
    socket_dir: Path | None
    port: int
    status: str

    @property
    def socket_path(self) -> Path | None:
        return None if self.socket_dir is None else self.socket_dir / f".s.PGSQL.{self.port}"


def read_pid_file(pgdata: Path) -> Postmaster | None:
    """What the pid file says; None where there is none, or where it was cut off."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    lines += [""] * (8 - len(lines))
    try:
        pid, port = int(lines[0]), int(lines[3] or 5432)
    except ValueError:
        return None
    return Postmaster(pid=pid, socket_dir=Path(lines[4]) if lines[4] else None, port=port, status=lines[7].strip())


def is_server_of(pid: int, pgdata: Path) -> bool:
    """Whether a living process is a postgres that works in `pgdata` (servers change into their data directory)."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        return Path(process.cwd()) == pgdata
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def has_any_process(pgdata: Path) -> bool:
    """Whether any postgres process works in `pgdata`: after a kill -9 of the postmaster its children live on for a moment."""
    return any(is_server_of(pid, pgdata) for pid in psutil.pids())


def remove_stale_files(pgdata: Path, stale: Postmaster | None) -> None:
    """Remove a pid file that is not true, and the socket files it names."""
    socket_path = stale.socket_path if stale is not None else None
    if socket_path is not None:
        socket_path.unlink(missing_ok=True)
        socket_path.with_name(socket_path.name + ".lock").unlink(missing_ok=True)
    (pgdata / "postmaster.pid").unlink(missing_ok=True)
