"""The real workflow on real proteomes: one run, looked at from all sides, then damaged and mended.

The tests share one run and come in the order of this file: what only looks is first, what changes the run is last.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from projects import make_project
from reader import Reader, chromium

from gemforest.dag import FIGURES
from gemforest.ledger import Outcome, Reason, read_ledger
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES, all_stages

GEMFOREST = [sys.executable, "-m", "gemforest.cli"]
SHEET = (
    "genome_id\tsource\tuniverse\tmedium\torganism\n"
    "ecoli\tcarveme:Ecoli_K12_MG1655\tgramneg\tM9\tEscherichia coli\n"
    "mgen\tcarveme:M_genitalium_G37\tbacteria\tcomplete\tMycoplasma genitalium\n"
    "cut\tcut.faa.gz\tbacteria\tM9\tcut short\n"
)
GROWING = ("ecoli", "mgen")
pytestmark = pytest.mark.slow


def gemforest(context: Context, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GEMFOREST, *arguments], cwd=context.project, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """One run of the whole workflow."""
    folder = tmp_path_factory.mktemp("run") / "project"
    context = make_project(folder, SHEET)
    whole = gzip.compress(b">a\n" + b"MKVLAAGIVGLC" * 5000)
    (folder / "config" / "cut.faa.gz").write_bytes(whole[: len(whole) // 2])
    ended = gemforest(context, "run", "--cores", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder / "first.txt").write_text(ended.stdout)
    return context


def outcomes(context: Context, stage: str) -> dict[str, tuple[str, str]]:
    rows = read_ledger(context.store.ledger_path(stage, "0000"))
    return {row.genome_id: (row.outcome, row.reason) for row in rows}


def test_the_end_of_a_run_is_a_table_of_genomes_and_the_place_of_the_results(run: Context) -> None:
    told = (run.project / "first.txt").read_text()
    assert "models" in told
    assert str(run.store.root)[-20:] in told.replace("\n", "")
    for genome in ("ecoli", "mgen", "cut"):
        assert genome in told


def test_rows_in_are_rows_out_at_every_stage_and_the_stopped_genome_says_why(run: Context) -> None:
    for stage in STAGE_NAMES:
        assert set(outcomes(run, stage)) == {"ecoli", "mgen", "cut"}
    assert outcomes(run, "genes")["cut"] == (Outcome.REFUSED, Reason.TRUNCATED_ARCHIVE)
    assert outcomes(run, "simulate")["cut"] == (Outcome.SKIPPED_UPSTREAM, Reason.UPSTREAM)
    assert all(outcomes(run, stage)[genome][0] == Outcome.OK for stage in STAGE_NAMES for genome in GROWING)


def test_no_temporary_and_no_marker_is_left(run: Context) -> None:
    assert not list(run.store.root.rglob("*.tmp"))
    assert not list((run.store.root / ".inflight").rglob("*.json"))


@pytest.mark.parametrize("genome", GROWING)
def test_every_model_loads_in_cobrapy_and_reframed_and_grows_as_the_tables_say(run: Context, genome: str) -> None:
    import cobra
    from reframed import FBA, load_cbmodel
    from reframed.core.transformation import apply_bounds

    growths = {
        "draft_models": run.store.read("drafts", "0000", genome)["growth_per_h"][0].as_py(),
        "models": run.store.read("summary", "0000", genome)["growth_per_h"][0].as_py(),
    }
    assert growths["models"] > 0.01
    for folder, expected in growths.items():
        path = run.store.model_path(folder, "0000", genome)
        assert cobra.io.read_sbml_model(str(path)).slim_optimize() == pytest.approx(expected, abs=1e-6)
        model = load_cbmodel(str(path), flavor="bigg")
        # reframed reads bounds of 1000 as infinite; this is how CarveMe itself makes them finite again.
        apply_bounds(model)
        assert FBA(model).fobj == pytest.approx(expected, abs=1e-6)


def test_the_model_has_the_reactions_of_the_tables(run: Context) -> None:
    import cobra

    model = cobra.io.read_sbml_model(str(run.store.model_path("models", "0000", "ecoli")))
    rows = run.store.read("model_reactions", "0000", "ecoli")
    assert sorted(reaction.id for reaction in model.reactions) == sorted(rows["reaction"].to_pylist())
    summary = run.store.read("summary", "0000", "ecoli").to_pylist()[0]
    assert summary["reactions"] == len(model.reactions)
    assert summary["genes"] == len(model.genes)


def test_enzyme_constrained_models_grow_in_cobrapy_as_in_the_tables(run: Context) -> None:
    import cobra
    from cobra.flux_analysis import flux_variability_analysis

    for genome in GROWING:
        model = cobra.io.read_sbml_model(str(run.store.model_path("ec_models", "0000", genome)))
        told = {row["measure"]: row["value"] for row in run.store.read("ec_summary", "0000", genome).to_pylist()}
        assert model.slim_optimize() == pytest.approx(told["growth"], abs=1e-6)
        if genome == "mgen":
            rows = run.store.read("ec_fva", "0000", genome).to_pylist()
            whole = [row for row in rows if f"{row['reaction']}_REV" not in model.reactions]
            names = [row["reaction"] for row in whole]
            theirs = flux_variability_analysis(model, names, fraction_of_optimum=0.9, processes=1)
            assert [row["minimum"] for row in whole] == pytest.approx(theirs.loc[names, "minimum"].tolist(), abs=1e-5)
            assert [row["maximum"] for row in whole] == pytest.approx(theirs.loc[names, "maximum"].tolist(), abs=1e-5)


def test_the_atlas_holds_every_row_and_duckdb_reads_it(run: Context) -> None:
    import duckdb

    with duckdb.connect(str(run.store.root / "atlas" / "atlas.duckdb"), read_only=True) as database:
        for stage in all_stages():
            for table in stage.writes:
                finished = [g for g, (outcome, _) in outcomes(run, stage.name).items() if outcome == Outcome.OK]
                rows = sum(run.store.read(table, "0000", genome).num_rows for genome in finished)
                assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
        ledger = database.execute("SELECT count(*), min(shard) FROM ledger").fetchone()
    assert ledger == (3 * len(STAGE_NAMES), "0000")


def test_the_report_of_a_real_run_opens_and_shows_its_models_and_what_was_stopped(run: Context) -> None:
    with chromium() as browser:
        reader = Reader(browser.new_page(), run.store.root.resolve() / "report")
        assert reader.tile("overview", "genomes in the plan") == "3"
        assert reader.cells("Genomes that were stopped", 1) == ["cut"]
        reader.go("collection", "text=Reactions of the collection")
        assert reader.cells("Models at a glance", 1) == ["ecoli", "mgen", "cut"]
        for genome in GROWING:
            reader.go(f"genome/{genome}", "text=Growth and other screens")
            growth = run.store.read("summary", "0000", genome)["growth_per_h"][0].as_py()
            assert float(reader.tile("genome", "growth on")) == pytest.approx(growth, rel=5e-3)
            assert reader.page.locator("#view-genome .map polygon").count() > 5
        reader.go("compare/ecoli/mgen", "text=Reactions of one and not the other")
        assert reader.troubles == []


def test_snakemakes_own_report_carries_the_page(run: Context) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "snakemake", "--report", "snakemake-report.html"],
        cwd=run.project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    text = (run.project / "snakemake-report.html").read_text()
    assert "index.html" in text
    assert len(text) > (run.store.root / "report" / "index.html").stat().st_size


def test_snakemakes_own_report_carries_the_figures(run: Context) -> None:
    path = run.project / "snakemake.html"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--report", path.name]
    ended = subprocess.run(command, cwd=run.project, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    page = path.read_text()
    for name, label in FIGURES.items():
        assert f"figures/{name}.svg" in page
        assert label in page
    path.unlink()


def test_a_reaction_of_a_real_model_is_explained_down_to_its_genes(run: Context) -> None:
    told = gemforest(run, "explain", "ecoli", "PFK")
    assert told.returncode == 0
    # pfkA and pfkB of E. coli K-12
    for word in ("in the model", "b3916", "b1723", "homology", "draft", "gapfill"):
        assert word in told.stdout
    unknown = gemforest(run, "explain", "ecoli", "PFKK")
    assert unknown.returncode != 0
    assert "did you mean" in unknown.stderr


def test_no_file_of_the_atlas_is_hidden_from_pyarrow(run: Context) -> None:
    import pyarrow.dataset as ds

    parts = ds.dataset(run.store.root / "ledger" / "genes", format="parquet")
    assert parts.count_rows() == 3


def test_status_tells_programs_and_people(run: Context) -> None:
    told = json.loads(gemforest(run, "status", "--json").stdout)
    assert told["stages"]["genes"]["outcomes"] == {"ok": 2, "refused": 1}
    assert [row["genome_id"] for row in told["stopped"]] == ["cut"]
    assert "truncated_archive" in gemforest(run, "status").stdout.replace("\n", "").replace("│", "").replace(" ", "")


def test_a_second_run_does_nothing_and_says_so(run: Context) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.store.root.rglob("*.parquet")}
    ended = gemforest(run, "run", "--cores", "2")
    assert ended.returncode == 0
    assert "Nothing to do" in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in run.store.root.rglob("*.parquet")} == before


def test_a_shard_job_with_nothing_to_do_rebuilds_its_ledger_byte_for_byte(run: Context) -> None:
    for stage in STAGE_NAMES:
        path = run.store.ledger_path(stage, "0000")
        before, modified = path.read_bytes(), path.stat()
        path.unlink()
        assert gemforest(run, stage, "--shard", "0000").returncode == 0
        assert path.read_bytes() == before
        # Snakemake goes by times: put back what it knew.
        os.utime(path, ns=(modified.st_atime_ns, modified.st_mtime_ns))


def test_a_live_lock_is_respected_and_a_dead_one_released_with_a_word(run: Context) -> None:
    lock = run.store.root / "run.lock"
    started = Path(f"/proc/{os.getpid()}/stat").read_text().rsplit(")", 1)[1].split()[19]
    lock.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}))
    refused = gemforest(run, "run", "--cores", "2")
    assert refused.returncode == 2
    assert f"pid {os.getpid()} is at work" in refused.stderr
    assert lock.exists()
    lock.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": "1"}))
    ended = gemforest(run, "run", "--cores", "2")
    assert ended.returncode == 0
    assert "Releasing the lock" in ended.stdout
    assert not lock.exists()


def test_a_lock_of_another_host_is_respected(run: Context) -> None:
    lock = run.store.root / "run.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "another.host", "started": "1"}))
    refused = gemforest(run, "run", "--cores", "2")
    lock.unlink()
    assert refused.returncode == 2
    assert "another.host" in refused.stderr


def test_deleted_truncated_and_swapped_files_are_found_and_mended_by_the_next_run(run: Context) -> None:
    store = run.store
    # Of a quick stage: to simulate the large model again would take longest.
    deleted = store.table_path("proteins", "0000", "ecoli")
    truncated = store.table_path("summary", "0000", "mgen")
    swapped = store.table_path("reaction_scores", "0000", "mgen")
    content = {path: path.read_bytes() for path in (deleted, truncated, swapped)}
    drafted = store.table_path("drafts", "0000", "ecoli").stat().st_mtime_ns
    deleted.unlink()
    truncated.write_bytes(content[truncated][:-30])
    shutil.copy(store.table_path("reaction_scores", "0000", "ecoli"), swapped)
    found = gemforest(run, "check")
    assert found.returncode == 1
    assert {line.split()[0] + " " + line.split()[2] for line in found.stdout.splitlines()[:-1]} == {
        "genes ecoli:",
        "simulate mgen:",
        "evidence mgen:",
    }
    ended = gemforest(run, "run", "--cores", "2")
    assert ended.returncode == 0
    assert gemforest(run, "check", "--deep").returncode == 0
    assert {path: pq.read_table(path) for path in content} == {
        path: pq.read_table(io.BytesIO(data)) for path, data in content.items()
    }
    assert store.table_path("drafts", "0000", "ecoli").stat().st_mtime_ns == drafted


def test_damage_inside_a_file_is_found_by_a_deep_check(run: Context) -> None:
    path = run.store.table_path("proteins", "0000", "ecoli")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    assert gemforest(run, "check").returncode == 0
    assert gemforest(run, "check", "--deep", "--repair").returncode == 0
    assert not path.exists()
    assert gemforest(run, "run", "--cores", "2").returncode == 0
    assert gemforest(run, "check", "--deep").returncode == 0


def test_a_mended_source_is_taken_up_and_the_others_are_left_alone(run: Context) -> None:
    drafted = run.store.table_path("drafts", "0000", "ecoli").stat().st_mtime_ns
    hits = run.store.table_path("hits", "0000", "ecoli").stat().st_mtime_ns
    (run.project / "config" / "cut.faa.gz").write_bytes(gzip.compress(b""))
    assert gemforest(run, "run", "--cores", "2").returncode == 0
    assert outcomes(run, "genes")["cut"][1] == Reason.EMPTY_FILE
    assert run.store.table_path("drafts", "0000", "ecoli").stat().st_mtime_ns == drafted
    assert run.store.table_path("hits", "0000", "ecoli").stat().st_mtime_ns == hits


def test_retry_forgets_failures_and_only_those(run: Context) -> None:
    told = gemforest(run, "retry", "--reason", "empty_file")
    assert "genes cut: will be tried again" in told.stdout
    assert not run.store.table_path("proteins", "0000", "cut").exists()
    assert run.store.table_path("proteins", "0000", "ecoli").exists()
    assert gemforest(run, "retry", "--reason", "no_such_reason").returncode == 2
    assert gemforest(run, "run", "--cores", "2").returncode == 0
    assert outcomes(run, "genes")["cut"][1] == Reason.EMPTY_FILE


def test_a_kill_of_the_whole_tree_in_mid_draft_repeats_no_finished_genome(run: Context) -> None:
    store = run.store
    make_project(run.project, SHEET, draft={"default_score": -1.01})
    # One core: one genome is finished while the other is being drafted. What follows the drafts would only take time.
    before = {genome: store.table_path("draft_reactions", "0000", genome).stat().st_mtime_ns for genome in GROWING}
    process = subprocess.Popen(
        [*GEMFOREST, "run", "--cores", "1", "--", "--until", "draft"],
        cwd=run.project,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    finished: list[str] = []
    for _ in range(4000):
        finished = [
            genome
            for genome in GROWING
            if store.table_path("draft_reactions", "0000", genome).exists()
            and store.table_path("draft_reactions", "0000", genome).stat().st_mtime_ns > before[genome]
        ]
        if finished or process.poll() is not None:
            break
        time.sleep(0.05)
    assert finished, "no genome was drafted"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = store.table_path("draft_reactions", "0000", finished[0]).stat().st_mtime_ns
    ended = gemforest(run, "run", "--cores", "2", "--", "--until", "draft")
    assert ended.returncode == 0, ended.stdout
    assert "Releasing the lock" in ended.stdout
    assert store.table_path("draft_reactions", "0000", finished[0]).stat().st_mtime_ns == written
    assert all(outcomes(run, "draft")[genome][0] == Outcome.OK for genome in GROWING)
    assert not list(store.root.rglob("*.tmp"))
