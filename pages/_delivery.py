"""Two private steps of Streamlit's server made cheaper, where they are found as we know them; else Streamlit's own are left.

Its loop gives way to everything else after each message of each session, so that with 50 pages open on a busy machine a message
waits for seconds, while the interpreter has time to spare. Here the messages of a session go to its socket's queue in one go. And
the theme, of six sections and some 300 options, is put into a message at the start of each run of a fragment: here it is kept for
ten seconds. Figures and the reasons: docs/decisions/0020-messages-in-one-go.md.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import cache, wraps
from time import monotonic
from typing import Any, Final

from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import Runtime, app_session
from streamlit.runtime.session_manager import SessionClientDisconnectedError

AT_ONCE: Final = 100  # messages; the queue of a socket holds 500, and who is further behind than that is disconnected
THEME_KEPT_S: Final = 10.0  # an edited config.toml is read by Streamlit while it runs
_OURS: Final = "_is_unified_heatmap"
log = logging.getLogger(__name__)

Flush = Callable[[Any], list[Any]]
Populate = Callable[..., None]


@cache
def hastened() -> tuple[str, ...]:
    """`hasten`, once in a process; what stays as Streamlit has it is written to the log."""
    left = hasten()
    if left:
        log.warning("this version of Streamlit has another %s: many open pages will be slower", " and ".join(left))
    return left


def hasten() -> tuple[str, ...]:
    """Put both in place where they are not yet; the names of those that stay as Streamlit has them."""
    left = []
    for place, name, made, expected in (
        (app_session.AppSession, "flush_browser_queue", in_one_go, ("self",)),
        (app_session, "_populate_theme_msg", kept_theme, ("msg", "section")),
    ):
        found = getattr(place, name, None)
        if getattr(found, _OURS, False):
            continue
        if not callable(found) or tuple(inspect.signature(found).parameters) != expected or not _has_loop():
            left.append(name)
            continue
        ours = made(found)
        setattr(ours, _OURS, True)
        setattr(place, name, ours)
    return tuple(left)


def _has_loop() -> bool:
    """Whether the runtime sends messages as we know it to."""
    send = getattr(Runtime, "_send_message", None)
    return callable(send) and tuple(inspect.signature(send).parameters) == ("self", "session_info", "msg")


def in_one_go(flush: Flush) -> Flush:
    """`flush` of a session's messages, the first hundred of which are sent at once; it returns what is left to be sent.

    A message that cannot be sent is among those left, so that the loop meets the same error and ends the session as ever.
    """

    @wraps(flush)
    def flush_browser_queue(session: Any) -> list[Any]:
        messages = flush(session)
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
