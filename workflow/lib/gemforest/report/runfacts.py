"""The run itself: outcomes by stage, stopped genomes and what to do, versions, config, costs, what was degraded."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gemforest.config import WORKFLOW, described_keys, parameter
from gemforest.ledger import REASON_TEXT, LedgerRow, Outcome, Reason, read_ledger
from gemforest.report.parts import Parts, significant
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.tables import TABLES

SHEET = "mend the genome's row in the sheet"
AGAIN = "gemforest retry --reason {reason}, then gemforest run"
FILE = "replace the file, then gemforest run: the changed file is noticed"

REASON_MEND: dict[Reason, str] = {
    Reason.NONE: "",
    Reason.UPSTREAM: "mend the earlier stage; this one follows by itself",
    Reason.FILE_NOT_FOUND: f"{SHEET}, or put the file there, then gemforest run",
    Reason.FILE_UNREADABLE: f"give read permission, then {AGAIN}",
    Reason.UNKNOWN_SAMPLE: SHEET,
    Reason.HTTP_404: f"{SHEET}: the address has moved",
    Reason.HTTP_ERROR: f"when the server is well again: {AGAIN}",
    Reason.HOST_NOT_ALLOWED: "add the host to fetch.allowed_hosts in the config, if you trust it",
    Reason.TIMEOUT: f"when the network is well again: {AGAIN}",
    Reason.NO_CHECKSUM: "give the file's checksum in the sheet",
    Reason.MD5_MISMATCH: f"{AGAIN}; if it stays, the server's file is damaged",
    Reason.REPLACED: "take the newer accession, or set fetch.on_replaced",
    Reason.SUPPRESSED: "take another assembly, or set fetch.on_suppressed",
    Reason.NOT_FOUND: f"{SHEET}: check the accession",
    Reason.NO_PROTEIN: "take another assembly of the organism",
    Reason.TOO_LARGE: "raise fetch.most_file_mb, if the file is right",
    Reason.QUALITY_FILTER: "loosen fetch.quality, or take a better assembly",
    Reason.EMPTY_FILE: FILE,
    Reason.TRUNCATED_ARCHIVE: FILE,
    Reason.TRUNCATED_FILE: FILE,
    Reason.DAMAGED_ARCHIVE: FILE,
    Reason.DECOMPRESSION_LIMIT: "check what the archive holds; raise the limit in the config if it is right",
    Reason.NOT_A_GENOME: FILE,
    Reason.LOOKS_LIKE_CONTIGS: f"{SHEET}: set content to nucleotide or auto",
    Reason.LOOKS_LIKE_PROTEINS: f"{SHEET}: set content to protein or auto",
    Reason.MIXED_SEQUENCES: "split the file into proteins and nucleotides",
    Reason.NOT_AS_DECLARED: f"{SHEET}: correct content, or set it to auto",
    Reason.NO_PROTEINS: FILE,
    Reason.TOO_FEW_PROTEINS: "take a more complete assembly",
    Reason.SEARCH_CRASHED: f"see logs/homology; {AGAIN}",
    Reason.OUTSIDE_UNIVERSES: "leave it out, or name a universe in the sheet if the call is wrong",
    Reason.TOO_FEW_REACTIONS: "take a more complete assembly, or lower draft.min_reactions",
    Reason.BAD_ANNOTATION: "mend the annotation file at the line named",
    Reason.ENCODER_CRASHED: f"see logs/embed; {AGAIN}",
    Reason.SOLVER_LIMIT: f"raise the solver's limit in the config; {AGAIN}",
    Reason.SOLVER_FAILED: f"{AGAIN}; if it stays, report it with the detail",
    Reason.BIOMASS_INFEASIBLE: "loosen the constraints named, or another biomass in the config",
    Reason.INFEASIBLE_MEDIUM: "give a richer medium in the sheet; gemforest media check",
    Reason.FILL_TOO_LARGE: "give a richer medium, or raise the limit of the gap-filling",
    Reason.NO_GROWTH: "give a richer medium, or gap-fill on this one",
    Reason.UNBOUNDED: "report it with the detail",
    Reason.BAD_MODEL: "mend the model file at the place named",
    Reason.NO_ENZYMES: "nothing to do: without enzymes of known cost there is no enzyme-constrained model",
    Reason.POOL_TOO_SMALL: "raise the enzyme pool in the config",
    Reason.WALL_CLOCK: f"raise the time limit per genome in the config; {AGAIN}",
    Reason.MEMORY_LIMIT: f"raise the memory limit per genome; {AGAIN}",
    Reason.KILLED_ITS_JOB: f"see the log of its shard; {AGAIN}",
    Reason.WORKER_DIED: f"see the log of its shard; {AGAIN}",
    Reason.UNEXPECTED: f"report it with the detail; {AGAIN}",
}


def read_rows(parts: Parts) -> list[LedgerRow]:
    """All ledger rows, stage after stage: from the stages' ledgers, or where those are gone from the atlas's."""
    rows = []
    for stage in STAGE_NAMES:
        for shard in parts.shards:
            path = parts.store.ledger_path(stage, shard)
            if path.exists():
                rows += read_ledger(path)
    if rows:
        return rows
    order = {stage: place for place, stage in enumerate(STAGE_NAMES)}
    for part in parts.each("ledger"):
        for row in part.drop_columns(["shard"]).to_pylist():
            rows.append(LedgerRow(**row | {"outcome": Outcome(row["outcome"]), "reason": Reason(row["reason"])}))
    return sorted(rows, key=lambda row: order.get(row.stage, len(order)))


def by_genome_id(rows: Sequence[LedgerRow]) -> dict[str, list[LedgerRow]]:
    """Each genome's rows in the order of the stages."""
    found: dict[str, list[LedgerRow]] = defaultdict(list)
    for row in rows:
        found[row.genome_id].append(row)
    return dict(found)


