"""Log lines in both formats."""

from __future__ import annotations

import json
import logging
import sys

from services.log_lines import formatter


def record(message: str, *args: object, failed: bool = False) -> logging.LogRecord:
    exc_info = None
    if failed:
        try:
            int("no\nnumber")
        except ValueError:
            exc_info = sys.exc_info()
    made = logging.LogRecord("services.x", logging.WARNING, __file__, 1, message, args, exc_info)
    made.created = 1_795_272_917.0954
    return made


def test_a_json_line_is_one_object_whatever_the_message_holds() -> None:
    text = formatter("json").format(record('%s said "hé"\nand went', "okx"))
    assert "\n" not in text
    assert json.loads(text) == {
        "time": "2026-11-21T14:55:17.095Z",
        "level": "warning",
        "logger": "services.x",
        "message": 'okx said "hé"\nand went',
    }


def test_an_exception_is_a_field_of_its_line() -> None:
    text = formatter("json").format(record("failed", failed=True))
    assert "\n" not in text
    assert json.loads(text)["exception"].endswith("invalid literal for int() with base 10: 'no\\nnumber'")


def test_lines_for_people_say_when_how_bad_and_who() -> None:
    assert formatter("text").format(record("slow")).endswith(" WARNING services.x: slow")
