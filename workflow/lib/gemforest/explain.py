"""`gemforest explain GENOME REACTION`: why a reaction is in a genome's model, or why it is not.

Reads what the stages left behind and puts it in the order in which it happened: hits of the genome's genes on the
database proteins of the reaction, score and gene rule, the carving's decision with its reason, the gap-filling's, the
final model. Nothing is computed anew, so the answer is about the results on disk, whatever the config says today.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gemforest.carveme_files import carveme_data
from gemforest.errors import InputError
from gemforest.gprs import genes_of, parse_gpr
from gemforest.plan import plan_folder
from gemforest.stage import Context
from gemforest.tables import TABLES
from gemforest.universe import load_universe

MOST_HITS_SHOWN = 8
MOST_GENES_SHOWN = 8


@dataclass(frozen=True)
class Explanation:
    """Why a reaction is where it is.

    Attributes
    ----------
    in_model
        Whether the final model holds it; None where there is no final model.
    verdict
        One sentence.
    steps
        (stage, what it says) in the order of the workflow.
    """

    genome_id: str
    reaction: str
    in_model: bool | None
    verdict: str
    steps: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"{self.reaction} in {self.genome_id}: {self.verdict}"]
        lines += [f"  {stage:<9} {line}" for stage, text in self.steps for line in text.splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Findings:
    """Rows about one reaction in one genome; None for a table that its stage has not written."""

    hits: list[dict[str, Any]] | None
    scores: list[dict[str, Any]] | None
    draft: list[dict[str, Any]] | None
    fills: list[dict[str, Any]] | None
    model: list[dict[str, Any]] | None
    database_proteins: int
    lacking_universe: str = ""
    """Name of the genome's universe where that does not hold the reaction at all."""


def explain(context: Context, genome_id: str, reaction: str) -> Explanation:
    """Why `reaction` (BiGG id, with or without `R_`) is or is not in the genome's model.

    Raises
    ------
    InputError
        The genome is not in the plan, or the reaction is neither in carveme's gene rules nor in any of the genome's
        tables; the message names the nearest known ones.
    """
    reaction = reaction.removeprefix("R_")
    shard = shard_of(context, genome_id)
    findings = _findings(context, shard, genome_id, reaction)
    if not findings.database_proteins and not any((findings.scores, findings.draft, findings.fills, findings.model)):
        _refuse_unknown(context, shard, genome_id, reaction)
    in_model = None if findings.model is None else bool(findings.model)
    return Explanation(genome_id, reaction, in_model, _verdict(findings), tuple(_steps(findings)))


def shard_of(context: Context, genome_id: str) -> str:
    """The genome's shard; InputError where it is not in the plan."""
    path = plan_folder(context.store.root) / "members.tsv"
    if not path.exists():
        raise InputError(f"{path} is missing: nothing was run in this project yet; `gemforest plan` places the genomes")
    with path.open(encoding="utf-8", newline="") as handle:
        shards = {row["genome_id"]: row["shard"] for row in csv.DictReader(handle, delimiter="\t")}
    if genome_id not in shards:
        raise InputError(f"no genome {genome_id!r} in the plan{did_you_mean(genome_id, shards)}")
    return shards[genome_id]


def did_you_mean(name: str, known: Any) -> str:
    """A hint at the nearest of the known names, or nothing."""
    by_lower = {str(one).lower(): str(one) for one in known}
    near = [by_lower[found] for found in get_close_matches(name.lower(), by_lower, 3, 0.6)]
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def _refuse_unknown(context: Context, shard: str, genome_id: str, reaction: str) -> None:
    known = set(_proteins_of_reactions())
    for table in ("draft_reactions", "model_reactions"):
        rows = rows_of(context, table, shard, genome_id)
        known |= set(rows["reaction"].to_pylist()) if rows is not None else set()
    raise InputError(f"{reaction!r} is no reaction of the database or of this genome{did_you_mean(reaction, known)}")


def _findings(context: Context, shard: str, genome_id: str, reaction: str) -> Findings:
    def rows(table: str) -> list[dict[str, Any]] | None:
        found = rows_of(context, table, shard, genome_id)
        return None if found is None else found.filter(pc.equal(found["reaction"], reaction)).to_pylist()

    proteins = _proteins_of_reactions().get(reaction, frozenset())
    hits = rows_of(context, "hits", shard, genome_id)
    if hits is not None:
        hits = hits.filter(pc.is_in(hits["target"], pa.array(sorted(proteins), pa.string())))
        hits = hits.sort_by([("bitscore", "descending"), ("gene_id", "ascending")])
    return Findings(
        None if hits is None else hits.to_pylist(),
        rows("reaction_scores"),
        rows("draft_reactions"),
        rows("gapfills"),
        rows("model_reactions"),
        len(proteins),
        _lacking_universe(context, shard, genome_id, reaction),
    )


def _lacking_universe(context: Context, shard: str, genome_id: str, reaction: str) -> str:
    lineage = rows_of(context, "lineages", shard, genome_id)
    if lineage is None or not lineage.num_rows:
        return ""
    name: str = lineage["universe"][0].as_py()
    return "" if reaction in load_universe(name, context.cache).network.reactions else name


def rows_of(context: Context, table: str, shard: str, genome_id: str) -> pa.Table | None:
    """A genome's rows of a table; None where its stage has not written them."""
    if table not in TABLES or not context.store.has(table, shard, genome_id):
        return None
    return context.store.read(table, shard, genome_id)


