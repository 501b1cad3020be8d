"""Pages run from the shell, on a runtime that the test made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from config import ROOT
from services import desk as desks
from services import runtime as runtimes
from services.runtime import Runtime

Open = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """`open_page(runtime, page, **query_params)` is the page as a new visitor gets it."""
    # Each AppTest would read the metadata of every installed package in search of packaged components: half of its time.
    monkeypatch.setattr("streamlit.components.v2.manifest_scanner.scan_component_manifests", list)
    # A busy machine makes everything slow; what a page shows while it waits has tests of its own.
    monkeypatch.setattr("_reading.SLOW_AFTER_S", 20.0)

    def opened(runtime: Runtime | None, page: str = "combined.py", **query_params: str | list[str]) -> AppTest:
        runtimes.install(runtime)
        visit = AppTest.from_file(str(ROOT / "pages" / "_shell.py"), default_timeout=30)
        for name, text in query_params.items():
            visit.query_params[name] = text
        visit.run()
        return visit if page == "combined.py" else visit.switch_page(page).run()

    yield opened
    runtimes.install(None)
    st.cache_data.clear()
    st.cache_resource.clear()
    desks.forget()
