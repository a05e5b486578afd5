"""Files checked in passing: however the pieces fall, the verdict is that of the whole file held in memory."""

from __future__ import annotations

import bz2
import gzip
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import PROTEINS
from replay import fasta

from gemforest.content import Content, Limits, read_unpacked, recognise
from gemforest.errors import RefusedError
from gemforest.fetch.archives import ArchiveCheck, check_file
from gemforest.ledger import Reason

TEXT = fasta(PROTEINS[:20])
PACKED = gzip.compress(TEXT, mtime=0)
DAMAGED = PACKED[: len(PACKED) // 2] + bytes([PACKED[len(PACKED) // 2] ^ 255]) + PACKED[len(PACKED) // 2 + 1 :]
FILES = {
    "plain": TEXT,
    "gzip": PACKED,
    "members": PACKED + PACKED + b"\0" * 100,
    "bzip2": bz2.compress(TEXT),
    "genbank": gzip.compress(b"LOCUS       NC_000913\n", mtime=0),
    "truncated": PACKED[:-20],
    "damaged": DAMAGED,
    "wrong_crc": PACKED[:-8] + bytes(4) + PACKED[-4:],
    "page": b"<html>not found</html>",
    "empty": b"",
    "nothing_in_it": gzip.compress(b""),
    "one_byte": b">",
}


def verdict_in_memory(path: Path) -> tuple[str, int]:
    try:
        data = read_unpacked(path)
        return str(recognise(data)), len(data)
    except RefusedError as error:
        return str(error.reason), 0


def verdict_in_pieces(path: Path, content: bytes, cuts: list[int]) -> tuple[str, int]:
    check, places = (
        ArchiveCheck(path, path.name),
        sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)}),
    )
    try:
        for first, last in itertools.pairwise(places):
            check.feed(content[first:last])
        checked = check.finish()
    except RefusedError as error:
        return str(error.reason), 0
    return str(checked.content), checked.unpacked_bytes


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 10**6), max_size=8))
def test_pieces_make_no_difference(name: str, cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(FILES[name])
        assert verdict_in_pieces(path, FILES[name], cuts) == verdict_in_memory(path)


def test_a_whole_file_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES["members"])
    checked = check_file(path, "proteins")
    assert (checked.content, checked.unpacked_bytes) == (Content.PROTEIN_FASTA, 2 * len(TEXT))


def test_a_bomb_is_noticed_on_its_way(tmp_path: Path) -> None:
    bomb = gzip.compress(b">x\n" + b"A" * 200_000_000, 9, mtime=0)
    check, fed = ArchiveCheck(tmp_path / "bomb", "bomb"), 0
    with pytest.raises(RefusedError) as caught:
        for start in range(0, len(bomb), 1000):
            check.feed(bomb[start : start + 1000])
            fed += 1000
    assert caught.value.reason is Reason.DECOMPRESSION_LIMIT
    assert fed < len(bomb) / 2
    with pytest.raises(RefusedError, match="the limits are 1,000 bytes"):
        ArchiveCheck(tmp_path / "small", "small", Limits(max_bytes=1000)).feed(PACKED)
