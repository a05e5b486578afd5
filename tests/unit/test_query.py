"""Questions to the atlas: each ready one against a count over the genomes' own files, and a closed door."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from projects import make_project
from toy_atlas import make_atlas

from gemforest.atlas import finish
from gemforest.cli import main
from gemforest.config import load_config
from gemforest.errors import InputError
from gemforest.query import Atlas, open_atlas, parameters_of, question, write_rows
from gemforest.questions import QUESTIONS
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.store import Store
from gemforest.tables import TABLES
from gemforest.views import DERIVED, columns_of

Rows = list[dict[str, Any]]


def real_project() -> Context:
    """The project that GEMFOREST_PROJECT names, with a finished run."""
    if "GEMFOREST_PROJECT" not in os.environ:
        pytest.skip("GEMFOREST_PROJECT names no project with a finished run")
    project = Path(os.environ["GEMFOREST_PROJECT"])
    config = load_config(project / "config" / "config.yaml")
    return Context(project, config, Store(project / config["results"]))


@pytest.fixture(scope="module", params=["toy", "real"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A finished run: made up, and the one that GEMFOREST_PROJECT names."""
    return make_atlas(tmp_path_factory.mktemp("atlas") / "project") if request.param == "toy" else real_project()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A made-up run."""
    return make_atlas(tmp_path_factory.mktemp("toy") / "project")


def files(run: Context, table: str) -> Rows:
    """All rows of a table from the genomes' own files, which the atlas was gathered from."""
    paths = sorted((run.store.root / table).glob("shard=*/*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def answer(run: Context, name: str, **values: Any) -> Rows:
    asked = question(name)
    with open_atlas(run.store) as atlas:
        return (
            atlas.ask(asked.sql, parameters_of(asked, [f"{k}={v}" for k, v in values.items()])).read_all().to_pylist()
        )


def organisms(run: Context) -> dict[str, str | None]:
    return {row["genome_id"]: row["organism"] or dict(row["tags"]).get("organism") for row in files(run, "genomes")}


def in_order(rows: Rows, *keys: str) -> bool:
    """Whether rows fall with the first key, nulls last."""
    values = [row[keys[0]] for row in rows]
    numbers = [value for value in values if value is not None]
    return numbers == sorted(numbers, reverse=True) and None not in values[: len(numbers)]


def test_makers_are_the_product_screens_rows_most_first(run: Context) -> None:
    for compound in ("but", "ac"):
        found = answer(run, "makers", compound=compound)
        expected = {
            row["genome_id"]: (row["answer"], row["flux"])
            for row in files(run, "screens")
            if row["screen"] == "product" and row["compound"] == compound and row["condition"] == "anaerobic"
        }
        assert {row["genome_id"]: (row["answer"], row["secreted_mmol_per_gdw_h"]) for row in found} == expected
        assert expected
        assert in_order(found, "secreted_mmol_per_gdw_h")
        assert all(row["organism"] == organisms(run)[row["genome_id"]] for row in found)


def test_cobalamin_counts_the_models_users_and_steps_that_have_genes(run: Context) -> None:
    users = {"ETHAAL", "MMM", "MMM2", "12PPDRDH", "12PPDSDH", "GLYCDH"}
    held: defaultdict[str, set[str]] = defaultdict(set)
    for row in files(run, "model_reactions"):
        if row["gpr"]:
            held[row["genome_id"]].add(row["reaction"])
    found = answer(run, "cobalamin")
    assert {row["genome_id"] for row in found} == {row["genome_id"] for row in files(run, "summary")}
    for row in found:
        assert set((row["user_reactions"] or "").split()) == held[row["genome_id"]] & users
        assert row["users"] == len(held[row["genome_id"]] & users)
        assert row["assembly_steps"] == len((row["assembly_reactions"] or "").split())
        assert ("ADOCBIK" in (row["assembly_reactions"] or "")) == ("ADOCBIK" in held[row["genome_id"]])
    assert any(row["users"] for row in found)


def test_recurring_fills_count_genomes_and_those_without_candidates(run: Context) -> None:
    who, lacking = defaultdict(set), defaultdict(set)
    for row in files(run, "gapfills"):
        who[row["reaction"]].add(row["genome_id"])
        if not row["candidate_genes"]:
            lacking[row["reaction"]].add(row["genome_id"])
    found = answer(run, "recurring_fills")
    counted = {row["reaction"]: (row["genomes"], row["without_candidates"]) for row in found}
    assert counted == {reaction: (len(genomes), len(lacking[reaction])) for reaction, genomes in who.items()}
    assert in_order(found, "genomes")
    unblocked = {precursor for row in files(run, "gapfills") for precursor in row["unblocks"] or []}
    assert {precursor for row in found for precursor in row["unblocks"].split()} == unblocked


def test_auxotrophies_count_who_needs_a_nutrient(run: Context) -> None:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in files(run, "screens"):
        if row["screen"] == "auxotrophy":
            counts[row["compound"]][row["answer"]] += 1
    found = answer(run, "auxotrophies")
    assert {row["compound"]: (row["genomes"], row["tested"]) for row in found} == {
        compound: (n["needed"], n["needed"] + n["not_needed"]) for compound, n in counts.items()
    }
    assert all(len((row["who"] or "").split()) == row["genomes"] for row in found)
    assert in_order(found, "genomes")


def test_growth_on_a_compound_is_the_screens_rows(run: Context) -> None:
    found = answer(run, "growth_on", compound="ac")
    expected = {
        row["genome_id"]: (row["answer"], row["growth_per_h"])
        for row in files(run, "screens")
        if row["screen"] == "carbon" and row["compound"] == "ac"
    }
    assert {row["genome_id"]: (row["answer"], row["growth_per_h"]) for row in found} == expected
    assert expected
    assert in_order(found, "growth_per_h")


def test_failures_are_the_first_stage_that_was_not_ok(run: Context) -> None:
    expected = {}
    ledgers = run.store.root / "ledger"
    for stage in reversed(STAGE_NAMES):
        for path in (ledgers / stage).glob("shard=*.parquet"):
            for row in pq.ParquetFile(path).read().to_pylist():
                if row["outcome"] != "ok":
                    expected[row["genome_id"]] = (stage, row["outcome"], row["reason"], row["detail"])
    found = answer(run, "failures")
    told = {row["genome_id"]: tuple(row[k] for k in ("stopped_at", "outcome", "reason", "detail")) for row in found}
    assert told == expected


def contents(run: Context) -> dict[str, dict[str, dict[str, Any]]]:
    """Genome to reaction to its row."""
    held: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in files(run, "model_reactions"):
        held[row["genome_id"]][row["reaction"]] = row
    return held


def test_core_reactions_are_those_of_so_many_models(run: Context) -> None:
    held = contents(run)
    counts = Counter(reaction for reactions in held.values() for reaction in reactions)
    for share in (1.0, 0.5):
        found = answer(run, "core_reactions", share=share)
        expected = {r: n for r, n in counts.items() if n >= share * len(held) and not r.startswith("EX_")}
        assert {row["reaction"]: row["models"] for row in found} == expected
        assert expected


def test_without_evidence_counts_models_that_hold_a_reaction_without_genes(run: Context) -> None:
    expected = Counter(
        reaction
        for reactions in contents(run).values()
        for reaction, row in reactions.items()
        if not row["gpr"] and not reaction.startswith("EX_")
    )
    found = answer(run, "without_evidence")
    assert {row["reaction"]: row["without_genes"] for row in found} == expected
    assert in_order(found, "without_genes")


def test_largest_fills_agree_with_the_table_of_fills(run: Context) -> None:
    fills = Counter(row["genome_id"] for row in files(run, "gapfills"))
    found = answer(run, "largest_fills")
    assert {row["genome_id"]: row["gapfilled"] for row in found} == {g: fills[g] for g in contents(run)}
    assert in_order(found, "gapfilled")


def test_alike_is_the_jaccard_index_of_the_reactions(run: Context) -> None:
    held = {genome: set(reactions) for genome, reactions in contents(run).items()}
    one = sorted(held)[1]
    found = answer(run, "alike", genome=one)
    assert {row["other"] for row in found} == set(held) - {one}
    for row in found:
        expected = len(held[one] & held[row["other"]]) / len(held[one] | held[row["other"]])
        assert row["jaccard"] == pytest.approx(expected, abs=1e-4)
        assert row["shared"] == len(held[one] & held[row["other"]])
    assert in_order(found, "jaccard")
    assert answer(run, "alike")[0]["genome"] == min(held)


def test_to_look_at_is_what_the_quality_table_flags(run: Context) -> None:
    flagged = {(row["genome_id"], row["measure"]) for row in files(run, "quality") if row["flagged"]}
    assert {(row["genome_id"], row["measure"]) for row in answer(run, "to_look_at")} == flagged


def test_costs_add_up_to_the_ledgers_seconds(run: Context) -> None:
    rows = [
        row
        for path in (run.store.root / "ledger").glob("*/shard=*.parquet")
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    found = answer(run, "costs")
    for row in found:
        seconds = sum(one["seconds"] for one in rows if one["stage"] == row["stage"])
        assert row["seconds"] == pytest.approx(seconds, abs=0.06)
    assert {row["stage"] for row in found} == set(STAGE_NAMES)


def test_there_are_ten_ready_questions_or_more_and_each_is_tested_here() -> None:
    assert len(QUESTIONS) >= 10
    tests = " ".join(name for name in globals() if name.startswith("test_"))
    for asked in QUESTIONS:
        assert asked.name in tests


def test_every_view_has_its_columns_documented(run: Context) -> None:
    with open_atlas(run.store) as atlas:
        for view in atlas.views:
            names = [row["column_name"] for row in atlas.ask(f"DESCRIBE {view}").read_all().to_pylist()]
            assert names == list(columns_of(view)), view


def test_the_duckdb_file_has_the_same_views_for_any_client(toy: Context) -> None:
    import duckdb

    finish(toy)
    with duckdb.connect(str(toy.store.root / "atlas" / "atlas.duckdb"), read_only=True) as database:
        sql = "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        views = dict(database.sql(sql).fetchall())
        models = database.sql("SELECT count(*) FROM models").fetchall()
    with open_atlas(toy.store) as atlas:
        assert set(views) == set(atlas.views)
    assert all(views.values())
    assert models == [(11,)]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("COPY models TO 'results/atlas/models.csv'", "COPY does more than read"),
        ("EXPLAIN ANALYZE COPY models TO 'results/atlas/models.csv'", "COPY does more than read"),
        ("CREATE TABLE t AS SELECT 1", "CREATE does more than read"),
        ("ATTACH 'other.db'", "ATTACH does more than read"),
        ("SET enable_external_access = true", "SET does more than read"),
        ("INSTALL httpfs", "more than read"),
        ("SELECT 1; DROP VIEW models", "one SQL statement, found 2"),
        ("", "one SQL statement, found 0"),
        ("SELECT * FROM read_text('/etc/hostname')", "Cannot access file"),
        ("SELECT * FROM '/etc/hostname.csv'", "Cannot access file"),
        ("SELECT * FROM glob('/*')", "Cannot access file"),
        ("SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')", "disabled"),
        ("SELECT * FROM secret_of_the_caller", "does not exist"),
        ("SELCT 1", "Parser Error"),
        ("SELECT nothing FROM models", "Binder Error"),
    ],
)
def test_what_does_not_read_the_atlas_is_refused_with_the_reason(toy: Context, sql: str, told: str) -> None:
    secret_of_the_caller = pa.table({"a": [1]})
    before = sorted(path for path in toy.project.rglob("*"))
    with open_atlas(toy.store) as atlas, pytest.raises(InputError, match=told):
        atlas.ask(sql).read_all()
    assert sorted(path for path in toy.project.rglob("*")) == before
    assert secret_of_the_caller.num_rows == 1


@pytest.mark.parametrize(
    "sql",
    [
        "FROM models",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
        "DESCRIBE models",
        "SUMMARIZE summary",
        "EXPLAIN SELECT 1",
        "PIVOT screens ON compound USING max(growth_per_h) GROUP BY genome_id",
    ],
)
def test_all_that_reads_is_taken(toy: Context, sql: str) -> None:
    with open_atlas(toy.store) as atlas:
        assert atlas.ask(sql).read_all().num_rows


def test_bad_sql_names_the_views_and_the_commands_that_tell_more(
    toy: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", "--project", str(toy.project), "SELECT * FROM modles"]) == 2
    told = capsys.readouterr().err
    assert "modles" in told
    assert "reaction_content" in told
    assert "gemforest query --views" in told


def test_no_atlas_yet_names_the_command_that_makes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_project(tmp_path, "genome_id\tsource\n")
    assert main(["query", "--project", str(tmp_path), "--ask", "costs"]) == 2
    assert "gemforest atlas --partial" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "nearest"), [("maker", "makers"), ("butyrate", "makers"), ("B12", "cobalamin"), ("gap-filled", "fills")]
)
def test_an_unknown_question_names_the_nearest(given: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"nearest is '[a-z_]*{nearest}'"):
        question(given)


