"""The per-genome loop: nobody is lost, nobody is done twice, one genome's trouble is its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import toy_stages

from gemforest.errors import InfrastructureError
from gemforest.ledger import LedgerRow, Outcome, Reason, read_ledger
from gemforest.loop import run_shard
from gemforest.plan import make_plan, write_plan
from gemforest.stage import Context, Stage
from gemforest.store import read_metadata

ProjectMaker = Callable[..., Context]
LIMITS = {"seconds": 6, "memory_mb": 700}


@pytest.fixture
def shard(project: ProjectMaker) -> Callable[..., Context]:
    """Plan one shard of genomes by name."""

    def make(*genomes: str, **config: object) -> Context:
        sheet = "genome_id\tsource\n" + "".join(f"{g}\t{g}.faa\n" for g in genomes)
        context = project(sheet, **{"limits": LIMITS} | config)
        write_plan(make_plan(context), context)
        return context

    return make


def ledger(context: Context, stage: Stage = toy_stages.FIRST) -> dict[str, LedgerRow]:
    return {row.genome_id: row for row in read_ledger(context.store.ledger_path(stage.name, "0000"))}


def calls(context: Context) -> list[str]:
    path = context.project / "calls.txt"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def test_each_kind_of_trouble_is_booked_and_the_others_are_untouched(shard: Callable[..., Context]) -> None:
    genomes = ("ok-1", "refused-1", "failed-1", "bug-1", "suicide-1", "hog-1", "slow-1", "once-1", "ok-2")
    context = shard(*genomes)
    outcomes = run_shard(toy_stages.FIRST, context, "0000", cores=2)
    found = {genome: (row.outcome, row.reason) for genome, row in ledger(context).items()}
    assert found == {
        "ok-1": (Outcome.OK, Reason.NONE),
        "ok-2": (Outcome.OK, Reason.NONE),
        "once-1": (Outcome.OK, Reason.NONE),
        "refused-1": (Outcome.REFUSED, Reason.EMPTY_FILE),
        "failed-1": (Outcome.FAILED, Reason.SOLVER_FAILED),
        "bug-1": (Outcome.FAILED, Reason.UNEXPECTED),
        "suicide-1": (Outcome.FAILED, Reason.WORKER_DIED),
        "hog-1": (Outcome.OUT_OF_MEMORY, Reason.MEMORY_LIMIT),
        "slow-1": (Outcome.TIMEOUT, Reason.WALL_CLOCK),
    }
    assert outcomes.total() == len(genomes)
    assert "a mistake" in ledger(context)["bug-1"].detail
    assert all(context.store.table_path("genomes", "0000", genome).exists() for genome in genomes)
    # Timeout, memory and death get a second try; what ran to its end is not repeated.
    assert calls(context) == sorted([*genomes, "suicide-1", "hog-1", "slow-1", "once-1"])
    assert not list(context.store.root.rglob("*.tmp"))
    assert not list(context.store.root.glob(".inflight/**/*.json"))


def test_a_second_run_does_nothing_and_writes_the_same_bytes(shard: Callable[..., Context]) -> None:
    context = shard("ok-1", "refused-1")
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    path = context.store.ledger_path("fetch", "0000")
    before = path.read_bytes()
    # Snakemake deletes a job's output before it runs the job again.
    path.unlink()
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    assert path.read_bytes() == before
    assert calls(context) == ["ok-1", "refused-1"]


def test_only_what_changed_runs_again(shard: Callable[..., Context]) -> None:
    context = shard("ok-1", "ok-2")
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    (context.project / "config" / "ok-2.faa").write_text("now it exists")
    write_plan(make_plan(context), context)
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    assert calls(context) == ["ok-1", "ok-2", "ok-2"]
    (context.project / "resource.txt").write_text("another database")
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    assert calls(context) == ["ok-1", "ok-1", "ok-2", "ok-2", "ok-2"]


@pytest.mark.parametrize("damage", ["delete", "truncate", "swap"])
def test_a_damaged_file_is_made_again(shard: Callable[..., Context], damage: str) -> None:
    context = shard("ok-1", "ok-2")
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    path, other = (context.store.table_path("genomes", "0000", genome) for genome in ("ok-1", "ok-2"))
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_bytes(other.read_bytes())
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    assert calls(context) == ["ok-1", "ok-1", "ok-2"]
    metadata = read_metadata(path)
    assert metadata and metadata["genome_id"] == "ok-1"


def test_a_stopped_genome_is_skipped_downstream_with_the_root_cause(shard: Callable[..., Context]) -> None:
    context = shard("ok-1", "refused-1")
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    run_shard(toy_stages.SECOND, context, "0000", cores=1)
    row = ledger(context, toy_stages.SECOND)["refused-1"]
    assert (row.outcome, row.reason) == (Outcome.SKIPPED_UPSTREAM, Reason.UPSTREAM)
    assert row.detail == "fetch: refused (empty_file)"
    assert context.store.read("proteins", "0000", "refused-1").num_rows == 0
    assert context.store.read("proteins", "0000", "ok-1").num_rows == 1


def test_a_parameter_that_the_stage_reads_changes_its_key_and_no_other(shard: Callable[..., Context]) -> None:
    def keys(context: Context) -> tuple[str, str]:
        run_shard(toy_stages.FIRST, context, "0000", cores=1)
        run_shard(toy_stages.SECOND, context, "0000", cores=1)
        return ledger(context)["ok-1"].key, ledger(context, toy_stages.SECOND)["ok-1"].key

    first, second = keys(shard("ok-1"))
    assert keys(shard("ok-1", max_failed_fraction=0.1)) == (first, second)
    changed = keys(shard("ok-1", genes={"min_proteins": 7}))
    assert changed[0] == first
    assert changed[1] != second


def test_a_missing_input_ledger_stops_the_job_with_the_mend(shard: Callable[..., Context]) -> None:
    context = shard("ok-1")
    with pytest.raises(InfrastructureError, match="gemforest fetch --shard 0000"):
        run_shard(toy_stages.SECOND, context, "0000", cores=1)


def test_a_full_disk_stops_the_job_and_is_booked_on_nobody(shard: Callable[..., Context]) -> None:
    context = shard("diskfull-1", "ok-1")
    with pytest.raises(InfrastructureError, match="No space left"):
        run_shard(toy_stages.FIRST, context, "0000", cores=1)
    assert not context.store.ledger_path("fetch", "0000").exists()
    assert not list(context.store.root.glob(".inflight/**/*.json"))


def test_a_pooled_crash_is_narrowed_down_to_the_culprit(shard: Callable[..., Context]) -> None:
    context = shard("a", "b", "poison", "c", "d")
    run_shard(toy_stages.POOLED, context, "0000", cores=1)
    found = ledger(context)
    assert (found["poison"].outcome, found["poison"].reason) == (Outcome.FAILED, Reason.SEARCH_CRASHED)
    assert {g for g, row in found.items() if row.outcome is Outcome.OK} == {"a", "b", "c", "d"}


JOB = """
import sys; sys.path[:0] = [{lib!r}, {tests!r}]
from pathlib import Path
import toy_stages
from gemforest.config import complete
from gemforest.loop import run_shard
from gemforest.stage import Context
from gemforest.store import Store
if __name__ == "__main__":
    project = Path({project!r})
    config = complete({{"limits": {{"seconds": 300, "memory_mb": 9000}}}})
    context = Context(project, config, Store(project / "results"))
    run_shard(toy_stages.FIRST, context, "0000", cores=2)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_in_flight(context: Context, genome: str, finished: str) -> None:
    """Start a shard job and kill its process group while `genome` is being worked on and `finished` is done."""
    tests = Path(__file__).resolve().parents[1]
    lib = tests.parent / "workflow" / "lib"
    script = context.project / "job.py"
    script.write_text(JOB.format(lib=str(lib), tests=str(tests), project=str(context.project)))
    job = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    marker = context.store.inflight_path("fetch", "0000", genome)
    for _ in range(300):
        # A marker of an earlier death is there from the start: the process that it names must be alive.
        done = context.store.table_path("genomes", "0000", finished).exists()
        if done and marker.exists() and alive(json.loads(marker.read_text())["pid"]):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the genome was never in flight")
    worker = json.loads(marker.read_text())["pid"]
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    while alive(worker):
        # It is not ours to wait for, and would be taken for the next job's.
        time.sleep(0.01)


