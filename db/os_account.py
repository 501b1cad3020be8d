"""Which operating-system user the embedded server runs as. PostgreSQL refuses to run as root, so root needs another one."""

from __future__ import annotations

import logging
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.domain.errors import ConfigError

log = logging.getLogger(__name__)

SERVICE_USER: Final = "heatmap-postgres"
_USERADD: Final = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER)
_FIRST_PERSON_UID: Final = 1_000
_NOBODY_UID: Final = 65_534
WAY_OUT: Final = "set DATABASE_URL to a PostgreSQL of yours, or HEATMAP_DATA_DIR to another directory"


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server process runs as: ourselves, or (`is_other`) one to change to."""

    uid: int
    gid: int
    is_other: bool


def server_account(data_dir: Path, *, binaries: Path) -> Account:
    """The account for a server on `data_dir`: ourselves, or a service user when we are root.

    As root, the directories above data and binaries are opened for passing through (o+x, never for listing) where they are
    root's. Raises ConfigError where they are somebody else's.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), is_other=False)
    entry = _service_user()
    for directory in (data_dir, binaries):
        _open_the_way(directory, entry.pw_uid)
    return Account(entry.pw_uid, entry.pw_gid, is_other=True)


def refuse_somebodys_home(data_dir: Path) -> None:
    """Raise ConfigError when we are root and the directory is below the home of somebody else: before anything is made there."""
    if os.geteuid() != 0:
        return
    for entry in pwd.getpwall():
        home = Path(entry.pw_dir)
        is_person = entry.pw_uid >= _FIRST_PERSON_UID and entry.pw_uid != _NOBODY_UID and len(home.parts) > 1
        if is_person and data_dir.is_relative_to(home) and not Path("/root").is_relative_to(home):
            raise ConfigError(
                f"HEATMAP_DATA_DIR was {data_dir}, below the home of {entry.pw_name}, and this runs as root: the embedded "
                f"PostgreSQL would take over files there; run as {entry.pw_name}, or {WAY_OUT}"
            )


def _service_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        pass
    try:
        subprocess.run(_USERADD, check=True, capture_output=True, timeout=30)  # noqa: S603  constant arguments
        return pwd.getpwnam(SERVICE_USER)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        log.info("no user %s could be made (%s); the embedded PostgreSQL runs as nobody", SERVICE_USER, error)
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigError(
            f"this runs as root, PostgreSQL refuses to, and no other user could be made; run as an ordinary user, or {WAY_OUT}"
        ) from None


def _open_the_way(directory: Path, uid: int) -> None:
    for parent in (directory, *directory.parents):
        found = parent.stat()
        if found.st_mode & stat.S_IXOTH or (found.st_uid == uid and found.st_mode & stat.S_IXUSR):
            continue
        if found.st_uid != 0:
            raise ConfigError(
                f"the directory {parent} belongs to another user and may not be passed by the embedded PostgreSQL, which cannot "
                f"run as root; run as the user it belongs to, or {WAY_OUT}"
            )
        try:
            parent.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        except OSError as error:
            raise ConfigError(
                f"the directory {parent} could not be opened for the embedded PostgreSQL ({error.strerror}); {WAY_OUT}"
            ) from None
        log.warning("%s was made passable (o+x) for the embedded PostgreSQL, which cannot run as root", parent)