@pytest.mark.parametrize("given", ["share", "sharee=1", "share=much"])
def test_a_bad_parameter_is_refused_with_the_good_ones(given: str) -> None:
    with pytest.raises(InputError, match="share"):
        parameters_of(question("core_reactions"), [given])


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "arrow"])
def test_a_result_is_written_whole_in_every_format(toy: Context, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"models.{ending}"
    command = ["query", "--project", str(toy.project), "FROM genomes ORDER BY genome_id", "--to", str(path)]
    assert main(command) == 0
    if ending in ("csv", "tsv"):
        options = pacsv.ParseOptions(delimiter="," if ending == "csv" else "\t")
        back = pacsv.read_csv(path, parse_options=options)
    else:
        back = pq.read_table(path) if ending == "parquet" else pa.ipc.open_file(path).read_all()
    assert back["genome_id"].to_pylist() == [f"g{i:02d}" for i in range(1, 14)]
    if ending == "arrow":
        assert dict(back["tags"].to_pylist()[0]) == {"organism": "Toyus parvus 1"}


def test_an_unknown_format_is_refused_before_a_file_is_made(toy: Context, tmp_path: Path) -> None:
    with open_atlas(toy.store) as atlas, pytest.raises(InputError, match=r"\.parquet"):
        write_rows(atlas.ask("SELECT 1"), tmp_path / "x.xlsx")
    assert not list(tmp_path.iterdir())


def test_lists_are_texts_in_csv(toy: Context, tmp_path: Path) -> None:
    with open_atlas(toy.store) as atlas:
        write_rows(atlas.ask("SELECT [1, 2] AS a, NULL::INT[] AS b, {'x': 1} AS c"), tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as handle:
        assert list(csv.reader(handle)) == [["a", "b", "c"], ["1;2", "", '{"x": 1}']]


def test_a_pipe_gets_all_rows_as_tab_separated_text(toy: Context, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--project", str(toy.project), "SELECT range AS n FROM range(200)"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["n", *map(str, range(200))]


def test_a_moved_results_folder_can_be_asked(tmp_path: Path) -> None:
    context = make_atlas(tmp_path / "here", genomes=4)
    context.store.root.rename(tmp_path / "there")
    with open_atlas(Store(tmp_path / "there")) as atlas:
        assert atlas.ask("SELECT count(*) AS n FROM models").read_all().to_pylist() == [{"n": 1}]


def test_an_unfinished_atlas_has_the_views_that_it_can(tmp_path: Path) -> None:
    context = make_atlas(tmp_path / "project", genomes=6)
    for table in ("summary", "screens"):
        for path in (context.store.root / "atlas" / table).glob("*.parquet"):
            path.unlink()
    with open_atlas(context.store) as atlas:
        assert "outcomes" in atlas.views
        assert not {"models", "growth_calls", "summary"} & set(atlas.views)
        assert len(unfinished(atlas)) == 6


def unfinished(atlas: Atlas) -> Rows:
    return atlas.ask("FROM outcomes").read_all().to_pylist()


def test_the_tables_of_tables_py_are_all_views_of_a_finished_run(toy: Context) -> None:
    from gemforest.stages import all_stages

    with open_atlas(toy.store) as atlas:
        assert {table for stage in all_stages() for table in stage.writes} <= set(atlas.views)
        assert set(atlas.views) <= set(TABLES) | {"ledger", *(view.name for view in DERIVED)}
