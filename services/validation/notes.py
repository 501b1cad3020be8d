"""What stands in docs/validation.md between the tables: how each of them was made and how to read it."""

from collections.abc import Mapping
from typing import Final

HEAD: Final = """# Validation: how far each number can be trusted

Made by `python -m services.cli validate`, which writes this page and `validation.json` from fixed seeds; no figure is typed by
hand. It takes about four minutes on one core. `--only` measures some parts anew and leaves the others as they are, `--quick`
takes few cases, `--out` writes elsewhere. A target that is missed is shown as missed. What each number means stands in
[methods.md](methods.md)."""

ORACLE_NOTE: Final = """Each number is computed for randomised inputs by our function and by another way that is slow but
obvious, or is someone else's library. Prices range from 1e-6 to 1e6, sizes are heavy-tailed, paths
have holes. Shown is the largest deviation over all cases."""

DETECTOR_NOTE: Final = """The simulator writes frames of its three exchanges and, beside them, what it truly planted
([simulator.md](simulator.md)). The frames go through decoding, books, detectors and writer as live
ones do (a replay at full speed); what is found is matched with the labels by exchange, side, price
and time. Intervals are Wilson's at 95 %. Delays are in exchange time, from the event to the first
report.

How to read it: these markets are easier than real ones. Walls stand out by construction, as the label would mean nothing
otherwise, and an iceberg shows the same clip again and again. The figures show that the detectors do what their definitions
say, through the whole path; they do not say how many walls of a real book are meant. On a real book there is no truth to
compare with."""

RISK_NOTE: Final = """A VaR of 95 % should be exceeded 5 % of the time, and exceedances should not come in rows. Each method
forecasts the next hour of a long position from the 7 days before, hour after hour, on simulated paths of 60 days of minutes.
*Kupiec p* is that of all forecasts together; *least p of independence* is Christoffersen's, the smallest of the paths times their
number; *paths rejected* had a p-value of conditional coverage under 5 %, as one in twenty has when all is right. Small p-values
speak against the method on such returns.

Where volatility comes in spells (GARCH), the methods without a memory of it have their exceedances in rows, the filtered one has
not: that is what it is for. The simulator's price is drawn back to its reference within an hour and a half, so that a loss is
followed by a gain more often than not (hourly returns are correlated by about −0.5): exceedances avoid one another there, which the
test of independence finds, and no method claims to foresee."""

HAWKES_NOTE: Final = """Liquidation times simulated with a known branching ratio n, excitement that fades in 10 s, times known
to the second as exchanges publish them: 24 h with about 6,000 events, as on the page Risk, and 4 h with about 2,000, as for the
stored risk minutes. Shown are the fits over all seeds, and how many of their 95 % intervals held the truth. Near n = 1 a short
window holds a few large clusters and hardly anything else: 4 h of n = 0.95 come from about 100 events that nothing triggered, and
some seeds have far fewer events than the mean. What is missed there is missed by the sample; the interval that the pages show
beside the number is wide then."""

ALARM_NOTE: Final = """On a calm day nothing happens, so every alarm is a false one. A threshold t promises 1,440·Φ(−t)
minutes a day above it. Shown are minutes a day above it (mean over the seeds, least and most), and
alarms a day (minutes less than ten apart are one alarm). The alert's default is the robust score:
median and MAD of log1p of the minutes with liquidations, with the share of quiet minutes taken as a
probability (`hurdle_score`). The plain Z, (x − mean)/σ of the USD, is the
alternative that many know: on heavy-tailed sizes it fires several times a day at thresholds that promise one alarm in
weeks."""

LEVEL_NOTES: Final[Mapping[str, str]] = {
    "head": """Simulated traders enter at prices that trade, with a leverage, for some minutes to some days; a fast market
(the price process and the traders of the simulator without books and wires) tells where each of them would be liquidated. The
model sees what a collector sees, trades and open interest, and runs with the published default: prior over leverage, 5 % of
the volume swaps positions. What a month of a regime looks like is made up: a trend with pauses and turns, a range, a crash or
a squeeze of some 10 % every four hours between calm spells.

How to read it: real traders differ. They hold cross margin and add to positions, both of which the model does not know and
these markets do not have; and the default prior was chosen before, not fitted to the traders here, but both are what people
believe of leverage. The figures show that the model does what it claims when its assumptions hold, and what stays unknowable
then.""",
    "maps": """Recall of the heaviest tenth of 10-bps bins within ±10 % of the price, both sides joined; earth mover's
distance and predicted over true USD by side; a look every half hour after a warm-up of 4 h. Three runs of a regime (Bybit's,
OKX's and Binance's margin rules); open interest is read every 5 s, as on OKX and Bybit, in all of them, and every 20 s, as on
Binance, in the short ones too. No model can reach 1: a true map is a sample of some thousand positions whose leverage nobody
saw. *Entries known* is a model that knows the entry of every position that is left, but not its leverage. What opens and
closes between two readings is not seen, hence less recall when they are rare.""",
    "scores": """The score of [methods.md](methods.md) on the long run of each regime, Bybit's rule: gains in nats a
liquidation over volatility and over maps of other times, with 95 % intervals by blocks of an hour. The true map of five
minutes before is scored beside the predicted one: what it cannot foretell, no model can. In a market without direction most
who are liquidated had opened within those five minutes. A feed that tells of one liquidation a second at most leaves out what
comes in bursts, which levels foretell best: the skill shown for Binance and OKX is understated.""",
    "shuffles": """The same times, each with the distance from the mid of another liquidation. Nothing that a map knows can
help then, so the score must not call it skill.""",
    "fits": """The prior fitted to the first half, used on the second. *Amounts*: what the price crossed must have been
liquidated (`level_flows.fit_prior_to_flows`, for feeds that tell of every liquidation). *Places*: the log score of the place
of each liquidation within the map of five minutes before (`level_calibration.calibrate`); its gain is that of the first
half's last third. Traders as the default has them leave little to find; of bolder ones (half of the USD at 75x and above)
there is much. Places do not tell leverage: whoever opened within the five minutes is on no map, and how far the price goes is
taken for how much leverage there is, so that the score rises while the prior leaves the truth and the map with it.""",
    "chain": """26 minutes of the simulated exchanges after a day of past: frames, REST history and margin tiers go through
the adapters, the store and the level desk; tiles are read as the pages do, and compared with the truth log.""",
    "formulas": """Each example of the exchanges' documentation that we know of, by our functions;
[liquidation_prices.md](liquidation_prices.md) says what was seen where. Without a documented figure nothing can be compared.""",
}

RECORDING_NOTE: Final = """There is no truth beside a real recording: it shows that the detectors run on it without errors,
what they found, and which numbers say that they do not know enough yet, in the words of the pages."""
