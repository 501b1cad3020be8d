"""The Z of liquidations, by the functions that the sidebar shows: a page and an alert cannot disagree."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from services.alerts.evaluation import Reading, Told
from services.alerts.kept_minutes import KeptMinutes
from services.alerts.watchers import exchanges_of
from services.analytics.rate_anomaly import RateScore
from services.domain.alerts import AlertRule
from services.domain.errors import StoreUnavailable
from services.domain.findings import MarketMinute
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore
from services.views import alert_view
from services.views.alert_view import AlertState, alarms, alert_state, z_of
from services.views.context import ViewContext
from services.views.liquidation_minutes import MINUTE_US, TAIL_MIN, LiquidationMinutes, PositionSide

KEPT_UNASKED_US: Final = 300 * US_PER_SECOND
N_ROWS: Final = 20  # liquidations in the evidence, the largest ones
_Place = tuple[str, tuple[str, ...]]
_Stamp = tuple[object, ...]


class LiquidationWatch:
    """Kind liquidation_z. Anew computed only when a minute began or its notional changed: 10 to 20 ms then,
    0.3 s the first time."""

    every_s: Final = 0.5

    def __init__(self, store: EventStore, context: ViewContext, exchanges: tuple[str, ...]) -> None:
        self._store = store
        self._context = context
        self._exchanges = exchanges
        self._keepers: dict[_Place, KeptMinutes] = {}
        self._kept: dict[_Place, tuple[int, LiquidationMinutes]] = {}
        self._now: dict[_Place, tuple[_Stamp, LiquidationMinutes]] = {}
        self._states: dict[tuple[_Place, int, str], tuple[_Stamp, AlertState]] = {}
        self._asked_us: dict[_Place, int] = {}

    def readings(self, rule: AlertRule, now_us: int) -> list[Reading]:
        """One a side and instrument; None while there is no score (too little history, a feed that is not watched)."""
        chosen = exchanges_of(rule, self._exchanges)
        if not chosen:
            return []
        self._forget_unasked(now_us)
        shown = sidebar_rule(rule)
        found = []
        for instrument in rule.instruments:
            self._asked_us[instrument, chosen] = now_us
            state = self._state((instrument, chosen), shown, now_us)
            for side in shown.position_sides:
                score = state.of(side).best(rule.method)
                found.append(
                    Reading(
                        subject=f"{instrument}/{side}",
                        instrument=instrument,
                        time_us=now_us,
                        value=None if score is None else z_of(score, rule.method),
                        tell=self._teller(rule, instrument, chosen, side, state, score),
                    )
                )
        return found

    def _forget_unasked(self, now_us: int) -> None:
        """A month of minutes takes some 10 MB: what no rule asks for any more is let go."""
        for place in [place for place, asked_us in self._asked_us.items() if abs(now_us - asked_us) > KEPT_UNASKED_US]:
            del self._asked_us[place]
            for kept in (self._keepers, self._kept, self._now):
                kept.pop(place, None)
            self._states = {key: state for key, state in self._states.items() if key[0] != place}

    def _state(self, place: _Place, shown: alert_view.AlertRule, now_us: int) -> AlertState:
        stamp = self._stamp(place, now_us)
        key = (place, shown.minutes, shown.method)
        known = self._states.get(key)
        if known is None or known[0] != stamp:
            minutes = self._minutes(place, stamp, now_us)
            known = (stamp, alert_state(minutes, now_us, minutes=shown.minutes, method=shown.method))
            self._states[key] = known
        return known[1]

    def _live(self, place: _Place, n_minutes: int) -> list[MarketMinute]:
        """The latest minutes of each exchange, the one that fills included."""
        found = (self._context.live.findings(exchange, place[0]) for exchange in place[1])
        return [row for findings in found if findings is not None for row in findings.minutes[-n_minutes:]]

    def _stamp(self, place: _Place, now_us: int) -> _Stamp:
        """Changes with each minute, and with what was liquidated in the latest ones."""
        latest = self._live(place, 3)
        sums = tuple((row.start_time_us, row.liq_long_usd, row.liq_short_usd, row.is_liq_watched) for row in latest)
        return (now_us // MINUTE_US, sums)

    def _minutes(self, place: _Place, stamp: _Stamp, now_us: int) -> LiquidationMinutes:
        known = self._now.get(place)
        if known is None or known[0] != stamp:
            history = self._history(place, now_us)
            known = (stamp, self._keepers[place].with_present(history, self._live(place, TAIL_MIN), now_us))
            self._now[place] = known
        return known[1]

    def _history(self, place: _Place, now_us: int) -> LiquidationMinutes:
        """The stored month, read on once a minute; while the store is away the one of before."""
        minute = now_us // MINUTE_US
        known = self._kept.get(place)
        if known is not None and known[0] == minute:
            return known[1]
        keeper = self._keepers.setdefault(place, KeptMinutes(self._store, *place))
        try:
            self._kept[place] = (minute, keeper.up_to(now_us))
        except StoreUnavailable:
            if known is None:
                raise
        return self._kept[place][1]

    def _teller(
        self,
        rule: AlertRule,
        instrument: str,
        exchanges: tuple[str, ...],
        side: PositionSide,
        state: AlertState,
        score: RateScore | None,
    ) -> Any:
        def tell() -> Told:
            found = {alarm.key.split("/")[1]: alarm for alarm in alarms(state, sidebar_rule(rule), instrument)}
            text = found[side].text.replace("**", "").replace("above your", "above")
            return text, self._evidence(rule, instrument, exchanges, side, state, score)

        return tell

    def _evidence(
        self,
        rule: AlertRule,
        instrument: str,
        exchanges: tuple[str, ...],
        side: PositionSide,
        state: AlertState,
        score: RateScore | None,
    ) -> dict[str, Any]:
        if score is None:
            return {}
        window = TimeWindow(score.end_us - rule.window_s * US_PER_SECOND, score.end_us)
        known = self._now[instrument, exchanges][1].of(side)
        inside = (known.times_us >= window.start_us) & (known.times_us < window.end_us)
        minutes = zip(known.times_us[inside].tolist(), known.usd[inside].tolist(), known.is_watched[inside].tolist(), strict=True)
        rows = self._context.history.liquidations(window, instrument, state.exchanges, score.end_us)
        rows = rows.take(rows.is_long == (side == "long"))
        largest = rows.take(np.argsort(-rows.notional_usd, kind="stable")[:N_ROWS])
        return {
            "position_side": side,
            "method": rule.method,
            "z_robust": score.z_robust,
            "z_classic": score.z_classic,
            "notional_usd": score.usd,
            "window_s": rule.window_s,
            "window_end_us": score.end_us,
            "baseline": score.baseline,
            "n_baseline": score.n,
            "n_baseline_active": score.n_active,
            "quiet_share": score.quiet_share,
            "exchanges": list(state.exchanges),
            "left_out": list(state.left_out),
            "minutes": [list(row) for row in minutes],
            "n_liquidations": len(rows),
            "largest_liquidations": [
                {"exchange": exchange, "event_time_us": time_us, "price": price, "notional_usd": usd}
                for exchange, time_us, price, usd in zip(
                    largest.exchange.tolist(),
                    largest.event_time_us.tolist(),
                    largest.price.tolist(),
                    largest.notional_usd.tolist(),
                    strict=True,
                )
            ],
        }


def sidebar_rule(rule: AlertRule) -> alert_view.AlertRule:
    """The rule as the sidebar's functions know it."""
    return alert_view.AlertRule(side=rule.position_side, minutes=rule.window_s // 60, threshold_z=rule.fires_at, method=rule.method)
