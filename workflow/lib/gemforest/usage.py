"""What a job of a shard asked for and what it used: wall clock, CPU time, memory of all its processes.

Each job of a stage adds one line of JSON to `logs/<stage>/shard=NNNN.usage.jsonl`, so that requests can be compared
with use where there is no accounting (`sacct`), and so that the models behind the requests can be fitted to what jobs
really took (`scripts/fit_resources.py`). A job that is killed from outside leaves no line.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gemforest.ledger import Outcome
from gemforest.loop import Shard

SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Usage:
    """One job.

    Attributes
    ----------
    cores
        That it was given.
    genomes, worked
        Genomes of the shard, and those that were not up to date.
    genome_seconds
        Sum over the genomes worked on of the time that their ledger rows state, s; a pooled call is shared out.
    wall_seconds, cpu_seconds
        Of the job and all its children, s.
    peak_mb
        Largest resident memory of the job and its children together, MB; shared pages count in each.
    asked_mb, asked_minutes
        What Snakemake asked for; 0 where it was not told.
    slurm_job
        Its number in SLURM, empty on one machine.
    ended
        `ok`, or the name of the exception that broke it off.
    """

    stage: str
    shard: str
    cores: int
    genomes: int
    worked: int
    genome_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    asked_mb: int
    asked_minutes: int
    slurm_job: str
    ended: str


class Meter:
    """Watches the memory of this process and its children from entry to exit; times are from the process's start."""

    def __enter__(self) -> Meter:
        self.peak_mb = self.wall_seconds = self.cpu_seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.wall_seconds = seconds_since_start()
        self.cpu_seconds = sum(
            used.ru_utime + used.ru_stime
            for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        )

    def _sample(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, resident_mb(os.getpid()))
            if self._stop.wait(SAMPLE_SECONDS):
                return


def run_and_note(job: Shard, asked_for: str) -> Counter[Outcome]:
    """Run a shard's job and write down what it used, also where it ends with an error."""
    meter, ended = Meter(), "ok"
    try:
        with meter:
            return job.run()
    except BaseException as error:
        ended = type(error).__name__
        raise
    finally:
        megabytes, minutes = asked(asked_for)
        seconds = sum(job.rows[genome_id].seconds for genome_id in job.worked if genome_id in job.rows)
        usage = Usage(
            job.stage.name,
            job.shard,
            job.cores,
            job.total,
            len(job.worked),
            round(seconds, 2),
            round(meter.wall_seconds, 2),
            round(meter.cpu_seconds, 2),
            round(meter.peak_mb, 1),
            megabytes,
            minutes,
            os.environ.get("SLURM_JOB_ID", ""),
            ended,
        )
        # A disk that is full has its own error; this line is not to hide it.
        with contextlib.suppress(OSError):
            note(job.context.project, usage)


def seconds_since_start() -> float:
    """Wall clock since this process was started, interpreter and imports included, s."""
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process and everything below it, MB; 0 for one that is gone."""
    total = 0.0
    with contextlib.suppress(OSError, IndexError, ValueError):
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    # A thread's children are listed under the thread.
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                total += resident_mb(int(child))
    return total


def usage_path(project: Path, stage: str, shard: str) -> Path:
    """Where the jobs of a shard at a stage tell what they used."""
    return project / "logs" / stage / f"shard={shard}.usage.jsonl"


def note(project: Path, usage: Usage) -> None:
    """Add a job's line."""
    path = usage_path(project, usage.stage, usage.shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(asdict(usage)) + "\n")


def read_usage(project: Path) -> Iterator[Usage]:
    """All jobs that ended by themselves, stage by stage, a shard's jobs in their order."""
    for path in sorted((project / "logs").glob("*/shard=*.usage.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            # The last line may have been cut short by a full disk.
            with contextlib.suppress(ValueError, TypeError):
                yield Usage(**json.loads(line))


def asked(text: str) -> tuple[int, int]:
    """MB and minutes of `--asked MB:MINUTES`; what is no number counts as not told."""
    parts = [int(part) if part.isdigit() else 0 for part in text.split(":")]
    return (parts[0], parts[1]) if len(parts) == 2 else (0, 0)
