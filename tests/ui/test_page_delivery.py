"""Streamlit's private steps that _delivery.py replaces: same messages, same theme, and Streamlit's own where they are unknown."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import Runtime, app_session
from streamlit.runtime.session_manager import SessionClientDisconnectedError

sys.path.insert(0, str(Path(__file__).parents[2] / "pages"))

import _delivery

from services.views.refresh_gate import ROOM, RefreshGate


@pytest.fixture(autouse=True)
def as_streamlit_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever another test's pages put in place is taken away, and put back afterwards."""
    steps = ("flush_browser_queue", "handle_backmsg")
    for place, name in (*((app_session.AppSession, step) for step in steps), (app_session, "_populate_theme_msg")):
        found = getattr(place, name)
        monkeypatch.setattr(place, name, getattr(found, "__wrapped__", found))


def message(number: int) -> ForwardMsg:
    return ForwardMsg(hash=str(number))


def messages(*numbers: int) -> list[Any]:
    return [message(number) for number in numbers]


class Client:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, closes_after: int = 1_000) -> None:
        self.sent: list[ForwardMsg] = []
        self.closes_after = closes_after
        self.session = SimpleNamespace(id="one")
        sessions = SimpleNamespace(get_active_session_info=lambda name: self.seats.get(name))
        self.seats: dict[str, Any] = {"one": SimpleNamespace(session=self.session)}
        runtime = SimpleNamespace(_session_mgr=sessions, _send_message=self.send)
        monkeypatch.setattr(Runtime, "exists", classmethod(lambda _cls: True))
        monkeypatch.setattr(Runtime, "instance", classmethod(lambda _cls: runtime))

    def send(self, _seat: object, message: ForwardMsg) -> None:
        if len(self.sent) >= self.closes_after:
            raise SessionClientDisconnectedError
        self.sent.append(message)


def test_all_messages_of_a_session_are_sent_in_order_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch)
    assert _delivery.in_one_go(lambda _session: messages(1, 2, 3))(client.session) == []
    assert client.sent == messages(1, 2, 3)


def test_what_exceeds_a_socket_s_share_is_left_to_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch)
    left = _delivery.in_one_go(lambda _session: messages(*range(130)))(client.session)
    assert client.sent + left == messages(*range(130))
    assert len(client.sent) == _delivery.AT_ONCE


def test_a_lost_client_is_left_to_streamlit_with_the_message_that_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch, closes_after=1)
    assert _delivery.in_one_go(lambda _session: messages(1, 2, 3))(client.session) == messages(2, 3)


def test_a_session_without_a_seat_or_with_another_s_keeps_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch)
    flush = _delivery.in_one_go(lambda _session: messages(1))
    assert flush(SimpleNamespace(id="one")) == messages(1)
    client.seats.clear()
    assert flush(client.session) == messages(1)
    monkeypatch.setattr(Runtime, "exists", classmethod(lambda _cls: False))
    assert flush(client.session) == messages(1)
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
    assert _delivery.hasten() == ("flush_browser_queue", "_populate_theme_msg", "handle_backmsg")
    assert app_session._populate_theme_msg is other


def test_without_the_loop_s_own_step_messages_and_requests_go_streamlit_s_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Runtime, "_send_message")
    assert _delivery.hasten() == ("flush_browser_queue", "handle_backmsg")


def asked(fragment: str, *, is_timed: bool) -> BackMsg:
    msg = BackMsg()
    msg.rerun_script.fragment_id, msg.rerun_script.is_auto_rerun = fragment, is_timed
    return msg


def test_under_strain_timers_wait_and_people_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    client, gate, handled = Client(monkeypatch), RefreshGate(), []
    handle = _delivery.through_gate(lambda session, _msg: handled.append(session.id), gate)
    for number in range(ROOM + 5):
        handle(SimpleNamespace(id=f"session {number}"), asked("live", is_timed=True))
    assert len(handled) == ROOM
    handle(client.session, asked("live", is_timed=False))
    handle(client.session, asked("", is_timed=True))
    handle(client.session, BackMsg(clear_cache=True))
    assert handled[ROOM:] == ["one"] * 3


def test_the_end_of_a_run_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    client, gate = Client(monkeypatch), RefreshGate()
    assert [gate.admits("one", "live"), gate.admits("one", "live")] == [True, False]
    finished = ForwardMsg(script_finished=ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
    _delivery.in_one_go(lambda _session: [finished], gate)(client.session)
    assert gate.admits("one", "live")
