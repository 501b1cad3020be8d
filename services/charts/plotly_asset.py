"""Plotly's own minified script, as it ships in the installed wheel."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path

import plotly


def plotly_version() -> str:
    """Version of the installed plotly package."""
    return version("plotly")


@cache
def plotly_script_path() -> Path:
    """Path of plotly.min.js.

    raises  FileNotFoundError with the place that was looked at, if the wheel no longer carries the script
    """
    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    if not path.is_file():
        raise FileNotFoundError(f"the plotly package must ship its browser script, was not at {path}")
    return path


def plotly_script_url() -> str:
    """URL path at which the app serves the script; it names the version, so it may be cached for ever."""
    return f"/assets/plotly-{plotly_version()}.min.js"
