"""Streamlit's private steps that _delivery.py replaces: same messages, same theme, and Streamlit's own where they are unknown."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import Runtime, app_session
from streamlit.runtime.session_manager import SessionClientDisconnectedError

sys.path.insert(0, str(Path(__file__).parents[2] / "pages"))

import _delivery


@pytest.fixture(autouse=True)
def as_streamlit_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever another test's pages put in place is taken away, and put back afterwards."""
    for place, name in ((app_session.AppSession, "flush_browser_queue"), (app_session, "_populate_theme_msg")):
        found = getattr(place, name)
        monkeypatch.setattr(place, name, getattr(found, "__wrapped__", found))


class Client:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, closes_after: int = 1_000) -> None:
        self.sent: list[object] = []
        self.closes_after = closes_after
        self.session = SimpleNamespace(id="one")
        sessions = SimpleNamespace(get_active_session_info=lambda name: self.seats.get(name))
        self.seats: dict[str, Any] = {"one": SimpleNamespace(session=self.session)}
        runtime = SimpleNamespace(_session_mgr=sessions, _send_message=self.send)
        monkeypatch.setattr(Runtime, "exists", classmethod(lambda _cls: True))
        monkeypatch.setattr(Runtime, "instance", classmethod(lambda _cls: runtime))

    def send(self, _seat: object, message: object) -> None:
        if len(self.sent) >= self.closes_after:
            raise SessionClientDisconnectedError
        self.sent.append(message)


def test_all_messages_of_a_session_are_sent_in_order_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch)
    assert _delivery.in_one_go(lambda _session: [1, 2, 3])(client.session) == []
    assert client.sent == [1, 2, 3]


def test_what_exceeds_a_socket_s_share_is_left_to_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch)
    left = _delivery.in_one_go(lambda _session: list(range(130)))(client.session)
    assert client.sent + left == list(range(130))
    assert len(client.sent) == _delivery.AT_ONCE


def test_a_lost_client_is_left_to_streamlit_with_the_message_that_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch, closes_after=1)
    assert _delivery.in_one_go(lambda _session: [1, 2, 3])(client.session) == [2, 3]


def test_a_session_without_a_seat_or_with_another_s_keeps_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch)
    flush = _delivery.in_one_go(lambda _session: [1])
    assert flush(SimpleNamespace(id="one")) == [1]
    client.seats.clear()
    assert flush(client.session) == [1]
    monkeypatch.setattr(Runtime, "exists", classmethod(lambda _cls: False))
    assert flush(client.session) == [1]
    assert client.sent == []


def test_a_kept_theme_is_streamlit_s_own_in_every_section() -> None:
    kept = _delivery.kept_theme(app_session._populate_theme_msg)
    for section in ("theme", "theme.light", "theme.dark", "theme.sidebar"):
        own, first, again = CustomThemeConfig(), CustomThemeConfig(), CustomThemeConfig()
        app_session._populate_theme_msg(own, section)
        kept(first, section)
        kept(again, section)
        assert own == first == again


def test_an_edited_theme_is_read_again_after_ten_seconds() -> None:
    now_s, colours = [0.0], ["#111111"]

    def populate(msg: CustomThemeConfig, section: str = "theme") -> None:
        msg.primary_color = f"{colours[0]}{section}"

    kept = _delivery.kept_theme(populate, lambda: now_s[0])
    found = []
    for moment_s, colour in ((0.0, "#111111"), (9.0, "#222222"), (10.0, "#222222")):
        now_s[0], colours[0] = moment_s, colour
        msg = CustomThemeConfig()
        kept(msg)
        found.append(msg.primary_color)
    assert found == ["#111111theme", "#111111theme", "#222222theme"]


def test_a_section_without_options_stays_unset() -> None:
    parent = CustomThemeConfig()
    _delivery.kept_theme(lambda _msg, _section="theme": None)(parent.light)
    assert not parent.HasField("light")


def test_both_are_put_in_place_once() -> None:
    assert _delivery.hasten() == ()
    first = app_session.AppSession.flush_browser_queue
    assert _delivery.hasten() == ()
    assert app_session.AppSession.flush_browser_queue is first


def test_steps_of_another_shape_stay_as_streamlit_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(msg: object) -> None:
        del msg

    monkeypatch.setattr(app_session, "_populate_theme_msg", other)
    monkeypatch.delattr(app_session.AppSession, "flush_browser_queue")
    assert _delivery.hasten() == ("flush_browser_queue", "_populate_theme_msg")
    assert app_session._populate_theme_msg is other


def test_without_the_loop_s_own_step_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Runtime, "_send_message")
    assert _delivery.hasten() == ("flush_browser_queue", "_populate_theme_msg")
