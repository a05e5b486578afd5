"""Files are written whole or not at all, and say whose they are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from gemforest.errors import InfrastructureError
from gemforest.store import (
    Store,
    atomic,
    digest,
    file_sha256,
    is_sealed,
    read_metadata,
    sweep_temporaries,
    write_parquet,
    write_table,
    write_text,
)
from gemforest.tables import TABLES


def test_an_interrupted_write_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_the_same_text_again_does_not_touch_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert write_text(path, "text")
    before = path.stat().st_mtime_ns
    assert not write_text(path, "text")
    assert path.stat().st_mtime_ns == before


def test_results_are_readable_by_others_as_the_umask_says(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs the kernel's count of a process's writes")
def test_a_table_goes_to_a_shared_file_system_in_one_write_and_is_not_read_back(tmp_path: Path) -> None:
    def calls() -> dict[str, int]:
        lines = Path("/proc/self/io").read_text().splitlines()
        return {name: int(value) for name, value in (line.split(": ") for line in lines) if name in ("syscr", "syscw")}

    rows = pa.table({"number": list(range(200_000))})
    write_parquet(tmp_path / "warm.parquet", rows)
    looked = calls()
    looking = calls()["syscr"] - looked["syscr"]
    before = calls()
    written = write_parquet(tmp_path / "a.parquet", rows)
    after = calls()
    assert after["syscw"] - before["syscw"] == 1
    assert after["syscr"] - before["syscr"] == looking
    assert written == ((tmp_path / "a.parquet").stat().st_size, file_sha256(tmp_path / "a.parquet"))


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected columns"):
        write_table(tmp_path / "x.parquet", "proteins", pa.table({"gene_id": ["a"]}), {})


def test_a_genome_without_rows_keeps_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "g.parquet"
    write_table(path, "proteins", TABLES["proteins"].empty(), {"key": "k", "genome_id": "g"})
    assert read_metadata(path) == {"key": "k", "genome_id": "g"}


def test_a_truncated_file_has_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "g.parquet"
    write_parquet(path, pa.table({"a": list(range(1000))}), {"key": "k"})
    path.write_bytes(path.read_bytes()[:-50])
    assert read_metadata(path) is None
    assert read_metadata(tmp_path / "absent.parquet") is None


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_parquet(tmp_path / name, pa.table({"a": [1, 2]}), {"key": "k"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_shard_in_a_path_adds_no_column(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_table(store.table_path("proteins", "0007", "g"), "proteins", TABLES["proteins"].empty(), {})
    assert store.read("proteins", "0007", "g").column_names == TABLES["proteins"].schema.names


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_sweeping_removes_temporaries_only(tmp_path: Path) -> None:
    (tmp_path / ".g.parquet.abc.tmp").touch()
    (tmp_path / "g.parquet").touch()
    sweep_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["g.parquet"]


def test_a_changed_bit_anywhere_in_a_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, pa.table({"number": [1, 2, 3]}), {"key": "k"})
    assert is_sealed(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert not is_sealed(path), place


def test_damaged_rows_are_never_read_as_data(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.table_path("genomes", "0000", "a")
    write_table(path, "genomes", pa.Table.from_pylist([{"genome_id": "a"}], schema=TABLES["genomes"].schema), {})
    whole = path.read_bytes()
    page = bytes([whole[40] ^ 0xFF])
    path.write_bytes(whole[:40] + page + whole[41:])
    with pytest.raises(InfrastructureError, match="check --deep --repair"):
        store.read("genomes", "0000", "a")


def test_an_empty_folder_in_the_place_of_a_file_makes_way(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.mkdir()
    assert write_text(path, "text")
    assert path.read_text() == "text"
    path.unlink()
    path.mkdir()
    (path / "somebody's").touch()
    with pytest.raises(OSError, match="not empty"):
        write_text(path, "text")
