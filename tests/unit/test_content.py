"""Files are recognised by what is in them, and a hostile or broken one ends with a reason."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemforest.content import Content, Limits, read_unpacked, recognise
from gemforest.errors import RefusedError
from gemforest.ledger import Reason
from gemforest.sequences import read_proteins

SHIPPED = Path(str(files("carveme") / "data" / "benchmark" / "fasta" / "M_genitalium_G37.faa"))
PACKERS = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
PROTEINS = b">a\nMKVLAEDTRWHHKLPQSTVY\n>b\nMSTNPKPQRKTKRNTNRRPQ\n"
CONTIGS = b">c1\n" + b"ACGTTGCANN" * 50 + b"\n"


def write(folder: Path, data: bytes, name: str = "input") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def reason_of(call, *arguments) -> Reason:
    with pytest.raises(RefusedError) as refusal:
        call(*arguments)
    assert len(refusal.value.detail) > 10
    return refusal.value.reason


@pytest.mark.parametrize("packing", PACKERS)
def test_every_packing_gives_the_same_proteins_under_a_misleading_name(tmp_path, packing):
    path = write(tmp_path, PACKERS[packing](SHIPPED.read_bytes()), "genome.zip")
    assert read_proteins(path).equals(read_proteins(SHIPPED))


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_archives_of_several_members_are_read_to_the_end(tmp_path, packing):
    pack = PACKERS[packing]
    assert read_unpacked(write(tmp_path, pack(PROTEINS) + pack(CONTIGS))) == PROTEINS + CONTIGS


@given(
    st.binary(min_size=1, max_size=5000).filter(lambda data: data.strip(b" \t\r\n\x0b\x0c\x00")), st.integers(1, 400)
)
def test_unpacking_is_the_inverse_of_packing(tmp_path_factory, data, repeats):
    path = tmp_path_factory.mktemp("pack") / "f"
    path.write_bytes(gzip.compress(b">" + data * repeats))
    assert read_unpacked(path) == b">" + data * repeats


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_an_archive_cut_short_is_refused_as_truncated(tmp_path, packing):
    packed = PACKERS[packing](SHIPPED.read_bytes())
    path = write(tmp_path, packed[: len(packed) // 2])
    assert reason_of(read_unpacked, path) is Reason.TRUNCATED_ARCHIVE


def test_a_gzip_file_cut_in_its_last_bytes_is_refused(tmp_path):
    packed = gzip.compress(PROTEINS)
    assert reason_of(read_unpacked, write(tmp_path, packed[:-3])) is Reason.TRUNCATED_ARCHIVE


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_an_archive_with_a_flipped_byte_is_refused_as_damaged(tmp_path, packing):
    packed = bytearray(PACKERS[packing](SHIPPED.read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    reason = reason_of(read_unpacked, write(tmp_path, bytes(packed)))
    assert reason in (Reason.DAMAGED_ARCHIVE, Reason.TRUNCATED_ARCHIVE)


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = b"A" * 1024**2
    return b"".join([packer.compress(block) for _ in range(megabytes)]) + packer.flush()


def test_a_bomb_is_refused_by_its_ratio_before_it_is_unpacked_whole(tmp_path):
    path = write(tmp_path, bomb(300))
    assert path.stat().st_size < 400_000
    tracemalloc.start()
    reason = reason_of(read_unpacked, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reason is Reason.DECOMPRESSION_LIMIT
    assert peak < 100 * 1024**2


def test_an_archive_above_the_size_limit_is_refused(tmp_path):
    path = write(tmp_path, gzip.compress(PROTEINS * 100))
    assert reason_of(read_unpacked, path, Limits(max_bytes=1000)) is Reason.DECOMPRESSION_LIMIT


def test_a_plain_file_above_the_size_limit_is_refused_unread(tmp_path):
    assert reason_of(read_unpacked, write(tmp_path, PROTEINS * 100), Limits(max_bytes=1000)) is Reason.TOO_LARGE


@pytest.mark.parametrize("data", [b"", b"\n \n", gzip.compress(b"", mtime=0), bz2.compress(b""), lzma.compress(b"")])
def test_an_empty_file_is_refused_as_empty(tmp_path, data):
    assert reason_of(read_unpacked, write(tmp_path, data)) is Reason.EMPTY_FILE


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    assert reason_of(read_unpacked, tmp_path / "none.faa") is Reason.FILE_NOT_FOUND
    assert reason_of(read_unpacked, tmp_path) is Reason.FILE_UNREADABLE


def test_a_file_packed_twice_is_refused(tmp_path):
    assert reason_of(read_unpacked, write(tmp_path, gzip.compress(gzip.compress(PROTEINS)))) is Reason.NOT_A_GENOME


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"genome_id\tsource\n", "text"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "binary"),
        (b"@read1\nACGT\n+\nIIII\n", "FASTQ"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04rest", "zip"),
        (b"##gff-version 3\n", "annotation"),
        (b">a\n\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\n", "FASTA"),
    ],
)
def test_what_is_not_a_genome_is_refused_and_named(data, what):
    with pytest.raises(RefusedError) as refusal:
        recognise(data)
    assert refusal.value.reason is Reason.NOT_A_GENOME
    assert what in refusal.value.detail


def test_alphabets_are_told_apart_in_any_case():
    assert recognise(PROTEINS) is recognise(PROTEINS.lower()) is Content.PROTEIN_FASTA
    assert recognise(CONTIGS) is recognise(CONTIGS.lower()) is Content.NUCLEOTIDE_FASTA
    assert recognise(b"\xef\xbb\xbf\n" + PROTEINS) is Content.PROTEIN_FASTA
    assert recognise(b"LOCUS       X 60 bp\n") is Content.GENBANK


def test_contigs_where_proteins_are_expected_are_refused(tmp_path):
    assert reason_of(read_proteins, write(tmp_path, CONTIGS)) is Reason.LOOKS_LIKE_CONTIGS


def test_a_mixture_of_contigs_and_proteins_is_refused():
    assert reason_of(recognise, PROTEINS * 2 + CONTIGS * 2) is Reason.MIXED_SEQUENCES
