"""Rules and alerts as they are shown: escaped, in words, told once, marked on the axis."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.backtest import SubjectHistory
from services.alerts.book import AlertBook
from services.charts.marks import with_bells
from services.domain.alerts import AlertDelivery, AlertEvent
from services.domain.windows import TimeWindow
from services.views import alert_view
from services.views.alert_words import FOREVER_US, ago_words, cell, course_words, label_of, moment_words, plain, shown_evidence
from services.views.alert_words import state_words as rule_state
from services.views.alerts_view import (
    N_TOASTS,
    alert_bells,
    behaviour_words,
    delivery_rows,
    event_line,
    history_choices,
    history_key,
    new_toasts,
    record_words,
    rule_cards,
    sidebar_fields,
    stored_twin,
)
from services.views.answers import Lacking
from tests.alert_rows import alert_event, alert_rule, alert_target
from tests.store_rows import BTC, ETH, HOUR, MINUTE, SECOND, T0
from tests.ui.world import SwitchedStore

NOW = T0 + 3 * HOUR


# --- text of users


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a *b* _c_", r"a \*b\* \_c\_"),
        ("<b>$1</b> and $2", r"\<b\>\$1\<\/b\> and \$2"),
        ("[x](http://evil)", "\\[x\\]\\(http\\:\\/\\/evil\\)"),
        ("one\n\n# two", r"one \# two"),
        ("`code`", r"\`code\`"),
    ],
)
def test_text_of_users_is_shown_letter_by_letter(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_names_of_icons_and_colours_are_parted_from_their_colon() -> None:
    assert plain(":material/home: :red[x]") == "\\:\u2060material\\/home\\: \\:\u2060red\\[x\\]"


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_no_mark_of_markdown_is_left_without_its_backslash(text: str) -> None:
    shown = plain(text)
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\[!-/:-@\[-`{-~]", "", shown))
    assert re.sub(r"\\(.)", r"\1", shown.replace("\u2060", "")) == " ".join(text.split())


# --- times and states


def test_a_moment_has_its_day_only_when_that_is_not_today() -> None:
    assert moment_words(T0 + 37 * SECOND, NOW) == "08:00:37 UTC"
    assert moment_words(T0 - 24 * HOUR, NOW).endswith("08:00:00 UTC")
    assert len(moment_words(T0 - 24 * HOUR, NOW)) > len("08:00:00 UTC")


def test_ages_are_in_days_from_two_on_and_never_negative() -> None:
    assert ago_words(NOW - 12 * SECOND, NOW) == "12 s ago"
    assert ago_words(NOW - 47 * HOUR, NOW) == "47 h 00 min ago"
    assert ago_words(NOW - 49 * HOUR, NOW) == "2 days ago"
    assert ago_words(NOW + HOUR, NOW) == "0 s ago"


def test_a_rule_is_on_off_or_muted() -> None:
    assert rule_state(alert_rule(), NOW) == "on"
    assert rule_state(alert_rule(is_enabled=False, muted_until_us=FOREVER_US), NOW) == "off"
    assert rule_state(alert_rule(muted_until_us=FOREVER_US), NOW) == "muted"
    assert rule_state(alert_rule(muted_until_us=NOW + HOUR), NOW) == "muted until 12:00:00 UTC"
    assert rule_state(alert_rule(muted_until_us=NOW), NOW) == "on"


def test_an_alert_lasts_lasted_or_has_no_length() -> None:
    assert course_words(alert_event(at_us=NOW - 3 * MINUTE), NOW, is_happening=False) == "lasts since 3 min"
    assert course_words(alert_event(at_us=T0, ended_us=T0 + 4 * MINUTE), NOW, is_happening=False) == "lasted 4 min"
    assert course_words(alert_event(at_us=T0), NOW, is_happening=True) == ""


# --- evidence


def test_evidence_is_words_with_the_units_of_its_names() -> None:
    shown = shown_evidence(
        {
            "notional_usd": 4.2e6,
            "z_robust": 4.256,
            "window_s": 300,
            "window_end_us": T0,
            "quiet_share": 0.25,
            "exchanges": ["binance", "okx"],
            "left_out": [],
            "predicted_usd": None,
            "is_bid": True,
            "order": {"price": 57_000.5, "distance_bps": -12.0, "ending": ""},
            "minutes": [[T0, 1_000.0, True], [T0 + MINUTE, 2_000.0, False]],
            "parts": [{"name": "<b>", "part": None, "weight": 0.2}],
        }
    )
    assert [(name, value.replace("\u202f", " ")) for name, value in shown.facts] == [
        ("Notional", "4.2 M $"),
        ("Z robust", "4.256"),
        ("Window", "5 min"),
        ("Window end", "2024-08-08 08:00:00 UTC"),
        ("Of these quiet", "25%"),
        ("Exchanges", "binance, okx"),
        ("Left out", "–"),
        ("Predicted", "–"),
        ("Bid", "yes"),
        ("Order: price", "57,000.5"),
        ("Order: distance", "-12 bps"),
        ("Order: ending", "–"),
    ]
    minutes, parts = shown.tables
    assert minutes.title == "Minutes of the window"
    assert [row["Watched"] for row in minutes.rows] == ["yes", "no"]
    assert minutes.rows[0]["Minute"] == "2024-08-08 08:00:00 UTC"
    assert parts.rows == ({"Name": "<b>", "Part": "–", "Weight": "0.2"},)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(["a_us", "b_usd", "c_s", "d_bps", "e_share", "price"]), _json))
def test_any_evidence_can_be_shown_and_holds_no_nan(evidence: dict[str, Any]) -> None:
    shown = shown_evidence(evidence)
    for _, value in shown.facts:
        assert value not in ("nan", "inf", "-inf", "None")
    assert len(shown.tables) <= len(evidence)


def test_a_number_without_a_unit_keeps_four_digits_and_a_count_its_commas() -> None:
    assert cell("x", 12.34567) == "12.35"
    assert cell("n_liquidations", 12_345) == "12,345"
    assert cell("end_us", -1) == "–"
    assert label_of("n_instruments") == "Instruments"


# --- rules


def test_a_card_says_what_a_rule_waits_for_and_when_it_last_fired() -> None:
    rules = [alert_rule(name="<b>Mine</b> $1"), alert_rule("rule-2", muted_until_us=FOREVER_US)]
    latest = [alert_event(1, NOW - 2 * HOUR, ended_us=NOW - HOUR), alert_event(2, NOW - HOUR, subject=f"{BTC}/short")]
    first, second = rule_cards(rules, latest, NOW)
    assert first.title == r"\<b\>Mine\<\/b\> \$1"
    assert first.condition.replace("\\", "").startswith("Robust Z of longs or shorts, each by itself, on BTC-USDT-PERP over 5 min")
    assert first.last.replace("\\", "") == "Last fired 10:00:00 UTC, 1 h 00 min ago: Z 4.2, lasts since 1 h 00 min"
    assert (first.state, second.state, second.last) == ("on", "muted", "Has not fired yet")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "armed again once below Z 2.5; silent for 10 min after an alert of the same subject"),
        ({"hysteresis": 0.0}, "silent for 10 min after an alert of the same subject"),
        (
            {"kind": "price_near_level", "fires_at": 10.0, "hysteresis": 10.0, "cooldown_s": 7_200},
            "armed again once beyond 20\u202fbps; silent for 2 h after an alert of the same subject",
        ),
        ({"kind": "feed_gap", "fires_at": 0.0, "cooldown_s": 60}, "silent for 60 s after an alert of the same subject"),
    ],
)
def test_what_happens_after_an_alert_is_told_in_the_unit_of_the_kind(changes: dict[str, Any], words: str) -> None:
    assert behaviour_words(alert_rule(**changes)) == words


def test_the_sidebars_alert_finds_its_stored_rule_whatever_that_is_called() -> None:
    book = AlertBook(SwitchedStore(), now_us=lambda: NOW, tracked=lambda: (BTC, ETH))  # type: ignore[arg-type]
    shown = alert_view.AlertRule(side="long", minutes=15, threshold_z=2.4, method="classic")
    draft = book.draft("local", "liquidation_z", **sidebar_fields(shown, BTC, ()))
    saved = book.save(msgspec.structs.replace(draft, name="Other words", cooldown_s=60, hysteresis=0.1))
    off = book.save(msgspec.structs.replace(draft, id="another", is_enabled=False))
    assert stored_twin([off, saved], book.draft("local", "liquidation_z", **sidebar_fields(shown, BTC, ()))) == saved
    for other in (
        sidebar_fields(shown, ETH, ()),
        sidebar_fields(shown, BTC, ("okx",)),
        sidebar_fields(alert_view.AlertRule(side="long", minutes=15, threshold_z=2.5, method="classic"), BTC, ()),
    ):
        assert stored_twin([off, saved], book.draft("local", "liquidation_z", **other)) is None


def test_the_history_of_a_rule_has_one_name_whatever_its_threshold() -> None:
    rule = alert_rule()
    assert history_key(rule) == history_key(alert_rule("other", name="x", fires_at=9.0, hysteresis=0.1, cooldown_s=10))
    for changed in ({"window_s": 60}, {"instruments": (ETH,)}, {"exchanges": ("okx",)}, {"method": "classic"}):
        assert history_key(rule) != history_key(alert_rule(**changed))


def test_a_record_that_cannot_be_told_says_why() -> None:
    shown = record_words(alert_rule(), Lacking("Nothing is stored."))
    assert "cannot be told" in shown.frequency
    assert shown.outcomes == ()


def test_a_record_counts_what_would_have_fired() -> None:
    import numpy as np

    times_us = T0 + np.arange(2 * 1_440, dtype=np.int64) * MINUTE
    values = np.zeros(len(times_us))
    values[[100, 101, 1_000]] = 5.0
    history = (SubjectHistory(f"{BTC}/long", times_us, values, 2 * 1_440 * MINUTE, None),)
    assert (
        record_words(alert_rule(), history).frequency.replace("\\", "").startswith("It would have fired 2 times in the 2.0 stored")
    )
    assert "never" in record_words(alert_rule(fires_at=6.0), history).frequency


# --- alerts


def test_an_alerts_line_has_value_and_threshold_and_is_unread_until_acknowledged() -> None:
    line = event_line(alert_event(at_us=T0, text="<i>4.2 M $</i>"), NOW)
    assert line.measured.replace("\\", "") == "Z 4.2 (fires above Z 3.0)"
    assert line.text == r"\<i\>4\.2 M \$\<\/i\>"
    assert line.is_unread
    assert not event_line(alert_event(acknowledged_us=NOW), NOW).is_unread
    assert not event_line(alert_event(is_muted=True), NOW).is_unread


def numbered(*numbers: int, **changes: Any) -> list[AlertEvent]:
    return [alert_event(number, T0 + number * MINUTE, **changes) for number in numbers]


def test_a_sessions_first_look_tells_nothing_and_later_ones_tell_what_is_new_once() -> None:
    first = new_toasts(numbered(2, 1), None)
    assert first.texts == ()
    second = new_toasts(numbered(3, 2, 1), first.told)
    assert len(second.texts) == 1
    assert new_toasts(numbered(3, 2, 1), second.told).texts == ()


def test_at_most_three_are_told_at_once_and_the_rest_is_counted() -> None:
    toasts = new_toasts(numbered(6, 5, 4, 3, 2), frozenset())
    assert len(toasts.texts) == N_TOASTS + 1
    assert toasts.texts[-1].startswith("and 2 more alerts")
    assert new_toasts(numbered(6, 5, 4, 3, 2), toasts.told).texts == ()


def test_muted_and_acknowledged_alerts_are_not_told() -> None:
    assert new_toasts(numbered(1, is_muted=True) + numbered(2, acknowledged_us=NOW), frozenset()).texts == ()


def test_the_history_can_be_filtered_by_deleted_rules_too() -> None:
    names, instruments = history_choices([alert_rule()], [alert_event(), alert_event(2, rule_id="gone", instrument="")])
    assert names == {"rule-1": "Longs are liquidated", "gone": "Longs are liquidated (deleted)"}
    assert instruments == [BTC]


# --- bells


def test_bells_are_those_of_the_instrument_and_window_and_near_ones_are_one() -> None:
    window = TimeWindow(T0, T0 + HOUR)
    events = [
        *numbered(1, 2),
        alert_event(3, T0 + MINUTE + SECOND, subject=f"{BTC}/short"),
        alert_event(4, T0 + 5 * MINUTE, instrument=ETH),
        alert_event(5, T0 + 50 * MINUTE, instrument="", kind="feed_silent", value=70.0),
        alert_event(6, T0 - SECOND),
        alert_event(7, T0 + HOUR),
    ]
    bells = alert_bells(events, BTC, window)
    assert [(bell.time_us - T0, bell.n) for bell in bells] == [(MINUTE, 2), (2 * MINUTE, 1), (50 * MINUTE, 1)]
    assert bells[2].lines == ("Longs are liquidated: 70 s",)
    assert alert_bells(events, "SOL-USDT-PERP", window)[0].n == 1


def test_many_alerts_at_one_moment_are_counted_after_three() -> None:
    events = [alert_event(number, T0 + number, subject=str(number)) for number in range(6)]
    (bell,) = alert_bells(events, BTC, TimeWindow(T0, T0 + HOUR))
    assert (bell.n, len(bell.lines), bell.lines[-1]) == (6, 4, "and 3 more")


def test_bells_are_drawn_in_each_panel_and_their_names_are_escaped() -> None:
    (bell,) = alert_bells([alert_event(rule_name="<a href='x'>y</a>")], BTC, TimeWindow(T0, T0 + HOUR))
    figure = {"data": [], "layout": {"shapes": [{"type": "rect"}], "annotations": []}}
    drawn = with_bells(figure, [bell], axes=(("x", "y"), ("x2", "y2")), theme="dark")
    assert figure["layout"] == {"shapes": [{"type": "rect"}], "annotations": []}
    first, *bells = drawn["layout"]["shapes"]
    assert first == {"type": "rect"}
    assert [(each["xref"], each["yref"], each["xanchor"]) for each in bells] == [
        ("x", "y domain", T0 / 1_000), ("x2", "y2 domain", T0 / 1_000)
    ]  # fmt: skip
    assert all(each["hovertext"].startswith("&lt;a href='x'&gt;y&lt;/a&gt;: Z") for each in drawn["layout"]["annotations"])


def test_a_figure_with_bells_is_one_that_plotly_takes() -> None:
    go = pytest.importorskip("plotly.graph_objects")
    bells = alert_bells([*numbered(1, 2), alert_event(3, T0 + 2 * MINUTE + 1)], BTC, TimeWindow(T0, T0 + HOUR))
    go.Figure(with_bells({"data": [], "layout": {}}, bells, axes=(("x", "y"),), theme="light"))


# --- deliveries


def test_deliveries_say_what_became_of_them_and_what_is_unknown_has_a_dash() -> None:
    event = alert_event()

    def delivery(state: str, **changes: Any) -> AlertDelivery:
        fields: dict[str, Any] = {
            "id": state, "event_id": event.id, "target_id": "target-1", "owner": "local", "state": state, "n_attempts": 2,
            "next_try_us": NOW + MINUTE, "created_us": T0,
        }  # fmt: skip
        return AlertDelivery(**(fields | changes))

    rows = delivery_rows(
        [
            delivery("pending"),
            delivery("pending", next_try_us=NOW),
            delivery("sent", sent_us=T0 + SECOND),
            delivery("dead", event_id="gone", target_id="gone", last_error="it answered 410"),
        ],
        {event.id: event},
        [alert_target()],
        NOW,
    )
    assert [row["State"] for row in rows] == ["next try 11:01:00 UTC", "next try at once", "sent 08:00:01 UTC", "given up"]
    assert (rows[0]["To"], rows[0]["Alert"]) == ("My receiver", event.text)
    assert (rows[3]["To"], rows[3]["Alert"], rows[3]["Last error"]) == ("–", "–", "it answered 410")
