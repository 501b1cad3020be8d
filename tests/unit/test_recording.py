"""Recordings: what is written comes back verbatim, and what is broken is named and passed over."""

from __future__ import annotations

import gzip
import io
import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.errors import ConfigError, DecodeError
from services.ingest import recording
from services.ingest.recording import RecordedAnswer, RecordedFrame, RecordingWriter, read_recording

T0 = 1_723_161_255_030_314
GOOD = '{"t":1723161255030314,"x":"binance","c":"public","f":"{}"}'


def read_all(path: Path) -> tuple[list[RecordedFrame | RecordedAnswer], list[DecodeError]]:
    """All good lines and all errors, going on after each error."""
    lines, good, errors = read_recording(path), [], []
    while True:
        try:
            good.append(next(lines))
        except DecodeError as error:
            errors.append(error)
        except StopIteration:
            return good, errors


@pytest.mark.parametrize("name", ["plain.jsonl", "packed.jsonl.gz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    frames=st.lists(st.tuples(st.booleans(), st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode))), max_size=8)
)
def test_frames_and_answers_come_back_verbatim(tmp_path: Path, name: str, frames: list[tuple[bool, bytes]]) -> None:
    path = tmp_path / name
    path.unlink(missing_ok=True)
    with RecordingWriter(path) as writer:
        for number, (is_answer, data) in enumerate(frames):
            if is_answer:
                writer.answer("okx", f"/api/v5/x?n={number}", data, T0 + number)
            else:
                writer.frame("binance", "market", data, T0 + number)
    assert writer.n_lines == len(frames)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    good, errors = read_all(path)
    assert errors == []
    assert [(isinstance(line, RecordedAnswer), line.data, line.t - T0) for line in good] == [
        (is_answer, data, number) for number, (is_answer, data) in enumerate(frames)
    ]


def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r.jsonl") as writer:
        writer.frame("binance", "public", b'{"e":"x"}', T0)
        writer.answer("bybit", "/v5/market/time", b"{}", T0 + 1)
        writer.frame("okx", "public", b"\xff\x00", T0 + 2)
        writer.frame("okx", "public", b"", T0 + 3)
    assert [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()] == [
        {"t": T0, "x": "binance", "c": "public", "f": '{"e":"x"}'},
        {"t": T0 + 1, "x": "bybit", "u": "/v5/market/time", "f": "{}"},
        {"t": T0 + 2, "x": "okx", "c": "public", "b64": "/wA="},
        {"t": T0 + 3, "x": "okx", "c": "public", "f": ""},
    ]


BROKEN = {
    "not json": "{",
    "not an object": "[1,2]",
    "no frame": '{"t":1723161255030314,"x":"binance","c":"public"}',
    "neither connection nor path": '{"t":1723161255030314,"x":"binance","f":"{}"}',
    "both connection and path": '{"t":1723161255030314,"x":"binance","c":"a","u":"b","f":"{}"}',
    "time in milliseconds": '{"t":1723161255030,"x":"binance","c":"public","f":"{}"}',
    "time as text": '{"t":"now","x":"binance","c":"public","f":"{}"}',
    "frame a number": '{"t":1723161255030314,"x":"binance","c":"public","f":7}',
    "nested beyond reason": '{"t":1723161255030314,"x":"binance","c":"public","z":' + "[" * 100_000 + "]" * 100_000 + ',"f":"{}"}',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_line_is_named_by_its_number_and_passed_over(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{GOOD}\n\n{broken}\n{GOOD}")
    good, errors = read_all(path)
    assert len(good) == 2
    assert [error.reason for error in errors] == ["recorded_line"]
    assert str(errors[0]).startswith(f"line 3 of {path}")


def test_invalid_utf8_is_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + GOOD.encode().replace(b"{}", b"\xff\xfe") + b"\n" + GOOD.encode())
    good, errors = read_all(path)
    assert (len(good), len(errors)) == (2, 1)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MAX_LINE_BYTES", 1_000)
    path = tmp_path / "r.jsonl"
    path.write_text(f"{GOOD}\n{'x' * 5_500}\n{GOOD}\n")
    good, errors = read_all(path)
    assert (len(good), [error.reason for error in errors]) == (2, ["line_too_long"])


def test_a_recording_that_breaks_off_gives_what_is_there_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    lines = [GOOD.replace("public", f"{number * 7919}") for number in range(5_000)]
    whole = gzip.compress("\n".join(lines).encode())
    path.write_bytes(whole[: len(whole) // 2])
    good, errors = read_all(path)
    assert 1_000 < len(good) < 5_000
    assert [error.reason for error in errors] == ["truncated_recording"]


def test_json_in_place_of_its_text_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"t":1723161255030314,"x":"binance","u":"/fapi/v1/time","f":{"serverTime": 1.50}}')
    good, errors = read_all(path)
    assert (good[0].data, errors) == (b'{"serverTime": 1.50}', [])


def test_standard_input_is_read_packed_or_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (GOOD.encode(), gzip.compress(GOOD.encode())):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))  # type: ignore[type-var]
        assert [line.x for line in read_recording("-")] == ["binance"]


def test_bad_base64_is_named_when_the_bytes_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"t":1723161255030314,"x":"okx","c":"public","b64":"%%"}')
    (line,) = read_all(path)[0]
    with pytest.raises(DecodeError, match="base64"):
        _ = line.data


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="could not be read"):
            read_recording(path)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match="name a new file"):
        RecordingWriter(path)
    assert path.read_text() == GOOD


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    with RecordingWriter(path) as writer:

        def write(name: str) -> None:
            for number in range(300):
                writer.frame("okx", name, b"x" * number, T0 + number)

        threads = [threading.Thread(target=write, args=(f"c{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    writer.frame("okx", "late", b"", T0)  # after close: dropped
    writer.close()
    good, errors = read_all(path)
    assert (len(good), errors) == (1_200, [])
    for number in range(4):
        assert [len(line.f) for line in good if isinstance(line, RecordedFrame) and line.c == f"c{number}"] == list(range(300))


def test_a_full_disk_ends_the_recording_and_not_the_collector() -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    class FullPath(type(Path())):  # type: ignore[misc]
        def open(self, *_args: object, **_options: object) -> Full:  # type: ignore[override]
            return Full()

    writer = RecordingWriter(FullPath("r.jsonl"))
    writer.frame("okx", "public", b"{}", T0)
    writer.frame("okx", "public", b"{}", T0)
    assert writer.error is not None
    assert "No space left" in writer.error
    assert writer.n_lines == 0
    writer.close()
