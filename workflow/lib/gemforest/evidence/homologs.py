"""Source D: what hits on BiGG's proteins say about a gene's reactions, as the numbers that the calibration reads.

A hit hands over the reactions of its target, but BiGG's models were built by many hands: they name reactions
differently, leave some out, and lump isozymes together. So a candidate (gene, reaction) is described by more than its
best hit: by how many clades of models agree, by clades that know the reaction but give it to another of their genes,
by how often models of the genome's kind hold the reaction at all, and by whether another gene of the genome fits it
better. Nothing here is fitted; `calibration.py` turns the numbers into probabilities.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from gemforest.carveme_files import carveme_data
from gemforest.evidence.calibration import evidence_resource
from gemforest.lineage import MODELS, resource

CLADES = "clades.tsv"

LEAST_SHARE_OF_BEST = 0.5
"""Hits below this share of the gene's best bit score are not looked at."""

VOTE_WIDTH = 0.1
"""A hit a tenth below the best counts e times less in the vote."""

FEATURES = (
    "log_bits",
    "share_of_best",
    "best_log_bits",
    "identity",
    "best_identity",
    "query_coverage",
    "target_coverage",
    "self_ratio",
    "log_rank",
    "log_candidates",
    "vote",
    "clade_vote",
    "clades_agree",
    "clades_elsewhere",
    "clades_without",
    "clades_hit",
    "agree_share",
    "log_target_reactions",
    "log_genes_per_model",
    "clades_with_reaction",
    "kin_with_reaction",
    "similar_with_reaction",
    "best_in_genome",
    "log_rivals",
    "best_for_target",
)

PRIORS = ("clades_with_reaction", "kin_with_reaction", "similar_with_reaction", "log_genes_per_model")
"""Features that depend on the genome and the reaction alone."""


@dataclass(frozen=True)
class Reference:
    """Database proteins and their reactions.

    Attributes
    ----------
    genes
        g database proteins, `model.gene`, sorted.
    model
        g: index into `models`.
    models
        m BiGG models.
    clade
        m: models with one number are close relatives and count once.
    kin
        m: lineage of the model's organism, as `lineage_models.tsv` groups them; `kin_names` are their names.
    start, reaction
        Reactions of protein i: `reaction[start[i]:start[i + 1]]`, indices into `reactions`.
    reactions
        BiGG ids without R_, sorted.
    """

    genes: np.ndarray
    model: np.ndarray
    models: tuple[str, ...]
    clade: np.ndarray
    kin: np.ndarray
    kin_names: tuple[str, ...]
    start: np.ndarray
    reaction: np.ndarray
    reactions: np.ndarray

    @property
    def holds(self) -> np.ndarray:
        """Shape m × reactions, bool: the model has the reaction, with a gene."""
        held = np.zeros((len(self.models), len(self.reactions)), dtype=bool)
        held[np.repeat(self.model, np.diff(self.start)), self.reaction] = True
        return held


@dataclass(frozen=True)
class Hits:
    """h alignments of a genome's genes with database proteins.

    Attributes
    ----------
    query, target
        h: number of the gene; index into `Reference.genes`.
    bits, identity, query_coverage, target_coverage
        h: bit score; identity, 0 to 1; aligned shares.
    self_bits
        Per gene: bit score of the gene with itself.
    """

    query: np.ndarray
    target: np.ndarray
    bits: np.ndarray
    identity: np.ndarray
    query_coverage: np.ndarray
    target_coverage: np.ndarray
    self_bits: np.ndarray

    def take(self, rows: np.ndarray) -> Hits:
        """Some of the alignments."""
        return Hits(
            self.query[rows],
            self.target[rows],
            self.bits[rows],
            self.identity[rows],
            self.query_coverage[rows],
            self.target_coverage[rows],
            self.self_bits,
        )


@dataclass(frozen=True)
class Candidates:
    """c pairs of a gene and a reaction with their features.

    Attributes
    ----------
    query, reaction
        c: number of the gene; index into `Reference.reactions`.
    hit
        c: row in the hits of the best alignment that speaks for the pair.
    features
        c × len(FEATURES), float64.
    priors
        len(reactions) × len(PRIORS), float64: how common each reaction is, whatever the gene.
    """

    query: np.ndarray
    reaction: np.ndarray
    hit: np.ndarray
    features: np.ndarray
    priors: np.ndarray


@cache
def bigg_reference() -> Reference:
    """The reference of the installed carveme package, once per process."""
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz")) as handle:
        gprs = pacsv.read_csv(pa.BufferReader(handle.read()))
    clades = {row["model"]: row["clade"] for row in _rows(evidence_resource(CLADES))}
    return load_reference(gprs, clades, {row["model"]: row["group"] for row in _rows(resource(MODELS))})


def _rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t"))


