"""Whether a file is what it should be: whole, not a decompression bomb, and FASTA or GenBank by its first byte.

Files are only ever unpacked in memory, a piece at a time, and thrown away; nothing in them names a path.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from gemforest.errors import RefusedError
from gemforest.ledger import Reason

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31
PIECE = 2**18
MIB = 2**20


@dataclass(frozen=True)
class UnpackLimits:
    """How much a compressed file may become: bytes in all, and bytes for each byte of the file."""

    most_bytes: int = 20 * 2**30
    most_ratio: float = 200.0


@dataclass(frozen=True)
class Content:
    """What a file turned out to be: `form` is fasta or genbank; `unpacked_bytes` counts what it unpacks to."""

    form: str
    gzipped: bool
    unpacked_bytes: int


class ArchiveCheck:
    """Checks a file that comes in pieces: `feed` each, then `finish`.

    A gzip file may have several members (as bgzip writes them); zlib verifies the CRC-32 and the length of each
    (RFC 1952).

    Raises
    ------
    RefusedError
        `empty_file`, `truncated_archive`, `corrupt_archive`, `decompression_limit` or `not_a_genome`.
    """

    def __init__(self, name: str, limits: UnpackLimits | None = None) -> None:
        self.name = name
        self.limits = limits or UnpackLimits()
        self._packed = 0
        self._unpacked = 0
        self._start = b""
        self._head = b""
        self._member: zlib._Decompress | None = None
        self._gzipped: bool | None = None

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next piece of the file."""
        self._packed += len(piece)
        if self._gzipped is None:
            self._start += bytes(piece)
            if len(self._start) < len(GZIP_MAGIC):
                return
            self._gzipped = self._start.startswith(GZIP_MAGIC)
            piece, self._start = self._start, b""
        if self._gzipped:
            self._unpack(piece)
        else:
            self._take(bytes(piece[:1024]) if len(self._head) < 1024 else b"", len(piece))

    def finish(self) -> Content:
        """Judge the whole file."""
        if self._packed == 0:
            raise RefusedError(Reason.EMPTY_FILE, f"{self.name} is empty")
        if self._gzipped is None:
            self._gzipped = False
            self._take(self._start, len(self._start))
        if self._member is not None and not self._member.eof:
            raise RefusedError(Reason.TRUNCATED_ARCHIVE, f"{self.name} ends in the middle of its compressed data")
        return Content(self._form(), self._gzipped, self._unpacked)

    def _unpack(self, piece: bytes | memoryview) -> None:
        rest: bytes | memoryview = piece
        while len(rest):
            if self._member is None or self._member.eof:
                rest = bytes(rest).lstrip(b"\0") if self._member is not None else rest
                if not rest:
                    return
                self._member = zlib.decompressobj(GZIP_WINDOW)
            try:
                unpacked = self._member.decompress(rest, PIECE * 4)
            except zlib.error as error:
                raise RefusedError(Reason.CORRUPT_ARCHIVE, f"{self.name}: the compressed data are damaged ({error})") from error
            self._take(unpacked, len(unpacked))
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def _take(self, head: bytes, count: int) -> None:
        if len(self._head) < 1024:
            self._head += head[: 1024 - len(self._head)]
        self._unpacked += count
        bomb = self._unpacked > MIB and self._unpacked > self._packed * self.limits.most_ratio
        if self._unpacked > self.limits.most_bytes or bomb:
            raise RefusedError(
                Reason.DECOMPRESSION_LIMIT,
                f"{self.name}: {self._packed} bytes unpack to more than {self._unpacked}; the limits are "
                f"{self.limits.most_bytes} bytes and {self.limits.most_ratio:g} to 1",
            )

    def _form(self) -> str:
        head = self._head.lstrip()
        if not head:
            raise RefusedError(Reason.EMPTY_FILE, f"{self.name} unpacks to nothing")
        if head.startswith(b">"):
            return "fasta"
        if head.startswith(b"LOCUS"):
            return "genbank"
        raise RefusedError(
            Reason.NOT_A_GENOME,
            f"{self.name} begins with {head[:20]!r}; FASTA begins with '>', GenBank with 'LOCUS'",
        )


def check_file(path: Path, name: str, limits: UnpackLimits | None = None) -> Content:
    """Read a file of disk through `ArchiveCheck`. Raises what that raises."""
    check = ArchiveCheck(name, limits)
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            check.feed(piece)
    return check.finish()
