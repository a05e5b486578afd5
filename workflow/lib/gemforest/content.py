"""What a sequence file holds, told from its bytes: archives unpacked under limits, format and alphabet recognised.

Names lie (`.faa` with contigs in it, `.gz` that is not packed), so nothing here looks at one. Plain, gzip (also in
blocks, as bgzip makes it), bzip2 and xz files are read; size and ratio limits hold while the stream is unpacked, so a
file that unpacks to terabytes costs no more memory than the limit. Neighbours: `sequences.py` makes proteins of the
bytes, `genecalling.py` calls genes on them.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from gemforest.errors import RefusedError
from gemforest.ledger import Reason


class Content(StrEnum):
    """What a file holds; the words of the `genomes` table's `source_kind`."""

    PROTEIN_FASTA = "protein_fasta"
    NUCLEOTIDE_FASTA = "nucleotide_fasta"
    GENBANK = "genbank"


@dataclass(frozen=True)
class Limits:
    """How much a file may hold.

    Attributes
    ----------
    max_bytes
        Bytes after unpacking; a bacterial GenBank file has about 10 MB.
    max_ratio
        Unpacked over packed bytes, judged from 64 MiB unpacked on: long runs of N pack well, but not for so long.
    """

    max_bytes: int = 1024**3
    max_ratio: float = 200.0


DEFAULT_LIMITS = Limits()
RATIO_IS_JUDGED_FROM = 64 * 1024**2
STEP = 1024**2
XZ_MEMORY = 256 * 1024**2

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
OTHER_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x9d": "a compress (.Z) archive",
    b"PAR1": "a Parquet table",
}


class _Unpacker(Protocol):
    """What bz2 and lzma offer, and what `_Gzip` makes of zlib."""

    eof: bool
    needs_input: bool

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """One gzip member with the interface of `bz2.BZ2Decompressor`."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._output_may_wait = False

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._rest and not self._output_may_wait

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        unpacked = self._stream.decompress(self._rest + data, max_length)
        self._rest = self._stream.unconsumed_tail
        self._output_may_wait = len(unpacked) == max_length
        return unpacked


def read_unpacked(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file, unpacked if it is packed.

    Raises
    ------
    RefusedError
        The file does not exist, cannot be read, is empty, is cut off or damaged, or is larger than `limits`.
    """
    packed = _read(path, limits)
    if not packed.strip(b" \t\r\n\x00"):
        raise RefusedError(Reason.EMPTY_FILE, f"{path.name} holds nothing; copy or download it again")
    new_unpacker = _unpacker_of(packed)
    if new_unpacker is None:
        return packed
    unpacked = b"".join(_unpack(packed, new_unpacker, limits, path.name))
    if not unpacked.strip():
        raise RefusedError(Reason.EMPTY_FILE, f"{path.name} unpacks to nothing; copy or download it again")
    if _unpacker_of(unpacked) is not None:
        raise RefusedError(Reason.NOT_A_GENOME, f"{path.name} was packed twice; unpack it once")
    return unpacked


