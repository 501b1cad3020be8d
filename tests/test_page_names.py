"""pages/ comes first on sys.path, so a page must not bear the name of a module of anybody else."""

import importlib.metadata
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_no_page_hides_a_module_of_the_library_of_a_package_or_of_ours() -> None:
    pages = {path.stem for path in (ROOT / "pages").glob("*.py")}
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    installed = set(importlib.metadata.packages_distributions())
    assert not pages & set(sys.stdlib_module_names)
    assert not pages & ours
    assert not pages & installed
