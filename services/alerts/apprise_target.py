"""Telegram, Discord, Slack, e-mail and others, through apprise in a process of its own (apprise_child.py says why)."""

from __future__ import annotations

import os
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from services.alerts.apprise_child import Answer, Job
from services.alerts.delivery_targets import address_problem, apprise_scheme
from services.alerts.delivery_words import Message
from services.alerts.undelivered import Undelivered
from services.domain.alerts import TargetSecret

LIMIT_S: Final = 30
_ROOT: Final = Path(__file__).resolve().parents[2]
# None of ours: a plugin needs no database URL and no proxy, and a .netrc would be sent to hosts that a user names.
_ENVIRONMENT: Final = {"HOME": os.devnull, "NETRC": os.devnull, "LANG": "C.UTF-8"}


def send_by_apprise(secret: TargetSecret, message: Message, *, allows_private: bool, limit_s: int = LIMIT_S) -> None:
    """Send it once, within `limit_s`. Raises Undelivered, whose sentence names the service and never the address."""
    if problem := address_problem("apprise", secret.address):
        raise Undelivered(problem, is_final=True)
    service = apprise_scheme(secret.address)
    job = Job(address=secret.address, title=message.title, text=message.text, allows_private=allows_private, limit_s=limit_s)
    answer = _ask(job, f"{service}://")
    if answer.is_sent:
        return
    if not answer.is_understood:
        raise Undelivered(f"the {service}:// address was not one that apprise understands", is_final=True)
    if answer.refused:
        raise Undelivered(f"{service}://: {answer.refused}", is_final=True)
    raise Undelivered(f"{service}:// {_words(answer)}")


def _ask(job: Job, service: str) -> Answer:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "services.alerts.apprise_child"],
            input=msgspec.json.encode(job),  # not an argument: those are seen by everybody on this machine
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env=_ENVIRONMENT,
            timeout=job.limit_s + 1,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=Answer)
    except subprocess.TimeoutExpired:
        raise Undelivered(f"{service} did not take the message within {job.limit_s} s") from None
    except OSError as error:
        raise Undelivered(f"{service} could not be used: its process did not start ({type(error).__name__})") from None
    except msgspec.MsgspecError:  # it was ended: by its alarm or for want of memory
        raise Undelivered(f"{service} did not take the message within {job.limit_s} s, or answered too much") from None


def _words(answer: Answer) -> str:
    if answer.status is not None and not 200 <= answer.status < 300:
        known = HTTPStatus._value2member_map_.get(answer.status)
        return f"answered {answer.status}{f' ({HTTPStatus(answer.status).phrase})' if known else ''}"
    if answer.error is not None:
        return f"could not be reached ({answer.error})"
    return "did not take the message; check its address with the service's own documentation"
