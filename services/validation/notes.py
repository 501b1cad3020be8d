"""What stands in docs/validation.md between the tables: how each of them was made and how to read it."""

from typing import Final

HEAD: Final = """# Validation: how far each number can be trusted

Made by `python -m services.cli validate`, which writes this page and `validation.json` from fixed seeds; no figure
is typed by hand.
`--only` measures some parts anew and leaves the others as they are, `--quick` takes few cases, `--out` writes elsewhere.
A target that is missed is shown as missed."""

ORACLE_NOTE: Final = """Each number is computed for randomised inputs by our function and by another way that is slow but
obvious, or is someone else's library. Prices range from 1e-6 to 1e6, sizes are heavy-tailed, paths have holes. Shown is the
largest deviation over all cases."""

DETECTOR_NOTE: Final = ""
RISK_NOTE: Final = ""
HAWKES_NOTE: Final = ""
ALARM_NOTE: Final = ""
RECORDING_NOTE: Final = ""
