"""Calls of a genome's genes for reactions, with calibrated probabilities, and what they add up to for each reaction.

Every candidate above the floor is kept, the rejected ones with the reason, and each with the evidence behind it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gemforest.evidence.calibration import Calibration, load_calibration, probability
from gemforest.evidence.homologs import FEATURES, Candidates, Hits, Reference, bigg_reference, candidates, self_bits
from gemforest.evidence.reactions import REACTION_FEATURES, reaction_features
from gemforest.tables import EVIDENCE_ITEM, TABLES

SOURCE = "D"
BELOW_THRESHOLD = "rejected: below threshold"
BETTER_GENE = "rejected: another gene fits better"


@dataclass(frozen=True)
class Calls:
    """Candidates of a genome with what the sources make of them.

    Attributes
    ----------
    genes
        Ids of the genome's genes; `candidates.query` counts them.
    hits
        Alignments that `candidates.hit` points to.
    log_odds
        c: calibrated log-odds of each candidate.
    """

    genes: pa.Array
    reference: Reference
    calibration: Calibration
    hits: Hits
    candidates: Candidates
    log_odds: np.ndarray


def call_reactions(proteins: pa.Table, homologs: pa.Table) -> Calls:
    """Weigh every reaction that the genome's homologs propose.

    Parameters
    ----------
    proteins
        Columns gene_id, sequence.
    homologs
        The table of that name.
    """
    reference, calibration = bigg_reference(), load_calibration("homologs")
    genes = proteins["gene_id"].combine_chunks()
    target = pc.index_in(homologs["target"], pa.array(reference.genes.tolist()))
    query = pc.index_in(homologs["gene_id"], genes)
    known = homologs.append_column("q", query).append_column("t", target).filter(pc.is_valid(target))
    hits = Hits(
        query=known["q"].to_numpy().astype(np.int64),
        target=known["t"].to_numpy().astype(np.int64),
        bits=known["bitscore"].to_numpy().astype(float),
        identity=known["identity_percent"].to_numpy().astype(float) / 100,
        query_coverage=known["query_coverage"].to_numpy().astype(float),
        target_coverage=known["target_coverage"].to_numpy().astype(float),
        self_bits=self_bits(proteins["sequence"].to_pylist()),
    )
    found = candidates(hits, reference)
    columns = {name: found.features[:, i] for i, name in enumerate(FEATURES)}
    log_odds = calibration.log_odds(columns) if len(found.query) else np.zeros(0)
    return Calls(genes, reference, calibration, hits, found, log_odds)


def reaction_probabilities(
    calls: Calls, floor: float, universe: Collection[str], always: Collection[str]
) -> dict[str, float]:
    """Probability of each reaction of the universe that some gene speaks for: from the floor on, and of `always`."""
    found = calls.candidates
    if not len(found.query):
        return {}
    kin = found.features[:, FEATURES.index("kin_with_reaction")]
    rows = reaction_features(found.query, found.reaction, calls.log_odds, kin)
    columns = {name: rows.features[:, i] for i, name in enumerate(REACTION_FEATURES)}
    p = probability(load_calibration("reactions").log_odds(columns))
    names = calls.reference.reactions[rows.reaction].tolist()
    return {
        name: value
        for name, value in zip(names, p.tolist(), strict=True)
        if name in always or (value >= floor and name in universe)
    }


def gene_reactions_table(genome_id: str, calls: Calls, floor: float) -> pa.Table:
    """The calls from the floor on, by gene and reaction."""
    found = calls.candidates
    p = probability(calls.log_odds)
    kept = np.flatnonzero(p >= floor)
    n = len(kept)
    columns = {
        "genome_id": pa.array([genome_id] * n, pa.string()),
        "gene_id": calls.genes.take(pa.array(found.query[kept])),
        "reaction": pa.array(calls.reference.reactions[found.reaction[kept]].tolist(), pa.string()),
        "ec": pa.array([[]] * n, pa.list_(pa.string())),
        "probability": pa.array(p[kept]),
        "log_odds": pa.array(calls.log_odds[kept]),
        "decision": pa.array(_decisions(calls, kept, p), pa.string()),
        "conflict": pa.array(["single_source"] * n, pa.string()),
        "independent_groups": pa.array(np.ones(n, dtype=np.int16)),
        "evidence": _evidence(calls, kept),
    }
    return pa.table(columns, schema=TABLES["gene_reactions"].schema)


def _decisions(calls: Calls, kept: np.ndarray, p: np.ndarray) -> list[str]:
    """Accepted from the threshold on; a rejected call says whether the gene or its rivals are the reason."""
    accepted = p[kept] >= calls.calibration.threshold
    outdone = calls.candidates.features[kept, FEATURES.index("best_in_genome")] < 0.5
    reasons = np.where(outdone, BETTER_GENE, BELOW_THRESHOLD)
    return [str(name) for name in np.where(accepted, "accepted", reasons)]


def _evidence(calls: Calls, kept: np.ndarray) -> pa.Array:
    """One item a call: the best alignment that speaks for it."""
    hits, rows = calls.hits, calls.candidates.hit[kept]
    items = {
        "source": pa.array([SOURCE] * len(kept), pa.string()),
        "version": pa.array([calls.calibration.version] * len(kept), pa.string()),
        "target": pa.array(calls.reference.genes[hits.target[rows]].tolist(), pa.string()),
        "value": pa.array(hits.bits[rows]),
        "identity_percent": pa.array(hits.identity[rows] * 100),
        "query_coverage": pa.array(hits.query_coverage[rows]),
        "target_coverage": pa.array(hits.target_coverage[rows]),
        "log_likelihood_ratio": pa.array(calls.log_odds[kept] - calls.calibration.prior_log_odds),
    }
    fields = [EVIDENCE_ITEM.field(name) for name in items]
    structs = pa.StructArray.from_arrays(list(items.values()), fields=fields)
    return pa.ListArray.from_arrays(pa.array(np.arange(len(kept) + 1), pa.int32()), structs)
