"""Source N on held-out lineages, for `fit_evidence.py`: vectors of the shipped encoder, neighbours, dark proteins.

Vectors come from the closed form that the shipped weights hold (`bench_encoder.py`, part `agreement`, compares it with
the packed pass). Dark proteins are those that no hit remains for once their clade is hidden: those of the 21 models,
and as wrong ones those that no model names of two whole proteomes that carveme ships. The two stand for the proteins
beside the models of all 14 clades, so that a probability is one for a whole proteome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_encoder import closed_form, small
from whole_proteomes import PROTEOMES, beside

from gemforest.carveme_files import carveme_data
from gemforest.evidence.dark import LEAST_COSINE, dark_columns
from gemforest.evidence.homologs import Hits, Reference, candidates
from gemforest.evidence.neighbours import NEAREST, Index, Neighbours, make_index, nearest, proposals
from gemforest.sequences import fasta_genes, normalise

MANY = 200


@dataclass(frozen=True)
class Encoder:
    """The database's vectors: the index, its proteins' models, and each reference gene's raw vector (nan: none)."""

    index: Index
    model: np.ndarray
    vectors: np.ndarray
    checkpoint: str


@dataclass(frozen=True)
class DarkExamples:
    """Proposals for one lineage's dark proteins."""

    clade: int
    beside_models: bool
    columns: dict[str, np.ndarray]
    label: np.ndarray
    proteins: int


def load_encoder(reference: Reference, cache: Path) -> Encoder:
    """Vectors of all database proteins."""
    checkpoint = small(False, cache)
    sequences = {g.source_id: normalise(g.protein) for g in fasta_genes(database_faa().read_bytes())}
    genes = np.array([i for i, name in enumerate(reference.genes.tolist()) if name in sequences])
    found = closed_form([sequences[str(reference.genes[i])] for i in genes], checkpoint)
    vectors = np.full((len(reference.genes), found.shape[1]), np.nan, dtype=np.float32)
    vectors[genes] = found
    return Encoder(make_index(found, genes), reference.model[genes], vectors, checkpoint.sha256)


def database_faa() -> Path:
    return carveme_data("generated/bigg_proteins.faa")


def neighbours(encoder: Encoder, reference: Reference, genes: np.ndarray, hits: Hits, hidden: np.ndarray) -> Neighbours:
    """Neighbours of a model's genes; `hits` are those at or above the identity limit, whose targets do not count."""
    shown = ~hidden[encoder.model]
    wide = nearest(encoder.index, encoder.vectors[genes], ~shown, MANY if len(hits.query) else NEAREST)
    if not len(hits.query):
        return wide
    n = len(reference.genes)
    near = np.isin(np.arange(len(genes))[:, None] * n + wide.target, hits.query * n + hits.target)
    order = np.argsort(near, axis=1, kind="stable")[:, :NEAREST]
    assert not np.take_along_axis(near, order, axis=1).any(), "fewer neighbours than are looked at"
    return Neighbours(np.take_along_axis(wide.target, order, axis=1), np.take_along_axis(wide.cosine, order, axis=1))


def dark_examples(encoder: Encoder, reference: Reference, pool: Sequence[Any], cache: Path) -> list[DarkExamples]:
    """Of each model, and of what two whole proteomes have beside theirs."""
    made = []
    for genome in pool:
        hidden = reference.clade == genome.clade
        priors = candidates(genome.hits, reference, hidden).priors
        shown = genome.hits.take(np.flatnonzero(~hidden[reference.model[genome.hits.target]]))
        genes = np.searchsorted(reference.genes, genome.genes)
        dark = np.setdiff1d(np.arange(len(genome.genes)), shown.query)
        vectors = encoder.vectors[genes[dark]]
        made.append(_proposed(encoder, reference, genome.clade, vectors, priors, dark, genome.truth))
        if genome.model in PROTEOMES:
            vectors = _beside(reference, genome, cache)
            made.append(_proposed(encoder, reference, genome.clade, vectors, priors, None, np.zeros(0)))
    return made


