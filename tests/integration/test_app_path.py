"""One session's end must not take the pages' folder from under the imports of another."""

from __future__ import annotations

import subprocess
import sys

from config import ROOT

ANOTHER_SESSION_ENDS = """
import sys
import app
from streamlit.runtime.scriptrunner.exec_code import modified_sys_path
pages = str(app.app._resolved_script_path)
with modified_sys_path(pages):
    pass
import _controls
print(_controls.__file__)
"""


def test_the_folder_of_the_pages_stays_on_the_path_when_a_session_has_run() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ANOTHER_SESSION_ENDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().splitlines()[-1] == str(ROOT / "pages" / "_controls.py")
