"""The index of the embedding store: finds what a dictionary finds, merges, and keeps a lookup's cost flat."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_embeddings import IDENTITY, key, vectors

from gemforest import vectorindex
from gemforest.embeddings import INDEX, EmbeddingStore
from gemforest.errors import InfrastructureError
from gemforest.vectorindex import Place, VectorIndex


def real_key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def part(number: int) -> str:
    return hashlib.sha256(f"part {number}".encode()).hexdigest()[:24]


def everywhere(_name: str) -> bool:
    return True


@pytest.mark.parametrize("make", [key, real_key], ids=["keys that begin alike", "digests"])
def test_the_index_finds_what_a_dictionary_finds_before_and_after_merges(tmp_path: Path, make: object) -> None:
    index, expected, rng = VectorIndex(tmp_path), {}, random.Random(1)
    for number in range(40):
        keys = sorted(make(n) for n in rng.sample(range(2000), 30))  # type: ignore[operator]
        index.add([(part(number), keys)])
        for row, found in enumerate(keys):
            place = Place(part(number), row)
            expected[found] = min(expected.get(found, place), place, key=lambda place: place.part)
    asked = [make(n) for n in range(2100)]  # type: ignore[operator]
    places = index.find(asked, everywhere)
    assert {asked[number]: place for number, place in places.items()} == expected
    # Forty files of level 0: two merges of sixteen, and eight that wait.
    levels = sorted(path.name[0] for path in tmp_path.glob("*.idx"))
    assert levels == ["0"] * 8 + ["1"] * 2


def test_a_part_that_is_gone_leaves_the_next_that_holds_the_protein(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path)
    first, second = sorted(part(number) for number in (1, 2))
    index.add([(first, [key(1)])])
    index.add([(second, [key(1)])])
    assert index.find([key(1)], everywhere) == {0: Place(first, 0)}
    assert index.find([key(1)], second.__eq__) == {0: Place(second, 0)}
    assert index.find([key(1)], lambda _name: False) == {}


def test_large_files_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectorindex, "LARGEST", 100)
    index = VectorIndex(tmp_path)
    for number in range(vectorindex.FAN + 2):
        index.add([(part(number), sorted(real_key(n) for n in range(10 * number, 10 * number + 10)))])
    assert len(list(tmp_path.glob("0-*.idx"))) == vectorindex.FAN + 2
    assert len(index.find([real_key(n) for n in range(180)], everywhere)) == 180


def test_a_file_of_the_wrong_size_is_told_with_the_mend(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, IDENTITY)
    store.write(vectors([1, 2]))
    (file,) = (store.folder / INDEX).glob("*.idx")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InfrastructureError, match=r"remove the folder .*index, it is made again"):
        store.missing([key(1)])
    file.unlink()
    assert store.missing([key(1), key(3)]) == [key(3)]


def test_a_store_from_before_the_index_gets_one_and_a_lost_part_is_embedded_again(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, IDENTITY)
    first, second = store.write(vectors([1, 2])), store.write(vectors([3]))
    for file in (store.folder / INDEX).glob("*.idx"):
        file.unlink()
    assert store.read([key(3), key(1)])[:, 0].tolist() == [3, 1]
    assert first
    assert second
    first.unlink()
    assert store.missing([key(n) for n in (1, 2, 3)]) == [key(1), key(2)]
    store.write(vectors([1, 2]))
    assert store.read([key(2)])[0, 0] == 2


def test_a_lookup_opens_the_parts_that_hold_its_proteins_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddingStore(tmp_path, IDENTITY)
    for first in range(0, 300, 10):
        store.write(vectors(list(range(first, first + 10))))
    opened: list[str] = []
    real = pq.ParquetFile

    def watched(path: Path, *rest: object, **named: object) -> pq.ParquetFile:
        opened.append(str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(pq, "ParquetFile", watched)
    assert store.read([key(5), key(299)])[:, 0].tolist() == [5, 299]
    assert store.missing([key(1000), key(7)]) == [key(1000)]
    assert len(opened) <= 2 + 3  # two parts read; of parts with keys that were found the footer


def test_only_the_row_groups_that_hold_the_proteins_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemforest.embeddings.GROUP_ROWS", 16)
    store = EmbeddingStore(tmp_path, IDENTITY)
    path = store.write(vectors(list(range(100))))
    assert path
    assert pq.ParquetFile(path).num_row_groups == 7
    read: list[list[int]] = []
    real = pq.ParquetFile.read_row_groups

    def watched(self: pq.ParquetFile, groups: list[int], **named: object) -> object:
        read.append(groups)
        return real(self, groups, **named)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", watched)
    assert store.read([key(n) for n in (99, 20, 98, 17)])[:, 0].tolist() == [99, 20, 98, 17]
    assert read == [[1, 6]]


def _write_many(root: Path, first: int) -> None:
    store = EmbeddingStore(root, IDENTITY)
    for number in range(first, first + 40):
        store.write(vectors([number, 5000]))


def test_jobs_that_write_and_merge_at_once_lose_no_protein(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    jobs = [spawn.Process(target=_write_many, args=(tmp_path, first)) for first in (0, 20, 1000)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    store = EmbeddingStore(tmp_path, IDENTITY)
    numbers = [*range(60), *range(1000, 1040), 5000]
    # Half precision holds the numbers up to 2,048 exactly.
    assert np.array_equal(store.read([key(n) for n in numbers])[:-1, 0], numbers[:-1])
