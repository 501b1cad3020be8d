"""The Alerts page, the list in the sidebar, the toasts and the door from the sidebar's Z alert to a stored rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from services.access.tiers import TIERS
from services.access.visitor import Visitor
from services.domain.alerts import ALERT_KINDS, AlertRule
from services.runtime import Runtime
from services.views.alert_words import FOREVER_US, plain
from services.views.alerts_view import spec_of
from tests.alert_rows import SECRET, alert_event, alert_rule, alert_target
from tests.finding_rows import minute
from tests.store_rows import BTC, ETH, HOUR, MINUTE, SECOND
from tests.ui.test_pages import busy_runtime, charts, sentences
from tests.ui.world import NOW_US, FixedClock, SwitchedStore

PAGE = "alerts.py"
EVIL = "<b>x</b> $1 [a](http://evil) *b*"
Open = Callable[..., AppTest]


def world(*rules: AlertRule, n_events: int = 0) -> tuple[Runtime, SwitchedStore]:
    """A busy market with rules, and the newest of `n_events` alerts ten minutes old, a minute apart."""
    store = SwitchedStore()
    runtime = busy_runtime(store)
    for rule in rules:
        store.save_alert_rule(rule)
    for number in range(n_events):
        fire(store, number, NOW_US - (10 + number) * MINUTE)
    return runtime, store


def fire(store: SwitchedStore, number: int, at_us: int, **changes: Any) -> None:
    assert store.add_alert(alert_event(number, at_us, **changes))


def later(page: AppTest, runtime: Runtime, seconds: int = 5) -> AppTest:
    """The page some seconds later, when what is shared for three seconds is read anew."""
    assert isinstance(runtime.clock, FixedClock)
    runtime.clock.time_us += seconds * SECOND
    st.cache_resource.clear()
    return page.run()


def said(page: AppTest) -> str:
    """All that the page says, without the marks that keep users' text from being read as Markdown."""
    assert not page.exception
    labels = "\n".join(str(each.label) for each in page.expander)
    return f"{sentences(page)}\n{labels}".replace("\\", "").replace("\u2060", "").replace("\u202f", " ")


def toasts(page: AppTest) -> list[str]:
    return [str(each.value).replace("\\", "") for each in page.toast]


def press(page: AppTest, key: str) -> AppTest:
    return page.button(key=key).click().run()


def rule_of(store: SwitchedStore) -> AlertRule:
    (rule,) = store.alert_rules()
    return rule


# --- rules


def test_without_rules_the_page_says_what_rules_are_for(open_page: Open) -> None:
    runtime, _ = world()
    page = open_page(runtime, PAGE)
    assert "No rules yet. A rule is watched where data is collected" in said(page)
    assert "No alerts yet. Rules are watched where data is collected" in said(page)


