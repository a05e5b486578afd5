"""Evidence: what the genome's proteins say about the reactions of its universe.

Tables `gene_reactions` (one call of a gene for a reaction, with every source's say), `reaction_scores` (what carving
weighs), `dark_enzymes` (proposals for proteins that no database knows), `lineages` (the universe, from the sheet or
decided from the hits, `lineage.py`) and `evidence_sources`. Scores are CarveMe's, from hits alone (`scores.py`), unless
`evidence.scores` says otherwise; probabilities are calibrated on lineages that were hidden from the database
(`calls.py`, `combine.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_data, carveme_version
from gemforest.errors import RefusedError
from gemforest.evidence.calibration import evidence_digests, probability
from gemforest.evidence.calls import Calls, call_reactions, reaction_probabilities
from gemforest.evidence.claims import Heard
from gemforest.evidence.combine import COMBINED
from gemforest.evidence.dark import PARAMETERS as DARK
from gemforest.evidence.dark import Encoded, dark_table
from gemforest.evidence.ec import SUPERSEDED
from gemforest.evidence.ecreactions import annotation_file, coverage, mapping_digests, reaction_ecs
from gemforest.evidence.encoder import ENCODER, hear_encoder, wanted
from gemforest.evidence.homologs import bigg_reference
from gemforest.evidence.listening import hear, heard_digests, sources_table
from gemforest.evidence.scores import SPONTANEOUS, ReactionScore, Rules, load_rules, score_reactions
from gemforest.evidence.verdicts import gene_reactions_table
from gemforest.ledger import Reason
from gemforest.lineage import decide, lineage_digests
from gemforest.reviewed import SEQUENCES, ec_resource
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import UNIVERSES, load_universe, shared_enzyme_table, shared_enzymes_path, universe_digest

AUTO = "auto"
WEIGHED = ("E", "A", "U", "P", "N")
PARAMETERS = (
    "draft.min_reactions",
    "evidence.floor",
    "evidence.sources",
    *(f"evidence.weights.{letter}" for letter in WEIGHED),
    "evidence.scores",
    "evidence.break_even",
    "evidence.mapping",
    "evidence.dark",
)


def process(task: Task) -> Products:
    """Score the reactions of the genome's universe."""
    hits = task.read("hits", ["gene_id", "target", "bitscore", "alignment_length", "target_length"])
    lineage = _lineage(task, hits)
    universe = lineage["universe"][0].as_py()
    columns = (
        hits["gene_id"].to_numpy(zero_copy_only=False),
        np.array(hits["target"].to_pylist(), dtype=str),
        hits["bitscore"].to_numpy(),
    )
    scored = score_reactions(rules_of(universe, task.context.cache), *columns)
    with_evidence = sum(score.score > 0 for score in scored)
    least = task.parameters["draft.min_reactions"]
    if with_evidence < least:
        raise RefusedError(
            Reason.TOO_FEW_REACTIONS,
            f"evidence for {with_evidence} reactions of the universe {universe}, expected at least {least}",
        )
    proteins = task.read("proteins")
    listened = task.parameters["evidence.sources"]
    mapping = task.context.project / task.parameters["evidence.mapping"]
    heard = hear(task.context, task.row, proteins, partial(task.read, "enzyme_hits"), mapping)
    network = frozenset(load_universe(universe, task.context.cache).network.reactions)
    ecs = reaction_ecs(universe, mapping, task.context.cache) if set(listened) - {"D"} else {}
    weights = {letter: task.parameters[f"evidence.weights.{letter}"] for letter in WEIGHED}
    homologs, encoded = task.read("homologs"), _encoded(task, proteins, heard)
    calls = call_reactions(proteins, homologs, heard, ecs, "P" in listened, weights, encoded)
    floor = task.parameters["evidence.floor"]
    probabilities = reaction_probabilities(calls, floor, network, {score.reaction for score in scored})
    way = "carveme" if listened == ["D"] else task.parameters["evidence.scores"]
    scored += scored_beside(universe, scored, columns, task.context.cache)
    made = (
        {}
        if way == "carveme"
        else {name: score_of(p, task.parameters["evidence.break_even"], floor) for name, p in probabilities.items()}
    )
    reached, all_of_them = coverage(network, ecs)
    note = f"EC numbers lead to {reached} of the universe's {all_of_them} reactions"
    return Products(
        {
            "gene_reactions": gene_reactions_table(task.genome_id, calls, floor),
            "reaction_scores": _reaction_scores(
                task.genome_id, universe, scored, probabilities, made, way, genes_of(calls, made)
            ),
            "dark_enzymes": TABLES["dark_enzymes"].empty()
            if calls.dark is None
            else dark_table(task.genome_id, calls.dark, calls.genes, ecs, bigg_reference()),
            "lineages": lineage,
            "evidence_sources": sources_table(task.genome_id, heard, note),
        }
    )


