"""Three private steps of Streamlit's server replaced, where they are found as we know them; else Streamlit's own are left.

Its loop gives way to everything else after each message of each session, so that with 50 pages open on a busy machine a message
waits for seconds, while the interpreter has time to spare. Here the messages of a session go to its socket's queue in one go. And
the theme, of six sections and some 300 options, is put into a message at the start of each run of a fragment: here it is kept for
ten seconds. And a timer's request to refresh goes through a gate, which passes some over while the interpreter is behind.
Figures and the reasons: docs/decisions/0020-messages-in-one-go.md.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import cache, wraps
from time import monotonic
from typing import Any, Final

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import Runtime, app_session
from streamlit.runtime.session_manager import SessionClientDisconnectedError

from services.views.refresh_gate import GATE, RefreshGate

AT_ONCE: Final = 100  # messages; the queue of a socket holds 500, and who is further behind than that is disconnected
THEME_KEPT_S: Final = 10.0  # an edited config.toml is read by Streamlit while it runs
_OURS: Final = "_is_unified_heatmap"
log = logging.getLogger(__name__)

Flush = Callable[[Any], list[Any]]
Populate = Callable[..., None]
Handle = Callable[[Any, BackMsg], None]


@cache
def hastened() -> tuple[str, ...]:
    """`hasten`, once in a process; what stays as Streamlit has it is written to the log."""
    left = hasten()
    if left:
        log.warning("this version of Streamlit has another %s: many open pages will be slower", " and ".join(left))
    return left


def hasten() -> tuple[str, ...]:
    """Put all in place where they are not yet; the names of those that stay as Streamlit has them.

    The gate must hear of answers, so it is not there without the step that sends them.
    """
    session = app_session.AppSession
    has_loop = _takes(getattr(Runtime, "_send_message", None), "self", "session_info", "msg")
    sends = has_loop and _replaced(session, "flush_browser_queue", in_one_go, "self")
    knows_timers = "is_auto_rerun" in ClientState.DESCRIPTOR.fields_by_name
    put = {
        "flush_browser_queue": sends,
        "_populate_theme_msg": _replaced(app_session, "_populate_theme_msg", kept_theme, "msg", "section"),
        "handle_backmsg": sends and knows_timers and _replaced(session, "handle_backmsg", through_gate, "self", "msg"),
    }
    return tuple(name for name, is_put in put.items() if not is_put)


def _takes(found: object, *parameters: str) -> bool:
    return callable(found) and tuple(inspect.signature(found).parameters) == parameters


def _replaced(place: object, name: str, made: Callable[[Any], Any], *parameters: str) -> bool:
    """Whether ours is in place of a step that has these parameters."""
    found = getattr(place, name, None)
    if getattr(found, _OURS, False):
        return True
    if not _takes(found, *parameters):
        return False
    ours = made(found)
    setattr(ours, _OURS, True)
    setattr(place, name, ours)
    return True


def in_one_go(flush: Flush, gate: RefreshGate = GATE) -> Flush:
    """`flush` of a session's messages, the first hundred of which are sent at once; it returns what is left to be sent.

    A message that cannot be sent is among those left, so that the loop meets the same error and ends the session as ever.
    """

    @wraps(flush)
    def flush_browser_queue(session: Any) -> list[Any]:
        messages = flush(session)
        if any(message.WhichOneof("type") == "script_finished" for message in messages):
            gate.answered(session.id)
        runtime: Any = Runtime.instance() if Runtime.exists() else None
        sessions = getattr(runtime, "_session_mgr", None)
        seat = None if sessions is None else sessions.get_active_session_info(session.id)
        if seat is None or seat.session is not session:
            return messages
        for index, message in enumerate(messages[:AT_ONCE]):
            try:
                runtime._send_message(seat, message)
            except SessionClientDisconnectedError:
                return messages[index:]
        return messages[AT_ONCE:]

    return flush_browser_queue


def through_gate(handle: Handle, gate: RefreshGate = GATE) -> Handle:
    """`handle` of what a browser asks, without the timers' refreshes that the gate passes over; they ask again by themselves."""

    @wraps(handle)
    def handle_backmsg(session: Any, msg: BackMsg) -> None:
        asked = msg.rerun_script
        is_timed = msg.WhichOneof("type") == "rerun_script" and asked.is_auto_rerun and bool(asked.fragment_id)
        if not is_timed or gate.admits(session.id, asked.fragment_id):
            handle(session, msg)

    return handle_backmsg


def kept_theme(populate: Populate, now_s: Callable[[], float] = monotonic) -> Populate:
    """`populate` of a theme's message by the options of a section, which are read once in ten seconds."""
    kept: dict[str, tuple[float, CustomThemeConfig]] = {}

    @wraps(populate)
    def populate_theme(msg: CustomThemeConfig, section: str = "theme") -> None:
        made_s, theme = kept.get(section, (-THEME_KEPT_S, CustomThemeConfig()))
        if now_s() - made_s >= THEME_KEPT_S:
            theme = CustomThemeConfig()
            populate(theme, section)
            kept[section] = (now_s(), theme)
        if theme.ListFields():
            msg.MergeFrom(theme)

    return populate_theme
