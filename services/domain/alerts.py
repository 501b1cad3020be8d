"""Alerts: a user's rules, what they raised with its evidence, whom it is told to, and whether it was.

What a rule means, and which values are allowed, is in services/alerts/rules.py. Names are data: whoever shows them escapes them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, Literal, get_args

import msgspec

AlertKind = Literal[
    "liquidation_z", "whale_order", "price_near_level", "risk_level", "cascade_ratio", "feed_silent", "feed_gap"
]  # fmt: skip
ALERT_KINDS: Final[tuple[AlertKind, ...]] = get_args(AlertKind)
AlertSide = Literal["either", "long", "short"]
AlertMethod = Literal["robust", "classic"]
WhaleChange = Literal["either", "appears", "pulled"]
CascadeRatio = Literal["branching", "forced_to_depth"]
TargetKind = Literal["apprise", "webhook"]
DeliveryState = Literal["pending", "sent", "dead"]
LOCAL_OWNER: Final = "local"  # the one user of an installation without sign-in


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """When to raise an alert. `fires_at` and `hysteresis` are in the unit of the kind (services/alerts/rules.py: KINDS).

    instruments       canonical names; () in the two feed kinds only: feeds of any instrument
    exchanges         () for all that are collected
    position_side     liquidation_z, cascade_ratio: which side is scored; "either" watches both, each by itself
    window_s          liquidation_z: length of the scored window
    method            liquidation_z: the robust or the plain Z
    whale_change      whale_order: what happens to it
    within_bps        whale_order: how far from the mid at most
    min_strength      price_near_level: strength of the key level in [0, 1] at least
    ratio             cascade_ratio: which of the two
    cooldown_s        seconds after an alert in which the same subject raises no other
    hysteresis        how far the value must go back behind `fires_at` before it can fire again
    muted_until_us    until then alerts are kept but told to nobody; None is not muted
    target_ids        whom it is told to; None is all enabled targets of the owner, () nobody
    """

    id: str
    owner: str
    name: str
    kind: AlertKind
    instruments: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    position_side: AlertSide = "either"
    window_s: int = 0
    method: AlertMethod = "robust"
    whale_change: WhaleChange = "appears"
    within_bps: float = 0.0
    min_strength: float = 0.0
    ratio: CascadeRatio = "branching"
    fires_at: float
    hysteresis: float = 0.0
    cooldown_s: int = 600
    is_enabled: bool = True
    muted_until_us: int | None = None
    target_ids: tuple[str, ...] | None = None
    created_us: int = 0
    updated_us: int = 0

    def is_muted(self, now_us: int) -> bool:
        return self.muted_until_us is not None and now_us < self.muted_until_us


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. Unique by rule and episode: an episode is one stay of one subject beyond the rule's bound, or one happening.

    subject            what was looked at: "BTC-USDT-PERP/long", "binance/book"
    fired_us           when, by the data's clock; `ended_us` when the value was back, None while it is not (or for a happening)
    value, fires_at    in the unit of the kind, as they were then
    text               one sentence of what happened, plain text
    evidence           JSON data: the numbers and rows that made it (docs/alerts.md); numbers are finite, unknown is None
    is_muted           the rule was muted: kept, but told to nobody and not counted as unread
    """

    id: str
    rule_id: str
    owner: str
    rule_name: str
    kind: AlertKind
    instrument: str  # "" where it concerns no single one
    subject: str
    episode: str
    fired_us: int
    value: float
    fires_at: float
    text: str
    evidence: dict[str, Any]
    is_muted: bool = False
    ended_us: int | None = None
    acknowledged_us: int | None = None


class AlertTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Whom alerts are told to. `address_masked` is for eyes and logs; the address itself is a TargetSecret."""

    id: str
    owner: str
    kind: TargetKind
    name: str
    address_masked: str
    is_enabled: bool = True
    created_us: int = 0
    updated_us: int = 0


class TargetSecret(msgspec.Struct, frozen=True, kw_only=True):
    """An apprise URL or a webhook's address, and the key that webhooks are signed with. Its repr shows neither."""

    address: str
    signing_key: str = ""

    def __repr__(self) -> str:
        return "TargetSecret(***)"


class AlertDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One alert to one target. `n_attempts` counts those that were begun; `last_error` holds no secret."""

    id: str
    event_id: str
    target_id: str
    owner: str
    state: DeliveryState
    n_attempts: int
    next_try_us: int
    created_us: int
    sent_us: int | None = None
    last_error: str | None = None


def event_id(rule_id: str, episode: str) -> str:
    """The id of an alert, the same in every process that finds it: 24 hex digits."""
    return blake2b(f"{rule_id}\0{episode}".encode(), digest_size=12).hexdigest()


def delivery_id(of_event: str, target_id: str) -> str:
    """The id of a delivery, 24 hex digits."""
    return blake2b(f"{of_event}\0{target_id}".encode(), digest_size=12).hexdigest()
