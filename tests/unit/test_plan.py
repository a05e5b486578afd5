"""Plans are append-only and wake only what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gemforest.errors import InputError
from gemforest.packing import Member, packed_path, write_packed
from gemforest.plan import (
    is_current,
    make_plan,
    mend_plan,
    plan_folder,
    read_shard,
    read_shards,
    rows_path,
    write_plan,
)
from gemforest.stage import Context
from gemforest.tables import TABLES

HEADER = "genome_id\tsource\n"
ProjectMaker = Callable[..., Context]


def sheet(*genomes: str) -> str:
    return HEADER + "".join(f"{genome}\t{genome}.faa\n" for genome in genomes)


def planned(context: Context) -> dict[str, list[str]]:
    write_plan(make_plan(context), context)
    root = context.store.root
    return {shard: [row["genome_id"] for row in read_shard(root, shard)] for shard in read_shards(root)}


def test_genomes_fill_shards_in_the_order_of_the_sheet(project: ProjectMaker) -> None:
    assert planned(project(sheet("a", "b", "c"), shard_size=2)) == {"0000": ["a", "b"], "0001": ["c"]}


def test_new_genomes_fill_the_last_shard_and_then_open_new_ones(project: ProjectMaker) -> None:
    planned(project(sheet("a", "b", "c"), shard_size=2))
    found = planned(project(sheet("z", "a", "b", "c", "d"), shard_size=2))
    assert found == {"0000": ["a", "b"], "0001": ["c", "z"], "0002": ["d"]}


def test_a_removed_genome_leaves_a_tombstone_and_comes_back_to_its_shard(project: ProjectMaker) -> None:
    planned(project(sheet("a", "b", "c"), shard_size=2))
    assert planned(project(sheet("a", "c"), shard_size=2)) == {"0000": ["a"], "0001": ["c"]}
    assert planned(project(sheet("a", "c", "d"), shard_size=2)) == {"0000": ["a"], "0001": ["c", "d"]}
    assert planned(project(sheet("a", "b", "c", "d"), shard_size=2)) == {"0000": ["a", "b"], "0001": ["c", "d"]}


def test_another_shard_size_moves_nobody(project: ProjectMaker) -> None:
    planned(project(sheet("a", "b", "c"), shard_size=2))
    assert planned(project(sheet("a", "b", "c", "d", "e"), shard_size=4)) == {
        "0000": ["a", "b"],
        "0001": ["c", "d", "e"],
    }


def test_only_shards_with_changed_rows_are_rewritten(project: ProjectMaker) -> None:
    context = project(sheet("a", "b", "c"), shard_size=2)
    planned(context)
    before = rows_path(context.store.root, "0000").stat().st_mtime_ns
    context = project(sheet("a", "b", "c", "d"), shard_size=2)
    assert write_plan(make_plan(context), context) == ["0001"]
    assert rows_path(context.store.root, "0000").stat().st_mtime_ns == before


def test_an_edited_local_file_changes_its_row(project: ProjectMaker) -> None:
    context = project(sheet("a"))
    path = context.project / "config" / "a.faa"
    path.write_text(">x\nMKV\n")
    planned(context)
    assert is_current(make_plan(context), context.store.root)
    path.write_text(">x\nMKVV\n")
    plan = make_plan(context)
    assert not is_current(plan, context.store.root)
    assert write_plan(plan, context) == ["0000"]


def test_making_a_plan_writes_nothing(project: ProjectMaker) -> None:
    context = project(sheet("a"))
    make_plan(context)
    assert not context.store.root.exists()


def test_a_spelling_that_differs_in_case_from_an_earlier_genome_is_refused(project: ProjectMaker) -> None:
    planned(project(sheet("Ecoli")))
    with pytest.raises(InputError, match="differs only in case"):
        make_plan(project(sheet("ecoli")))


def test_the_medium_of_the_config_fills_empty_cells(project: ProjectMaker) -> None:
    context = project("genome_id\tsource\tmedium\na\ta.faa\t\nb\tb.faa\tLB\n", medium="M9")
    planned(context)
    assert [row["medium"] for row in read_shard(context.store.root, "0000")] == ["M9", "LB"]


def test_a_plan_of_many_genomes_is_quick_to_read(project: ProjectMaker, tmp_path: Path) -> None:
    # Parsing reads plan.json only; it must not grow with the genomes.
    context = project(sheet(*(f"g{i}" for i in range(2000))), shard_size=100)
    planned(context)
    assert (context.store.root / "plan" / "plan.json").stat().st_size < 20 * 100 + 500


@pytest.mark.parametrize("file", ["members.tsv", "plan.json", "shards/shard=0000.tsv"])
@pytest.mark.parametrize("damage", ["deleted", "cut", "garbled", "folder"])
def test_a_damaged_plan_is_mended_and_every_genome_keeps_its_place(
    project: ProjectMaker, file: str, damage: str
) -> None:
    planned(project(sheet("a", "gone", "b"), shard_size=2))
    context = project(sheet("z", "a", "b"), shard_size=2)
    before = planned(context)
    # The removed genome's results remember where it was.
    results = context.store.table_path("genomes", "0000", "gone")
    results.parent.mkdir(parents=True)
    results.touch()
    path = plan_folder(context.store.root) / file
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif damage == "garbled":
        path.write_bytes(whole.replace(b"0000", b"\xff000").replace(b"a", b"q"))
    elif damage == "folder":
        path.mkdir()
    assert mend_plan(context) == [path.name]
    assert mend_plan(context) == []
    assert {shard: sorted(genomes) for shard, genomes in planned(context).items()} == {
        shard: sorted(genomes) for shard, genomes in before.items()
    }
    # Nobody moves into the place of the removed genome.
    assert planned(project(sheet("z", "a", "b", "new"), shard_size=2))["0000"] == ["a"]


@pytest.mark.parametrize("file", ["members.tsv", "plan.json"])
def test_a_damaged_plan_beside_packed_tables_takes_no_packed_file_for_a_genome(
    project: ProjectMaker, file: str
) -> None:
    context = project(sheet("a", "b"), shard_size=2)
    before = planned(context)
    folder = context.store.table_path("genomes", "0000", "a").parent
    folder.mkdir(parents=True)
    # A genome that the sheet has no more is remembered by the packed file alone.
    parts = {name: (TABLES["genomes"].empty(), Member(0, 0, 0, "", {})) for name in ("a", "b", "gone")}
    write_packed(packed_path(folder), parts, TABLES["genomes"].schema, {})
    (plan_folder(context.store.root) / file).write_text("damaged")
    assert mend_plan(context) == [file]
    assert planned(context) == before
    listed = (plan_folder(context.store.root) / "members.tsv").read_text().splitlines()[1:]
    assert sorted(line.split("\t")[0] for line in listed) == ["a", "b", "gone"]


def test_a_plan_that_was_cut_off_between_its_files_is_taken_as_it_is(project: ProjectMaker) -> None:
    planned(project(sheet("a", "b"), shard_size=2))
    old = (plan_folder(project(sheet("a")).store.root) / "plan.json").read_bytes()
    context = project(sheet("a", "b", "c"), shard_size=2)
    planned(context)
    (plan_folder(context.store.root) / "plan.json").write_bytes(old)
    assert planned(context) == {"0000": ["a", "b"], "0001": ["c"]}
