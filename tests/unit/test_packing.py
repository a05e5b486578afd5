"""Packed storage: one file per shard and table, and every contract of single files kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import toy_stages
from hypothesis import given
from hypothesis import strategies as st

from gemforest import packing, store
from gemforest.check import check, retry
from gemforest.ledger import LedgerRow, Outcome, read_ledger
from gemforest.loop import booked_row, run_shard
from gemforest.plan import make_plan, write_plan
from gemforest.stage import Context, KeyMaker, Products, Stage, Task
from gemforest.tables import TABLES

ProjectMaker = Callable[..., Context]
GENOMES = ("a", "b.1", "refused-c")


def two_tables(task: Task) -> Products:
    """As many hits as the letter's number, and one homolog fewer; the file `without` names genomes that fail."""
    without = task.context.project / "without.txt"
    if without.exists() and task.genome_id in without.read_text().split():
        raise ZeroDivisionError("fails now")
    n = ord(task.genome_id[0]) - ord("a") + 2
    return Products(
        {
            table: pa.Table.from_pylist(
                [{"genome_id": task.genome_id, "gene_id": f"{i}"} for i in range(n - (table == "homologs"))],
                schema=TABLES[table].schema,
            )
            for table in ("hits", "homologs")
        }
    )


def edited(context: Context) -> dict[str, str]:
    path = context.project / "without.txt"
    return {"without": path.read_text() if path.exists() else ""}


BESIDE = Stage("homology", 1, (), ("hits", "homologs"), process=two_tables, resources=edited)


def context_of(project: ProjectMaker, *genomes: str, storage: str = "packed") -> Context:
    sheet = "genome_id\tsource\n" + "".join(f"{g}\t{g}.faa\n" for g in genomes)
    context = project(sheet, storage=storage, shard_size=10)
    write_plan(make_plan(context), context)
    return context


def files(context: Context, table: str) -> list[str]:
    return sorted(path.name for path in (context.store.root / table / "shard=0000").iterdir())


def made(context: Context) -> list[str]:
    return (context.project / "calls.txt").read_text().split()


def test_a_shard_leaves_one_file_per_table_and_reads_as_single_files_do(project: ProjectMaker) -> None:
    context = context_of(project, *GENOMES)
    run_shard(toy_stages.FIRST, context, "0000", 2)
    assert files(context, "genomes") == ["shard=0000.parquet"]
    assert context.store.read("genomes", "0000", "b.1").to_pylist()[0]["genome_id"] == "b.1"
    assert context.store.read("genomes", "0000", "refused-c").num_rows == 0
    row = booked_row(toy_stages.FIRST, context, "0000", "refused-c")
    assert row is not None
    assert row.outcome is Outcome.REFUSED


def test_a_second_run_makes_nothing_and_only_a_changed_genome_is_made_again(project: ProjectMaker) -> None:
    context = context_of(project, *GENOMES)
    (context.project / "config" / "a.faa").write_text(">x\nM\n")
    run_shard(toy_stages.FIRST, context, "0000", 1)
    packed = context.store.root / "genomes" / "shard=0000" / "shard=0000.parquet"
    before = packed.read_bytes()
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert packed.read_bytes() == before
    assert made(context) == sorted(GENOMES)
    (context.project / "config" / "a.faa").write_text(">x\nMM\n")
    write_plan(make_plan(context), context)
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert made(context) == [*sorted(GENOMES), "a"]
    assert packing.members(packed.parent).keys() == set(GENOMES)


def test_single_files_of_an_earlier_run_are_packed_and_nothing_is_made_again(project: ProjectMaker) -> None:
    context = context_of(project, *GENOMES, storage="files")
    run_shard(toy_stages.FIRST, context, "0000", 1)
    ledger = context.store.ledger_path("fetch", "0000").read_bytes()
    context = context_of(project, *GENOMES)
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert files(context, "genomes") == ["shard=0000.parquet"]
    assert made(context) == sorted(GENOMES)
    assert context.store.ledger_path("fetch", "0000").read_bytes() == ledger


