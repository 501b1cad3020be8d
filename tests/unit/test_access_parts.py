"""The parts of access: the tier table and its refusals, keys as texts, token buckets, addresses."""

from __future__ import annotations

import hmac
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.access import keys as key_texts
from services.access.addresses import bucket_of, client_address, exposure_warning, is_public
from services.access.buckets import Buckets
from services.access.keys import BadKey, hash_of, id_of, is_same, make_key
from services.access.limits import (
    admin_refusal,
    alert_refusal,
    clamp,
    export_refusal,
    instrument_refusal,
    predicted_refusal,
    refresh_refusal,
    span_refusal,
    window_refusal,
)
from services.access.sign_in import Claims, is_appointed, read_claims
from services.access.tiers import TIERS, Tier, having, table_rows
from services.access.visitor import LOCAL, NOBODY, Visitor
from services.domain.windows import WINDOWS_S
from services.views.selection import Selection

DOC = Path(__file__).parents[2] / "docs" / "access.md"
TRACKED = tuple(f"C{number}-USDT-PERP" for number in range(12))
FREE, PRO, VIP, ADMIN = TIERS.values()
HOUR_US = 3_600_000_000


def visitor(tier: Tier) -> Visitor:
    return Visitor("u_1", "ann", tier)


# --- the table -----------------------------------------------------------------------------------------------------------


def test_the_documented_table_is_the_one_that_is_enforced() -> None:
    lines = [line for line in DOC.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head, _, *rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert head == ("what", *TIERS)
    assert rows == table_rows()


def test_a_higher_tier_allows_all_that_a_lower_one_does() -> None:
    def measure(tier: Tier) -> tuple[float, ...]:
        bounded = (tier.n_instruments, tier.history_s, tier.export_s)
        return (*(float("inf") if each is None else each for each in bounded), -tier.refresh_floor_s, tier.api_per_minute,
                tier.has_predicted, tier.n_alerts, tier.is_admin)  # fmt: skip

    for lower, higher in pairwise(TIERS.values()):
        assert all(a <= b for a, b in zip(measure(lower), measure(higher), strict=True))


def test_a_refusal_names_the_tiers_that_have_it() -> None:
    assert predicted_refusal(FREE) == "Predicted levels need tier pro or vip; yours is free"
    assert window_refusal(FREE, "24h") == "A window of 24h needs tier pro or vip; yours is free, which reaches back 4h"
    assert window_refusal(PRO, "30d") == "A window of 30d needs tier vip; yours is pro, which reaches back 7d"
    refusal = instrument_refusal(FREE, TRACKED[2], TRACKED)
    assert refusal == f"{TRACKED[2]} needs tier pro or vip; yours is free, which sees {TRACKED[0]}, {TRACKED[1]}"
    assert admin_refusal(visitor(VIP)) == "Administration needs tier admin; yours is vip"


def test_what_a_tier_holds_is_not_refused() -> None:
    for tier in TIERS.values():
        for place, name in enumerate(TRACKED):
            is_allowed = tier.n_instruments is None or place < tier.n_instruments
            assert (instrument_refusal(tier, name, TRACKED) is None) == is_allowed
        for window, seconds in WINDOWS_S.items():
            assert (window_refusal(tier, window) is None) == (tier.history_s is None or seconds <= tier.history_s)
        assert (predicted_refusal(tier) is None) == tier.has_predicted
        assert (admin_refusal(visitor(tier)) is None) == tier.is_admin
        assert (refresh_refusal(tier, tier.refresh_floor_s), refresh_refusal(tier, 0.5) is None) == (None, False)
        assert alert_refusal(visitor(tier), tier.n_alerts - 1) is None
        assert f"yours is {tier.name}" in (alert_refusal(visitor(tier), tier.n_alerts) or "")
    assert instrument_refusal(FREE, "DOGE-USDT-PERP", TRACKED) is None  # not tracked: that is another answer


def test_how_far_back_and_how_much_at_once_are_two_questions() -> None:
    now_us = 1_000 * HOUR_US
    assert span_refusal(FREE, now_us - 4 * HOUR_US, now_us) is None
    assert "yours is free, which reaches back 4h" in (span_refusal(FREE, now_us - 5 * HOUR_US, now_us) or "")
    assert "needs tier vip" in (span_refusal(PRO, now_us - 200 * HOUR_US, now_us) or "")
    assert "needs tier admin" in (span_refusal(VIP, now_us - 800 * HOUR_US, now_us) or "")
    assert span_refusal(ADMIN, 0, now_us) is None
    assert span_refusal(FREE, None, now_us) is None
    assert export_refusal(visitor(FREE), 1) == "Exports need tier pro or vip; yours is free"
    assert export_refusal(visitor(PRO), 24 * HOUR_US) is None
    refusal = export_refusal(visitor(PRO), 72 * HOUR_US)
    assert refusal == "An export of 3d needs tier vip; yours is pro, which exports up to 24h at once"
    assert export_refusal(visitor(ADMIN), 10_000 * HOUR_US) is None


def test_a_rule_about_what_the_tier_does_not_see_is_refused() -> None:
    assert TRACKED[5] in (alert_refusal(visitor(FREE), 0, instruments=[TRACKED[0], TRACKED[5]], tracked=TRACKED) or "")
    assert alert_refusal(visitor(FREE), 0, instruments=[TRACKED[0]], tracked=TRACKED) is None
    assert "sign in first" in (alert_refusal(NOBODY, 0) or "")


def test_a_selection_is_clamped_with_a_sentence_for_each_change() -> None:
    asked = Selection(TRACKED[7], ("binance",), "24h", 2.0)
    clamped = clamp(FREE, asked, TRACKED)
    assert clamped.selection == Selection(TRACKED[0], ("binance",), "4h", 2.0)
    assert [notice.rpartition("Shown: ")[2] for notice in clamped.notices] == [f"{TRACKED[0]}.", "4h."]
    assert clamp(VIP, asked, TRACKED).selection is asked
    assert clamp(VIP, asked, TRACKED).notices == ()


def test_only_the_admin_tier_administers_and_the_local_user_has_it() -> None:
    assert having(lambda tier: tier.is_admin) == (ADMIN,)
    assert LOCAL.tier is ADMIN
    assert NOBODY.tier is FREE


# --- keys ----------------------------------------------------------------------------------------------------------------


def test_a_key_is_256_random_bits_and_is_found_by_its_id() -> None:
    made = [make_key() for _ in range(50)]
    assert len({each.text for each in made}) == len({each.id for each in made}) == 50
    for each in made:
        assert id_of(each.text) == each.id
        assert is_same(each.text, each.secret_hash)
        assert len(each.text.rpartition(f"_{each.id}_")[2]) == 43
        assert each.text not in repr(each)


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: text + "A", lambda text: f" {text}",
                                    lambda text: text.replace("uhm", "uhn"), lambda _: "", lambda _: "' OR 1=1 --",
                                    lambda _: "Basic abc", lambda text: text + "\n", lambda _: "x" * 100_000])  # fmt: skip
