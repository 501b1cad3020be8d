"""The on-disk spool: what the store could not take yet, in order, until it can.

Segment files hold records of `length u32, crc32 u32, payload`; a payload is one batch (msgpack list of the StoredEvent union). A
batch is acknowledged when it is fsynced, so a kill -9 costs at most the record that was being written (a torn tail, passed over).
A segment is removed only after all its batches are committed: a crash in between drains it again, and the store's append is
idempotent. When the spool is full the *newest* batch is refused: what was acknowledged before is a promise, what is refused is
still with the caller.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from services.domain.stored import StoredEvent

_HEADER: Final = struct.Struct(">II")
_SEGMENT_BYTES: Final = 8 << 20
_RECORD_LIMIT: Final = 256 << 20  # a length beyond this is rubbish, not a batch


class Spool:
    """A bounded FIFO of batches on disk. Thread-safe; one process a directory."""

    def __init__(self, directory: Path, *, limit_bytes: int, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[StoredEvent])
        self._tail: BinaryIO | None = None
        self._tail_bytes = 0
        self._head_offset = 0
        self.n_bad_records = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._segments = sorted(directory.glob("*.seg"))
        self._sizes = {path: path.stat().st_size for path in self._segments}
        self._next_number = int(self._segments[-1].stem) + 1 if self._segments else 1

    @property
    def n_bytes(self) -> int:
        """Size of all segments, those half drained included."""
        return sum(self._sizes.values())

    @property
    def is_empty(self) -> bool:
        return not self._segments

    def append(self, events: Sequence[StoredEvent]) -> bool:
        """Write one batch and fsync it; False, and nothing written, when it would exceed the limit. Raises OSError (disk full)."""
        payload = self._encoder.encode(list(events))
        record = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            if self.n_bytes + len(record) > self._limit_bytes:
                return False
            tail = self._open_tail()
            start = self._tail_bytes
            try:
                tail.write(record)
                tail.flush()
                os.fsync(tail.fileno())
            except OSError:
                self._cut_tail(start)
                raise
            self._tail_bytes += len(record)
            self._sizes[self._segments[-1]] = self._tail_bytes
            return True

    def peek(self) -> list[StoredEvent] | None:
        """The oldest batch that is not yet removed, or None when the spool is empty. Broken records are counted and passed over."""
        with self._lock:
            while self._segments:
                batch = self._read_head()
                if batch is not None:
                    return batch
                self._drop_head()
            return None

    def pop(self) -> None:
        """Remove the batch that `peek` gave last: call it after the store has committed it."""
        with self._lock:
            if not self._segments:
                return
            length = self._head_length()
            self._head_offset += _HEADER.size + length
            if self._head_offset >= self._sizes[self._segments[0]]:
                self._drop_head()

    def close(self) -> None:
        with self._lock:
            if self._tail is not None:
                self._tail.close()
                self._tail = None

    def _open_tail(self) -> BinaryIO:
        """The segment to append to. Never one of an earlier process: its tail may be torn."""
        if self._tail is not None and self._tail_bytes >= self._segment_bytes:
            self._tail.close()
            self._tail = None
        if self._tail is None:
            path = self._directory / f"{self._next_number:012d}.seg"
            self._next_number += 1
            self._tail = path.open("ab")
            self._tail_bytes = 0
            self._segments.append(path)
            self._sizes[path] = 0
            self._sync_directory()
        return self._tail

    def _cut_tail(self, length: int) -> None:
        """Undo a half-written record so that the segment stays readable; on failure the segment is left and a new one begun."""
        tail, self._tail = self._tail, None
        if tail is None:
            return
        try:
            os.ftruncate(tail.fileno(), length)
            tail.close()
        except OSError:
            self.n_bad_records += 1

    def _sync_directory(self) -> None:
        if os.name != "posix":  # elsewhere a directory cannot be opened, and its entries are durable by themselves
            return
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _head_length(self) -> int:
        with self._segments[0].open("rb") as file:
            file.seek(self._head_offset)
            header = file.read(_HEADER.size)
        return int(_HEADER.unpack(header)[0])

    def _read_head(self) -> list[StoredEvent] | None:
        """The next readable record of the head segment; None at its end or at a torn record, whose length cannot be trusted."""
        with self._segments[0].open("rb") as file:
            while True:
                file.seek(self._head_offset)
                header = file.read(_HEADER.size)
                if not header:
                    return None
                length, checksum = _HEADER.unpack(header) if len(header) == _HEADER.size else (_RECORD_LIMIT + 1, 0)
                payload = file.read(length) if length <= _RECORD_LIMIT else b""
                if len(payload) != length:
                    self.n_bad_records += 1
                    return None
                if zlib.crc32(payload) == checksum:
                    with contextlib.suppress(msgspec.MsgspecError):  # written by a version with other fields: counted below
                        return self._decoder.decode(payload)
                self.n_bad_records += 1
                self._head_offset += _HEADER.size + length

    def _drop_head(self) -> None:
        path = self._segments.pop(0)
        if not self._segments and self._tail is not None:
            self._tail.close()
            self._tail = None
        self._sizes.pop(path, None)
        self._head_offset = 0
        path.unlink(missing_ok=True)
