"""What jobs asked for and what they used, stage by stage: the table behind `gemforest status --efficiency`.

From the jobs' own notes (`usage.py`), so it needs no accounting. Jobs with nothing to do are counted apart: they are
what a change elsewhere in the sheet costs. A job that was killed has left no note; Snakemake's log names it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from rich.table import Table

from gemforest.stages import STAGE_NAMES, stage
from gemforest.store import write_text
from gemforest.usage import Usage, read_usage

SHORT_S, LONG_S = 10 * 60, 60 * 60
PERCENT = 100.0


@dataclass(frozen=True)
class Efficiency:
    """One stage.

    Attributes
    ----------
    jobs, idle_jobs, genomes
        Jobs that worked, jobs that found everything up to date, and genomes worked on.
    minutes_least, minutes_median, minutes_most, within_percent
        Length of the jobs that worked; share of them that lasted 10 to 60 minutes.
    core_hours
        Cores x wall clock of all jobs, the idle ones too.
    cpu_percent
        CPU time over cores x wall clock.
    overhead_percent
        What of cores x wall clock is not the genomes' own time: starting, imports, waiting for the last genome.
    memory_percent, time_percent
        Used of what was asked for, of the job that came nearest; None where nothing was asked for.
    """

    stage: str
    jobs: int
    idle_jobs: int
    genomes: int
    minutes_least: float
    minutes_median: float
    minutes_most: float
    within_percent: float
    core_hours: float
    cpu_percent: float
    overhead_percent: float
    memory_percent: float | None
    time_percent: float | None


def read_efficiency(project: Path) -> list[Efficiency]:
    """Efficiency of every stage that has notes."""
    found = list(read_usage(project))
    return [of_stage(name, jobs) for name in STAGE_NAMES if (jobs := [job for job in found if job.stage == name])]


def of_stage(name: str, jobs: Sequence[Usage]) -> Efficiency:
    """Sum up the jobs of one stage."""
    busy = [job for job in jobs if job.worked]
    minutes = [job.wall_seconds / 60 for job in busy] or [0.0]
    held = sum(job.cores * job.wall_seconds for job in jobs)
    # A pooled stage shares the wall clock of one call, which has all the cores, among its genomes.
    own = sum(job.genome_seconds * (job.cores if stage(name).pooled else 1) for job in jobs)
    memory = [PERCENT * job.peak_mb / job.asked_mb for job in jobs if job.asked_mb]
    time = [PERCENT * job.wall_seconds / 60 / job.asked_minutes for job in jobs if job.asked_minutes]
    return Efficiency(
        stage=name,
        jobs=len(busy),
        idle_jobs=len(jobs) - len(busy),
        genomes=sum(job.worked for job in busy),
        minutes_least=min(minutes),
        minutes_median=statistics.median(minutes),
        minutes_most=max(minutes),
        within_percent=PERCENT * sum(SHORT_S <= job.wall_seconds <= LONG_S for job in busy) / max(len(busy), 1),
        core_hours=held / 3600,
        cpu_percent=PERCENT * sum(job.cpu_seconds for job in jobs) / held,
        overhead_percent=PERCENT * max(0.0, held - own) / held,
        memory_percent=max(memory, default=None),
        time_percent=max(time, default=None),
    )


def efficiency_table(rows: Sequence[Efficiency]) -> Table:
    """For a terminal."""
    table = Table(title="what jobs asked for and used")
    table.add_column("stage")
    heads = (
        "jobs",
        "idle",
        "genomes",
        "minutes: least",
        "median",
        "most",
        "10-60 min",
        "core hours",
        "CPU",
        "overhead",
    )
    for head in (*heads, "of memory", "of time"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(row.stage, *(_cell(field.name, getattr(row, field.name)) for field in fields(row)[1:]))
    return table


def write_efficiency(project: Path, rows: Sequence[Efficiency]) -> Path:
    """`logs/efficiency.tsv`, with the field names as header."""
    names = [field.name for field in fields(Efficiency)]
    lines = ["\t".join("" if (value := getattr(row, name)) is None else f"{value}" for name in names) for row in rows]
    path = project / "logs" / "efficiency.tsv"
    write_text(path, "\n".join(["\t".join(names), *lines]) + "\n")
    return path


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "·"
    if name.endswith("percent"):
        return f"{value:.0f} %"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
