"""Status: what the ledgers say now, as counts, failures with reasons, and the table of genomes at the end of a run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from gemforest.ledger import REASON_TEXT, LedgerRow, Outcome, read_ledger
from gemforest.plan import plan_folder, read_shard, read_shards
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES


@dataclass
class Status:
    """Counts per stage and outcome, shards done and running, and the rows of genomes that were stopped."""

    genomes: int
    shards: int
    outcomes: dict[str, Counter[str]]
    shards_done: dict[str, int]
    running: list[dict[str, Any]]
    stopped: list[LedgerRow] = field(default_factory=list)

    def to_json(self) -> str:
        """For programs."""
        return json.dumps(
            {
                "genomes": self.genomes,
                "shards": self.shards,
                "stages": {
                    name: {"outcomes": dict(self.outcomes[name]), "shards_done": self.shards_done[name]}
                    for name in self.outcomes
                },
                "running": self.running,
                "stopped": [
                    {key: getattr(row, key) for key in ("genome_id", "stage", "outcome", "reason", "detail")}
                    for row in self.stopped
                ],
            },
            indent=1,
        )


def read_status(context: Context) -> Status:
    """Read plan, ledgers and the progress files of running shard jobs."""
    shards = read_shards(context.store.root)
    plan = json.loads((plan_folder(context.store.root) / "plan.json").read_text(encoding="utf-8"))
    status = Status(plan["genomes"], len(shards), {}, {}, [])
    for name in STAGE_NAMES:
        counts: Counter[str] = Counter()
        done = 0
        for shard in shards:
            ledger = context.store.ledger_path(name, shard)
            if ledger.exists():
                rows = read_ledger(ledger)
                done += 1
                counts.update(row.outcome for row in rows)
                status.stopped += [row for row in rows if row.outcome not in (Outcome.OK, Outcome.SKIPPED_UPSTREAM)]
            elif state := _progress(context, name, shard):
                status.running.append({"stage": name, "shard": shard, **state})
        status.outcomes[name] = counts
        status.shards_done[name] = done
    return status


def _progress(context: Context, stage: str, shard: str) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads(context.store.progress_path(stage, shard).read_text())
    except (OSError, ValueError):
        return None
    return state


def stage_table(status: Status) -> Table:
    """Stages and how many genomes left them in which way."""
    table = Table(title=f"{status.genomes} genomes in {status.shards} shard(s)")
    table.add_column("stage")
    table.add_column("shards done", justify="right")
    for outcome in Outcome:
        table.add_column(outcome.replace("_", " "), justify="right")
    table.add_column("running now", justify="right")
    for name, counts in status.outcomes.items():
        running = sum(state["done"] for state in status.running if state["stage"] == name)
        cells = [str(counts[outcome]) if counts[outcome] else "·" for outcome in Outcome]
        table.add_row(name, f"{status.shards_done[name]}/{status.shards}", *cells, str(running) if running else "·")
    return table


def stopped_table(status: Status) -> Table:
    """Genomes that were stopped, where and why."""
    table = Table(title="genomes that were stopped")
    for name in ("genome", "stage", "outcome", "reason", "detail"):
        table.add_column(name, overflow="fold")
    for row in status.stopped:
        table.add_row(row.genome_id, row.stage, row.outcome, row.reason, row.detail or REASON_TEXT[row.reason])
    return table


def genome_table(context: Context, most: int) -> Table:
    """One line per genome, at most `most`: the end of a run in a person's eyes."""
    table = Table(title="models")
    table.add_column("genome")
    table.add_column("outcome")
    for name in ("proteins", "reactions", "genes", "gap-filled", "growth 1/h", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("medium")
    for shard in read_shards(context.store.root):
        by_genome: dict[str, list[LedgerRow]] = {row["genome_id"]: [] for row in read_shard(context.store.root, shard)}
        for name in STAGE_NAMES:
            ledger = context.store.ledger_path(name, shard)
            for row in read_ledger(ledger) if ledger.exists() else []:
                by_genome.setdefault(row.genome_id, []).append(row)
        for genome_id, rows in by_genome.items():
            if table.row_count >= most:
                table.caption = f"the first {most}; all of them are in the report"
                return table
            table.add_row(*_genome_cells(context, shard, genome_id, rows))
    return table


def _genome_cells(context: Context, shard: str, genome_id: str, rows: list[LedgerRow]) -> list[str]:
    seconds = f"{sum(row.seconds for row in rows):.1f}"
    stopped = next((row for row in rows if row.outcome is not Outcome.OK), None)
    if stopped or len(rows) < len(STAGE_NAMES):
        outcome = f"{stopped.stage}: {stopped.reason}" if stopped else "unfinished"
        return [genome_id, outcome, "", "", "", "", "", seconds, ""]
    summary = context.store.read("summary", shard, genome_id).to_pylist()[0]
    growth = "none" if summary["growth_per_h"] is None else f"{summary['growth_per_h']:.3f}"
    counts = [str(summary[name]) for name in ("proteins", "reactions", "genes", "gapfilled")]
    return [genome_id, "ok", *counts, growth, seconds, summary["medium"]]


def show(context: Context, console: Console) -> None:
    """Print the tables."""
    status = read_status(context)
    console.print(stage_table(status))
    if status.stopped:
        console.print(stopped_table(status))
