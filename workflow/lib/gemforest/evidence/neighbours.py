"""Source N: the nearest of BiGG's proteins by the encoder's vectors, and what they say of each candidate.

The vectors come from the embedding store (stage `embed`); those of BiGG's proteins are made one matrix, once for each
encoder and database, which worker processes map into memory instead of reading it. A genome's proteins are compared
with all of it in batches. Cosines are taken from the mean of the database's vectors: raw ones are all near 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemforest.carveme_files import carveme_data
from gemforest.embeddings import EmbeddingStore
from gemforest.evidence.homologs import Reference
from gemforest.sequences import fasta_genes, normalise, seq_key
from gemforest.store import atomic, digest, file_sha256

LETTER = "N"
VERSION = "1"
NEAREST = 30
"""Neighbours of each protein that are looked at."""

BATCH = 512
BLOCK = 32
VOTE_WIDTH = 0.1
"""A neighbour whose cosine is a tenth below the nearest one's counts e times less."""


@dataclass(frozen=True)
class Index:
    """Vectors of n database proteins.

    Attributes
    ----------
    genes
        n: index into `Reference.genes`.
    directions
        n × w float32, unit length, from the centre.
    centre
        w: mean vector of the database.
    """

    genes: np.ndarray
    directions: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True)
class Neighbours:
    """The nearest database proteins of g genes, nearest first: g × k indices into `Reference.genes`, and cosines."""

    target: np.ndarray
    cosine: np.ndarray


@dataclass(frozen=True)
class NeighbourSupport:
    """How a gene's neighbours agree with each of c candidates.

    Attributes
    ----------
    named
        Some neighbour does the reaction.
    cosine
        Of the nearest that does it, else of the nearest of all.
    margin
        That cosine less that of the nearest neighbour that does not do it; 0 where none does it.
    vote
        Share of the neighbours that do it, the nearest counting most.
    target
        Index into `Reference.genes` of the neighbour that `cosine` is about.
    """

    named: np.ndarray
    cosine: np.ndarray
    margin: np.ndarray
    vote: np.ndarray
    target: np.ndarray

    def take(self, rows: np.ndarray) -> NeighbourSupport:
        """Some of the candidates."""
        return NeighbourSupport(
            self.named[rows], self.cosine[rows], self.margin[rows], self.vote[rows], self.target[rows]
        )


def make_index(vectors: np.ndarray, genes: np.ndarray) -> Index:
    """Index of raw vectors n × w."""
    centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Index(genes, _directions(vectors, centre), centre)


def nearest(index: Index, vectors: np.ndarray, hidden: np.ndarray | None = None, k: int = NEAREST) -> Neighbours:
    """The k nearest database proteins of each of g vectors.

    Parameters
    ----------
    hidden
        n, bool: proteins of the index that count as not there; for held-out lineages.
    """
    shown = np.arange(len(index.genes)) if hidden is None else np.flatnonzero(~hidden)
    directions = index.directions if hidden is None else index.directions[shown]
    k = min(k, len(shown))
    target, cosine = np.zeros((len(vectors), k), dtype=np.int64), np.zeros((len(vectors), k), dtype=np.float32)
    for first in range(0, len(vectors), BATCH):
        rows = slice(first, first + BATCH)
        similarity = _directions(vectors[rows], index.centre) @ directions.T
        found = _largest(similarity, k)
        values = np.take_along_axis(similarity, found, axis=1)
        order = np.lexsort((found, -values), axis=1)
        target[rows] = index.genes[shown[np.take_along_axis(found, order, axis=1)]]
        cosine[rows] = np.take_along_axis(values, order, axis=1)
    return Neighbours(target, cosine)


def proposals(near: Neighbours, reference: Reference) -> tuple[np.ndarray, NeighbourSupport]:
    """Every pair `gene · reactions + reaction` that some neighbour proposes, sorted, with what the neighbours say."""
    n = len(reference.reactions)
    genes, k = near.target.shape
    weight = np.exp((near.cosine - near.cosine[:, :1]) / VOTE_WIDTH).ravel().astype(float)
    flat = near.target.ravel()
    size = reference.start[flat + 1] - reference.start[flat]
    row = np.repeat(np.arange(len(flat)), size)
    within = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    reaction = reference.reaction[reference.start[flat[row]] + within]
    pairs, first, of = np.unique(row // k * n + reaction, return_index=True, return_inverse=True)
    gene = pairs // n
    vote = np.bincount(of, weight[row], minlength=len(pairs)) / weight.reshape(genes, k).sum(axis=1)[gene]
    best = row[first]
    cosine = near.cosine.ravel()[best].astype(float)
    margin = cosine - _best_without(near, of, row, gene)
    return pairs, NeighbourSupport(np.ones(len(pairs), dtype=bool), cosine, margin, vote, flat[best])


def neighbour_support(
    query: np.ndarray, reaction: np.ndarray, near: Neighbours, reference: Reference
) -> NeighbourSupport:
    """What the neighbours of each candidate's gene say of its reaction; none names one beyond the reference's."""
    n = len(reference.reactions)
    pairs, said = proposals(near, reference)
    keys = np.where(reaction < n, query * n + reaction, -1)
    place = np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)
    named = pairs[place] == keys
    found = said.take(place)
    return NeighbourSupport(
        named,
        np.where(named, found.cosine, near.cosine[query, 0]),
        np.where(named, found.margin, 0.0),
        np.where(named, found.vote, 0.0),
        np.where(named, found.target, near.target[query, 0]),
    )


