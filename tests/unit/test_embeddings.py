"""The store never mixes encoders, loses nothing to a killed writer, and takes any number of writers."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gemforest.embeddings import EmbeddingStore, Identity, Vectors
from gemforest.errors import InfrastructureError

IDENTITY = Identity("esm2_x", "ab" * 32, 3, 8, "mean over residues", "1022/511", "float32", "cpu", 1)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def vectors(numbers: list[int]) -> Vectors:
    values = np.array([[number + place / 8 for place in range(8)] for number in numbers], dtype=np.float16).reshape(
        -1, 8
    )
    ones = np.ones(len(numbers))
    return Vectors([key(n) for n in numbers], values, ones, ones, np.linalg.norm(values.astype(float), axis=1))


def test_what_is_written_is_read_in_the_asked_order(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, IDENTITY)
    assert store.missing([key(1), key(1)]) == [key(1)]
    store.write(vectors([9, 2, 5]))
    store.write(vectors([1]))
    assert store.missing([key(n) for n in (1, 3, 5, 9, 3)]) == [key(3)]
    assert store.read([key(5), key(1), key(5)])[:, 0].tolist() == [5, 1, 5]
    assert EmbeddingStore.open(store.folder).read([key(9)])[0, 1] == 9.125


def test_a_part_has_the_declared_columns_and_its_identity(tmp_path: Path) -> None:
    path = EmbeddingStore(tmp_path, IDENTITY).write(vectors([3, 1]))
    assert path
    schema = pq.read_schema(path)
    assert schema.names == ["seq_key", "length", "windows", "embedding", "norm"]
    embedding = schema.field("embedding").type
    assert (embedding.list_size, str(embedding.value_type)) == (8, "halffloat")
    assert schema.field("seq_key").type.byte_width == 32
    assert schema.metadata[b"gemforest.identity"].decode() == IDENTITY.to_json()


def test_no_vectors_make_no_part_and_wrong_widths_are_refused(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, IDENTITY)
    assert store.write(vectors([])) is None
    with pytest.raises(ValueError, match=r"expected vectors of shape \(1, 9\)"):
        EmbeddingStore(tmp_path, dataclasses.replace(IDENTITY, width=9)).write(vectors([1]))


@pytest.mark.parametrize(
    "change", [{"checkpoint": "cd" * 32}, {"device": "cuda"}, {"compute": "bfloat16"}, {"code": 2}, {"layer": 2}]
)
def test_encoders_never_share_a_folder_and_a_part_that_strayed_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    one, other = (EmbeddingStore(tmp_path, i) for i in (IDENTITY, dataclasses.replace(IDENTITY, **change)))
    part = one.write(vectors([1]))
    assert part
    assert other.missing([key(1)]) == [key(1)]
    other.folder.mkdir()
    (other.folder / part.name).write_bytes(part.read_bytes())
    with pytest.raises(InfrastructureError, match="vectors of another encoder"):
        other.missing([key(1)])


def test_a_damaged_part_and_a_lost_vector_are_told(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, IDENTITY)
    part = store.write(vectors([1]))
    assert part
    with pytest.raises(InfrastructureError, match=r"lacks 1 of 2 vectors"):
        store.read([key(1), key(2)])
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(InfrastructureError, match="is damaged: remove it"):
        store.missing([key(1)])
    with pytest.raises(InfrastructureError, match="is no embedding store"):
        EmbeddingStore.open(tmp_path / "nothing")


def _write_again_and_again(root: Path, numbers: list[int], times: int) -> None:
    store = EmbeddingStore(root, IDENTITY)
    for turn in range(times):
        store.write(vectors([number + 1000 * turn for number in numbers]))


def test_two_jobs_may_write_the_same_proteins_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    jobs = [spawn.Process(target=_write_again_and_again, args=(tmp_path, [7, first], 10)) for first in (1, 2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    store = EmbeddingStore(tmp_path, IDENTITY)
    keys = [key(number + 1000 * turn) for number in (1, 2, 7) for turn in range(2)]
    assert store.missing(keys) == []
    assert store.read(keys)[:, 0].tolist() == [1, 1001, 2, 1002, 7, 1007]


def test_a_writer_killed_in_mid_write_leaves_a_store_that_reads(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    job = spawn.Process(target=_write_again_and_again, args=(tmp_path, list(range(900)), 10**6))
    job.start()
    store = EmbeddingStore(tmp_path, IDENTITY)
    deadline = time.monotonic() + 60
    while not list(store.folder.glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.pid
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    assert store.read([key(5)])[0, 0] == 5
    assert all(pq.read_table(part).num_rows == 900 for part in store.folder.glob("part-*.parquet"))
