"""Pictures of every page and state, of the simulated market, for docs/screens: `python -m benchmarks.browser.screens --help`.

Every page carries its own badge that the market is simulated. One app is started in a data directory that is thrown away, with a
past, some alert rules, and a cascade on command; the pictures are then taken one after the other, each in a fresh visit.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as NotInTime

from benchmarks.browser.visits import ARGUMENTS, CHROMIUM, HEAT, settled
from db.connect import open_store
from services.alerts.book import AlertBook
from services.clock import SystemClock
from services.domain.alerts import LOCAL_OWNER
from tests.browser.running import SimulatedApp
from tests.browser.seeded import seed_past
from tests.browser.visits import SEEN_TOUR

ROOT: Final = Path(__file__).parents[2]
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT", "BNBUSDT")
BTC: Final = "BTC-USDT-PERP"
SIZES: Final = {390: (390, 844), 1440: (1440, 900), 2560: (2560, 1440)}
MOST_BYTES: Final = 200_000
NO_TOASTS: Final = "document.querySelectorAll('[data-testid=stToast]').forEach((each) => each.remove())"  # they lie over numbers


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture: a name, what is asked of the app, and what is done on the page before it is taken.

    kept   the sizes and themes that go into the repository, as ((width, theme), …)
    """

    name: str
    path: str
    act: Callable[[Page], None] | None = None
    has_heat: bool = True
    kept: tuple[tuple[int, str], ...] = ()


def _opened_alert(page: Page) -> None:
    """The newest alert's evidence."""
    page.get_by_role("tab", name="History").click()
    row = page.get_by_test_id("stMain").get_by_test_id("stExpander").filter(has_text=f"{BTC}/long").first
    row.wait_for(timeout=60_000)
    row.locator("summary").click()
    page.get_by_text("What it was raised on").wait_for(timeout=60_000)


def _shown_past(page: Page) -> None:
    """The time machine's bar, a little before now."""
    page.get_by_role("button", name="Time machine").click()
    page.locator(".st-key-time_machine").wait_for(timeout=60_000)


def _marked(page: Page) -> None:
    """A box on the heatmap, and what lies in it."""
    page.locator(".uh-chart-stage").first.focus()
    for key in ("End", *["Shift+ArrowLeft"] * 20, "Space", *["Shift+ArrowRight"] * 14, *["Shift+ArrowUp"] * 4, "Space"):
        page.keyboard.press(key)
    page.locator(".st-key-box_liquidity").wait_for(timeout=60_000)
    page.locator(".st-key-box_liquidity").scroll_into_view_if_needed()


DESK: Final = ((1440, "dark"), (1440, "light"))
ALL: Final = ((390, "dark"), *DESK, (2560, "dark"))
SCENES: Final = (
    Scene("combined", "", kept=ALL),
    Scene("liquidity", "liquidity", kept=ALL),
    Scene("liquidations", "liquidations?window=15m", kept=ALL),
    Scene("predicted", "predicted", kept=ALL),
    Scene("watchlist", "watchlist", has_heat=False, kept=ALL),
    Scene("compare", "compare?b_instrument=ETH-USDT-PERP&b_ends=now", has_heat=False, kept=DESK),
    Scene("risk", "risk", has_heat=False, kept=((390, "dark"), *DESK)),
    Scene("alerts", "alerts", has_heat=False, kept=((390, "dark"), *DESK)),
    Scene("alert_evidence", "alerts", act=_opened_alert, has_heat=False, kept=((390, "dark"), (1440, "dark"))),
    Scene("validation", "validation", has_heat=False, kept=DESK),
    Scene("feed_health", "feed_health", has_heat=False, kept=((390, "dark"), (1440, "dark"))),
    Scene("time_machine", "liquidity", act=_shown_past, kept=((390, "dark"), (1440, "dark"))),
    Scene("selection", "liquidity?paused=true", act=_marked, kept=((1440, "dark"),)),
)