def test_a_genome_in_flight_at_two_deaths_of_its_job_is_given_up_and_nothing_finished_is_repeated(
    shard: Callable[..., Context],
) -> None:
    context = shard("ok-1", "sleeper-200", limits={"seconds": 300, "memory_mb": 9000})
    kill_in_flight(context, "sleeper-200", finished="ok-1")
    kill_in_flight(context, "sleeper-200", finished="ok-1")
    assert json.loads(context.store.inflight_path("fetch", "0000", "sleeper-200").read_text())["deaths"] == 1
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    row = ledger(context)["sleeper-200"]
    assert (row.outcome, row.reason) == (Outcome.FAILED, Reason.KILLED_ITS_JOB)
    assert calls(context).count("ok-1") == 1
    assert calls(context).count("sleeper-200") == 2


def test_a_search_that_was_killed_once_is_no_verdict_on_a_genome(shard: Callable[..., Context]) -> None:
    context = shard("killed-1")
    run_shard(toy_stages.POOLED, context, "0000", cores=1)
    assert ledger(context)["killed-1"].outcome is Outcome.OK
    assert calls(context) == ["killed-1", "killed-1"]


def test_a_worker_that_dies_after_its_last_file_is_not_repeated_and_leaves_no_temporary(
    shard: Callable[..., Context],
) -> None:
    context = shard("late-1", limits={"seconds": 300, "memory_mb": 9000})
    run_shard(toy_stages.FIRST, context, "0000", cores=1)
    assert ledger(context)["late-1"].outcome is Outcome.OK
    assert calls(context) == ["late-1"]
    assert not list(context.store.root.rglob(".*.tmp"))
