"""What `gemforest run` shows: one look while it works, one table at its end.

On a terminal the look is an overall bar with rate and time left, a bar per stage, and the latest failures; it goes when
the run ends. Where no terminal reads, a line every ten minutes is all. Progress is read from the ledgers and from the
small files that running shard jobs leave; a ledger is read again only when it has changed.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gemforest.ledger import REASON_TEXT, LedgerRow, Outcome, read_ledger
from gemforest.plan import plan_folder, read_shards
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.status import genome_table, read_status, stage_table

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_SECONDS = 600.0
GENOMES_SHOWN = 50
FAILURES_SHOWN = 5
BAR_WIDTH = 40
# Seconds of a genome in a stage before this run has told its own: a bacterium of 4,000 proteins on one core.
USUAL_SECONDS = {"homology": 9.0, "evidence": 4.0, "draft": 7.0, "gapfill": 2.0, "kinetics": 4.0, "simulate": 10.0}
LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class StageState:
    """One stage so far.

    Attributes
    ----------
    done, failed
        Genomes that left it; those of them that did not leave it as `ok` and were not skipped.
    seconds
        What a genome takes in it, in this run where that is known.
    """

    done: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class State:
    """A run so far: genomes in all, the stages, and the genomes that were stopped, latest shard job last."""

    genomes: int
    stages: dict[str, StageState]
    stopped: tuple[LedgerRow, ...] = ()

    @property
    def failed(self) -> int:
        """Genomes that were stopped; in running jobs too, which tell numbers only."""
        return sum(stage.failed for stage in self.stages.values())

    def work(self) -> float:
        """Seconds of work in all."""
        return self.genomes * sum(stage.seconds for stage in self.stages.values())

    def work_of(self, done: dict[str, int]) -> float:
        """Seconds of work in so many genomes per stage."""
        return sum(stage.seconds * done.get(name, 0) for name, stage in self.stages.items())

    def done(self) -> dict[str, int]:
        """Genomes that left each stage."""
        return {name: stage.done for name, stage in self.stages.items()}


@dataclass
class Watcher:
    """Reads the state of a run again and again; remembers what it read of ledgers that did not change."""

    context: Context
    _seen: dict[Path, tuple[int, Counter[str], float, list[LedgerRow]]] = field(default_factory=dict)

    def look(self) -> State | None:
        """The state now; None before there is a plan."""
        root = self.context.store.root
        try:
            genomes = json.loads((plan_folder(root) / "plan.json").read_text(encoding="utf-8"))["genomes"]
            shards = read_shards(root)
        except (OSError, ValueError):
            return None
        stages, stopped = {}, []
        for name in STAGE_NAMES:
            done = failed = 0
            seconds, ok = 0.0, 0
            for shard in shards:
                found = self._ledger(self.context.store.ledger_path(name, shard))
                if found is None:
                    one, two = self._running(name, shard)
                    done, failed = done + one, failed + two
                    continue
                _, counts, took, rows = found
                done, failed = done + counts.total(), failed + len(rows)
                seconds, ok = seconds + took, ok + counts[Outcome.OK]
                stopped += rows
            usual = USUAL_SECONDS.get(name, LEAST_SECONDS)
            stages[name] = StageState(done, failed, max(seconds / ok, LEAST_SECONDS) if ok else usual)
        return State(genomes, stages, tuple(stopped))

    def _ledger(self, path: Path) -> tuple[int, Counter[str], float, list[LedgerRow]] | None:
        try:
            changed = path.stat().st_mtime_ns
            if path not in self._seen or self._seen[path][0] != changed:
                rows = read_ledger(path)
                stopped = [row for row in rows if row.outcome not in (Outcome.OK, Outcome.SKIPPED_UPSTREAM)]
                took = sum(row.seconds for row in rows if row.outcome is Outcome.OK)
                self._seen[path] = (changed, Counter(row.outcome for row in rows), took, stopped)
            return self._seen[path]
        except (OSError, ValueError):
            # Snakemake removes a ledger before its job starts, perhaps just now.
            return None

    def _running(self, stage: str, shard: str) -> tuple[int, int]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            state = json.loads(self.context.store.progress_path(stage, shard).read_text(encoding="utf-8"))
            return int(state["done"]), int(state["failed"])
        return 0, 0


@dataclass
class Pace:
    """Rate and time left of a run, from what it did since it was first looked at."""

    started: float
    first: dict[str, int] | None = None

    def seconds_left(self, state: State, now: float) -> float | None:
        """Seconds until all is done at the pace so far; None while that cannot be known."""
        rate = self._rate(state, now)
        return (state.work() - state.work_of(state.done())) / rate if rate else None

    def genomes_per_minute(self, state: State, now: float) -> float | None:
        """Genomes through all stages in a minute, by the share of their work that was done."""
        rate, each = self._rate(state, now), state.work() / max(state.genomes, 1)
        return 60 * rate / each if rate and each else None

    def _rate(self, state: State, now: float) -> float | None:
        """Seconds of work per second."""
        if self.first is None:
            self.first = state.done()
        gained = state.work_of(state.done()) - state.work_of(self.first)
        passed = now - self.started
        return gained / passed if gained > 0 and passed > 1 else None


def look(state: State | None, pace: Pace, now: float) -> RenderableType:
    """The look of a run on a terminal."""
    if state is None:
        return Text("planning ...")
    share = state.work_of(state.done()) / state.work() if state.work() else 1.0
    left, rate = pace.seconds_left(state, now), pace.genomes_per_minute(state, now)
    told = [f"{share:.0%} of the work", f"{rate:.1f} genomes/min" if rate else ""]
    told += [f"{_clock(left)} left" if left is not None else "", f"{_clock(now - pace.started)} so far"]
    told += [f"{state.failed} failed" if state.failed else "none failed"]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", min_width=max(map(len, state.stages)), no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", min_width=2 * len(str(state.genomes)) + 1, no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_row("all", _bar(share, 1.0), f"{share:.0%}", "", style="bold")
    for name, stage in state.stages.items():
        note = Text(f"{stage.failed} failed", style="red") if stage.failed else Text("")
        grid.add_row(name, _bar(stage.done, state.genomes), f"{stage.done}/{state.genomes}", note)
    failures = [
        Text(f"  {row.genome_id} {row.stage}: {row.detail or REASON_TEXT[row.reason]}", style="red", no_wrap=True)
        for row in state.stopped[-FAILURES_SHOWN:]
    ]
    for text in failures:
        text.overflow = "ellipsis"
    head = Text(" · ".join(filter(None, told)), style="bold", no_wrap=True, overflow="ellipsis")
    return Group(head, grid, *failures)


def _bar(done: float, total: float) -> ProgressBar:
    return ProgressBar(total=max(total, 1e-9), completed=done, width=BAR_WIDTH)


def line(state: State | None) -> str:
    """The state of a run in one line."""
    if state is None:
        return f"{time.strftime('%H:%M:%S')}  planning"
    parts = [
        f"{name} {stage.done}/{state.genomes}" + (f" ({stage.failed} failed)" if stage.failed else "")
        for name, stage in state.stages.items()
        if stage.done
    ]
    return f"{time.strftime('%H:%M:%S')}  " + (", ".join(parts) or "starting")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def tell_end(context: Context, console: Console) -> None:
    """The table at the end of a run, what became of all genomes in one line, and where to look on."""
    status = read_status(context)
    few = status.genomes <= GENOMES_SHOWN
    console.print(genome_table(context, GENOMES_SHOWN) if few else stage_table(status))
    models = status.outcomes[STAGE_NAMES[-1]][Outcome.OK]
    told = f"{models} of {status.genomes} genomes have a model. Tables, models, report: {context.store.root}"
    console.print(told, soft_wrap=True)
    if status.stopped:
        reasons = Counter(f"{row.stage} {row.reason}" for row in status.stopped)
        told = ", ".join(f"{count} × {escape(reason)}" for reason, count in reasons.most_common(3))
        more = f" and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        console.print(f"{len(status.stopped)} stopped: {told}{more}. `gemforest status` says what mends each.")
    console.print("Look at report/index.html there, or ask: `gemforest query --list`.")


def job_errors(project: Path, since: float) -> list[str]:
    """What shard jobs that were stopped since then said of it."""
    told = []
    for path in sorted((project / "logs").glob("*/shard=*.error.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if path.stat().st_mtime >= since:
                word = json.loads(path.read_text(encoding="utf-8"))
                told.append(f"{word['stage']} shard={word['shard']}: {word['detail']}")
    return told