def _encoded(task: Task, proteins: pa.Table, heard: list[Heard]) -> Encoded | None:
    """The encoder's say, if anybody asked and it has one; what is missing joins `heard` as a note."""
    if not wanted(task.context):
        return None
    near, said = hear_encoder(task.context, task.read("embeddings"), proteins.num_rows)
    heard += [said] if said else []
    if near is None:
        return None
    way, dark = task.parameters["evidence.dark"], None
    if way != "off":
        ids = proteins["gene_id"].to_pylist()
        hit = {
            gene
            for table in ("homologs", "enzyme_hits")
            for gene in task.read(table, ["gene_id"])["gene_id"].to_pylist()
        }
        hit |= {ids[claim.gene] for one in heard for claim in one.claims}
        dark = np.array([gene not in hit for gene in ids], dtype=bool)
    return Encoded(near, "N" in task.parameters["evidence.sources"], dark, way == "use")


def score_of(p: float, break_even: float, floor: float) -> float:
    """A score like CarveMe's from a probability: linear in the log-odds, 0 at `break_even`, -1 at the floor."""
    even, least = _log_odds(break_even), _log_odds(min(max(floor, 1e-3), break_even / 2))
    return round((_log_odds(p) - even) / (even - least), 1)


def _log_odds(p: float) -> float:
    kept = min(max(p, 1e-3), 1 - 1e-3)
    return math.log(kept / (1 - kept))


def genes_of(calls: Calls, reactions: Iterable[str]) -> dict[str, str]:
    """A rule for each reaction whose score is made of probabilities: the accepted genes, else the likeliest one."""
    wanted = set(reactions)
    ids = calls.genes.to_pylist()
    accepted = probability(calls.log_odds) >= calls.threshold
    order = np.argsort(-calls.log_odds, kind="stable")
    rules: dict[str, list[str]] = {}
    for row in order.tolist():
        reaction = str(calls.reactions[calls.pairs.reaction[row]])
        if reaction in wanted and (accepted[row] or reaction not in rules):
            rules.setdefault(reaction, []).append(ids[calls.pairs.query[row]])
    return {name: genes[0] if len(genes) == 1 else f"({' or '.join(sorted(genes))})" for name, genes in rules.items()}


def _lineage(task: Task, hits: pa.Table) -> pa.Table:
    """The row of `lineages`: the sheet's universe, or with `auto` the one that the hits speak for."""
    row: dict[str, object] = {"genome_id": task.genome_id, "decided_by": "sheet", "universe": task.row["universe"]}
    if task.row["universe"] == AUTO:
        found = decide(hits, task.read("proteins", ["gene_id"]).num_rows)
        row |= {
            "decided_by": AUTO,
            "universe": found.universe,
            "score": found.score,
            "uncertain": found.uncertain,
            "votes": list(found.votes.items()),
            "markers": list(found.markers.items()),
            "proteins_with_hit": found.proteins_with_hit,
        }
    return pa.Table.from_pylist([row], schema=TABLES["lineages"].schema)


@lru_cache(maxsize=5)
def rules_of(universe: str, cache: Path) -> Rules:
    """The gene rules of a universe, once per process."""
    return load_rules(load_universe(universe, cache).network.reactions)