def _read(path: Path, limits: Limits) -> bytes:
    try:
        if path.is_dir():
            raise RefusedError(Reason.FILE_UNREADABLE, f"{path} is a folder; name the file in it")
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise RefusedError(
                Reason.TOO_LARGE,
                f"{path.name} has {size:,} bytes, the limit is {limits.max_bytes:,}; split or raise it",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise RefusedError(Reason.FILE_NOT_FOUND, f"{path} does not exist; mend its path in the sheet") from None
    except OSError as error:
        raise RefusedError(Reason.FILE_UNREADABLE, f"{path}: {error.strerror}") from None


def _unpacker_of(data: bytes) -> Callable[[], _Unpacker] | None:
    if data.startswith(GZIP):
        return _Gzip
    if data.startswith(BZIP2) and data[3:4].isdigit() and data[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return bz2.BZ2Decompressor
    if data.startswith(XZ):
        return lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    return None


def _unpack(packed: bytes, new_unpacker: Callable[[], _Unpacker], limits: Limits, name: str) -> Iterator[bytes]:
    """Pieces of the unpacked stream, all members of a multi-member archive in turn."""
    total, unpacker, feed = 0, new_unpacker(), packed
    while True:
        try:
            piece = unpacker.decompress(feed, STEP)
        except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
            raise RefusedError(Reason.DAMAGED_ARCHIVE, f"{name}: {error}; copy or download it again") from None
        feed = b""
        total += len(piece)
        if total > limits.max_bytes:
            raise RefusedError(Reason.DECOMPRESSION_LIMIT, f"{name} unpacks to more than {limits.max_bytes:,} bytes")
        if total > RATIO_IS_JUDGED_FROM and total > limits.max_ratio * len(packed):
            raise RefusedError(
                Reason.DECOMPRESSION_LIMIT,
                f"{name} unpacks to more than {limits.max_ratio:g} times its {len(packed):,} bytes",
            )
        yield piece
        if unpacker.eof:
            feed = unpacker.unused_data.lstrip(b"\x00")
            if not feed:
                return
            if _unpacker_of(feed) is None:
                raise RefusedError(Reason.DAMAGED_ARCHIVE, f"{name} goes on after the archive's end; download it again")
            unpacker = new_unpacker()
        elif unpacker.needs_input:
            raise RefusedError(
                Reason.TRUNCATED_ARCHIVE, f"{name} ends before its end, after {total:,} bytes; download it again"
            )


def recognise(data: bytes) -> Content:
    """Format and alphabet of an unpacked file.

    A FASTA file is nucleotides when at least nine letters in ten of a record are A, C, G, T, U or N; proteins have
    about three in ten. Up to 200 records, evenly spread, vote.

    Raises
    ------
    RefusedError
        `not_a_genome`: neither FASTA nor GenBank, the detail says what it looks like; `mixed_sequences`: both
        alphabets in one file.
    """
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b">"):
        return _alphabet(data)
    if start.startswith(b"LOCUS "):
        return Content.GENBANK
    raise RefusedError(Reason.NOT_A_GENOME, f"expected FASTA or GenBank, found {_what_it_looks_like(data, start)}")


def _what_it_looks_like(data: bytes, start: bytes) -> str:
    for magic, what in OTHER_ARCHIVES.items():
        if data.startswith(magic):
            return f"{what}; export or unpack it first"
    if data[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if b"\x00" in data[:4096]:
        return "a binary file"
    if start.startswith(b"@"):
        return "sequencing reads (FASTQ); assemble them first"
    if start[:1] in (b"<", b"{"):
        return f"a web page or a server's message, beginning {_quote(start)}; download it again"
    if start.startswith((b"##gff", b"ID   ")):
        return f"an annotation format that is not read, beginning {_quote(start)}; give FASTA or GenBank"
    return f"text beginning {_quote(start)}"


def _quote(start: bytes) -> str:
    line = start.split(b"\n", 1)[0].strip()[:40]
    return repr(line.decode("utf-8", "replace"))


NUCLEOTIDES = b"ACGTUNacgtun"
LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b"*-."
VOTERS, LETTERS_PER_VOTER, LEAST_LETTERS = 200, 5000, 20


def _alphabet(data: bytes) -> Content:
    records = data.replace(b"\r", b"\n").split(b"\n>")
    step = max(1, len(records) // VOTERS)
    nucleotide_votes = protein_votes = letters_seen = others_seen = 0
    pooled = b""
    for record in records[::step]:
        body = record[record.find(b"\n") + 1 :] if b"\n" in record else b""
        body = body[:LETTERS_PER_VOTER].translate(None, b" \t\n\v\f0123456789")
        others = len(body.translate(None, LETTERS))
        letters_seen += len(body) - others
        others_seen += others
        if len(body) >= LEAST_LETTERS:
            is_nucleotide = _nucleotide_share(body) >= 0.9
            nucleotide_votes += is_nucleotide
            protein_votes += not is_nucleotide
        elif len(pooled) < LETTERS_PER_VOTER:
            pooled += body
    if others_seen > 0.05 * (letters_seen + others_seen):
        raise RefusedError(Reason.NOT_A_GENOME, "begins like FASTA, but its lines are not sequences")
    votes = nucleotide_votes + protein_votes
    if not votes:
        return Content.NUCLEOTIDE_FASTA if pooled and _nucleotide_share(pooled) >= 0.9 else Content.PROTEIN_FASTA
    if min(nucleotide_votes, protein_votes) > 0.1 * votes:
        raise RefusedError(
            Reason.MIXED_SEQUENCES,
            f"of {votes} records looked at, {nucleotide_votes} are nucleotides and {protein_votes} proteins; "
            "give one or the other",
        )
    return Content.NUCLEOTIDE_FASTA if nucleotide_votes > protein_votes else Content.PROTEIN_FASTA


def _nucleotide_share(body: bytes) -> float:
    return 1.0 - len(body.translate(None, NUCLEOTIDES)) / len(body)