def outcomes(rows: Sequence[LedgerRow], genomes: int) -> list[dict[str, Any]]:
    """Per stage: genomes by outcome, and how many it has not seen."""
    counts: dict[str, Counter[str]] = {stage: Counter() for stage in STAGE_NAMES}
    for row in rows:
        counts.setdefault(row.stage, Counter())[row.outcome] += 1
    return [
        {"stage": stage, "counts": {str(o): count[o] for o in Outcome}, "unseen": genomes - count.total()}
        for stage, count in counts.items()
    ]


def stopped(rows: Sequence[LedgerRow]) -> list[list[str]]:
    """Genomes that were stopped: genome, stage, outcome, reason in words, detail, what to do."""
    return [
        [
            row.genome_id,
            row.stage,
            row.outcome,
            REASON_TEXT[row.reason] or row.reason,
            row.detail,
            mend(row.reason),
        ]
        for row in rows
        if row.outcome not in (Outcome.OK, Outcome.SKIPPED_UPSTREAM)
    ]


def mend(reason: Reason) -> str:
    """What to do about a reason; where nothing special is known, to look at the log and try again."""
    return REASON_MEND.get(reason, f"see the log of its shard; {AGAIN}").format(reason=reason)


def costs(rows: Sequence[LedgerRow]) -> list[dict[str, Any]]:
    """Per stage: seconds of its workers (each on one core) and memory."""
    found = []
    for stage in STAGE_NAMES:
        ran = [row for row in rows if row.stage == stage and row.outcome != Outcome.SKIPPED_UPSTREAM]
        if ran:
            seconds = np.array([row.seconds or 0.0 for row in ran])
            found.append(
                {
                    "stage": stage,
                    "genomes": len(ran),
                    "total_s": significant(float(seconds.sum())),
                    "median_s": significant(float(np.median(seconds)), 3),
                    "most_s": significant(float(seconds.max()), 3),
                    "peak_mb": significant(max((row.peak_mb or 0.0) for row in ran), 4),
                }
            )
    return found