@lru_cache(maxsize=5)
def _rules_beside(universe: str, cache: Path) -> Rules:
    """Gene rules of reactions outside a universe whose enzymes do reactions of it (`universe.shared_enzyme_table`)."""
    inside = set(load_universe(universe, cache).network.reactions)
    return load_rules(sorted({source for row in shared_enzyme_table() for source in row.sources} - inside))


def scored_beside(
    universe: str, scored: list[ReactionScore], columns: tuple[np.ndarray, np.ndarray, np.ndarray], cache: Path
) -> list[ReactionScore]:
    """Scores of these reactions, by the universe's median: CarveMe's scores stay what they are."""
    positive = [score.score for score in scored if score.score > 0]
    if not positive:
        return []
    return score_reactions(_rules_beside(universe, cache), *columns, median=float(np.median(positive)))


def _reaction_scores(
    genome_id: str,
    universe: str,
    scored: list[ReactionScore],
    probabilities: Mapping[str, float],
    made: Mapping[str, float],
    way: str,
    rules: Mapping[str, str],
) -> pa.Table:
    """CarveMe's scores beside our probabilities, or scores made of these, as `evidence.scores` has it."""
    by_reaction = {score.reaction: score for score in scored}
    rows = []
    for reaction in sorted(by_reaction.keys() | probabilities.keys()):
        score = by_reaction.get(reaction)
        needs_no_enzyme = score is not None and (SPONTANEOUS,) in score.complexes
        row: dict[str, object] = {
            "genome_id": genome_id,
            "reaction": reaction,
            "score": score and score.score,
            "normalized_score": score and score.normalized_score,
            "gpr": score and score.gpr,
            "probability": 1.0 if needs_no_enzyme else probabilities.get(reaction),
            "universe": universe,
        }
        if reaction in made and not needs_no_enzyme and (way == "probability" or score is None):
            row |= (
                {"normalized_score": made[reaction], "score": made[reaction]}
                if score is None
                else {"normalized_score": made[reaction]}
            )
            row["gpr"] = row["gpr"] or rules.get(reaction)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=TABLES["reaction_scores"].schema)


def _resources(context: Context) -> dict[str, str]:
    gprs = {"bigg_gprs": file_sha256(carveme_data("generated/bigg_gprs.csv.gz"))}
    gprs["fermentation_reactions"] = file_sha256(shared_enzymes_path())
    fits = evidence_digests("clades.tsv", "homologs.json", "reactions.json", "genes.json")
    listened = set(context.config["evidence"]["sources"])
    if listened != {"D"}:
        fits |= evidence_digests(COMBINED)
        fits["reaction_ecs"] = file_sha256(annotation_file("bacteria"))
        fits |= {name: file_sha256(ec_resource(name)) for name in (SUPERSEDED, SEQUENCES)}
        fits |= mapping_digests(context.project / context.config["evidence"]["mapping"])
    if wanted(context):
        fits |= evidence_digests(COMBINED, DARK, ENCODER) | {"references": str(context.config["embed"]["references"])}
    return gprs | fits | lineage_digests()


def _of_row(context: Context, row: Mapping[str, str]) -> dict[str, str]:
    # A change in any universe that `auto` can come to may change the genome's model.
    named = {"universe": row["universe"]} if row["universe"] != AUTO else {name: name for name in UNIVERSES}
    return {key: universe_digest(name) for key, name in named.items()} | heard_digests(context, row)


def _versions(_context: Context) -> dict[str, str]:
    return {"carveme": carveme_version()}


STAGE = Stage(
    name="evidence",
    version=6,
    reads=("hits", "homologs", "enzyme_hits", "proteins", "embeddings"),
    writes=("gene_reactions", "reaction_scores", "dark_enzymes", "lineages", "evidence_sources"),
    parameters=PARAMETERS,
    row_fields=("universe",),
    process=process,
    resources=_resources,
    row_resources=_of_row,
    versions=_versions,
)