def load_reference(gprs: pa.Table, clades: dict[str, str], kin: dict[str, str]) -> Reference:
    """Reference from CarveMe's GPR table (columns gene, protein, reaction, model).

    Parameters
    ----------
    clades, kin
        Model to the name of its clade, and of its lineage.
    """
    models = np.array(gprs["model"].to_pylist(), dtype=str)
    names = [f"{m}.{g[2:]}" for m, g in zip(models.tolist(), gprs["gene"].to_pylist(), strict=True)]
    genes, gene_of = np.unique(np.array(names, dtype=str), return_inverse=True)
    reactions, reaction_of = np.unique(
        np.array([r.removeprefix("R_") for r in gprs["reaction"].to_pylist()], dtype=str), return_inverse=True
    )
    pairs = np.unique(gene_of.astype(np.int64) * len(reactions) + reaction_of)
    owner, reaction = pairs // len(reactions), pairs % len(reactions)
    known = tuple(sorted(clades))
    place = {name: i for i, name in enumerate(known)}
    return Reference(
        genes=genes,
        model=np.array([place[name.split(".", 1)[0]] for name in genes.tolist()]),
        models=known,
        clade=_codes([clades[name] for name in known]),
        kin=_codes([kin[name] for name in known]),
        kin_names=tuple(kin[name] for name in known),
        start=np.searchsorted(owner, np.arange(len(genes) + 1)),
        reaction=reaction,
        reactions=reactions,
    )


def candidates(hits: Hits, reference: Reference, hidden: np.ndarray | None = None) -> Candidates:
    """Describe every reaction that a gene's hits propose.

    Parameters
    ----------
    hits
        Of one genome: rivals are looked for among its genes.
    hidden
        m, bool: models that count as not there (their proteins, and that they hold a reaction); for held-out lineages.

    Returns
    -------
    Candidates
        Sorted by gene, then reaction.
    """
    hidden = np.zeros(len(reference.models), dtype=bool) if hidden is None else hidden
    rows = np.flatnonzero(~hidden[reference.model[hits.target]])
    best = np.zeros(len(hits.self_bits))
    np.maximum.at(best, hits.query[rows], hits.bits[rows])
    rows = rows[hits.bits[rows] >= LEAST_SHARE_OF_BEST * best[hits.query[rows]]]
    rows = rows[np.lexsort((hits.target[rows], -hits.bits[rows], hits.query[rows]))]
    near = hits.take(rows)
    weight = np.exp((near.bits / best[near.query] - 1) / VOTE_WIDTH)
    clade = reference.clade[reference.model[near.target]]
    leads_clade = _first_of(near.query * (reference.clade.max() + 1) + clade)

    size = reference.start[near.target + 1] - reference.start[near.target]
    hit = np.repeat(np.arange(len(rows)), size)
    within = np.arange(len(hit)) - np.repeat(np.cumsum(size) - size, size)
    proposed = reference.reaction[reference.start[near.target[hit]] + within]
    pair = near.query[hit] * len(reference.reactions) + proposed
    pairs, first, of = np.unique(pair, return_index=True, return_inverse=True)
    query, reaction, top = pairs // len(reference.reactions), pairs % len(reference.reactions), hit[first]

    held = reference.holds & ~hidden[:, None]
    columns = _alignment_features(near, top, best, query)
    columns |= _votes(near.query, query, of, hit, weight, leads_clade)
    columns |= _clades(near.query, query, reaction, of, hit, leads_clade, clade, reference, held)
    priors = _priors(near, weight, reference, held, hidden)
    columns |= {name: priors[reaction, i] for i, name in enumerate(PRIORS)}
    columns["log_target_reactions"] = np.log(size[top])
    columns |= _rivals(near, top, reaction, len(reference.reactions), len(reference.genes))
    features = np.column_stack([columns[name] for name in FEATURES]) if len(pairs) else np.zeros((0, len(FEATURES)))
    return Candidates(query, reaction, rows[top], features, priors)


def self_bits(sequences: Sequence[str]) -> np.ndarray:
    """Bit score of each protein with itself: BLOSUM62 with DIAMOND's constants for gaps of 11 and 1."""
    diagonal = np.zeros(128)
    for letter, score in zip("ARNDCQEGHILKMFPSTWYVBZX", _DIAGONAL, strict=True):
        diagonal[ord(letter)] = score
    raw = [diagonal[np.frombuffer(s.encode(), dtype=np.uint8)].sum() for s in sequences]
    bits: np.ndarray = (0.267 * np.array(raw, dtype=float) - np.log(0.041)) / np.log(2)
    return bits


_DIAGONAL = (4, 5, 6, 6, 9, 5, 5, 6, 8, 4, 4, 5, 5, 6, 7, 4, 5, 11, 7, 4, 4, 4, -1)


