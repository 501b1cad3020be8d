"""The app on its simulated exchanges, with a hand on these: what a browser test starts, and does to the market and the store."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import psutil

from tests.chaos.app_process import AppProcess


class SimulatedApp(AppProcess):
    """`python app.py` with HEATMAP_SOURCE=sim, whose simulator can be commanded."""

    _control = ""

    def fault(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Put a fault in force, or stage a cascade; docs/simulator.md lists them."""
        body = json.dumps({"kind": kind, **fields}).encode()
        with urllib.request.urlopen(self._control_url() + "/fault", data=body, timeout=10) as answer:  # noqa: S310 - loopback
            return dict(json.load(answer))

    def postmaster(self) -> psutil.Process:
        """The embedded server's first process: by the pid in this data directory's own file."""
        pid_file = self.data_dir / "postgres" / "postmaster.pid"
        return psutil.Process(int(pid_file.read_text(encoding="ascii").splitlines()[0]))

    def _control_url(self) -> str:
        """The simulator tells its ports to the app only, so they are asked which of them answers for the market."""
        if not self._control:
            (simulator,) = self.simulators()
            ports = [each.laddr.port for each in simulator.net_connections("inet") if each.status == psutil.CONN_LISTEN]
            self._control = next(f"http://127.0.0.1:{port}" for port in sorted(ports, reverse=True) if _is_control(port))
        return self._control


def _is_control(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5) as answer:
            return answer.status == 200 and "steps" in json.load(answer)
    except (OSError, ValueError):
        return False
