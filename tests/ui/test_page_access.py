"""Pages with HEATMAP_ACCESS=tiers: each row of the tier table, signing in, and who may administer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from config import ROOT
from services import runtime as runtimes
from services.access.book import NotAllowed
from services.access.keys import is_same
from services.access.limits import window_refusal
from services.access.sign_in import Claims, read_claims
from services.access.tiers import TIERS, Tier
from services.access.visitor import LOCAL
from services.desk import current_desk
from services.past import past_of
from services.runtime import Runtime
from services.views.selection import Selection
from tests.store_rows import BTC, ETH, HOUR
from tests.ui.test_pages import busy_runtime, sentences

Open = Callable[..., AppTest]
ISSUER = "https://id.example"
SECRETS = {
    "auth": {"redirect_uri": "https://h/oauth2callback", "cookie_secret": "c" * 32, "client_id": "id", "client_secret": "hunter2"}
}


def told(subject: str = "ann", **more: Any) -> dict[str, Any]:
    claims = {"is_logged_in": True, "iss": ISSUER, "sub": subject, "email": f"{subject}@example.org", "name": subject.title()}
    return claims | {"email_verified": True} | more


def claims(subject: str = "ann") -> Claims:
    found = read_claims(told(subject))
    assert found is not None
    return found


def tiers_runtime(tier: str = "free", subject: str = "ann", **settings: str) -> Runtime:
    """An installation with tiers, in which somebody who signed in before has that tier."""
    runtime = busy_runtime(access="tiers", **settings)
    runtime.access.sign_in(claims(subject))
    runtime.access.set_tier(LOCAL, claims(subject).user_id, tier)
    return runtime


@pytest.fixture
def visit(open_page: Open) -> Open:  # open_page cleans up
    """`visit(runtime, page, user, **query)` is the page as a visitor of that identity gets it."""

    def opened(runtime: Runtime, page: str = "combined.py", user: dict[str, Any] | None = None, **query: str) -> AppTest:
        runtimes.install(runtime)
        shown = AppTest.from_file(str(ROOT / "pages" / "_shell.py"), default_timeout=30)
        shown.user = user or {}
        for name, text in query.items():
            shown.query_params[name] = text
        shown.run()
        return shown if page == "combined.py" else shown.switch_page(page).run()

    return opened


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> Tier:
    return TIERS[request.param]


# --- the tier table, row by row ------------------------------------------------------------------------------------------


def test_instruments(visit: Open, tier: Tier) -> None:
    runtime = tiers_runtime(tier.name, symbols=",".join(f"C{number:02}USDT" for number in range(12)))
    for place in (0, 1, 2, 9, 10):
        asked = f"C{place:02}-USDT-PERP"
        shown = visit(runtime, "feed_health.py", told(), instrument=asked)
        assert not shown.exception
        is_allowed = tier.n_instruments is None or place < tier.n_instruments
        assert shown.session_state["_selection"].instrument == (asked if is_allowed else "C00-USDT-PERP")
        assert (f"{asked} needs tier" in sentences(shown)) == (not is_allowed)


def test_history_window(visit: Open, tier: Tier) -> None:
    shown = visit(tiers_runtime(tier.name), "feed_health.py", told(), window="24h")
    is_allowed = window_refusal(tier, "24h") is None
    assert shown.session_state["_selection"].window == ("24h" if is_allowed else "4h")
    assert (
        "A window of 24h needs tier pro or vip; yours is free, which reaches back 4h. Shown: 4h." in sentences(shown)
    ) != is_allowed


def test_history_window_of_predicted_levels(visit: Open, tier: Tier) -> None:
    shown = visit(tiers_runtime(tier.name), "predicted.py", told(), levels_over="30d")
    assert not shown.exception
    is_cut = "A window of 30d needs tier vip; yours is pro, which reaches back 7d. Shown: 7d." in sentences(shown)
    assert is_cut == (tier.name == "pro")


def test_live_refresh(visit: Open, tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[object] = []
    fragment = st.fragment

    def watched(*function: Any, run_every: Any = None) -> Any:
        timers.append(run_every)
        return fragment(*function, run_every=run_every)

    monkeypatch.setattr(st, "fragment", watched)
    shown = visit(tiers_runtime(tier.name), "feed_health.py", told(), refresh="1 s")
    assert shown.session_state["refresh"] == 1
    is_floored = f"A refresh every 1 s needs tier vip; yours is {tier.name}" in sentences(shown)
    assert is_floored == (tier.refresh_floor_s > 1)
    assert min(each for each in timers if isinstance(each, float)) == tier.refresh_floor_s


def test_predicted_levels(visit: Open, tier: Tier) -> None:
    runtime = tiers_runtime(tier.name)
    page, combined = visit(runtime, "predicted.py", told()), visit(runtime, "combined.py", told())
    for shown in (page, combined):
        assert not shown.exception
        assert ("Predicted levels need tier pro or vip; yours is free." in sentences(shown)) != tier.has_predicted
    assert ("Liquidation map: what a move would force" in [each.value for each in page.subheader]) == tier.has_predicted


def test_exports(visit: Open, tier: Tier) -> None:
    for window, seconds in (("1h", 3_600), ("24h", 86_400)):
        shown = visit(tiers_runtime(tier.name), "liquidations.py", told(), window=window)
        is_allowed = tier.export_s is None or seconds <= tier.export_s
        assert bool(shown.get("download_button")) == is_allowed
        assert ("Exports need tier pro or vip; yours is free." in sentences(shown)) != is_allowed


def test_administration(visit: Open, tier: Tier) -> None:
    runtime = tiers_runtime(tier.name)
    runtime.access.create_key(LOCAL, name="grafana", scopes=["read"], tier="pro")
    shown = visit(runtime, "admin.py", told())
    assert not shown.exception
    assert (f"Administration needs tier admin; yours is {tier.name}." in sentences(shown)) != tier.is_admin
    assert ("API keys" in [each.value for each in shown.subheader]) == tier.is_admin
    told_rows = " ".join(frame.value.astype(str).to_string() for frame in shown.dataframe)
    assert ("grafana" in told_rows) == tier.is_admin


# --- who somebody is -----------------------------------------------------------------------------------------------------


def test_signed_out_is_free_and_says_how_to_sign_in(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "secrets", SECRETS)
    monkeypatch.setattr("_sign_in.find_spec", lambda _name: object())
    shown = visit(tiers_runtime(), "liquidations.py", window="12h")
    assert "Signed out, tier **Free**" in sentences(shown)
    assert [button.label for button in shown.button if (button.key or "").startswith("sign_in")] == ["Sign in"]
    assert shown.session_state["_selection"].window == "4h"
    assert not shown.exception


def test_each_provider_has_a_button(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = {name: SECRETS["auth"][name] for name in ("redirect_uri", "cookie_secret")} | {
        "google": {"client_id": "a"},
        "okta": {"client_id": "b"},
    }
    monkeypatch.setattr(st, "secrets", {"auth": auth})
    monkeypatch.setattr("_sign_in.find_spec", lambda _name: object())
    labels = [button.label for button in visit(tiers_runtime(), "feed_health.py").button]
    assert [label for label in labels if label.startswith("Sign in")] == ["Sign in with google", "Sign in with okta"]


@pytest.mark.parametrize(("secrets", "has_authlib", "missing"), [
    ({}, True, "lacks [auth] with redirect_uri and cookie_secret"),
    ({"auth": {"client_id": "x"}}, True, "lacks [auth] with redirect_uri and cookie_secret"),
    ({"auth": {"redirect_uri": "x", "cookie_secret": "hunter2"}}, True, "names no provider"),
    (SECRETS, False, "Authlib is not installed"),
])  # fmt: skip
def test_without_a_way_to_sign_in_each_page_says_what_is_missing(
    visit: Open, monkeypatch: pytest.MonkeyPatch, secrets: dict[str, Any], has_authlib: bool, missing: str
) -> None:
    monkeypatch.setattr(st, "secrets", secrets)
    monkeypatch.setattr("_sign_in.find_spec", lambda _name: object() if has_authlib else None)
    shown = visit(tiers_runtime(), "feed_health.py")
    (error,) = [each.value for each in shown.error]
    assert missing in error
    assert "docs/access.md" in error
    assert "hunter2" not in sentences(shown)
    assert not shown.exception


def test_whoever_signs_in_first_is_kept_as_free(visit: Open) -> None:
    runtime = busy_runtime(access="tiers")
    shown = visit(runtime, "feed_health.py", told("new`[x](http://evil)"))
    (user,) = runtime.store.users()
    assert (user.tier, user.email) == ("free", "new`[x](http://evil)@example.org")
    assert "Signed in as `new'[x](http://evil)@example.org`, tier **Free**" in sentences(shown)
    assert "Sign out" in [button.label for button in shown.button]
    assert runtime.store.audit_log()[0].action == "user.first_sign_in"


@pytest.mark.parametrize(("user", "tier_name"), [
    (told("boss"), "Admin"),
    (told("boss", email_verified=False), "Free"),
    (told("boss", sub=""), None),
    (told("other", email="boss@example.org", email_verified=None), "Free"),
])  # fmt: skip
def test_the_first_admin_is_named_by_the_settings_and_a_verified_address(
    visit: Open, user: dict[str, Any], tier_name: str | None
) -> None:
    runtime = busy_runtime(access="tiers", admins="boss@example.org")
    words = sentences(visit(runtime, "feed_health.py", user))
    assert (f"tier **{tier_name}**" in words) if tier_name else ("Signed in" not in words)


def test_a_page_that_stays_open_follows_a_changed_tier(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tiers_runtime("vip")
    shown = visit(runtime, "predicted.py", told(), window="24h")
    assert shown.session_state["_selection"].window == "24h"
    runtime.access.set_tier(LOCAL, claims().user_id, "free")
    monkeypatch.setattr("_access.VISITOR_S", -1.0)  # half a minute later
    shown.run()
    assert shown.session_state["_selection"].window == "4h"
    assert "Predicted levels need tier pro or vip; yours is free." in sentences(shown)
    assert not shown.exception


def test_while_the_store_is_away_a_known_visitor_stays_and_a_new_one_is_free(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tiers_runtime("vip")
    known = visit(runtime, "feed_health.py", told())
    runtime.store.is_away = True
    monkeypatch.setattr("_access.VISITOR_S", -1.0)
    assert "tier **VIP**" in sentences(known.run())
    assert "tier **Free**" in sentences(visit(runtime, "feed_health.py", told("bob")))


def test_an_open_installation_knows_no_sign_in(visit: Open) -> None:
    shown = visit(busy_runtime(), "feed_health.py", told())
    assert "Sign" not in " ".join(button.label for button in shown.button)
    assert "Signed" not in sentences(shown)


# --- an address that others can reach ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["combined.py", "liquidations.py", "predicted.py", "liquidity.py", "risk.py", "validation.py",
                                  "feed_health.py", "admin.py"])  # fmt: skip
def test_an_open_installation_on_a_public_address_warns_on_every_page(
    visit: Open, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(st, "get_option", lambda _name: "0.0.0.0")  # noqa: S104
    banners = [each.value for each in visit(busy_runtime(), page).error if "Everybody who can reach this address" in each.value]
    assert len(banners) == 1
    assert "listens on 0.0.0.0" in banners[0]
    assert not [each for each in visit(tiers_runtime(), page).error if "Everybody who can reach" in each.value]


# --- administration ------------------------------------------------------------------------------------------------------


def test_an_admin_gives_a_tier(visit: Open) -> None:
    runtime = tiers_runtime("admin")
    runtime.access.sign_in(claims("bob"))
    shown = visit(runtime, "admin.py", told())
    shown.selectbox(key="tier_user").select_index(1)
    shown.selectbox(key="tier_name").select("pro")
    next(button for button in shown.button if button.label == "Give this tier").click().run()
    assert not shown.exception
    bob = runtime.store.user(claims("bob").user_id)
    assert bob is not None
    assert bob.tier == "pro"
    entry = runtime.store.audit_log()[0]
    assert (entry.actor, entry.action, entry.target) == ("ann@example.org", "user.tier", bob.id)
    assert entry.details == {"before": "free", "after": "pro"}


def test_an_admin_cannot_lock_themselves_out(visit: Open) -> None:
    runtime = tiers_runtime("admin")
    shown = visit(runtime, "admin.py", told())
    shown.selectbox(key="tier_name").select("free")
    next(button for button in shown.button if button.label == "Give this tier").click().run()
    assert "You cannot take the administration from yourself" in sentences(shown)
    assert runtime.store.users()[0].tier == "admin"


def test_a_key_is_shown_once_and_can_be_revoked(visit: Open) -> None:
    runtime = tiers_runtime("admin")
    shown = visit(runtime, "admin.py", told())
    shown.text_input(key="key_name").input("grafana <b>")
    shown.selectbox(key="key_tier").select("pro")
    next(button for button in shown.button if button.label == "Make the key").click().run()
    assert not shown.exception
    (text,) = [code.value for code in shown.code]
    (key,) = runtime.store.api_keys()
    assert (key.name, key.tier, key.scopes, key.created_by) == ("grafana <b>", "pro", ("read",), "ann@example.org")
    stored = runtime.store.api_key(key.id)
    assert stored is not None
    assert is_same(text, stored.secret_hash)
    shown.run()
    assert not shown.code
    secret = text.rpartition("_")[2]
    everything = sentences(shown) + " ".join(frame.value.astype(str).to_string() for frame in shown.dataframe)
    assert secret not in everything
    assert secret not in repr(shown.session_state)
    next(button for button in shown.button if button.label == "Revoke for good").click().run()
    assert runtime.store.api_keys()[0].revoked_us is not None
    assert [entry.action for entry in runtime.store.audit_log()][:2] == ["key.revoke", "key.create"]
    assert secret not in repr(runtime.store.audit_log())


def test_what_cannot_be_made_is_said(visit: Open) -> None:
    runtime = tiers_runtime("admin")
    shown = visit(runtime, "admin.py", told())
    next(button for button in shown.button if button.label == "Make the key").click().run()
    assert "The name was ''; it must be 1 to 80 printable characters" in sentences(shown)
    assert runtime.store.api_keys() == []


def test_the_local_user_of_an_open_installation_sees_the_page(visit: Open) -> None:
    words = sentences(visit(busy_runtime(), "admin.py"))
    assert "HEATMAP_ACCESS is open: there is one local user" in words


def test_the_page_says_when_the_store_is_away(visit: Open) -> None:
    runtime = busy_runtime()
    runtime.store.is_away = True
    shown = visit(runtime, "admin.py")
    assert any("The store is away" in each.value for each in shown.error)
    assert not shown.exception


def test_only_who_may_sees_administration_in_the_navigation(visit: Open, tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    page = st.Page

    def watched(path: str, **more: Any) -> Any:
        seen[path] = more.get("visibility", "visible")
        return page(path, **more)

    monkeypatch.setattr(st, "Page", watched)
    visit(tiers_runtime(tier.name), "combined.py", told())
    assert seen["admin.py"] == ("visible" if tier.is_admin else "hidden")
    assert seen["predicted.py"] == "visible"
    assert BTC in visit(tiers_runtime(tier.name), "combined.py", told()).selectbox(key="instrument").options
    assert ETH != BTC


# --- the past -------------------------------------------------------------------------------------------------------------


def test_a_file_of_the_past_is_refused_to_a_tier_that_may_not_look_back_so_far(visit: Open) -> None:
    from _prepared import made

    visit(tiers_runtime("pro"), "liquidations.py", told())  # so that the pages' modules are at hand
    for tier_name, days_back, is_allowed in (("pro", 1, True), ("pro", 20, False), ("vip", 20, True)):
        runtime = tiers_runtime(tier_name)
        runtimes.install(runtime)
        present = current_desk()
        past = past_of(present).desk_at(present.now_us() - days_back * 24 * HOUR, pace=0.0)
        wanted = Selection(BTC, ("binance", "okx", "bybit"), "1h")
        if is_allowed:
            assert made(past, "gaps", "json", wanted, claims(), is_smoothed=False)
        else:
            with pytest.raises(NotAllowed, match="vip"):
                made(past, "gaps", "json", wanted, claims(), is_smoothed=False)
