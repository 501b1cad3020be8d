"""What a tier refuses, as sentences: what was asked, what is allowed, which tier has it. None is: go ahead.

Pages and API both come here, so that what is hidden on one is not open on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.access.tiers import Tier, having, span_words
from services.access.visitor import Visitor
from services.domain.windows import US_PER_SECOND, WINDOWS_S
from services.views.selection import PAGE_WINDOWS, Selection

_GRACE_US: Final = 120 * US_PER_SECOND  # between asking for "the last 4 hours" and being answered, on whole columns


@dataclass(frozen=True, slots=True)
class Clamped:
    """A selection that the tier allows, and a sentence for each thing that had to be changed."""

    selection: Selection
    notices: tuple[str, ...]


def allowed_instruments(tier: Tier, tracked: Sequence[str]) -> tuple[str, ...]:
    """Those of the tracked instruments that the tier may see, in the configured order."""
    return tuple(tracked[: tier.n_instruments])


def instrument_refusal(tier: Tier, instrument: str, tracked: Sequence[str]) -> str | None:
    """Whether the tier may see a tracked instrument. One that is not tracked is not refused here: nobody has it."""
    if instrument in allowed_instruments(tier, tracked) or instrument not in tracked:
        return None
    place = tracked.index(instrument)
    allowed = ", ".join(allowed_instruments(tier, tracked))
    return (
        f"{instrument} {_needs(tier, lambda each: each.n_instruments is None or each.n_instruments > place)}, which sees {allowed}"
    )


def window_refusal(tier: Tier, window: str) -> str | None:
    """Whether the tier may look back over a named window."""
    asked_s = WINDOWS_S[window]
    if tier.history_s is None or asked_s <= tier.history_s:
        return None
    needs = _needs(tier, lambda each: each.history_s is None or each.history_s >= asked_s)
    return f"A window of {window} {needs}, which reaches back {span_words(tier.history_s)}"


def span_refusal(tier: Tier, start_us: int | None, now_us: int) -> str | None:
    """Whether the tier may look back to a moment (None: no moment was named)."""
    if start_us is None or tier.history_s is None or start_us >= now_us - tier.history_s * US_PER_SECOND - _GRACE_US:
        return None
    age_s = (now_us - start_us - _GRACE_US) / US_PER_SECOND
    needs = _needs(tier, lambda each: each.history_s is None or each.history_s >= age_s)
    return f"What is that old {needs}, which reaches back {span_words(tier.history_s)}"


def export_refusal(visitor: Visitor, span_us: int) -> str | None:
    """Whether a visitor may export a span of that length."""
    tier, span_s = visitor.tier, span_us / US_PER_SECOND
    if tier.export_s is None or (tier.export_s and span_s <= tier.export_s + _GRACE_US / US_PER_SECOND):
        return None
    if not tier.export_s:
        return f"Exports {_needs(tier, lambda each: each.export_s != 0, 'need')}"
    needs = _needs(tier, lambda each: each.export_s is None or each.export_s >= span_s)
    return f"An export of {span_words(span_s)} {needs}, which exports up to {span_words(tier.export_s)} at once"


def predicted_refusal(tier: Tier) -> str | None:
    """Whether the tier may see predicted levels."""
    return None if tier.has_predicted else f"Predicted levels {_needs(tier, lambda each: each.has_predicted, 'need')}"


def alert_refusal(visitor: Visitor, n_rules: int, *, instruments: Sequence[str] = (), tracked: Sequence[str] = ()) -> str | None:
    """Whether a visitor who has that many alert rules may add one more, about these instruments.

    For a rule that only changes, say one less than there are.
    """
    if not visitor.is_signed_in:
        return "Alert rules belong to somebody: sign in first, or send an API key"
    for each in instruments:
        refusal = instrument_refusal(visitor.tier, each, tracked)
        if refusal is not None:
            return refusal
    if n_rules < visitor.tier.n_alerts:
        return None
    wanted = n_rules + 1
    needs = _needs(visitor.tier, lambda each: each.n_alerts >= wanted)
    return f"Alert rule number {wanted:,} {needs}, which has {visitor.tier.n_alerts:,}"


def admin_refusal(visitor: Visitor) -> str | None:
    """Whether a visitor may see users, keys and the audit log, and change what is tracked."""
    return None if visitor.tier.is_admin else f"Administration {_needs(visitor.tier, lambda each: each.is_admin)}"


def refresh_refusal(tier: Tier, refresh_s: float) -> str | None:
    """Whether a page of the tier may refresh as often as this."""
    if refresh_s >= tier.refresh_floor_s:
        return None
    needs = _needs(tier, lambda each: each.refresh_floor_s <= refresh_s)
    return f"A refresh every {refresh_s:g} s {needs}, which refreshes every {tier.refresh_floor_s:g} s"


def clamp(tier: Tier, selection: Selection, tracked: Sequence[str]) -> Clamped:
    """The nearest selection that the tier allows: the first instrument it may see, the longest window it may look back."""
    notices: list[str] = []
    refusal = instrument_refusal(tier, selection.instrument, tracked)
    if refusal is not None:
        selection = replace(selection, instrument=tracked[0])
        notices.append(f"{refusal}. Shown: {selection.instrument}.")
    refusal = window_refusal(tier, selection.window)
    if refusal is not None:
        allowed = [window for window in PAGE_WINDOWS if window_refusal(tier, window) is None]
        selection = replace(selection, window=allowed[-1])
        notices.append(f"{refusal}. Shown: {selection.window}.")
    return Clamped(selection, tuple(notices))


def _needs(tier: Tier, allows: Callable[[Tier], bool], verb: str = "needs") -> str:
    enough = having(allows)
    names = [each.name for each in enough if not each.is_admin] or [each.name for each in enough]
    return f"{verb} tier {' or '.join(names)}; yours is {tier.name}"
