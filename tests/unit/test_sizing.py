"""What a job asks for: enough for every job that was measured, and never less for more work."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemforest import sizing
from gemforest.config import WORKFLOW
from gemforest.dag import Dag
from gemforest.sizing import Load
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES

MEASURED = json.loads((WORKFLOW.parent / "resources" / "job_costs.json").read_text())["stages"]
LIMIT_S = 1800.0
loads = st.builds(Load, st.integers(1, 500), st.floats(0, 1000))


def test_a_stage_that_was_never_measured_asks_for_as_much_as_any() -> None:
    load, unknown = Load(100, 128.0), sizing.cost_of("alchemy")
    for stage in STAGE_NAMES:
        assert sizing.memory_mb(unknown, load, 1, 1) >= sizing.memory_mb(sizing.cost_of(stage), load, 1, 1)
        assert unknown.wall_s(load, 1) >= sizing.cost_of(stage).wall_s(load, 1)


@pytest.mark.parametrize("stage", sorted(MEASURED))
def test_what_is_asked_for_covers_every_measured_job(stage: str) -> None:
    cost = sizing.costs()[stage]
    assert MEASURED[stage]["jobs"]
    for job in MEASURED[stage]["jobs"]:
        load, cores = Load(job["genomes"], job["megaresidues"]), job["cores"]
        assert sizing.memory_mb(cost, load, cores, 1) >= job["peak_mb"]
        # CPU seconds on one core: a job of several cannot have taken longer than that.
        assert sizing.minutes(cost, load, 1, 1, genome_limit_s=0) * 60 >= job["cpu_s"]


@given(st.sampled_from(sorted(MEASURED)), loads, loads, st.sampled_from(sizing.CORES), st.integers(1, 3))
def test_more_genomes_protein_or_attempts_never_ask_for_less(
    stage: str, one: Load, other: Load, cores: int, attempt: int
) -> None:
    cost = sizing.costs()[stage]
    small = Load(min(one.genomes, other.genomes), min(one.megaresidues, other.megaresidues))
    large = Load(max(one.genomes, other.genomes), max(one.megaresidues, other.megaresidues))
    assert sizing.memory_mb(cost, small, cores, attempt) <= sizing.memory_mb(cost, large, cores, attempt)
    # The same cores for both: a shard of fewer genomes than cores has no use for the rest.
    if cores <= small.genomes:
        assert sizing.minutes(cost, small, cores, attempt, LIMIT_S) <= sizing.minutes(
            cost, large, cores, attempt, LIMIT_S
        )
    assert sizing.memory_mb(cost, one, cores, attempt) < sizing.memory_mb(cost, one, cores, attempt + 1)
    assert sizing.minutes(cost, one, cores, attempt, LIMIT_S) < sizing.minutes(cost, one, cores, attempt + 1, LIMIT_S)


@pytest.mark.parametrize("stage", sorted(MEASURED))
def test_a_job_of_the_default_shard_is_not_expected_to_last_longer_than_an_hour(stage: str) -> None:
    cost, load = sizing.costs()[stage], Load(100, 100 * sizing.MEAN_MEGARESIDUES)
    assert cost.wall_s(load, sizing.cores(cost, load)) <= 3600


@pytest.mark.parametrize(
    ("name", "size", "residues"),
    [
        # E. coli K-12: 1.36 million residues of protein; sizes of NCBI's files.
        ("GCF_000005845.2_ASM584v2_genomic.fna.gz", 1_379_902, 1.36e6),
        ("GCF_000005845.2_ASM584v2_protein.faa.gz", 898_290, 1.36e6),
    ],
)
def test_protein_is_estimated_from_the_size_of_a_file(name: str, size: int, residues: float) -> None:
    assert sizing.megaresidues_of(name, size) * 1e6 == pytest.approx(residues, rel=0.25)


def test_a_shard_is_read_from_its_rows_and_unknown_sizes_count_as_ordinary_genomes() -> None:
    header = "genome_id\tsource\tfingerprint\n"
    rows = header + "a\ta.faa\t1000000-17\n" + "b\tGCF_000005845.2\t\n" + "c\tc.faa\tmissing\n"
    load = sizing.load_of(rows)
    assert load.genomes == 3
    assert load.megaresidues == pytest.approx(0.83 + 2 * sizing.MEAN_MEGARESIDUES)


@dataclass(frozen=True)
class Output:
    dryrun: bool


@dataclass(frozen=True)
class Snakemake:
    is_main_process: bool = True
    output_settings: Output = Output(dryrun=False)


@dataclass(frozen=True)
class Wildcards:
    shard: str


def test_rules_ask_by_the_files_of_their_shard_and_more_with_each_attempt(project: Callable[..., Context]) -> None:
    context = project("genome_id\tsource\na\ta.faa\nb\tb.faa\n", shard_size=1)
    (context.project / "config" / "a.faa").write_bytes(b"M" * 10_000)
    (context.project / "config" / "b.faa").write_bytes(b"M" * 90_000_000)
    forest = Dag({"shard_size": 1}, Snakemake(), context.project)
    memory, minutes = forest.memory_mb("homology"), forest.minutes("homology")
    assert callable(memory)
    assert callable(minutes)
    small, large = Wildcards("0000"), Wildcards("0001")
    assert memory(small, threads=1, attempt=1) < memory(large, threads=1, attempt=1)
    assert minutes(small, threads=1, attempt=1) < minutes(large, threads=1, attempt=1)
    assert memory(large, threads=1, attempt=3) == 3 * memory(large, threads=1, attempt=1)


def test_a_dry_run_asks_for_a_full_shard(project: Callable[..., Context]) -> None:
    context = project("genome_id\tsource\na\ta.faa\n")
    real, dry = (Dag({}, Snakemake(output_settings=Output(dryrun)), context.project) for dryrun in (False, True))
    unknown = real.memory_mb("draft")
    assert callable(unknown)
    assert dry.memory_mb("draft") == unknown(Wildcards("0000"), threads=1, attempt=1)
