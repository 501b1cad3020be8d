"""An InflowMeter that can be written down: it keeps what the meter waits with, and the last reading."""

from __future__ import annotations

from services.analytics.position_inflow import (
    EMPTY_PROFILE,
    Inflow,
    InflowMeter,
    InflowParameters,
    OpenInterest,
    TradeProfile,
)


class KeptMeter:
    """The meter of one track. `since` is what traded after the baseline, as the meter holds it."""

    def __init__(self, parameters: InflowParameters) -> None:
        self._meter = InflowMeter(parameters)
        self._since: list[TradeProfile] = []
        self.reading: OpenInterest | None = None

    @property
    def baseline(self) -> OpenInterest | None:
        return self._meter.baseline

    @property
    def give_up_us(self) -> int:
        return self._meter.parameters.give_up_us

    def set_parameters(self, parameters: InflowParameters) -> None:
        self._meter.parameters = parameters

    def read(self, reading: OpenInterest) -> None:
        """The newest reading: it counts from the next step on, until there is a newer one."""
        self.reading = reading

    def reset(self) -> None:
        """Trades were missed: neither what was read before nor what was traded is compared with what comes."""
        self._meter.reset()
        self._since.clear()
        self.reading = None

    def step(self, profile: TradeProfile, end_us: int) -> Inflow:
        """An interval that ended at `end_us`."""
        before = self._meter.baseline
        if before is not None and len(profile):
            self._since.append(profile)
        inflow = self._meter.step(profile, self.reading, end_us)
        if self._meter.baseline is not before:
            self._since.clear()
        return inflow

    def since(self) -> TradeProfile:
        """What traded since the baseline, in one."""
        return TradeProfile.concat(self._since) if self._since else EMPTY_PROFILE

    @classmethod
    def restored(
        cls, parameters: InflowParameters, *, baseline: OpenInterest | None, since: TradeProfile, reading: OpenInterest | None
    ) -> KeptMeter:
        """A meter that goes on where another stood. Its own next step decides what becomes of it."""
        meter = cls(parameters)
        if baseline is not None:
            meter._meter.step(EMPTY_PROFILE, baseline, baseline.time_us)
            meter._meter.step(since, None, baseline.time_us)
            if len(since):
                meter._since.append(since)
        meter.reading = reading
        return meter
