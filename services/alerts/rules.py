"""What each kind of rule means: its unit, what it uses, which values make sense, and how it is said in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal, NamedTuple

from services.domain.alerts import ALERT_KINDS, AlertKind, AlertRule
from services.domain.errors import DashboardError
from services.domain.instruments import EXCHANGES, BadInstrumentName, canonical_instrument
from services.domain.words import bps_words, usd_words

Crossing = Literal["above", "reaches", "within"]
"""When a value is beyond `fires_at`: more than it; it or more; it or less (a distance)."""
Field = Literal["position_side", "window_s", "method", "whale_change", "within_bps", "min_strength", "ratio"]
RISK_BOUNDS: Final = {"moderate": 0.30, "high": 0.45, "extreme": 0.60}  # insights/risk_level.py; a test holds them together
LONGEST_NAME: Final = 80
COOLDOWN_S: Final = (10, 7 * 86_400)


class Problem(NamedTuple):
    """What is wrong with a field of a rule: a sentence that says what it was and what would be right."""

    field: str
    text: str


class BadAlertRule(DashboardError):
    """A rule that cannot be meant; `problems` has one entry a field."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(each.text for each in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSpec:
    """What a kind means. `low` … `high` bound `fires_at`; a happening (no state that lasts) has no hysteresis.

    uses         the fields that it reads beside those every rule has
    defaults     what a draft begins with
    """

    title: str
    unit: str
    help: str
    crossing: Crossing
    low: float
    high: float
    fires_at: float
    hysteresis: float = 0.0
    cooldown_s: int = 600
    uses: tuple[Field, ...] = ()
    windows_s: tuple[int, ...] = ()
    within_bps: float = 0.0
    min_strength: float = 0.0
    needs_instrument: bool = True
    is_happening: bool = False


KINDS: Final[dict[AlertKind, KindSpec]] = {
    "liquidation_z": KindSpec(
        title="Liquidations are unusual",
        unit="Z",
        help="The Z-score of the liquidated notional of a side over the last minutes (the sidebar's) is above the threshold.",
        crossing="above", low=0.5, high=20.0, fires_at=3.0, hysteresis=0.5,
        uses=("position_side", "window_s", "method"), windows_s=(60, 300, 900, 3_600),
    ),
    "whale_order": KindSpec(
        title="A whale order appears or is pulled",
        unit="USD",
        help="An order of outsize notional near the mid stands in the book, or vanishes from it without having been filled.",
        crossing="reaches", low=10_000.0, high=1e10, fires_at=1_000_000.0, cooldown_s=60,
        uses=("whale_change", "within_bps"), within_bps=50.0, is_happening=True,
    ),
    "price_near_level": KindSpec(
        title="The price is near a key level",
        unit="bps",
        help="The mid is within so many basis points of a key level of at least the given strength.",
        crossing="within", low=0.5, high=500.0, fires_at=10.0, hysteresis=10.0, cooldown_s=1_800,
        uses=("min_strength",), min_strength=0.5,
    ),
    "risk_level": KindSpec(
        title="The overall risk level reaches",
        unit="score",
        help="The overall risk score in [0, 1] of the last whole minute: moderate from 0.30, high from 0.45, extreme from 0.60.",
        crossing="reaches", low=0.01, high=1.0, fires_at=RISK_BOUNDS["high"], hysteresis=0.05, cooldown_s=1_800,
    ),
    "cascade_ratio": KindSpec(
        title="Liquidations set off further ones",
        unit="ratio",
        help="The branching ratio of liquidations (1 is critical), or what a 1 % move would force over the depth that it meets.",
        crossing="reaches", low=0.05, high=50.0, fires_at=0.8, hysteresis=0.1, cooldown_s=1_800,
        uses=("position_side", "ratio"),
    ),
    "feed_silent": KindSpec(
        title="A feed is silent",
        unit="s",
        help="No trade, or no change of the book, came from an exchange for so many seconds.",
        crossing="reaches", low=5.0, high=86_400.0, fires_at=60.0, cooldown_s=600, needs_instrument=False,
    ),
    "feed_gap": KindSpec(
        title="A feed has a gap",
        unit="s",
        help="A span of a feed is known to be incomplete, and lasts so many seconds at least (0: any).",
        crossing="reaches", low=0.0, high=86_400.0, fires_at=10.0, cooldown_s=60, needs_instrument=False, is_happening=True,
    ),
}  # fmt: skip


# --- what is wrong


def check_rule(rule: AlertRule, *, tracked: Sequence[str] | None = None) -> None:
    """Raises BadAlertRule for a rule that cannot be meant. `tracked`: the instruments there are, None for any."""
    problems = problems_of(rule, tracked=tracked)
    if problems:
        raise BadAlertRule(problems)