def versions(rows: Sequence[LedgerRow]) -> list[list[str]]:
    """Stage, tool, version, genomes: several versions of one tool mean that the run is of several ages."""
    counts: Counter[tuple[str, str]] = Counter((row.stage, row.versions) for row in rows if row.outcome == Outcome.OK)
    found: Counter[tuple[str, str, str]] = Counter()
    for (stage, text), count in counts.items():
        for tool, version in json.loads(text or "{}").items():
            found[stage, tool, str(version)] += count
    return [[*key, str(count)] for key, count in found.items()]


def config_rows(context: Context) -> list[list[Any]]:
    """Key, value, default, whether it was changed, what it means."""
    found = []
    for key, described in described_keys():
        value, default = parameter(context.config, key), described.get("default")
        found.append([key, _text(value), _text(default), value != default, described.get("description", "")])
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def model_cards() -> list[dict[str, str]]:
    """Cards of the trained models that the workflow ships: title, text, place."""
    found = []
    root = WORKFLOW.parent / "resources"
    for path in sorted(root.glob("*/*.md")):
        text = path.read_text(encoding="utf-8")
        title = text.split("\n", 1)[0].lstrip("# ").replace("`", "")
        if "card" in title.lower():
            found.append({"title": title, "text": text, "path": f"resources/{path.relative_to(root).as_posix()}"})
    return found


def _is_behind(parts: Parts, shard: str) -> bool:
    """Whether a stage has written its ledger after the atlas gathered the shard."""
    gathered = parts.store.atlas_path("ledger", shard)
    written = [parts.store.ledger_path(stage, shard) for stage in STAGE_NAMES]
    latest = max((path.stat().st_mtime_ns for path in written if path.exists()), default=0)
    return latest > (gathered.stat().st_mtime_ns if gathered.exists() else 0)


def _genomes(count: int) -> str:
    return f"{count} genome" if count == 1 else f"{count} genomes"


def remarks(context: Context, parts: Parts, rows: Sequence[LedgerRow], columns: Mapping[str, list[Any]]) -> list[str]:
    """What this run did without, cut short or could not decide, in sentences. Nothing here is an error."""
    found = []
    if not parameter(context.config, "embed.enabled"):
        found.append("Protein embeddings were off (embed.enabled: false): evidence rests on sequence similarity alone.")
    else:
        device = {json.loads(row.versions or "{}").get("device") for row in rows if row.stage == "embed"} - {None}
        if device and not any("cuda" in str(name) for name in device):
            found.append("Protein embeddings were made without a GPU.")
    absent = [name for name in TABLES if TABLES[name].stage in STAGE_NAMES and not parts.has(name)]
    without = sorted({TABLES[name].stage for name in TABLES} - set(STAGE_NAMES))
    if without:
        found.append(f"Not part of this run: {', '.join(without)}. What it would tell is left out of the pages.")
    if absent:
        found.append(f"Tables that no genome has written: {', '.join(absent)}.")
    limits: Counter[str] = Counter()
    for part in parts.each("drafts", ["limit_fired"]):
        limits.update(name for name in part["limit_fired"].to_pylist() if name)
    found += [f"A limit ({name}) ended the search for the draft: {_genomes(n)}." for name, n in limits.items()]
    unsure = sum(sum(bool(v) for v in part["uncertain"].to_pylist()) for part in parts.each("lineages", ["uncertain"]))
    if unsure:
        found.append(f"The universe was chosen with doubt: {_genomes(unsure)}.")
    undecided = sum(
        count for part in parts.each("screens", ["answer"]) for count in [part["answer"].to_pylist().count("undecided")]
    )
    if undecided:
        found.append(f"Questions of the screens that stayed undecided: {undecided}.")
    behind = sum(_is_behind(parts, shard) for shard in parts.shards)
    if behind:
        found.append(
            f"The atlas is older than the ledgers in {behind} of {len(parts.shards)} shards, and the pages with it: "
            "`gemforest atlas --partial`, then `gemforest report`."
        )
    unfinished = sum(end == "unfinished" for end in columns["outcome"])
    if unfinished:
        found.append(f"Not through all stages yet: {_genomes(unfinished)}.")
    return found