def _proposed(
    encoder: Encoder,
    reference: Reference,
    clade: int,
    vectors: np.ndarray,
    priors: np.ndarray,
    genes: np.ndarray | None,
    truth: np.ndarray,
) -> DarkExamples:
    near = nearest(encoder.index, vectors, reference.clade[encoder.model] == clade)
    close = near.cosine[:, 0] >= LEAST_COSINE
    pairs, support = proposals(Neighbours(near.target[close], near.cosine[close]), reference)
    row, reaction = np.divmod(pairs, len(reference.reactions))
    label = np.zeros(len(pairs), dtype=bool)
    if genes is not None:
        label = np.isin(genes[close][row] * len(reference.reactions) + reaction, truth)
    return DarkExamples(clade, genes is None, dark_columns(support, priors[reaction]), label, len(vectors))


def _beside(reference: Reference, genome: Any, cache: Path) -> np.ndarray:
    """Vectors of the proteome's proteins that the model does not name and that have no hit outside the clade."""
    proteins, hits = beside(genome.model, genome.genes, cache)
    clade_of = {model: int(clade) for model, clade in zip(reference.models, reference.clade, strict=True)}
    rows = zip(hits["query"].to_pylist(), hits["target"].to_pylist(), strict=True)
    hit = {query for query, target in rows if clade_of.get(target.split(".", 1)[0]) != genome.clade}
    return closed_form([residues for key, residues in proteins.items() if key not in hit], small(False, cache))


def fit_dark(
    made: Sequence[DarkExamples], fit: Callable[..., Any], terms: Sequence[tuple[str, float | None]], version: str
) -> Any:
    """The regression over proposals, each clade counted as one whole proteome."""
    names = [name for name, _ in terms]
    inside = [one for one in made if not one.beside_models]
    sizes = {one.clade: sum(other.clade == one.clade for other in inside) for one in inside}
    beside = max(sum(one.beside_models for one in made), 1)
    weight = [
        np.full(len(one.label), len(sizes) / beside if one.beside_models else 1 / sizes[one.clade]) for one in made
    ]
    columns = np.concatenate([np.column_stack([one.columns[name] for name in names]) for one in made])
    label = np.concatenate([one.label for one in made])
    return fit(columns, label, np.concatenate(weight), names, terms, version, 1.0)


def judge_dark(
    made: Sequence[DarkExamples], fit: Callable[..., Any], terms: Sequence[tuple[str, float | None]], version: str
) -> list[dict[str, Any]]:
    """Brier score and reliability on the two whole proteomes, each clade's fit without it."""
    p, y = [], []
    for clade in sorted({one.clade for one in made if one.beside_models}):
        held = fit_dark([one for one in made if one.clade != clade], fit, terms, version)
        whole = [one for one in made if one.clade == clade]
        sizes = sum(not one.beside_models for one in whole)
        for one in whole:
            odds = held.log_odds(one.columns)
            # Several models of one clade: each counts in part.
            share = 1.0 if one.beside_models else 1.0 / sizes
            p.append(np.column_stack([1 / (1 + np.exp(-odds)), np.full(len(odds), share)]))
            y.append(one.label)
    table, label = np.concatenate(p), np.concatenate(y)
    order = np.argsort(table[:, 0], kind="stable")[::-1]
    rows = []
    for part in np.split(order, [len(order) // 1000, len(order) // 100, len(order) // 10]):
        w = table[part, 1]
        rows.append(
            {
                "n": len(part),
                "mean_probability": round(float(np.average(table[part, 0], weights=w)), 5),
                "share_right": round(float(np.average(label[part], weights=w)), 5),
            }
        )
    return [
        {
            "what": "dark enzymes of E. coli and B. subtilis: likeliest thousandth, hundredth, tenth, rest",
            "value": rows[0]["share_right"],
            "unit": "share right of the likeliest thousandth",
            "n": len(label),
            "proteins": sum(one.proteins for one in made if one.beside_models),
            "reliability": rows,
        }
    ]