def test_tables_beside_the_main_one_are_packed_and_a_genome_that_fails_later_loses_them(project: ProjectMaker) -> None:
    context = context_of(project, "a", "c")
    run_shard(BESIDE, context, "0000", 1)
    assert [context.store.read(table, "0000", "c").num_rows for table in BESIDE.writes] == [4, 3]
    (context.project / "without.txt").write_text("c")
    run_shard(BESIDE, context, "0000", 1)
    assert not context.store.has("homologs", "0000", "c")
    assert context.store.read("hits", "0000", "c").num_rows == 0
    assert context.store.read("homologs", "0000", "a").num_rows == 1
    outcomes = {row.genome_id: row.outcome for row in read_ledger(context.store.ledger_path("homology", "0000"))}
    assert outcomes == {"a": Outcome.OK, "c": Outcome.FAILED}


def test_a_job_that_dies_while_it_packs_loses_nothing(project: ProjectMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(project, "a", "c")
    written: list[Path] = []
    write = store.write_sealed

    def dies_at_the_main_table(path: Path, sink: pa.BufferOutputStream) -> tuple[int, str]:
        # Single files were written by workers, which this does not reach; the ledger comes after.
        written.append(path)
        if "hits" in path.parts:
            raise KeyboardInterrupt
        return write(path, sink)

    monkeypatch.setattr(store, "write_sealed", dies_at_the_main_table)
    with pytest.raises(KeyboardInterrupt):
        run_shard(BESIDE, context, "0000", 1)
    assert [path.parts[-3] for path in written] == ["homologs", "hits"]
    monkeypatch.undo()
    keys = {genome_id: _key(context, genome_id) for genome_id in ("a", "c")}
    run_shard(BESIDE, context, "0000", 1)
    assert {genome_id: _key(context, genome_id) for genome_id in ("a", "c")} == keys
    assert [files(context, table) for table in BESIDE.writes] == [["shard=0000.parquet"]] * 2
    assert [context.store.read(table, "0000", "c").num_rows for table in BESIDE.writes] == [4, 3]


def _key(context: Context, genome_id: str) -> LedgerRow | None:
    return booked_row(BESIDE, context, "0000", genome_id)


def test_deep_check_finds_damage_in_a_packed_file_and_a_repair_makes_it_again(
    project: ProjectMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(project, *GENOMES)
    monkeypatch.setattr("gemforest.check.all_stages", lambda: [toy_stages.FIRST])
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert check(context, deep=True) == []
    packed = context.store.root / "genomes" / "shard=0000" / "shard=0000.parquet"
    content = bytearray(packed.read_bytes())
    # The first page of the first column lies behind the magic bytes.
    content[40] ^= 0xFF
    packed.write_bytes(content)
    damages = check(context, deep=True, repair=True)
    assert {damage.genome_id for damage in damages} >= {"a"}
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert check(context, deep=True) == []
    assert packing.members(packed.parent).keys() == set(GENOMES)


def test_a_retry_forgets_a_packed_failure_alone(project: ProjectMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(project, *GENOMES)
    monkeypatch.setattr("gemforest.check.all_stages", lambda: [toy_stages.FIRST])
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert retry(context) == [("fetch", "refused-c")]
    run_shard(toy_stages.FIRST, context, "0000", 1)
    assert made(context) == [*sorted(GENOMES), "refused-c"]


def test_storage_is_in_no_key(project: ProjectMaker) -> None:
    keys = set()
    for storage in ("files", "packed"):
        context = context_of(project, "a", storage=storage)
        row = {"genome_id": "a", "fingerprint": "x"}
        keys.add(KeyMaker.for_stage(toy_stages.FIRST, context).key(row, {}))
    assert len(keys) == 1


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=5), st.data())
def test_any_genome_is_read_back_from_any_place(tmp_path_factory: pytest.TempPathFactory, sizes, data) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("packed") / "shard=0003"
    folder.mkdir()
    schema = pa.schema([("value", pa.int64())])
    tables = {f"g{i}": pa.table({"value": pa.array(range(i, i + n), pa.int64())}) for i, n in enumerate(sizes)}
    parts = {name: (rows, packing.Member(0, 0, 1, "", {"genome_id": name})) for name, rows in tables.items()}
    packing.write_packed(packing.packed_path(folder), parts, schema, {})
    name = data.draw(st.sampled_from(sorted(tables)))
    member = packing.members(folder)[name]
    assert member.metadata == {"genome_id": name}
    assert packing.read_member(folder, member, None, checked=True).equals(tables[name])
