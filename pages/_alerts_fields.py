"""The fields of a rule's form: only those that its kind uses, each with the sentence of what is wrong beneath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st
from _alerts_data import outbox
from streamlit.delta_generator import DeltaGenerator

from services.alerts.rules import Field, Problem
from services.domain.alerts import AlertRule
from services.domain.coverage import EXCHANGE_TITLES
from services.views.alert_words import plain
from services.views.alerts_view import spec_of

SIDES: Final = {"either": "Either", "long": "Longs", "short": "Shorts"}
METHODS: Final = {"robust": "Robust", "classic": "Plain"}
CHANGES: Final = {"appears": "Appears", "pulled": "Is pulled", "either": "Either"}
RATIOS: Final = {"branching": "Branching ratio", "forced_to_depth": "Forced over depth"}
STEPS: Final = {"Z": 0.1, "USD": 50_000.0, "bps": 1.0, "score": 0.05, "ratio": 0.05, "s": 5.0}
FIRES: Final = {"above": "Fires above", "reaches": "Fires from", "within": "Fires within"}
TO_ALL, TO_CHOSEN = "All that are on", "Only chosen ones"


class Fields:
    """Draws fields for one draft and keeps where the sentence beneath each belongs. `values` is what the widgets say."""

    def __init__(self, draft: AlertRule) -> None:
        self._draft = draft
        self._beneath: dict[str, DeltaGenerator] = {}
        self.values: dict[str, Any] = {}

    def draw(self, tracked: Sequence[str], exchanges: Sequence[str]) -> None:
        """All of them, in two columns, and the numbers beside each other beneath."""
        left, right = st.columns(2, gap="medium")
        with left:
            self.name()
            self.place(tracked, exchanges)
        with right:
            self.details()
            self.told()
        self.bounds()

    def _key(self, field: str) -> str:
        return f"rule_{self._draft.id}_{self._draft.kind}_{field}"

    def name(self) -> None:
        self._kept("name", st.text_input("Name", self._draft.name, key=self._key("name"), max_chars=80))

    def place(self, tracked: Sequence[str], exchanges: Sequence[str]) -> None:
        """Instruments and exchanges; an instrument that is tracked no more stays to be chosen off."""
        spec, draft = spec_of(self._draft.kind), self._draft
        chosen = st.multiselect(
            "Instruments",
            [*tracked, *(name for name in draft.instruments if name not in tracked)],
            default=list(draft.instruments),
            key=self._key("instruments"),
            placeholder="Choose" if spec.needs_instrument else "Any",
        )
        self._kept("instruments", tuple(chosen))
        names = st.pills(
            "Exchanges",
            exchanges,
            selection_mode="multi",
            default=[name for name in draft.exchanges if name in exchanges],
            format_func=lambda name: EXCHANGE_TITLES.get(name, name),
            key=self._key("exchanges"),
            help="None chosen: all that are collected, also those added later.",
        )
        self._kept("exchanges", tuple(name for name in exchanges if name in names))

    def details(self) -> None:
        """What only some kinds read."""
        uses = spec_of(self._draft.kind).uses
        for field in uses:
            self._kept(field, self._detail(field))

    def _detail(self, field: Field) -> Any:
        draft = self._draft
        if field == "window_s":
            windows = spec_of(draft.kind).windows_s
            return self._choice("Added up over", field, {each: f"{each // 60} min" for each in windows}, draft.window_s)
        if field == "position_side":
            return self._choice("Positions", field, SIDES, draft.position_side, "Each side is watched by itself.")
        if field == "method":
            words = "Robust: median and MAD of log notional, as rare as a normal law. Plain: mean and σ of USD, fires more often."
            return self._choice("Z-score", field, METHODS, draft.method, words)
        if field == "whale_change":
            return self._choice("The order", field, CHANGES, draft.whale_change, "Pulled: it vanished without having been filled.")
        if field == "ratio":
            words = "Branching: how many liquidations one sets off (1 is critical). Forced over depth: what 1 % would force, "
            return self._choice("Ratio", field, RATIOS, draft.ratio, f"{words}over the resting depth that it meets (estimated).")
        if field == "within_bps":
            return self._number("At most so far from the mid, bps", field, draft.within_bps, 5.0)
        return self._number("Strength of the level at least, 0 to 1", field, draft.min_strength, 0.05)

    def bounds(self) -> None:
        """Threshold, hysteresis, cooldown, in the unit of the kind."""
        spec, draft = spec_of(self._draft.kind), self._draft
        step = STEPS.get(spec.unit, 1.0)
        span = f"{spec.low:,g} to {spec.high:,g} {spec.unit}."
        first, *rest = st.columns(2 if spec.is_happening else 3, gap="medium")
        with first:
            self._kept("fires_at", self._number(f"{FIRES[spec.crossing]}, {spec.unit}", "fires_at", draft.fires_at, step, span))
        if not spec.is_happening:
            with rest[0]:
                words = (
                    "How far the value must go back behind the threshold before the rule can fire again: no chatter at the edge."
                )
                self._kept("hysteresis", self._number(f"Hysteresis, {spec.unit}", "hysteresis", draft.hysteresis, step, words))
        with rest[-1]:
            words = "Seconds after an alert in which the same subject (instrument and side, or feed) raises no other."
            cooldown_s = st.number_input("Cooldown, s", value=draft.cooldown_s, step=60, key=self._key("cooldown_s"), help=words)
            self._kept("cooldown_s", int(cooldown_s))

    def told(self) -> None:
        """Whom it is told to."""
        draft, targets = self._draft, {target.id: target.name for target in outbox().targets}
        if not targets:
            self.values["target_ids"] = draft.target_ids
            st.caption("It is told on the pages. For messages elsewhere add a target in the tab *Delivery*.")
            return
        to = st.segmented_control(
            "Told to", [TO_ALL, TO_CHOSEN], default=TO_ALL if draft.target_ids is None else TO_CHOSEN, required=True,
            key=self._key("to"), help="The targets of the tab Delivery. None chosen: only on the pages.",
        )  # fmt: skip
        if to == TO_ALL:
            self.values["target_ids"] = None
            return
        known = [name for name in draft.target_ids or () if name in targets]
        chosen = st.multiselect(
            "Targets", list(targets), default=known, format_func=lambda each: targets[each], key=self._key("target_ids")
        )
        self.values["target_ids"] = tuple(chosen)

    def complain(self, problems: Sequence[Problem]) -> None:
        """Each sentence beneath its field; those of fields that are not drawn at the end."""
        for problem in problems:
            self._beneath.get(problem.field, st).caption(f":red[{plain(problem.text)}]")

    def _kept(self, field: str, value: Any) -> None:
        self.values[field] = value
        self._beneath[field] = st.container()

    def _choice(self, label: str, field: str, options: dict[Any, str], now: Any, help_text: str | None = None) -> Any:
        return st.segmented_control(
            label, list(options), default=now if now in options else None, required=now in options,
            format_func=options.__getitem__, key=self._key(field), help=help_text,
        )  # fmt: skip

    def _number(self, label: str, field: str, now: float, step: float, help_text: str | None = None) -> float:
        decimals = "%.0f" if step >= 1 and now == int(now) else "%.2f"
        return float(st.number_input(label, value=float(now), step=step, format=decimals, key=self._key(field), help=help_text))