def test_a_rule_is_shown_with_its_condition_its_last_alert_and_its_record(open_page: Open) -> None:
    runtime, store = world(alert_rule(), alert_rule("rule-2", kind="feed_gap", instruments=(BTC,), fires_at=0.0), n_events=1)
    store.append([minute(NOW_US // MINUTE * MINUTE - 120 * MINUTE)])
    text = said(open_page(runtime, PAGE))
    assert "Robust Z of longs or shorts, each by itself, on BTC-USDT-PERP over 5 min above 3." in text
    assert "Last fired 08:02:37 UTC, 10 min ago: Z 4.2, lasts since 10 min" in text
    assert "How often this would have fired cannot be told." in text
    assert "Has not fired yet" in text
    assert "It would never have fired in the 2.0 stored hours." in text


def test_names_are_shown_letter_by_letter_everywhere(open_page: Open) -> None:
    runtime, store = world(alert_rule(name=EVIL))
    fire(store, 1, NOW_US - MINUTE, rule_name=EVIL, text=EVIL)
    page = open_page(runtime, PAGE)
    shown = [*(each.value for each in (*page.markdown, *page.caption)), *(each.label for each in page.expander)]
    holding = [text for text in map(str, shown) if "evil" in text]
    assert len(holding) >= 3
    assert all(plain(EVIL) in text for text in holding)
    page = open_page(runtime, PAGE, alerts_tab="History")
    labels = [str(each.label) for each in page.expander if "evil" in str(each.label)]
    assert labels
    assert all(plain(EVIL) in label for label in labels)


def test_a_rule_can_be_switched_off_and_on(open_page: Open) -> None:
    runtime, store = world(alert_rule())
    page = open_page(runtime, PAGE)
    page.toggle(key="on_rule-1_True").set_value(False).run()
    assert not rule_of(store).is_enabled
    assert "off-badge" not in said(page)
    assert "gray-badge[off]" in said(page)
    page.toggle(key="on_rule-1_False").set_value(True).run()
    assert rule_of(store).is_enabled


def test_a_muted_rule_says_until_when_and_can_be_unmuted(open_page: Open) -> None:
    runtime, store = world(alert_rule(muted_until_us=NOW_US + HOUR))
    page = open_page(runtime, PAGE)
    assert "orange-badge[muted until 09:12:37 UTC]" in said(page)
    press(page, "unmute_rule-1")
    assert rule_of(store).muted_until_us is None
    assert "green-badge[on]" in said(page)


@pytest.mark.parametrize(("hours", "until_us"), [(1, NOW_US + HOUR), (8, NOW_US + 8 * HOUR), (0, FOREVER_US), (None, None)])
def test_mute_lasts_hours_or_until_it_is_ended(open_page: Open, hours: int | None, until_us: int | None) -> None:
    from pages import _alerts_rules

    runtime, store = world(alert_rule())
    open_page(runtime, PAGE)
    _alerts_rules._mute("rule-1", hours)
    assert rule_of(store).muted_until_us == until_us


def test_a_rule_is_deleted_only_after_it_was_asked_and_its_alerts_stay(open_page: Open) -> None:
    runtime, store = world(alert_rule(), n_events=2)
    page = open_page(runtime, PAGE)
    assert "What it raised stays in the history." in said(page)
    press(page, "delete_rule-1")
    assert store.alert_rules() == []
    assert "No rules yet" in said(page)
    assert "2 alerts, 2 unread" in said(open_page(runtime, PAGE, alerts_tab="History")).replace("**", "")


def test_rules_of_others_are_not_there(open_page: Open) -> None:
    runtime, store = world(alert_rule(owner="somebody", name="Theirs"))
    fire(store, 1, NOW_US - MINUTE, owner="somebody", text="Theirs")
    assert "Theirs" not in said(open_page(runtime, PAGE))
    assert "Theirs" not in said(open_page(runtime, PAGE, alerts_tab="History"))


def test_many_rules_come_ten_at_a_time(open_page: Open) -> None:
    runtime, _ = world(
        *(alert_rule(f"rule-{n:02}", name=f"Rule {n:02}", kind="feed_gap", instruments=(), fires_at=0.0) for n in range(23))
    )
    page = open_page(runtime, PAGE)
    assert [name for name in ("Rule 00", "Rule 09", "Rule 10") if f"**{name}**" in said(page)] == ["Rule 00", "Rule 09"]
    page.selectbox(key="rules_page").set_value(2).run()
    assert "**Rule 22**" in said(page)
    assert "**Rule 00**" not in said(page)


# --- the form


def field(page: AppTest, name: str) -> str:
    draft = page.session_state["_alert_draft"]
    return f"rule_{draft.id}_{draft.kind}_{name}"


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_each_kind_has_a_form_with_its_fields_that_can_be_saved_as_it_comes(open_page: Open, kind: str) -> None:
    runtime, store = world()
    page = press(open_page(runtime, PAGE, instrument=ETH), "rule_new")
    draft = page.session_state["_alert_draft"]
    page.selectbox(key=f"rule_{draft.id}_kind").set_value(kind).run()
    spec = spec_of(kind)  # type: ignore[arg-type]
    keys = [str(each.key) for group in (page.get("button_group"), page.number_input) for each in group]
    drawn = {key.removeprefix(f"rule_{draft.id}_{kind}_") for key in keys if key.startswith(f"rule_{draft.id}_")}
    always = {"exchanges", "fires_at", "cooldown_s"} | (set() if spec.is_happening else {"hysteresis"})
    assert drawn == always | set(spec.uses)
    assert "would have fired" in said(page)
    press(page, "rule_save")
    assert not page.exception
    rule = rule_of(store)
    assert (rule.kind, rule.owner, rule.fires_at) == (kind, "local", spec.fires_at)
    assert rule.instruments == ((ETH,) if spec.needs_instrument else ())
    assert "_alert_draft" not in page.session_state
    assert any(text.startswith("Saved: ") for text in toasts(page))


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_saved(open_page: Open) -> None:
    runtime, store = world()
    page = press(open_page(runtime, PAGE), "rule_new")
    page.number_input(key=field(page, "fires_at")).set_value(99.0)
    page.text_input(key=field(page, "name")).set_value(" ")
    page.multiselect(key=field(page, "instruments")).set_value([])
    page.run()
    text = said(page)
    for sentence in (
        "The name was empty; give the rule a name to know it by.",
        "No instrument was chosen; choose at least one.",
        "The threshold was 99 Z; it must be from 0.5 to 20 Z.",
    ):
        assert f":red[{sentence}]" in text
    assert page.button(key="rule_save").disabled
    assert store.alert_rules() == []


def test_a_stored_rule_is_changed_under_its_id(open_page: Open) -> None:
    rule = alert_rule(name="Before", target_ids=(), created_us=NOW_US - HOUR)
    runtime, store = world(rule)
    page = press(open_page(runtime, PAGE), "edit_rule-1")
    assert "**Change Before**" in said(page)
    page.text_input(key=field(page, "name")).set_value("After")
    page.number_input(key=field(page, "fires_at")).set_value(4.5)
    press(page.run(), "rule_save")
    changed = rule_of(store)
    assert changed == msgspec.structs.replace(rule, name="After", fires_at=4.5, updated_us=NOW_US)
    assert "above 4.5" in said(page)


def test_cancel_forgets_what_was_typed(open_page: Open) -> None:
    runtime, store = world()
    page = press(open_page(runtime, PAGE), "rule_new")
    press(page, "rule_cancel")
    assert "_alert_draft" not in page.session_state
    assert store.alert_rules() == []


def test_a_rule_about_an_instrument_that_is_tracked_no_more_says_so(open_page: Open) -> None:
    runtime, _ = world(alert_rule(instruments=(BTC, "GONE-USDT-PERP")))
    page = press(open_page(runtime, PAGE), "edit_rule-1")
    assert "The instrument was GONE-USDT-PERP, which is not tracked" in said(page)
    page.multiselect(key=field(page, "instruments")).set_value([BTC]).run()
    assert not page.button(key="rule_save").disabled


def test_a_rule_can_be_told_to_chosen_targets_only(open_page: Open) -> None:
    runtime, store = world()
    store.save_alert_target(alert_target(), SECRET)
    page = press(open_page(runtime, PAGE), "rule_new")
    page.segmented_control(key=field(page, "to")).set_value("Only chosen ones")
    page.run()
    page.multiselect(key=field(page, "target_ids")).set_value(["target-1"]).run()
    press(page, "rule_save")
    assert rule_of(store).target_ids == ("target-1",)


# --- the history


def test_the_history_is_newest_first_with_value_and_threshold(open_page: Open) -> None:
    runtime, _ = world(alert_rule(), n_events=3)
    page = open_page(runtime, PAGE, alerts_tab="History")
    labels = [str(each.label).replace("\\", "") for each in page.expander if "unread] " in str(each.label)]
    assert [label.split("] ")[1][:8] for label in labels] == ["08:02:37", "08:01:37", "08:00:37"]
    assert all("Z 4.2 (fires above Z 3.0)" in label for label in labels)
    assert not page.dataframe


def test_an_opened_alert_shows_its_evidence_and_can_be_acknowledged(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, store = world(alert_rule(), n_events=1)
    (event,) = store.latest_alerts()
    page = open_page(runtime, PAGE, alerts_tab="History")
    page.session_state[f"event_{event.id}"] = True
    page.run()
    facts, rows = (each.value for each in page.dataframe)
    assert facts.to_dict("list") == {"Fact": ["Z"], "Value": ["4.25"]}
    assert len(rows) == 1
    press(page, f"read_{event.id}")
    assert store.alert_event(event.id).acknowledged_us == NOW_US
    assert "1 alerts, 0 unread" in said(page).replace("**", "")


def test_the_history_is_filtered_by_rule_instrument_and_unread(open_page: Open) -> None:
    runtime, store = world(alert_rule(), alert_rule("rule-2", name="Other"), n_events=2)
    fire(store, 9, NOW_US - MINUTE, rule_id="rule-2", rule_name="Other", instrument=ETH, subject=f"{ETH}/long", is_muted=True)
    page = open_page(runtime, PAGE, alerts_tab="History")
    assert "3 alerts, 2 unread" in said(page).replace("**", "")
    page.selectbox(key="history_rule").set_value("rule-2").run()
    assert "1 alerts, 0 unread" in said(page).replace("**", "")
    page.selectbox(key="history_instrument").set_value(BTC).run()
    assert "No alert fits." in said(page)
    page.selectbox(key="history_rule").set_value("").run()
    assert "2 alerts, 2 unread" in said(page).replace("**", "")
    page.toggle(key="history_unread").set_value(True).run()
    press(page, "history_all")
    assert store.n_unread_alerts("local", 0) == 0
    assert "0 alerts, 0 unread" in said(page).replace("**", "")


# --- delivery


def test_a_target_is_saved_with_a_key_that_is_shown_once_and_its_address_never_again(open_page: Open) -> None:
    runtime, store = world()
    page = open_page(runtime, PAGE, alerts_tab="Delivery")
    page.text_input(key="target_name_0").set_value("Mine")
    page.text_input(key="target_address_0").set_value("https://hooks.example.org/s3cr3t")
    page.button(key="FormSubmitter:target_form_0-Save target").click().run()
    assert not page.exception
    (target,) = store.alert_targets()
    secret = store.target_secret(target.id)
    assert (target.name, target.kind, secret.address) == ("Mine", "webhook", "https://hooks.example.org/s3cr3t")
    assert "s3cr3t" not in said(page)
    assert [each.value for each in page.code] == [secret.signing_key]
    press(page, "target_key_seen")
    assert not page.code
    assert "hooks.example.org" in said(page)


@pytest.mark.parametrize(
    ("name", "address", "sentence"),
    [
        ("", "https://hooks.example.org/x", "The name was empty"),
        ("Mine", "ftp://hooks.example.org", "The address must begin with https:// or http://"),
        ("Mine", "", "The address"),
    ],
)
def test_a_target_that_cannot_be_is_refused_in_a_sentence(open_page: Open, name: str, address: str, sentence: str) -> None:
    runtime, store = world()
    page = open_page(runtime, PAGE, alerts_tab="Delivery")
    page.text_input(key="target_name_0").set_value(name)
    page.text_input(key="target_address_0").set_value(address)
    page.button(key="FormSubmitter:target_form_0-Save target").click().run()
    assert sentence in said(page)
    assert store.alert_targets() == []


def test_a_target_is_switched_off_and_deleted(open_page: Open) -> None:
    runtime, store = world()
    store.save_alert_target(alert_target(name=EVIL), SECRET)
    page = open_page(runtime, PAGE, alerts_tab="Delivery")
    assert EVIL in said(page)
    page.toggle(key="target_target-1_True").set_value(False).run()
    (target,) = store.alert_targets()
    assert not target.is_enabled
    assert store.target_secret("target-1") == SECRET
    press(page, "target_delete_target-1")
    assert store.alert_targets() == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [(None, "The test arrived at **My receiver**."), ("it answered 410", "did not arrive at **My receiver**: it answered 410.")],
)
def test_a_test_is_sent_to_the_stored_address(open_page: Open, answer: str | None, words: str) -> None:
    runtime, store = world()
    store.save_alert_target(alert_target(), SECRET)
    asked: list[object] = []

    class Courier:
        def send_test(self, target: object, secret: object) -> str | None:
            asked.append((target, secret))
            return answer

    runtime.courier = Courier()  # type: ignore[assignment]
    page = press(open_page(runtime, PAGE, alerts_tab="Delivery"), "test_target-1")
    assert asked == [(alert_target(), SECRET)]
    assert words in said(page) + "\n".join(str(each.value) for each in page.success)


def test_a_delivery_that_was_given_up_can_be_tried_again(open_page: Open) -> None:
    runtime, store = world(alert_rule())
    store.save_alert_target(alert_target(), SECRET)
    fire(store, 1, NOW_US - MINUTE)
    (claimed,) = store.claim_deliveries(NOW_US * 2)
    assert store.mark_failed(claimed, "it answered 410", next_try_us=None)
    page = open_page(runtime, PAGE, alerts_tab="Delivery")
    assert "Given up" in said(page)
    assert "it answered 410" in said(page)
    press(page, f"retry_{claimed.id}")
    assert store.alert_deliveries(owner="local", state="dead") == []
    assert "Given up" not in said(page)


# --- on every page


def test_new_alerts_are_told_once_on_whatever_page_and_old_ones_not_at_all(open_page: Open) -> None:
    runtime, store = world(alert_rule(), n_events=2)
    page = open_page(runtime, "risk.py")
    assert toasts(page) == []
    assert "Alerts :red-badge[2 unread]" in said(page)
    fire(store, 7, NOW_US, text="It happened")
    assert [text for text in toasts(later(page, runtime)) if "It happened" in text] == ["**Longs are liquidated**: It happened"]
    assert "Alerts :red-badge[3 unread]" in said(page)
    assert toasts(later(page, runtime)) == []


def test_a_burst_is_told_as_three_and_a_count(open_page: Open) -> None:
    runtime, store = world(alert_rule())
    page = open_page(runtime, "feed_health.py")
    for number in range(6):
        fire(store, number, NOW_US + number, subject=f"subject {number}")
    told = toasts(later(page, runtime))
    assert len(told) == 4
    assert told[-1] == "and 3 more alerts, on the page Alerts"


def test_the_sidebars_list_acknowledges_one_or_all(open_page: Open) -> None:
    runtime, store = world(alert_rule(), n_events=3)
    newest = max(store.latest_alerts(), key=lambda event: event.fired_us)
    page = open_page(runtime, "liquidity.py")
    press(page, f"bell_{newest.id}")
    assert store.n_unread_alerts("local", 0) == 2
    assert "2 unread" in said(page)
    press(page, "bell_all")
    assert store.n_unread_alerts("local", 0) == 0
    assert "unread" not in said(page)


@pytest.mark.parametrize("name", ["combined.py", "liquidations.py"])
def test_alerts_are_marked_on_the_charts_of_their_instrument(open_page: Open, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.charts import marks

    drawn: list[int] = []
    with_bells = marks.with_bells

    def counted(figure: Any, bells: Any, **options: Any) -> Any:
        drawn.append(len(bells))
        return with_bells(figure, bells, **options)

    monkeypatch.setattr("_alerts_marks.with_bells", counted)
    runtime, store = world(alert_rule())
    assert name.removesuffix(".py") in charts(open_page(runtime, name))
    assert drawn == []
    fire(store, 1, NOW_US - MINUTE)
    st.cache_resource.clear()
    assert name.removesuffix(".py") in charts(open_page(runtime, name))
    assert set(drawn) == {1}


def test_the_sidebars_alert_is_kept_as_a_rule_by_a_press_and_not_by_a_link(open_page: Open) -> None:
    runtime, store = world()
    page = open_page(runtime, "liquidations.py", alert_z="4.2", alert_side="Longs", instrument=ETH)
    assert store.alert_rules() == []
    press(page, "keep_rule")
    rule = rule_of(store)
    assert (rule.kind, rule.instruments, rule.position_side, rule.fires_at) == ("liquidation_z", (ETH,), "long", 4.2)
    assert "Kept as the rule **Z alert of ETH-USDT-PERP**, on." in said(page)
    page.slider(key="alert_z").set_value(4.5).run()
    assert "Kept as the rule" not in said(page)
    assert page.button(key="keep_rule").label == "Keep as a rule"


# --- access


def test_somebody_who_did_not_sign_in_owns_nothing_and_is_told_so(open_page: Open) -> None:
    store = SwitchedStore()
    store.save_alert_rule(alert_rule(name="Of the local user"))
    fire(store, 1, NOW_US - MINUTE)
    runtime = busy_runtime(store, access="tiers")
    page = open_page(runtime, PAGE)
    assert "Alert rules belong to somebody: sign in first." in said(page)
    assert "Of the local user" not in said(page)
    assert page.button(key="rule_new").disabled
    assert "unread" not in said(page)
    assert "Targets belong to somebody: sign in first." in said(open_page(runtime, PAGE, alerts_tab="Delivery"))
    assert "0 alerts, 0 unread" in said(open_page(runtime, PAGE, alerts_tab="History")).replace("**", "")
    press(open_page(runtime, PAGE), "keep_rule")
    assert len(store.alert_rules()) == 1


def test_a_rule_beyond_those_of_the_tier_is_refused_by_the_form_and_by_the_sidebar(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    pro = Visitor("local", "somebody", TIERS["pro"])
    rules = [alert_rule(f"rule-{number}", fires_at=5.0) for number in range(TIERS["pro"].n_alerts)]
    runtime, store = world(*rules)
    page = press(open_page(runtime, PAGE), "rule_new")
    monkeypatch.setattr("_alerts_form.visitor", lambda: pro)
    monkeypatch.setattr("_alert.visitor", lambda: pro)
    press(page, "rule_save")
    assert f"Alert rule number {len(rules) + 1} needs tier" in said(page)
    press(page, "keep_rule")
    assert any("needs tier" in text for text in toasts(page))
    assert len(store.alert_rules()) == len(rules)
    press(page, "rule_cancel")
    press(press(page, "edit_rule-0"), "rule_save")
    assert store.alert_rules()[0].updated_us == NOW_US


# --- when the store is away


@pytest.mark.parametrize("tab", ["Rules", "History", "Delivery"])
def test_while_the_store_is_away_each_tab_says_so_and_nothing_breaks(open_page: Open, tab: str) -> None:
    runtime, store = world(alert_rule(), n_events=2)
    page = open_page(runtime, PAGE, alerts_tab=tab)
    store.is_away = True
    later(page, runtime)
    assert "the server did not answer" in said(page)
    assert "Alerts are not known now" in said(page)


def test_a_press_while_the_store_is_away_changes_nothing_and_says_so(open_page: Open) -> None:
    runtime, store = world(alert_rule(), n_events=1)
    page = open_page(runtime, PAGE)
    store.is_away = True
    press(page, "bell_all")
    assert any(text.startswith("Nothing was changed: ") for text in toasts(page))
    store.is_away = False
    assert store.n_unread_alerts("local", 0) == 1


def test_whoever_looks_the_store_is_asked_once_in_three_seconds(open_page: Open) -> None:
    runtime, store = world(alert_rule(), n_events=1)
    n_asked = 0
    inner = store.inner.alert_events

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal n_asked
        n_asked += 1
        return inner(*given, **named)

    store.inner.alert_events = counted  # type: ignore[method-assign]
    began_s = time.monotonic()
    pages = [open_page(runtime, "risk.py") for _ in range(3)]
    for page in pages:
        page.run()
    assert 1 <= n_asked <= 1 + (time.monotonic() - began_s) // 3  # a busy machine may take longer than that for six pages
