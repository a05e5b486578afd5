"""Report: one plain HTML page about a run, made from the ledgers and the atlas, self-contained and offline."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from gemforest import __version__
from gemforest.ledger import REASON_TEXT, Outcome
from gemforest.stage import Context
from gemforest.status import read_status
from gemforest.store import write_text

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #8886; text-align: left; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.text { white-space: normal; min-width: 20rem; }
"""
SUMMARY_COLUMNS = (
    ("genome_id", "genome"),
    ("universe", "universe"),
    ("medium", "medium"),
    ("growth_per_h", "growth, 1/h"),
    ("proteins", "proteins"),
    ("reactions", "reactions"),
    ("genes", "genes"),
    ("gapfilled", "gap-filled"),
    ("reactions_without_genes", "reactions without genes"),
)


def write_report(context: Context, partial: bool = False) -> Path:
    """Write `report/index.html`; `partial` says on the page that the run was not finished."""
    status = read_status(context)
    outcomes = [[name, *(str(counts[outcome]) for outcome in Outcome)] for name, counts in status.outcomes.items()]
    stopped = [
        [row.genome_id, row.stage, row.outcome, REASON_TEXT[row.reason] or row.reason, row.detail]
        for row in status.stopped
    ]
    parts = [
        "<h1>gemforest report</h1>",
        f"<p>{status.genomes} genomes in {status.shards} shard(s), gemforest {html.escape(__version__)}.</p>",
        "<p><strong>This run is not finished; the page shows what there is.</strong></p>" if partial else "",
        "<h2>Genomes by stage and outcome</h2>",
        _table(["stage", *(outcome.replace("_", " ") for outcome in Outcome)], outcomes),
        "<h2>Genomes that were stopped</h2>",
        _table(["genome", "stage", "outcome", "reason", "detail"], stopped) if stopped else "<p>None.</p>",
        "<h2>Models</h2>",
        _table([title for _, title in SUMMARY_COLUMNS], _models(context)),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>gemforest report</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path = context.store.root / "report" / "index.html"
    write_text(path, page)
    return path


def _models(context: Context) -> list[list[str]]:
    rows = []
    for part in sorted((context.store.root / "atlas" / "summary").glob("shard=*.parquet")):
        with pq.ParquetFile(part) as file:
            rows += file.read([name for name, _ in SUMMARY_COLUMNS]).to_pylist()
    return [[_cell(row[name]) for name, _ in SUMMARY_COLUMNS] for row in sorted(rows, key=lambda r: r["genome_id"])]


def _cell(value: object) -> str:
    if value is None:
        return "no value"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "".join("<tr>" + "".join(_html_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(text: str) -> str:
    is_number = text.replace(".", "", 1).replace("-", "", 1).isdigit()
    kind = ' class="number"' if is_number else (' class="text"' if len(text) > 60 else "")
    return f"<td{kind}>{html.escape(text)}</td>"
