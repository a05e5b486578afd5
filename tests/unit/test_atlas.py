"""The atlas keeps the promise that no genome is lost, and judges the run after everything is written."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gemforest.atlas import TooManyFailed, finish, gather_shard, same_genomes
from gemforest.errors import InfrastructureError
from gemforest.ledger import LedgerRow, Outcome, Reason, write_ledger
from gemforest.plan import make_plan, write_plan
from gemforest.stage import Context
from gemforest.stages import all_stages
from gemforest.store import write_table
from gemforest.tables import TABLES

GENOMES = [f"g{i:02d}" for i in range(20)]


def ledger_rows(stage: str, refused: set[str]) -> list[LedgerRow]:
    first = stage == "fetch"
    stopped = (Outcome.REFUSED, Reason.FILE_NOT_FOUND) if first else (Outcome.SKIPPED_UPSTREAM, Reason.UPSTREAM)
    return [
        LedgerRow(g, stage, *(stopped if g in refused else (Outcome.OK, Reason.NONE)), "", 0.1, 1.0, "k", "{}")
        for g in GENOMES
    ]


@pytest.fixture
def finished(project: Callable[..., Context]) -> Callable[[set[str]], Context]:
    """A run of twenty genomes in one shard that has passed every stage; some were refused at fetch."""

    def make(refused: set[str]) -> Context:
        context = project("genome_id\tsource\n" + "".join(f"{g}\t{g}.faa\n" for g in GENOMES))
        write_plan(make_plan(context), context)
        for stage in all_stages():
            write_ledger(context.store.ledger_path(stage.name, "0000"), ledger_rows(stage.name, refused))
            for table in stage.writes:
                for genome in set(GENOMES) - refused:
                    write_table(context.store.table_path(table, "0000", genome), table, TABLES[table].empty(), {})
        return context

    return make


def test_a_lost_genome_stops_the_gathering_by_name(finished: Callable[[set[str]], Context]) -> None:
    context = finished(set())
    rows = [row for row in ledger_rows("draft", set()) if row.genome_id != "g07"]
    write_ledger(context.store.ledger_path("draft", "0000"), rows)
    with pytest.raises(InfrastructureError, match=r"lost: \['g07'\]"):
        gather_shard(context, "0000")


def test_a_genome_that_is_in_a_ledger_twice_is_noticed(finished: Callable[[set[str]], Context]) -> None:
    context = finished(set())
    rows = ledger_rows("draft", set())
    write_ledger(context.store.ledger_path("draft", "0000"), [*rows, rows[3]])
    with pytest.raises(InfrastructureError, match="unexpected"):
        gather_shard(context, "0000")


def test_too_many_failures_end_the_run_after_everything_is_written(finished: Callable[[set[str]], Context]) -> None:
    context = finished(set(GENOMES[:11]))
    gather_shard(context, "0000")
    with pytest.raises(TooManyFailed, match="11 of 20"):
        finish(context)
    assert (context.store.root / "atlas" / "atlas.duckdb").exists()


def test_as_many_failures_as_the_config_allows_are_fine(finished: Callable[[set[str]], Context]) -> None:
    context = finished(set(GENOMES[:10]))
    gather_shard(context, "0000")
    assert finish(context) == {"ok": 10, "refused": 10}


def test_an_unfinished_run_is_gathered_on_demand_only(finished: Callable[[set[str]], Context]) -> None:
    context = finished({"g00"})
    context.store.ledger_path("simulate", "0000").unlink()
    with pytest.raises(InfrastructureError, match="gemforest simulate"):
        gather_shard(context, "0000")
    assert finish(context, partial=True) == {"ok": 19, "refused": 1}
    stages = pq.read_table(context.store.atlas_path("ledger", "0000"))["stage"].unique().to_pylist()
    assert "gapfill" in stages
    assert "simulate" not in stages


def test_genomes_of_the_same_file_are_told(finished: Callable[[set[str]], Context]) -> None:
    context = finished(set())
    schema = TABLES["genomes"].schema
    for genome, digest in (("g03", "aa"), ("g11", "bb"), ("g12", "aa"), ("g15", None)):
        row = dict.fromkeys(schema.names) | {"genome_id": genome, "file_sha256": digest}
        table = pa.Table.from_pylist([row], schema=schema)
        write_table(context.store.table_path("genomes", "0000", genome), "genomes", table, {})
    gather_shard(context, "0000")
    finish(context)
    assert same_genomes(context) == [["g03", "g12"]]
