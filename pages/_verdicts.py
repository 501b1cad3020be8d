"""How well the maps of predicted levels did, said beside the numbers that are made from them."""

from __future__ import annotations

from collections.abc import Sequence

from _predicted_score import scores_now

from services.views.forced_words import verdicts_words
from services.views.predicted_axis import LevelChoice


def verdicts(instrument: str, exchanges: Sequence[str]) -> str:
    """The verdict of each exchange's score in one line, remade once a minute."""
    return verdicts_words(scores_now(LevelChoice(instrument, tuple(exchanges), "1h")))
