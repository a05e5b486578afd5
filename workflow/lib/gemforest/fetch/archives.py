"""Whether a downloaded file is whole, no decompression bomb, and sequences by its content.

`content.py` does the same for a file held in memory; a download may be large, so here a gzip file is unpacked a piece
at a time and thrown away, all but its beginning, by which `content.recognise` tells what it is. Nothing in a file names
a path.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from gemforest.content import (
    DEFAULT_LIMITS,
    GZIP,
    RATIO_IS_JUDGED_FROM,
    STEP,
    Content,
    Limits,
    read_unpacked,
    recognise,
)
from gemforest.errors import RefusedError
from gemforest.ledger import Reason

GZIP_WINDOW = 31
HEAD_BYTES = 4 * STEP


@dataclass(frozen=True)
class Checked:
    """What a file turned out to be."""

    content: Content
    unpacked_bytes: int


def check_file(path: Path, name: str, limits: Limits = DEFAULT_LIMITS) -> Checked:
    """Read a file through, unpack it in passing, and recognise it by its beginning.

    The CRC-32 and length of every gzip member are verified (RFC 1952).

    Parameters
    ----------
    name
        What messages call the file.

    Raises
    ------
    RefusedError
        `empty_file, truncated_archive, damaged_archive, decompression_limit, mixed_sequences` or `not_a_genome`.
    """
    with path.open("rb") as stream:
        first = stream.read(STEP)
        if not first.startswith(GZIP):
            return _check_other(path, name, limits)
        unpacking = _Unpacking(name, limits)
        while first:
            unpacking.feed(first)
            first = stream.read(STEP)
    return unpacking.finish()


def _check_other(path: Path, name: str, limits: Limits) -> Checked:
    """Plain text, bzip2 and xz, which the archives do not send: in memory."""
    try:
        data = read_unpacked(path, limits)
    except RefusedError as error:
        raise RefusedError(error.reason, error.detail.replace(path.name, name)) from None
    return Checked(recognise(data), len(data))


class _Unpacking:
    """A gzip file that comes in pieces."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._packed = 0
        self._unpacked = 0
        self._head = bytearray()
        self._member = zlib.decompressobj(GZIP_WINDOW)

    def feed(self, piece: bytes) -> None:
        self._packed += len(piece)
        while piece:
            if self._member.eof:
                # Blocks of a bgzip file follow each other; zero bytes may pad a tape's end.
                piece = piece.lstrip(b"\0")
                if not piece:
                    return
                self._member = zlib.decompressobj(GZIP_WINDOW)
            try:
                unpacked = self._member.decompress(piece, STEP)
            except zlib.error as error:
                raise RefusedError(Reason.DAMAGED_ARCHIVE, f"{self._name}: {error}") from None
            self._take(unpacked)
            piece = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> Checked:
        if not self._member.eof:
            raise RefusedError(
                Reason.TRUNCATED_ARCHIVE, f"{self._name} ends before its end, after {self._unpacked:,} bytes"
            )
        if not self._head.strip():
            raise RefusedError(Reason.EMPTY_FILE, f"{self._name} unpacks to nothing")
        head = bytes(self._head)
        if self._unpacked > len(head):
            head = head[: head.rfind(b"\n") + 1] or head
        return Checked(recognise(head), self._unpacked)

    def _take(self, unpacked: bytes) -> None:
        self._unpacked += len(unpacked)
        self._head += unpacked[: HEAD_BYTES - len(self._head)]
        ratio_broken = (
            self._unpacked > RATIO_IS_JUDGED_FROM and self._unpacked > self._limits.max_ratio * self._packed
        )
        if self._unpacked > self._limits.max_bytes or ratio_broken:
            raise RefusedError(
                Reason.DECOMPRESSION_LIMIT,
                f"{self._name}: {self._packed:,} bytes unpack to more than {self._unpacked:,}; the limits are "
                f"{self._limits.max_bytes:,} bytes and {self._limits.max_ratio:g} to 1",
            )
