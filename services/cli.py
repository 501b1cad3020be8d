"""`python -m services.cli`: a small front for the modules of services/commands.

A command is a module there with `add_parser(subparsers)`, which registers it and sets `run` as its default, and
`run(args) -> int`, which returns the exit code. Exit code 2: the input or a setting is not usable, said in one sentence.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

import services.commands
from services.domain.errors import DashboardError
from services.version import VERSION


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command found in services/commands."""
    parser = argparse.ArgumentParser(prog="python -m services.cli", description="Unified Heatmap on the command line.")
    parser.add_argument("--version", action="version", version=VERSION)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for found in sorted(each.name for each in pkgutil.iter_modules(services.commands.__path__)):
        module = importlib.import_module(f"services.commands.{found}")
        if hasattr(module, "add_parser"):
            module.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        args = build_parser().parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
    except DashboardError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