def test_a_malformed_key_is_refused_without_repeating_it(change) -> None:  # type: ignore[no-untyped-def]
    text = change(make_key().text)
    with pytest.raises(BadKey, match="malformed") as caught:
        id_of(text)
    assert not text.strip() or text not in str(caught.value)


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader_of_keys(text: str) -> None:
    with pytest.raises(BadKey):
        id_of(text)


def test_hashes_are_compared_in_constant_time_also_where_there_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def watch(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(key_texts, "compare_digest", watch)
    made = make_key()
    assert not is_same(made.text, None)
    assert not is_same(made.text, hash_of("another"))
    assert is_same(made.text, made.secret_hash)
    assert [len(b) for _, b in compared] == [32, 32, 32]


# --- buckets -------------------------------------------------------------------------------------------------------------


class Hand:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_minute_holds_what_the_table_says_and_then_fills_evenly() -> None:
    clock = Hand()
    buckets = Buckets(now_s=clock)
    assert [buckets.take("a", 30) for _ in range(30)] == [0.0] * 30
    assert buckets.take("a", 30) == pytest.approx(2.0)
    assert buckets.take("b", 30) == 0.0
    clock.now_s = 2.0
    assert (buckets.take("a", 30), buckets.take("a", 30) > 0) == (0.0, True)
    clock.now_s = 1e6
    assert sum(buckets.take("a", 30) == 0.0 for _ in range(100)) == 30


def test_what_is_only_looked_at_takes_nothing() -> None:
    buckets = Buckets(now_s=Hand())
    assert buckets.wait_s("a", 2) == 0.0
    assert len(buckets) == 0
    for _ in range(2):
        buckets.take("a", 2)
    assert buckets.wait_s("a", 2) == pytest.approx(30.0)


def test_memory_is_bounded_and_who_asked_longest_ago_is_forgotten() -> None:
    buckets = Buckets(now_s=Hand(), max_buckets=100)
    for number in range(1_000):
        buckets.take("busy", 5_000)
        buckets.take(f"address {number}", 1)
    assert len(buckets) == 100
    assert buckets.wait_s("address 999", 1) > 0
    assert buckets.wait_s("address 0", 1) == 0.0
    assert sum(buckets.take("busy", 5_000) == 0.0 for _ in range(5_000)) == 4_000


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 100))
def test_no_more_than_twice_a_minutes_worth_passes_in_any_minute(gaps_s: list[float], per_minute: int) -> None:
    clock = Hand()
    buckets = Buckets(now_s=clock)
    taken_s: list[float] = []
    for gap_s in gaps_s:
        clock.now_s += gap_s
        taken_s += [clock.now_s for _ in range(40) if buckets.take("a", per_minute) == 0.0]
    for start_s in taken_s:
        assert sum(start_s <= each < start_s + 60 for each in taken_s) <= 2 * per_minute


