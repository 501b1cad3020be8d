"""GET /api/heatmap/instruments: what is tracked, and what each exchange says of its contract."""

from __future__ import annotations

from services.api.endpoint import MINUTE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.envelope import iso_or_none
from services.api.told import Payload
from services.domain.instruments import Instrument


class ContractTold(Payload):
    """One exchange's contract. `sizeStepContracts` and `contractSizeBase` in units of contracts and of the base asset."""

    exchange: str
    symbol: str
    tick: float
    contract_size_base: float
    size_step_contracts: float
    is_trading: bool
    listed_time: str | None
    origin: str
    as_of: str | None


class InstrumentTold(Payload):
    """A tracked instrument by our name; `contracts` of the exchanges that list it, as far as they are known."""

    instrument: str
    base: str
    quote: str
    contracts: list[ContractTold]


class InstrumentsTold(Payload):
    """In the order in which they are configured."""

    instruments: list[InstrumentTold]


def get_instruments(asked: Asked) -> Answer:
    """Tracked instruments; raises StoreUnavailable while nobody can say what the exchanges list."""
    runtime = asked.desk.runtime
    exchanges = runtime.settings.exchanges
    listed = [each for each in runtime.store.instruments() if each.exchange in exchanges]
    rows = [_instrument(name, [each for each in listed if each.instrument == name]) for name in runtime.tracked]
    facts = Facts(as_of_us=asked.now_us, exchanges=exchanges, n=len(rows))
    return Answer(InstrumentsTold(instruments=rows), facts)


def _instrument(name: str, listed: list[Instrument]) -> InstrumentTold:
    base, quote, _ = name.split("-")
    return InstrumentTold(instrument=name, base=base, quote=quote, contracts=[_contract(each) for each in listed])


def _contract(listed: Instrument) -> ContractTold:
    return ContractTold(
        exchange=listed.exchange,
        symbol=listed.symbol,
        tick=float(listed.tick),
        contract_size_base=float(listed.contract_size_base),
        size_step_contracts=float(listed.size_step_contracts),
        is_trading=listed.is_trading,
        listed_time=iso_or_none(listed.listed_time_us),
        origin=listed.origin,
        as_of=iso_or_none(listed.as_of_us or None),
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/instruments",
        name="getInstruments",
        tag="system",
        summary="The tracked instruments and their contracts on each exchange.",
        handler=get_instruments,
        answers=InstrumentsTold,
        keep_s=MINUTE_KEEP_S,
    ),
)
