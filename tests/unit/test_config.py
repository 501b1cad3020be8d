"""The settings table: defaults, parsing, and one sentence for each bad value."""

from pathlib import Path

import pytest

from config import SETTINGS, load_settings
from services.domain.errors import ConfigError


def test_without_any_variable_every_default_is_valid() -> None:
    settings = load_settings({}, env_file=None)
    assert settings.source == "live"
    assert settings.exchanges == ("binance", "okx", "bybit")
    assert settings.instruments[0] == "BTC-USDT-PERP"
    assert settings.kde_bandwidth == 0.3
    assert settings.database_url is None


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("HEATMAP_SOURCE", "demo", "one of live, replay, sim"),
        ("HEATMAP_EXCHANGES", "binance,ftx", "a comma-separated choice of binance, okx, bybit"),
        ("HEATMAP_SYMBOLS", "BTC-USD-SWAP", "linear USDT or USDC perpetuals"),
        ("HEATMAP_MAX_EVENTS", "many", "a whole number from 100 to"),
        ("HEATMAP_CLEANUP_INTERVAL", "1.5", "a whole number from 1000"),
        ("HEATMAP_KDE_BANDWIDTH", "wide", "silverman, scott, isj"),
        ("HEATMAP_PRICE_RANGE", "nan", "a number from 0.1 to 50"),
        ("HEATMAP_RETENTION_DAYS", "0", "from 1 to 3650"),
        ("HEATMAP_REFRESH_SECONDS", "-3", "from 1 to 300"),
        ("DATABASE_URL", "mysql://localhost/heatmap", "postgresql://"),
        ("DATABASE_URL", "localhost:5432/heatmap", "postgresql://"),
        ("BYBIT_WS_URL", "wss://host:port", "ws:// or wss://"),
        ("BINANCE_WS_URL", "https://fstream.binance.com", "ws:// or wss://"),
        ("OKX_REST_URL", "www.okx.com", "http:// or https://"),
        ("HEATMAP_ACCESS", "closed", "one of open, tiers"),
        ("HEATMAP_TRUSTED_PROXIES", "nginx", "comma-separated addresses and networks such as 127.0.0.1,10.0.0.0/8"),
    ],
)
def test_a_bad_value_is_named_with_what_was_given_and_what_is_allowed(name: str, text: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({name: text}, env_file=None)
    sentence = str(caught.value)
    assert name in sentence
    assert allowed in sentence
    assert "\n" not in sentence


def test_a_secret_is_not_repeated_in_the_sentence() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"DATABASE_URL": "http://user:hunter2@db/heatmap"}, env_file=None)
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_name_is_refused_instead_of_ignored() -> None:
    with pytest.raises(ConfigError, match="HEATMAP_SYMBOL was set"):
        load_settings({"HEATMAP_SYMBOL": "BTCUSDT"}, env_file=None)


def test_an_empty_variable_means_the_default() -> None:
    for setting in SETTINGS:
        assert load_settings({setting.name: ""}, env_file=None) == load_settings({}, env_file=None)


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text('HEATMAP_SOURCE="sim"\nHEATMAP_REFRESH_SECONDS=5\n')
    settings = load_settings({"HEATMAP_REFRESH_SECONDS": "7"}, env_file=env_file)
    assert (settings.source, settings.refresh_s) == ("sim", 7.0)


def test_symbols_are_made_canonical_and_unique() -> None:
    settings = load_settings({"HEATMAP_SYMBOLS": "btcusdt, BTC-USDT-SWAP ,ETH-USDC-PERP"}, env_file=None)
    assert settings.instruments == ("BTC-USDT-PERP", "ETH-USDC-PERP")


def test_replay_without_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HEATMAP_REPLAY_FILE"):
        load_settings({"HEATMAP_SOURCE": "replay", "HEATMAP_REPLAY_FILE": str(tmp_path / "none.gz")}, env_file=None)
