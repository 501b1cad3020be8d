"""The launcher: `python app.py` (or `make run`, or `streamlit run app.py`).

The `st.App(…)` call below must stay literal: Streamlit finds it by syntax. The lifespan starts the collector before the first
visitor and joins it at SIGTERM or SIGINT. Why a launcher: docs/decisions/0001-launcher-and-lifespan.md
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, Final, NoReturn

import anyio.to_thread
import streamlit as st
from starlette.middleware import Middleware
from streamlit import config as streamlit_config

from config import ROOT, believe_no_forwarded_address, load_settings, streamlit_environment
from services import runtime as runtimes
from services.access.addresses import exposure_warning
from services.api.headers import SecurityHeaders
from services.api.lane import ApiLane
from services.api.routes import ROUTES
from services.commands.opening import open_store
from services.domain.errors import ConfigError, DashboardError
from services.log_lines import set_up_logging
from services.runtime import Runtime

log = logging.getLogger(__name__)

EXIT_CONFIG = 2


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Start what main() opened; under `streamlit run app.py` open it here."""
    global _is_serving
    _is_serving = True
    runtime = await anyio.to_thread.run_sync(_started)
    _warn_if_exposed(runtime)
    runtimes.install(runtime)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(runtime.stop)
        runtimes.install(None)


_opened: Runtime | None = None
_is_serving = False
believe_no_forwarded_address()
MIDDLEWARE: Final = [Middleware(ApiLane, routes=ROUTES), Middleware(SecurityHeaders)]
# Streamlit puts this folder on the path for the time of a script's run and takes it off again, also under the feet of another
# session that is just importing a page's modules; what was there before it leaves alone.
sys.path.insert(0, str(ROOT / "pages"))
app = st.App("pages/_shell.py", lifespan=lifespan, routes=ROUTES, middleware=MIDDLEWARE)


def _open() -> Runtime:
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format)
    return Runtime.open(settings, open_store)


def _started() -> Runtime:
    """The runtime, opened and started; on an error only the user can mend the process ends here, with one sentence."""
    runtime = _opened
    try:
        if runtime is None:
            runtime = _open()
        runtime.start()
    except DashboardError as error:
        if runtime is not None:
            runtime.stop()
        _say(error)
        sys.stderr.flush()
        os._exit(EXIT_CONFIG)  # from the lifespan's thread SystemExit would become a stack trace of the server's
    return runtime


def _warn_if_exposed(runtime: Runtime) -> None:
    warning = exposure_warning(st.get_option("server.address"), is_open=runtime.access.is_open)
    if warning:
        log.warning("%s", warning)


def _say(error: DashboardError) -> None:
    sys.stderr.write(f"unified-heatmap: {error.ui_message}\n")


def _say_and_exit(error: DashboardError) -> NoReturn:
    _say(error)
    sys.exit(EXIT_CONFIG)


def _server_options() -> dict[str, Any]:
    """Streamlit's options that the environment sets; `streamlit run` reads them by itself, `python app.py` does not."""
    # The template, because reading the options themselves would fix them before the environment had its say.
    template = streamlit_config._config_options_template.values()
    options = {option.env_var: option for option in template if not option.sensitive}
    given: dict[str, Any] = {}
    for variable, text in streamlit_environment(options).items():
        option = options[variable]
        try:
            given[option.key] = _READERS.get(option.type, str)(text)
        except ValueError:
            raise ConfigError(f"{variable} was {text!r}; it must be of type {option.type.__name__}") from None
    return given


def _flag(text: str) -> bool:
    if text.strip().lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return text.strip().lower() in ("true", "1")


_READERS: Final[dict[type, Callable[[str], Any]]] = {bool: _flag, int: int, float: float}


def _check_port(given: Mapping[str, Any]) -> None:
    """Say in one sentence that the port is taken, before anything is started."""
    options = streamlit_config.get_config_options(options_from_flags=dict(given))
    address = options["server.address"].value or "0.0.0.0"  # noqa: S104  Streamlit's own default
    port = int(options["server.port"].value)
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"port {port} on {address} could not be used ({why}); "
            "end what listens there, or choose another with STREAMLIT_SERVER_PORT"
        ) from None


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM and SIGINT outside the server's own time: before it there is something to undo, after it all is done.

    While it serves, uvicorn has handlers of its own; once it has stopped it raises the signal again, which by default would end
    a clean stop with a stack trace or the status of a killed process.
    """
    if not _is_serving:
        sys.exit(0)


def main() -> None:
    """Check, open, serve. Ends with exit code 2 and one sentence when something only the user can mend is wrong."""
    global _opened  # handed to the lifespan, which Streamlit calls without arguments
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    os.chdir(ROOT)  # so that .streamlit/config.toml is found wherever the command was typed
    try:
        options = _server_options()
        _check_port(options)
        _opened = _open()
    except DashboardError as error:
        _say_and_exit(error)
    try:
        app.run(config=options)
    finally:
        _opened.stop()


if __name__ == "__main__":
    main()