def _alignment_features(near: Hits, top: np.ndarray, best: np.ndarray, query: np.ndarray) -> dict[str, np.ndarray]:
    first_of_gene = np.searchsorted(near.query, np.arange(len(best)))
    return {
        "log_bits": np.log(near.bits[top]),
        "share_of_best": near.bits[top] / best[query],
        "best_log_bits": np.log(best[query]),
        "identity": near.identity[top],
        "best_identity": near.identity[first_of_gene[query]],
        "query_coverage": near.query_coverage[top],
        "target_coverage": near.target_coverage[top],
        "self_ratio": near.bits[top] / near.self_bits[query],
        "log_rank": np.log1p(top - first_of_gene[query]),
        "log_candidates": np.log(np.bincount(query, minlength=len(best))[query]),
    }


def _votes(
    hit_query: np.ndarray, query: np.ndarray, of: np.ndarray, hit: np.ndarray, weight: np.ndarray, leads: np.ndarray
) -> dict[str, np.ndarray]:
    """Share of the gene's hits, and of its clades' best hits, that carry the reaction, the nearest counting most."""
    votes = {}
    for name, w in (("vote", weight), ("clade_vote", weight * leads)):
        total = np.bincount(hit_query, w, minlength=query.max(initial=-1) + 1)
        votes[name] = np.bincount(of, w[hit], minlength=len(query)) / total[query]
    return votes


def _clades(
    hit_query: np.ndarray,
    query: np.ndarray,
    reaction: np.ndarray,
    of: np.ndarray,
    hit: np.ndarray,
    leads: np.ndarray,
    clade: np.ndarray,
    reference: Reference,
    held: np.ndarray,
) -> dict[str, np.ndarray]:
    """Clades whose best hit carries the reaction; that give it to other genes; that do not have it."""
    n = reference.clade.max() + 1
    held_by_clade = np.zeros((n, held.shape[1]), dtype=bool)
    np.logical_or.at(held_by_clade, reference.clade, held)
    agree = np.bincount(of, leads[hit], minlength=len(query))
    reached = np.zeros((hit_query.max(initial=-1) + 1, n), dtype=bool)
    reached[hit_query, clade] = True
    hit_clades = reached.sum(axis=1)[query]
    knowing = (reached[query] & held_by_clade.T[reaction]).sum(axis=1)
    elsewhere = np.maximum(knowing - agree, 0)
    return {
        "clades_agree": agree,
        "clades_elsewhere": elsewhere,
        "clades_without": hit_clades - knowing,
        "clades_hit": hit_clades,
        "agree_share": agree / np.maximum(knowing, 1),
    }


def _priors(near: Hits, weight: np.ndarray, reference: Reference, held: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """How common the reaction is among clades, among those of the genome's lineage, and among models like it."""
    n = reference.clade.max() + 1
    shown = ~hidden
    by_clade = np.zeros((n, held.shape[1]))
    np.add.at(by_clade, reference.clade, held)
    sizes = np.bincount(reference.clade[shown], minlength=n)
    by_clade /= np.maximum(sizes, 1)[:, None]
    kin_of_clade = np.zeros(n, dtype=int)
    kin_of_clade[reference.clade] = reference.kin
    # The genome's nearness to each clade: the share of its genes' votes; a genome's kin weigh by their lineage's share.
    votes = np.bincount(reference.clade[reference.model[near.target]], weight, minlength=n) / np.maximum(sizes, 1)
    share = votes / max(votes.sum(), 1e-9)
    clades_of_kin = np.maximum(np.bincount(kin_of_clade, sizes > 0)[kin_of_clade], 1)
    kin_votes = np.bincount(kin_of_clade, share)[kin_of_clade] * (sizes > 0) / clades_of_kin
    genes_of = np.bincount(reference.reaction, shown[np.repeat(reference.model, np.diff(reference.start))])
    models_of = held.sum(axis=0)
    columns = {
        "clades_with_reaction": (by_clade > 0).sum(axis=0).astype(float),
        "kin_with_reaction": (kin_votes @ by_clade) / max(kin_votes.sum(), 1e-9),
        "similar_with_reaction": share @ by_clade,
        "log_genes_per_model": np.log1p(genes_of / np.maximum(models_of, 1)),
    }
    return np.column_stack([columns[name] for name in PRIORS])


def _rivals(near: Hits, top: np.ndarray, reaction: np.ndarray, reactions: int, genes: int) -> dict[str, np.ndarray]:
    """Whether another gene of the genome fits the reaction, or the database protein, better."""
    bits = near.bits[top]
    best = np.zeros(reactions)
    np.maximum.at(best, reaction, bits)
    share = bits / best[reaction]
    order = np.lexsort((-bits, reaction))
    rank = np.empty(len(order))
    starts = np.searchsorted(reaction[order], np.arange(reactions))
    rank[order] = np.arange(len(order)) - starts[reaction[order]]
    best_of_target = np.zeros(genes)
    np.maximum.at(best_of_target, near.target, near.bits)
    return {
        "best_in_genome": share,
        "log_rivals": np.log1p(rank),
        "best_for_target": bits / best_of_target[near.target[top]],
    }


def _first_of(keys: np.ndarray) -> np.ndarray:
    """Bool: the first row of each key."""
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _codes(names: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.array([place[name] for name in names])