# --- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.9", "", (), "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", (), "203.0.113.9"),
        ("127.0.0.1", "198.51.100.7", (), "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", ("127.0.0.1",), "198.51.100.7"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.7", ("127.0.0.1",), "198.51.100.7"),  # 1.1.1.1 was written by the client
        ("10.1.2.3", "1.1.1.1,198.51.100.7, 10.9.9.9", ("10.0.0.0/8",), "198.51.100.7"),
        ("10.1.2.3", "nonsense", ("10.0.0.0/8",), "10.1.2.3"),
        ("10.1.2.3", "198.51.100.7, <script>", ("10.0.0.0/8",), "10.1.2.3"),
        ("::1", "2001:db8::5", ("::1/128",), "2001:db8::5"),
        ("::ffff:127.0.0.1", "198.51.100.7", ("127.0.0.1",), "198.51.100.7"),
        ("", "198.51.100.7", ("127.0.0.1",), ""),
    ],
)
def test_forwarded_addresses_are_believed_from_our_own_proxies_only(
    peer: str, forwarded: str, trusted: tuple[str, ...], address: str
) -> None:
    assert client_address(peer, forwarded, trusted) == address


def test_a_very_long_chain_is_read_from_the_right_and_not_to_its_end() -> None:
    assert client_address("127.0.0.1", ", ".join(["127.0.0.1"] * 10_000), ("127.0.0.1",)) == "127.0.0.1"


def test_an_ipv6_subscriber_has_one_bucket_and_an_ipv4_address_its_own() -> None:
    assert bucket_of("2001:db8::1") == bucket_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert bucket_of("198.51.100.7") == bucket_of("::ffff:198.51.100.7") == "198.51.100.7"
    assert bucket_of("no address") == "unknown"


@pytest.mark.parametrize(("address", "public"), [
    ("127.0.0.1", False), ("localhost", False), ("::1", False), ("[::1]", False), ("127.9.9.9", False),
    ("0.0.0.0", True), ("", True), (None, True), ("::", True), ("192.168.1.5", True), ("host.example.org", True),  # noqa: S104
])  # fmt: skip
def test_an_address_that_others_can_reach_is_known(address: str | None, public: bool) -> None:
    assert is_public(address) is public


def test_only_an_open_server_that_others_can_reach_is_warned_of() -> None:
    assert "listens on 192.0.2.1 and HEATMAP_ACCESS is open" in exposure_warning("192.0.2.1", is_open=True)
    assert "listens on all addresses" in exposure_warning("", is_open=True)
    assert exposure_warning("192.0.2.1", is_open=False) == exposure_warning("127.0.0.1", is_open=True) == ""


# --- sign-in -------------------------------------------------------------------------------------------------------------


def test_an_email_appoints_an_admin_only_where_the_provider_verified_it() -> None:
    told = {"iss": "https://id", "sub": "7", "email": "Ann@Example.org"}
    claims = read_claims(told | {"email_verified": True})
    assert claims is not None
    assert is_appointed(claims, ("ann@example.org",))
    assert not is_appointed(claims, ("bob@example.org", ""))
    for doubtful in ({}, {"email_verified": False}, {"email_verified": "true"}):
        unsure = read_claims(told | doubtful)
        assert unsure is not None
        assert not is_appointed(unsure, ("ann@example.org",))
        assert is_appointed(unsure, (unsure.user_id,))


@pytest.mark.parametrize("told", [{}, {"sub": ""}, {"sub": "  "}, {"sub": None}, {"sub": 7}, {"email": "a@b"}])
def test_a_token_that_names_nobody_signs_nobody_in(told: dict[str, object]) -> None:
    assert read_claims(told) is None


def test_odd_claims_become_text_that_can_be_kept() -> None:
    claims = read_claims({"sub": "a\0b", "name": "x" * 10_000, "email": ["a"], "iss": "\ud800"})
    assert claims == Claims("?", "ab", "", "x" * 300)