def neighbour_terms(support: NeighbourSupport) -> dict[str, np.ndarray]:
    """Columns of source N."""
    named = support.named.astype(float)
    other = 1.0 - named
    return {
        "N_named": named,
        "N_cosine": named * (support.cosine - 0.5),
        "N_margin": named * support.margin,
        "N_vote": named * np.log(support.vote + 0.01),
        "N_other": other,
        "N_other_cosine": other * (support.cosine - 0.5),
    }


def database_index(store: EmbeddingStore, cache: Path, reference: Reference) -> Index:
    """The index of BiGG's proteins, made once for each encoder and database and mapped from the cache after that.

    Raises
    ------
    InfrastructureError
        The store lacks vectors of BiGG's proteins.
    """
    source = carveme_data("generated/bigg_proteins.faa")
    name = digest([store.identity.to_json(), file_sha256(source), VERSION])[:16]
    path = cache / "neighbours" / f"{store.identity.name}-{name}.npy"
    if not path.exists():
        vectors = store.read(_database_keys(source, reference)[1])
        index = make_index(vectors, np.arange(len(vectors)))
        with atomic(path) as temporary, temporary.open("wb") as handle:
            # The centre is the last row: one file is there or is not.
            np.save(handle, np.concatenate([index.directions, index.centre[None]]))
    rows = np.load(path, mmap_mode="r")
    return Index(_database_keys(source, reference)[0], rows[:-1], np.array(rows[-1]))


def _database_keys(source: Path, reference: Reference) -> tuple[np.ndarray, list[bytes]]:
    """Of the database's proteins that have reactions: index into `Reference.genes`, and key in the store."""
    key_of = {gene.source_id: seq_key(normalise(gene.protein)) for gene in fasta_genes(source.read_bytes())}
    found = [(i, key_of[name]) for i, name in enumerate(reference.genes.tolist()) if name in key_of]
    return np.array([i for i, _ in found], dtype=np.int64), [key for _, key in found]


def _directions(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    moved = vectors - centre
    unit: np.ndarray = (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return unit


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest of each row, in no order: they lie in the k blocks of the largest maxima."""
    rows, columns = values.shape
    if columns <= k * BLOCK:
        return np.argpartition(values, columns - k, axis=1)[:, -k:]
    whole = columns // BLOCK
    maxima = values[:, : whole * BLOCK].reshape(rows, whole, BLOCK).max(axis=2)
    blocks = np.argpartition(maxima, whole - k, axis=1)[:, -k:]
    inside = (blocks[:, :, None] * BLOCK + np.arange(BLOCK)).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(whole * BLOCK, columns), (rows, columns - whole * BLOCK))
    near = np.concatenate([inside, rest], axis=1)
    best = np.argpartition(np.take_along_axis(values, near, axis=1), near.shape[1] - k, axis=1)[:, -k:]
    largest: np.ndarray = np.take_along_axis(near, best, axis=1)
    return largest


def _best_without(near: Neighbours, of: np.ndarray, row: np.ndarray, gene: np.ndarray) -> np.ndarray:
    """Of each pair the cosine of the gene's nearest neighbour that does not do the reaction; of the last if all do."""
    k = near.target.shape[1]
    # Rows of one pair are in the order of nearness: the first rank that is missing is the answer.
    order = np.lexsort((row, of))
    pair, rank = of[order], row[order] % k
    start = np.searchsorted(pair, np.arange(len(gene)))
    place = np.arange(len(pair)) - start[pair]
    first_gap = np.minimum(np.bincount(pair, rank == place, minlength=len(gene)).astype(int), k - 1)
    best: np.ndarray = near.cosine[gene, first_gap].astype(float)
    return best
