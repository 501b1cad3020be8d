"""The settings: one table, read from the environment and a `.env` file beside this one. Nothing else reads the environment.

A bad value raises ConfigError with one sentence: the variable, what was given, what is allowed. docs/settings.md holds the same
table for people, and tests/test_documentation.py holds the two together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values

from services.domain.errors import ConfigError
from services.domain.instruments import EXCHANGES, BadInstrumentName, canonical_instrument

ROOT: Final = Path(__file__).resolve().parent
Source = Literal["live", "replay", "sim"]
Role = Literal["all", "web", "collector"]
KdeBandwidth = float | Literal["silverman", "scott", "isj"]


class BadValue(ValueError):
    """What a parser raises: its text says what is allowed."""


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip().lower() not in allowed:
            raise BadValue(f"one of {', '.join(allowed)}")
        return text.strip().lower()

    return parse


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = int(text) if whole else float(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:  # also catches NaN
            raise BadValue(f"a {'whole ' if whole else ''}number from {low:g} to {high:g}")
        return number

    return parse


def _exchanges(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if not names or not set(names) <= set(EXCHANGES):
        raise BadValue(f"a comma-separated choice of {', '.join(EXCHANGES)}")
    return names


def _instruments(text: str) -> tuple[str, ...]:
    try:
        names = tuple(dict.fromkeys(canonical_instrument(part) for part in text.split(",") if part.strip()))
    except BadInstrumentName as error:
        raise BadValue(f"a comma-separated list of linear USDT or USDC perpetuals ({error})") from None
    if not 1 <= len(names) <= 100:
        raise BadValue("between 1 and 100 comma-separated instruments, such as BTCUSDT,ETHUSDT")
    return names


def _bandwidth(text: str) -> KdeBandwidth:
    rules: dict[str, KdeBandwidth] = {"silverman": "silverman", "scott": "scott", "isj": "isj"}
    if text.strip().lower() in rules:
        return rules[text.strip().lower()]
    try:
        return _number(0.001, 10)(text)
    except BadValue as error:
        raise BadValue(f"{error} (percent of mid), or silverman, scott, isj") from None


def _scheme_and_host(text: str) -> tuple[str, str | None]:
    try:
        parts = urlsplit(text.strip())
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return "", None
    return parts.scheme, parts.hostname


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, host = _scheme_and_host(text)
        if scheme not in schemes or not host:
            raise BadValue(f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text.strip().rstrip("/")

    return parse


def _keyed_url(text: str) -> str:
    scheme, host = _scheme_and_host(text)
    if not host or not (scheme == "https" or (scheme == "http" and host in ("127.0.0.1", "localhost", "::1"))):
        raise BadValue("a URL that begins with https:// (http:// on this machine alone: a key is sent there)")
    return text.strip().rstrip("/")


def _key(text: str) -> str:
    key = text.strip()
    if key and not (8 <= len(key) <= 200 and key.isascii() and key.isprintable() and " " not in key):
        raise BadValue("empty, or 8 to 200 printable ASCII characters without spaces")
    return key


def _database_url(text: str) -> str | None:
    if not text.strip():
        return None
    if not text.strip().startswith(("postgresql://", "postgres://")):  # the rest is libpq's to read: several hosts, odd passwords
        raise BadValue("empty (the embedded server) or a URL that begins with postgresql://")
    return text.strip()


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise BadValue("a path")
    path = Path(text.strip()).expanduser()
    return path if path.is_absolute() else ROOT / path


def _optional_path(text: str) -> Path | None:
    return _path(text) if text.strip() else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(part, strict=False)) for part in _words(text))
    except ValueError:
        raise BadValue("empty, or comma-separated addresses and networks such as 127.0.0.1,10.0.0.0/8") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is the text a user would write; `allowed` is for the docs and `help` for people."""

    name: str
    attribute: str
    kind: str
    default: str
    allowed: str
    help: str
    parse: Callable[[str], Any]
    is_secret: bool = False


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("HEATMAP_SOURCE", "source", "choice", "live", "live, replay, sim",
            "Where frames come from: the real exchanges, a recording, or the simulated exchanges. Never mixed.",
            _choice("live", "replay", "sim")),
    Setting("HEATMAP_ROLE", "role", "choice", "all", "all, web, collector",
            "What this process does: collect and serve, only serve what is stored, or only collect.",
            _choice("all", "web", "collector")),
    Setting("HEATMAP_EXCHANGES", "exchanges", "list", "binance,okx,bybit", "binance, okx, bybit",
            "The exchanges to collect from.", _exchanges),
    Setting("HEATMAP_SYMBOLS", "instruments", "list", "BTCUSDT,ETHUSDT,SOLUSDT,ADAUSDT,BNBUSDT", "1 to 100 linear perpetuals",
            "The instruments to track, in the order in which their books are fetched.", _instruments),
    Setting("HEATMAP_MAX_EVENTS", "max_events", "integer", "10000", "100 to 1000000",
            "Recent liquidations kept in the live cache per instrument and exchange (of trades as many, 4000 at the most).",
            _number(100, 1_000_000, whole=True)),
    Setting("HEATMAP_CLEANUP_INTERVAL", "cleanup_interval_ms", "integer (ms)", "3600000", "1000 to 86400000",
            "How often the live cache drops what is past its time to live.", _number(1_000, 86_400_000, whole=True)),
    Setting("HEATMAP_KDE_BANDWIDTH", "kde_bandwidth", "number (% of mid) or rule", "0.3", "0.001 to 10, silverman, scott, isj",
            "Bandwidth of the liquidation density over price.", _bandwidth),
    Setting("HEATMAP_PRICE_RANGE", "price_range_pct", "number (%)", "15", "0.1 to 50",
            "How far from the mid books and densities reach, in percent to each side.", _number(0.1, 50)),
    Setting("HEATMAP_RETENTION_DAYS", "retention_days", "integer (days)", "30", "1 to 3650",
            "How long events and heatmap tiles are kept.", _number(1, 3_650, whole=True)),
    Setting("HEATMAP_BOOK_RETENTION_DAYS", "book_retention_days", "integer (days)", "3", "1 to 3650",
            "How long exact order-book minutes are kept (the heatmap's tiles follow HEATMAP_RETENTION_DAYS).",
            _number(1, 3_650, whole=True)),
    Setting("HEATMAP_BOOK_LEVELS", "book_levels", "integer", "200", "10 to 1000",
            "Levels a side in each exact book snapshot.", _number(10, 1_000, whole=True)),
    Setting("HEATMAP_LARGE_TRADE_USD", "large_trade_usd", "number (USD)", "100000", "1000 to 1000000000",
            "Trades of at least this notional are kept one by one; all others only as one-second bars.",
            _number(1_000, 1_000_000_000)),
    Setting("HEATMAP_WHALE_MIN_USD", "whale_min_usd", "number (USD)", "250000", "1000 to 1000000000",
            "The least notional of a whale order in a book as deep as BTC's; in a thinner book in proportion less.",
            _number(1_000, 1_000_000_000)),
    Setting("HEATMAP_REFRESH_SECONDS", "refresh_s", "number (s)", "3", "1 to 300",
            "How often the live charts refresh; each user can change it in the sidebar.", _number(1, 300)),
    Setting("HEATMAP_STORE", "store", "choice", "postgres", "postgres, memory",
            "Where history lives. memory forgets everything at the end, and is chosen by hand only, never as a fall-back.",
            _choice("postgres", "memory")),
    Setting("DATABASE_URL", "database_url", "URL", "", "empty, or postgresql://…",
            "A PostgreSQL (14 or newer) of yours. Empty: an embedded server in HEATMAP_DATA_DIR.", _database_url, True),
    Setting("HEATMAP_DATA_DIR", "data_dir", "path", ".data", "a writable directory without spaces",
            "Where the embedded PostgreSQL and the spool live; relative to the project's folder.", _path),
    Setting("HEATMAP_SPOOL_MB", "spool_mb", "integer (MB)", "1024", "1 to 1000000",
            "How much the on-disk spool may hold while the store is away.", _number(1, 1_000_000, whole=True)),
    Setting("HEATMAP_REPLAY_FILE", "replay_file", "path", "", "a recording (.jsonl or .jsonl.gz)",
            "The recording to show with HEATMAP_SOURCE=replay.", _optional_path),
    Setting("HEATMAP_REPLAY_SPEED", "replay_speed", "choice", "1", "1, 10, max",
            "How fast a recording is replayed.", _choice("1", "10", "max")),
    Setting("HEATMAP_SIM_SEED", "sim_seed", "integer", "7", "0 to 4294967295",
            "Seed of the simulated market.", _number(0, 4_294_967_295, whole=True)),
    Setting("HEATMAP_LOG_LEVEL", "log_level", "choice", "info", "debug, info, warning, error",
            "How much is logged on standard error.", _choice("debug", "info", "warning", "error")),
    Setting("HEATMAP_LOG_FORMAT", "log_format", "choice", "text", "text, json",
            "Lines for people, or one JSON object a line for a collector of logs.", _choice("text", "json")),
    Setting("HEATMAP_ACCESS", "access", "choice", "open", "open, tiers",
            "open: one local user, to whom everything is open. tiers: sign-in, API keys and the tiers of docs/access.md.",
            _choice("open", "tiers")),
    Setting("HEATMAP_ADMINS", "admins", "list", "", "e-mail addresses and user ids",
            "Who administers users and keys with HEATMAP_ACCESS=tiers; an e-mail counts where the provider says it is verified.",
            _words),
    Setting("HEATMAP_TRUSTED_PROXIES", "trusted_proxies", "list", "", "addresses and networks",
            "Our own reverse proxies, whose X-Forwarded-For is believed; from anybody else it is not read.", _networks),
    Setting("HEATMAP_MONITORS", "monitors", "list", "", "addresses and networks",
            "Who may read /metrics and /api/debug/memory without a key with HEATMAP_ACCESS=tiers; others need a key of tier admin.",
            _networks),
    Setting("HEATMAP_WEBHOOK_PRIVATE", "webhook_private", "choice", "no", "no, yes",
            "Whether alerts may be sent to this machine and to private networks; whoever can add a target could then reach those.",
            _choice("no", "yes")),
    Setting("BINANCE_WS_URL", "binance_ws_url", "URL", "wss://fstream.binance.com", "ws:// or wss://",
            "Binance USDⓈ-M WebSocket base; the path is added, a known suffix is stripped.", _url("ws", "wss")),
    Setting("BINANCE_REST_URL", "binance_rest_url", "URL", "https://fapi.binance.com", "http:// or https://",
            "Binance USDⓈ-M REST base.", _url("http", "https")),
    Setting("OKX_WS_URL", "okx_ws_url", "URL", "wss://ws.okx.com", "ws:// or wss://",
            "OKX WebSocket base (its former port 8443 was closed on 2026-10-31).", _url("ws", "wss")),
    Setting("OKX_REST_URL", "okx_rest_url", "URL", "https://www.okx.com", "http:// or https://",
            "OKX REST base.", _url("http", "https")),
    Setting("BYBIT_WS_URL", "bybit_ws_url", "URL", "wss://stream.bybit.com", "ws:// or wss://",
            "Bybit WebSocket base.", _url("ws", "wss")),
    Setting("BYBIT_REST_URL", "bybit_rest_url", "URL", "https://api.bybit.com", "http:// or https://",
            "Bybit REST base.", _url("http", "https")),
    Setting("COINGLASS_API_KEY", "coinglass_api_key", "text", "", "empty, or your key",
            "Your CoinGlass v4 key, to compare with what it says (docs/coinglass.md). Empty: it is never asked.", _key, True),
    Setting("COINGLASS_URL", "coinglass_url", "URL", "https://open-api-v4.coinglass.com", "https://",
            "CoinGlass base; the key is sent there and nowhere else.", _keyed_url),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, parsed. One field for each row of SETTINGS."""

    source: Source
    role: Role
    exchanges: tuple[str, ...]
    instruments: tuple[str, ...]
    max_events: int
    cleanup_interval_ms: int
    kde_bandwidth: KdeBandwidth
    price_range_pct: float
    retention_days: int
    book_retention_days: int
    book_levels: int
    large_trade_usd: float
    whale_min_usd: float
    refresh_s: float
    store: Literal["postgres", "memory"]
    database_url: str | None
    data_dir: Path
    spool_mb: int
    replay_file: Path | None
    replay_speed: Literal["1", "10", "max"]
    sim_seed: int
    log_level: str
    log_format: Literal["text", "json"]
    access: Literal["open", "tiers"]
    admins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    monitors: tuple[str, ...]
    webhook_private: Literal["no", "yes"]
    binance_ws_url: str
    binance_rest_url: str
    okx_ws_url: str
    okx_rest_url: str
    bybit_ws_url: str
    bybit_rest_url: str
    coinglass_api_key: str = field(repr=False)
    coinglass_url: str

    @property
    def asks_coinglass(self) -> bool:
        """Whether CoinGlass may have been asked: with a key here, or by a collector elsewhere, whose key is not ours to know."""
        return bool(self.coinglass_api_key) or self.role == "web"

    def endpoint_urls(self, exchange: str) -> tuple[str, str]:
        """The (WebSocket, REST) base URLs of an exchange."""
        return getattr(self, f"{exchange}_ws_url"), getattr(self, f"{exchange}_rest_url")


def load_settings(environment: Mapping[str, str] | None = None, *, env_file: Path | None = ROOT / ".env") -> Settings:
    """Settings from the environment, over `.env`, over the defaults; raises ConfigError with one sentence for a bad one."""
    given: dict[str, str] = {}
    if env_file is not None and env_file.is_file():
        given.update({name: text for name, text in dotenv_values(env_file).items() if text is not None})
    given.update(os.environ if environment is None else environment)
    _refuse_unknown_names(given)
    values = {setting.attribute: _parse(setting, given.get(setting.name)) for setting in SETTINGS}
    settings = Settings(**values)
    if settings.source == "replay" and (settings.replay_file is None or not settings.replay_file.is_file()):
        raise ConfigError(
            f"HEATMAP_REPLAY_FILE was {given.get('HEATMAP_REPLAY_FILE', '')!r}; "
            "with HEATMAP_SOURCE=replay it must name a recording that exists (.jsonl or .jsonl.gz)"
        )
    return settings


def streamlit_environment(names: Iterable[str]) -> dict[str, str]:
    """Those of Streamlit's own variables (STREAMLIT_SERVER_PORT …) that are set. `python app.py` hands them to the server."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def believe_no_forwarded_address() -> None:
    """The server would believe any program of this machine that says X-Forwarded-For; HEATMAP_TRUSTED_PROXIES decides instead."""
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")


def _parse(setting: Setting, text: str | None) -> Any:
    """An unset or empty variable means the default, so that `HEATMAP_X= make run` behaves like no HEATMAP_X at all."""
    try:
        return setting.parse(text if text is not None and text.strip() else setting.default)
    except BadValue as error:
        shown = "a value that is not shown here" if setting.is_secret else repr(text)
        raise ConfigError(f"{setting.name} was {shown}; it must be {error}") from None


def _refuse_unknown_names(given: Mapping[str, str]) -> None:
    """A misspelt HEATMAP_… would otherwise be ignored in silence. HEATMAP_TEST_… belongs to the test-suite."""
    known = {setting.name for setting in SETTINGS}
    for name in sorted(given):
        if name.startswith("HEATMAP_") and not name.startswith("HEATMAP_TEST_") and name not in known:
            raise ConfigError(f"{name} was set, but there is no such setting; docs/settings.md lists them all")