def write_rules(data_dir: Path) -> None:
    """Rules of several kinds, as a user would keep them. Nobody may be using the directory."""
    store = open_store(database_url=None, data_dir=data_dir, source="sim")
    try:
        book = AlertBook(store, now_us=SystemClock().now_us, tracked=lambda: (BTC,))
        fields: list[tuple] = [
            ("liquidation_z", {"name": "Longs are liquidated", "position_side": "long", "window_s": 60, "fires_at": 4.0}),
            ("whale_order", {"name": "Wall of 5 M $ near the price", "fires_at": 5e6, "within_bps": 30.0, "cooldown_s": 600}),
            ("price_near_level", {"name": "At a strong level", "fires_at": 5.0}),
            ("feed_silent", {"name": "A feed is silent", "instruments": ()}),
        ]
        for kind, chosen in fields:
            book.save(book.draft(LOCAL_OWNER, kind, **{"instruments": (BTC,), **chosen}))
    finally:
        store.close()


def packed(picture: bytes) -> bytes:
    """A PNG of 256 colours that are chosen for this picture, fewer if it is too large."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for n_colours in (256, 128):
        out = io.BytesIO()
        image.quantize(n_colours, kmeans=2, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()


def take(browser: Browser, url: str, scene: Scene, width: int, theme: str) -> bytes:
    """One visit, one picture."""
    size = SIZES[width]
    is_phone = width < 600
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme, is_mobile=is_phone, has_touch=is_phone
    )
    context.add_init_script(SEEN_TOUR)
    try:
        page = context.new_page()
        page.goto(f"{url}/{scene.path}")
        if scene.has_heat:
            page.wait_for_selector(HEAT, timeout=120_000)
        settled(page)
        if scene.act is not None:
            scene.act(page)
            settled(page)
        page.evaluate(NO_TOASTS)
        return page.screenshot()
    finally:
        context.close()


def wanted(arguments: argparse.Namespace) -> Iterator[tuple[Scene, int, str]]:
    for scene in SCENES:
        if arguments.only and scene.name not in arguments.only:
            continue
        shots = scene.kept if not arguments.all else [(width, theme) for width in SIZES for theme in ("dark", "light")]
        for width, theme in shots:
            if width in arguments.widths and theme in arguments.themes:
                yield scene, width, theme


@contextmanager
def market(arguments: argparse.Namespace) -> Iterator[str]:
    """Where the app answers, once there is something to see."""
    if arguments.port:
        yield f"http://127.0.0.1:{arguments.port}"
        return
    place = Path(tempfile.mkdtemp(prefix="screens-"))
    try:
        if arguments.past:
            subprocess.run(["cp", "-a", str(arguments.past), str(place / "data")], check=True)  # the server owns its files
        seed_past(place / "data", SYMBOLS, n_bursts=14, usual_usd=12_000.0)
        write_rules(place / "data")
        with SimulatedApp(place / "data", HEATMAP_SYMBOLS=",".join(SYMBOLS)) as app:
            app.wait_ready()
            time.sleep(60.0 * arguments.minutes)
            app.fault("cascade", symbol="BTCUSDT", position_side="long", count=60)
            time.sleep(75.0)  # until that minute is over
            yield app.url
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screens", help="where the pictures go")
    parser.add_argument("--past", type=Path, help="a stopped data directory to copy, with a history of the simulated market")
    parser.add_argument("--port", type=int, help="of a simulated app that runs already, in place of one that is started")
    parser.add_argument("--only", nargs="*", choices=[scene.name for scene in SCENES], help="these scenes only")
    parser.add_argument("--widths", nargs="*", type=int, choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--themes", nargs="*", choices=["dark", "light"], default=["dark", "light"])
    parser.add_argument("--all", action="store_true", help="every size and theme, also those that are not kept in the repository")
    parser.add_argument("--minutes", type=float, default=6.0, help="of market before the first picture")
    arguments = parser.parse_args(given)
    with market(arguments) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        for scene, width, theme in wanted(arguments):
            name = f"{scene.name}_{theme}_{width}"
            try:
                picture = packed(take(browser, url, scene, width, theme))
            except NotInTime as error:
                sys.stdout.write(f"{name} was not drawn: {str(error).splitlines()[0]}\n")
                continue
            (arguments.out / f"{name}.png").write_bytes(picture)
            sys.stdout.write(f"{name}  {len(picture) / 1_000:.0f} kB\n")
            sys.stdout.flush()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
