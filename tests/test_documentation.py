"""Settings, pages and decisions against the docs: a reference that rots fails here."""

import re
from pathlib import Path

import pytest

from config import SETTINGS, Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def table_rows(path: Path) -> dict[str, list[str]]:
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {cells[0].strip("` "): cells for cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)}


def test_every_setting_is_documented_with_its_default_and_range() -> None:
    rows = table_rows(DOCS / "settings.md")
    assert list(rows) == [setting.name for setting in SETTINGS]
    for setting in SETTINGS:
        _, kind, default, allowed, help_text = rows[setting.name]
        assert (kind, allowed, help_text) == (setting.kind, setting.allowed, setting.help)
        assert default.strip("`") == setting.default or (default == "–" and not setting.default)


def test_the_table_and_the_settings_object_have_the_same_fields() -> None:
    assert {setting.attribute for setting in SETTINGS} == set(Settings.__dataclass_fields__)


def test_every_page_is_described_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = (ROOT / "pages" / "_shell.py").read_text(encoding="utf-8")
    titles = re.findall(r'(?<!page_)title="([^"]+)"', shell)
    assert titles
    for title in titles:
        assert f"**{title}**" in readme, f"the page {title!r} is not described in README.md"


def test_every_requirement_has_a_line_of_why() -> None:
    why = (DOCS / "decisions" / "0008-dependencies.md").read_text(encoding="utf-8")
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name = re.split(r"[<>=]", line)[0]
            assert f"`{name}`" in why, f"{name} has no line of why in docs/decisions/0008-dependencies.md"
            assert "<" in line, f"{name} has no upper bound"


@pytest.mark.parametrize("path", [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"
