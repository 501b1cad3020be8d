"""A process of its own that sends one message through apprise, and ends: `python -m services.alerts.apprise_child`.

apprise speaks a hundred services' protocols with whatever its plugins use, and plugins read files that a URL names. A process can
be given what a thread cannot: an end after so many seconds, a limit of memory, and a guard over every connection, file and program
(sys.addaudithook), which looks at the very address that is connected to, after any resolving. In: one JSON object (Job) on standard
input. Out: one (Answer) on standard output. It logs nothing: what plugins say holds tokens.
"""

from __future__ import annotations

import logging
import mimetypes
import os
import resource
import signal
import sys
import sysconfig
import zoneinfo
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from services.alerts.addresses import MAIL_PORTS, address_refusal, port_refusal

MEMORY_BYTES: Final = 512 * 1024 * 1024
_RUNS: Final = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn", "ctypes.dlopen")
_DATAGRAMS: Final = ("socket.sendto", "socket.sendmsg")
_NOT_WRITTEN: Final = (os.devnull, "/dev/urandom")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, and how long that may take."""

    address: str
    title: str
    text: str
    allows_private: bool
    limit_s: int

    def __repr__(self) -> str:
        return "Job(***)"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. `status` is the HTTP status of the last answer, `refused` what the guard said last."""

    is_sent: bool = False
    is_understood: bool = True
    status: int | None = None
    error: str | None = None  # the name of the last exception's type
    refused: str | None = None


class Guard:
    """What this process may reach from now on. It cannot be taken off again."""

    def __init__(self, *, allows_private: bool) -> None:
        self._allows_private = allows_private
        libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
        self._readable = tuple(os.path.realpath(each) + os.sep for each in (*libraries, *zoneinfo.TZPATH))
        self._files = frozenset((*_NOT_WRITTEN, *mimetypes.knownfiles))
        self.refused: str | None = None

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            self._judge(given[1])
        elif event == "open":
            self._judge_file(given[0], given[1], given[2])
        elif event in _DATAGRAMS:
            self._refuse("a datagram was refused")
        elif event in _RUNS and not (event == "ctypes.dlopen" and given == (None,)):
            self._refuse("another program was refused")

    def _judge(self, sockaddr: Any) -> None:
        if not isinstance(sockaddr, tuple) or len(sockaddr) < 2:
            return self._refuse("a connection that is not to an address of the internet was refused")
        try:
            address = ip_address(str(sockaddr[0]))
        except ValueError:
            return self._refuse("a connection to a name that was not resolved was refused")
        refused = address_refusal(address, allows_private=self._allows_private) or port_refusal(int(sockaddr[1]), also=MAIL_PORTS)
        return self._refuse(refused) if refused else None

    def _judge_file(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int):
            return
        name = os.path.realpath(os.fsdecode(path))
        is_written = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if name not in self._files and (is_written or not name.startswith(self._readable)):
            raise PermissionError("a file of this machine was refused")

    def _refuse(self, why: str) -> None:
        self.refused = why
        raise PermissionError(why)


def send(job: Job) -> Answer:
    """Send it once, from under the guard."""
    import requests  # here, as only this process has a use for them; apprise takes 0.5 s and 45 MB
    from apprise import Apprise, AppriseAsset, NotifyFormat

    statuses: list[int] = []
    errors: list[str] = []

    class Session(requests.Session):
        """Follows no redirect, and notes what was answered: apprise tells only whether it went well."""

        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            try:
                answer = super().send(request, **(options | {"allow_redirects": False, "proxies": {}}))
            except requests.RequestException as error:
                errors.append(type(error).__name__)
                raise
            statuses.append(answer.status_code)
            return answer

    # requests.post and its like make their sessions by this name.
    requests.sessions.Session = Session  # type: ignore[misc]
    requests.Session = Session  # type: ignore[misc]
    asset = AppriseAsset(
        body_format=NotifyFormat.TEXT, http_redirects=False, service_timeout=float(job.limit_s - 2), storage_mode="memory",
        pgp_autogen=False, pem_autogen=False, allow_templates=False,
    )  # fmt: skip
    Apprise.instantiate("json://localhost")  # loads the plugins, which may look for libraries: before the guard
    guard = Guard(allows_private=job.allows_private)
    sys.addaudithook(guard)
    plugin = Apprise.instantiate(job.address, asset=asset)
    if plugin is None:
        return Answer(is_understood=False)
    apprise = Apprise(asset=asset)
    apprise.add(plugin)
    is_sent = bool(apprise.notify(title=job.title, body=job.text))
    return Answer(
        is_sent=is_sent,
        status=statuses[-1] if statuses else None,
        error=errors[-1] if errors else None,
        refused=None if is_sent else guard.refused,
    )


def main() -> None:
    """Read a job, send it, print the answer."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    signal.alarm(job.limit_s)  # also when the parent is gone
    with suppress(ValueError, OSError):  # macOS knows the limit and does not hold it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.dont_write_bytecode = True
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # plugins may print
    os.dup2(nowhere, 2)
    logging.disable(logging.CRITICAL)
    try:
        answer = send(job)
    except Exception as error:  # noqa: BLE001 - a plugin's bug; its text may hold the URL, so only its name goes out
        answer = Answer(error=type(error).__name__)
    os.write(out, msgspec.json.encode(answer))
    os._exit(0)  # no waiting for a plugin's threads


if __name__ == "__main__":
    main()