def problems_of(rule: AlertRule, *, tracked: Sequence[str] | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong with a rule, in the order of its fields."""
    if rule.kind not in KINDS:
        return (Problem("kind", f"The kind was {rule.kind!r}; it must be one of {', '.join(ALERT_KINDS)}."),)
    spec = KINDS[rule.kind]
    return (
        *_name_problems(rule),
        *_place_problems(rule, spec, tracked),
        *_use_problems(rule, spec),
        *_number_problems(rule, spec),
    )


def _name_problems(rule: AlertRule) -> Iterator[Problem]:
    if not rule.name.strip():
        yield Problem("name", "The name was empty; give the rule a name to know it by.")
    elif len(rule.name) > LONGEST_NAME or not rule.name.isprintable():
        what = f"{len(rule.name)} characters long" if len(rule.name) > LONGEST_NAME else "not printable"
        yield Problem("name", f"The name was {what}; it must be up to {LONGEST_NAME} printable characters on one line.")


def _place_problems(rule: AlertRule, spec: KindSpec, tracked: Sequence[str] | None) -> Iterator[Problem]:
    if spec.needs_instrument and not rule.instruments:
        yield Problem("instruments", "No instrument was chosen; choose at least one.")
    for name in rule.instruments:
        try:
            is_ours = canonical_instrument(name) == name
        except BadInstrumentName:
            is_ours = False
        if not is_ours:
            yield Problem("instruments", f"The instrument was {name[:40]!r}; it must be written like BTC-USDT-PERP.")
        elif tracked is not None and name not in tracked:
            yield Problem("instruments", f"The instrument was {name}, which is not tracked; tracked are {', '.join(tracked)}.")
    for exchange in rule.exchanges:
        if exchange not in EXCHANGES:
            yield Problem("exchanges", f"The exchange was {exchange[:40]!r}; it must be one of {', '.join(EXCHANGES)}.")


def _use_problems(rule: AlertRule, spec: KindSpec) -> Iterator[Problem]:
    if "window_s" in spec.uses and rule.window_s not in spec.windows_s:
        allowed = ", ".join(map(str, spec.windows_s))
        yield Problem("window_s", f"The window was {rule.window_s} s; it must be one of {allowed}.")
    if "within_bps" in spec.uses and not 0 < rule.within_bps <= 10_000:
        yield Problem("within_bps", f"The distance from the mid was {rule.within_bps:g} bps; it must be above 0 and up to 10,000.")
    if "min_strength" in spec.uses and not 0 <= rule.min_strength <= 1:
        yield Problem("min_strength", f"The strength was {rule.min_strength:g}; it must be from 0 to 1.")


def _number_problems(rule: AlertRule, spec: KindSpec) -> Iterator[Problem]:
    if not spec.low <= rule.fires_at <= spec.high:
        span = f"{spec.low:,g} to {spec.high:,g} {spec.unit}"
        yield Problem("fires_at", f"The threshold was {rule.fires_at:,g} {spec.unit}; it must be from {span}.")
    is_bounded = spec.crossing != "within" and spec.low <= rule.fires_at <= spec.high
    most = rule.fires_at if is_bounded else spec.high
    if not (isfinite(rule.hysteresis) and 0 <= rule.hysteresis <= most):
        yield Problem("hysteresis", f"The hysteresis was {rule.hysteresis:g} {spec.unit}; it must be from 0 to {most:g}.")
    least, longest = COOLDOWN_S
    if not least <= rule.cooldown_s <= longest:
        yield Problem("cooldown_s", f"The cooldown was {rule.cooldown_s:,} s; it must be from {least} to {longest:,} s.")


# --- in words


def value_words(kind: AlertKind, value: float) -> str:
    """A value of a kind with its unit: "Z 4.2", "1.2 M $", "12 bps"."""
    if kind == "whale_order":
        return usd_words(value)
    if kind == "price_near_level":
        return bps_words(value)
    if kind in ("feed_silent", "feed_gap"):
        return f"{value:,.0f} s"
    return f"Z {value:.1f}" if kind == "liquidation_z" else f"{value:.2f}"


def condition_words(rule: AlertRule) -> str:
    """What a rule waits for, without its name: "Z of longs on BTC-USDT-PERP over 5 min above 3"."""
    where = ", ".join(rule.instruments) or "any instrument"
    if rule.exchanges:
        where += f" ({', '.join(rule.exchanges)})"
    side = "longs or shorts, each by itself," if rule.position_side == "either" else f"{rule.position_side}s"
    bound = value_words(rule.kind, rule.fires_at)
    if rule.kind == "liquidation_z":
        method = "Robust" if rule.method == "robust" else "Plain"
        return f"{method} Z of {side} on {where} over {rule.window_s // 60} min above {rule.fires_at:g}"
    if rule.kind == "whale_order":
        change = "appears or is pulled" if rule.whale_change == "either" else _CHANGES[rule.whale_change]
        return f"An order of {bound} or more {change} within {bps_words(rule.within_bps)} of the mid on {where}"
    if rule.kind == "price_near_level":
        return f"The mid of {where} within {bound} of a key level of strength {rule.min_strength:g} or more"
    if rule.kind == "risk_level":
        return f"Overall risk of {where} at {rule.fires_at:g} or more"
    if rule.kind == "cascade_ratio":
        what = "Branching ratio" if rule.ratio == "branching" else "Forced volume over depth"
        return f"{what} of {side} on {where} at {rule.fires_at:g} or more"
    what = "No trade or no book" if rule.kind == "feed_silent" else "A gap"
    return f"{what} for {bound} or more on {where}"


_CHANGES: Final = {"appears": "appears", "pulled": "is pulled"}
