"""What stands in docs/validation.md between the tables: how each of them was made and how to read it."""

from typing import Final

HEAD: Final = """# Validation: how far each number can be trusted

Made by `python -m services.cli validate`, which writes this page and `validation.json` from fixed seeds; no figure is typed by
hand. It takes about three minutes on one core. `--only` measures some parts anew and leaves the others as they are, `--quick`
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

RECORDING_NOTE: Final = """There is no truth beside a real recording: it shows that the detectors run on it without errors,
what they found, and which numbers say that they do not know enough yet, in the words of the pages."""
