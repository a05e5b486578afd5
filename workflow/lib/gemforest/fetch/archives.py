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
    BZIP2,
    DEFAULT_LIMITS,
    GZIP,
    RATIO_IS_JUDGED_FROM,
    STEP,
    XZ,
    Content,
    Limits,
    read_unpacked,
    recognise,
)
from gemforest.errors import RefusedError
from gemforest.ledger import Reason

GZIP_WINDOW = 31
HEAD_BYTES = 4 * STEP
OTHER_PACKED = (BZIP2, XZ)


@dataclass(frozen=True)
class Checked:
    """What a file turned out to be."""

    content: Content
    unpacked_bytes: int


def check_file(path: Path, name: str, limits: Limits = DEFAULT_LIMITS) -> Checked:
    """Read a file through, unpack it in passing, and recognise it by its beginning; arguments as of `ArchiveCheck`."""
    check = ArchiveCheck(path, name, limits)
    with path.open("rb") as stream:
        while piece := stream.read(STEP):
            check.feed(piece)
    return check.finish()


class ArchiveCheck:
    """Checks a file that comes in pieces: `feed` each in turn, then `finish`.

    The CRC-32 and length of every gzip member are verified (RFC 1952).

    Parameters
    ----------
    path
        Where the whole file lies when `finish` is called; bzip2 and xz, which the archives do not send, are read there.
    name
        What messages call the file.

    Raises
    ------
    RefusedError
        By `feed`: `damaged_archive, decompression_limit`. By `finish` also `empty_file, truncated_archive,
        mixed_sequences, not_a_genome`.
    """

    def __init__(self, path: Path, name: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._path = path
        self._name = name
        self._limits = limits
        self._start = b""
        self._packed = 0
        self._unpacked = 0
        self._head = bytearray()
        self._member: zlib._Decompress | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._packed < len(GZIP):
            # The first bytes decide; they may come one by one.
            self._start += piece
            self._packed += len(piece)
            if self._packed < len(GZIP):
                return
            piece = self._start
            self._member = zlib.decompressobj(GZIP_WINDOW) if piece.startswith(GZIP) else None
        else:
            self._packed += len(piece)
        if self._member is None:
            self._take(piece)
        else:
            self._unpack(piece)

    def finish(self) -> Checked:
        """Judge the whole file."""
        if self._start.startswith(OTHER_PACKED):
            return self._check_in_memory()
        if self._packed < len(GZIP):
            self._take(self._start)
        if self._member is not None and not self._member.eof:
            raise RefusedError(
                Reason.TRUNCATED_ARCHIVE, f"{self._name} ends before its end, after {self._unpacked:,} bytes"
            )
        if not self._head.strip(b" \t\r\n\x00"):
            raise RefusedError(Reason.EMPTY_FILE, f"{self._name} holds nothing")
        head = bytes(self._head)
        if self._unpacked > len(head):
            head = head[: head.rfind(b"\n") + 1] or head
        return Checked(recognise(head), self._unpacked)

    def _check_in_memory(self) -> Checked:
        try:
            data = read_unpacked(self._path, self._limits)
        except RefusedError as error:
            raise RefusedError(error.reason, error.detail.replace(self._path.name, self._name)) from None
        return Checked(recognise(data), len(data))

    def _unpack(self, piece: bytes) -> None:
        assert self._member is not None
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

    def _take(self, unpacked: bytes) -> None:
        self._unpacked += len(unpacked)
        if len(self._head) < HEAD_BYTES:
            self._head += unpacked[: HEAD_BYTES - len(self._head)]
        ratio_broken = self._unpacked > RATIO_IS_JUDGED_FROM and self._unpacked > self._limits.max_ratio * self._packed
        if self._unpacked > self._limits.max_bytes or ratio_broken:
            raise RefusedError(
                Reason.DECOMPRESSION_LIMIT,
                f"{self._name}: {self._packed:,} bytes unpack to more than {self._unpacked:,}; the limits are "
                f"{self._limits.max_bytes:,} bytes and {self._limits.max_ratio:g} to 1",
            )