@cache
def _proteins_of_reactions() -> dict[str, frozenset[str]]:
    """Database proteins that a gene rule of each reaction names."""
    proteins: dict[str, set[str]] = {}
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz"), "rt", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            name = f"{row['model']}.{row['gene'].removeprefix('G_')}"
            proteins.setdefault(row["reaction"].removeprefix("R_"), set()).add(name)
    return {reaction: frozenset(found) for reaction, found in proteins.items()}


def _verdict(found: Findings) -> str:
    if found.lacking_universe and not found.model:
        return (
            f"not in the model: the universe {found.lacking_universe} does not hold this reaction, whatever the genes"
        )
    if found.model is None:
        return "there is no final model of this genome; `gemforest status` tells why"
    if not found.model:
        return f"not in the model: {_why_not(found)}"
    if found.fills:
        media = ", ".join(sorted({row["medium"] for row in found.fills}))
        return f"in the model: gap-filling added it for growth on {media}"
    why = found.draft[0]["why"] if found.draft else ""
    reasons = {
        "evidence": "the carving kept it for its evidence",
        "growth": "the carving added it because growth needs it",
        "scored_reactions": "the carving added it because reactions with evidence need it",
        "spontaneous": "it needs no enzyme",
        "reference": "the reference model holds it",
        "carveme": "CarveMe's carving kept it",
    }
    return f"in the model: {reasons.get(why, 'the draft holds it')}"


def _why_not(found: Findings) -> str:
    if found.draft and found.draft[0]["in_draft"]:
        return "the draft held it, and gap-filling or a later clean-up took it out"
    if found.scores and (found.scores[0]["score"] or 0) > 0:
        return "it has evidence, but cannot carry flux in the network that scores best, or costs more than it brings"
    if found.hits:
        return "genes resemble its enzymes, but not all parts of its gene rule are there, or below the threshold"
    if not found.database_proteins:
        return "the database has no protein for it, and growth did not need it"
    return "no gene resembles one of its enzymes, and growth did not need it"


def _steps(found: Findings) -> list[tuple[str, str]]:
    steps = [("homology", _hits_text(found))]
    if found.scores is not None:
        steps.append(("evidence", "\n".join(map(_score_text, found.scores)) or "no score"))
    if found.draft is not None:
        told = [_draft_text(row, _left_out(found.scores, row)) for row in found.draft]
        steps.append(("draft", "\n".join(told) or "not among the reactions looked at"))
    if found.fills is not None:
        steps.append(("gapfill", "\n".join(map(_fill_text, found.fills)) or "not added"))
    if found.model is not None:
        steps.append(("model", "\n".join(map(_model_text, found.model)) or "not in it"))
    return steps


def _hits_text(found: Findings) -> str:
    if found.hits is None:
        return "not run"
    known = f"{found.database_proteins} proteins of the database stand for it"
    if not found.hits:
        return f"{known}; no gene has a hit on one within 10 % of its best"
    shown = [
        f"{hit['gene_id']} -> {hit['target']}  {hit['bitscore']:.0f} bits, {hit['identity_percent']:.0f} % identity, "
        f"E {hit['evalue']:.1g}"
        for hit in found.hits[:MOST_HITS_SHOWN]
    ]
    more = len(found.hits) - len(shown)
    return "\n".join([known, *shown, *([f"and {more} more"] if more else [])])


def _score_text(row: dict[str, Any]) -> str:
    parts = [_number("score", row["score"]), _number("normalised", row["normalized_score"])]
    parts += [_number("probability", row.get("probability")), f"rule {row['gpr']}" if row["gpr"] else ""]
    return _joined(parts)


def _draft_text(row: dict[str, Any], left_out: Sequence[str]) -> str:
    parts = ["kept" if row["in_draft"] else "not kept", f"because of {row['why']}" if row["why"] else ""]
    parts += [f"direction {row['direction']}" if row["direction"] else ""]
    parts += [f"serves {', '.join(row['serves'][:8])}" if row["serves"] else ""]
    parts += [f"rule without {', '.join(left_out[:MOST_GENES_SHOWN])}: others fit better" if left_out else ""]
    return _joined([*parts, _number("in this share of the ensemble", row["frequency"])])


def _left_out(scores: Sequence[dict[str, Any]] | None, draft: dict[str, Any]) -> list[str]:
    """Genes of the evidence's rule that the draft's rule does without (`draft.isozymes_within`)."""
    named = {gene for row in scores or () for gene in genes_of(parse_gpr(row["gpr"] or ""))}
    return sorted(named - genes_of(parse_gpr(draft["gpr"] or ""))) if draft["gpr"] else []


def _fill_text(row: dict[str, Any]) -> str:
    parts = [f"added for {row['medium']}", _number("cost", row["cost"])]
    parts += [f"unblocks {', '.join(row['unblocks'][:8])}" if row["unblocks"] else ""]
    parts += [
        f"candidate genes {', '.join(row['candidate_genes'][:8])}" if row["candidate_genes"] else "no gene for it"
    ]
    return _joined(parts)


def _model_text(row: dict[str, Any]) -> str:
    bounds = f"bounds {row['lower_bound']:g} to {row['upper_bound']:g}"
    return _joined([f"from the {row['origin']}", bounds, f"rule {row['gpr']}" if row["gpr"] else "no gene rule"])


def _number(name: str, value: float | None) -> str:
    return "" if value is None else f"{name} {value:.4g}"


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(part for part in parts if part)
