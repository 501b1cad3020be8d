"""What an alert says to whoever it is sent to: a JSON body for webhooks, a title and plain lines for messengers.

Pure. Names are users' data: they lose line breaks and links here; each messenger's own markup is escaped by apprise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from services.domain.alerts import AlertEvent
from services.domain.windows import US_PER_SECOND, from_us
from services.version import VERSION

Source = Literal["live", "replay", "sim"]
_SOURCE_WORDS: Final[dict[str, str]] = {
    "live": "",
    "sim": "SIMULATED: a simulated market, no real one",
    "replay": "REPLAYED: a recording, not the present",
}
_EVIDENCE_LINES: Final = 12
_TEXT_CHARS: Final = 400


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent. `body` is the webhook's JSON, the same bytes at each attempt; `title` and `text` are for messengers."""

    title: str
    text: str
    body: bytes


def alert_message(event: AlertEvent, *, delivery_id: str, source: Source) -> Message:
    """An alert for people and for programs."""
    lines = [_plain(event.text), *_evidence_lines(event.evidence), f"At {_time(event.fired_us)} UTC, source {source}."]
    body = {
        "type": "alert",
        "delivery_id": delivery_id,
        "event": {
            "id": event.id,
            "kind": event.kind,
            "instrument": event.instrument or None,
            "subject": event.subject,
            "episode": event.episode,
            "fired_at": _iso(event.fired_us),
            "fired_us": event.fired_us,
            "value": event.value,
            "fires_at": event.fires_at,
            "text": event.text,
        },
        "rule": {"id": event.rule_id, "name": event.rule_name, "kind": event.kind},
        "evidence": event.evidence,
        **_of_source(source),
    }
    return _message(_plain(event.rule_name), lines, body, source)


def trial_message(*, delivery_id: str, source: Source, now_us: int) -> Message:
    """What the test button sends."""
    text = "This is a test of Unified Heatmap's alerts: nothing happened in the market."
    body = {"type": "test", "delivery_id": delivery_id, "text": text, "sent_at": _iso(now_us), **_of_source(source)}
    return _message("Test", [text, f"At {_time(now_us)} UTC, source {source}."], body, source)


def _message(title: str, lines: list[str], body: dict[str, Any], source: Source) -> Message:
    words = _SOURCE_WORDS[source]
    shown = f"[{words.partition(':')[0]}] {title}" if words else title
    return Message(title=shown, text="\n".join([*([words + "."] if words else []), *lines]), body=msgspec.json.encode(body))


def _of_source(source: Source) -> dict[str, Any]:
    return {"source": source, "is_demo": source != "live", "version": VERSION}


def _evidence_lines(evidence: dict[str, Any]) -> list[str]:
    """Its plain numbers and words, a line each; rows and lists are for the webhook and the page."""
    shown = [(name, each) for name, each in evidence.items() if isinstance(each, str | int | float) and not name.endswith("_us")]
    return [f"{_plain(name).replace('_', ' ')}: {_value(each)}" for name, each in shown[:_EVIDENCE_LINES]]


def _value(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return _plain(str(value))


def _plain(text: str) -> str:
    """One line without links: messengers make buttons of those, and nobody should click on what an alert's name says."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line.replace("://", ": ").replace("@", "(at)")[:_TEXT_CHARS]


def _time(time_us: int) -> str:
    return f"{from_us(time_us):%Y-%m-%d %H:%M:%S}"


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // US_PER_SECOND, UTC).isoformat().replace("+00:00", "Z")
