"""Which universe a genome belongs to, from its homology hits: `universe: auto`.

Two kinds of evidence, both from hits that a genome has anyway. Votes: each protein's best hit in CarveMe's database
votes for the group of the organism that the database protein is from. Markers: families whose function says what the
cell is wrapped in (lipid A and Kdo of the outer membrane, ether lipids of archaea) or lives on (photosystem I,
phycobilins). Votes tell domains apart but are biased by which organisms the database holds (without its own model,
Mycobacterium tuberculosis votes Gram-negative, two to one); markers are few but mean what they say. Constants of the
scores were set on the database's own 31 organisms, each judged without its relatives' proteins, and on no genome that
is used to judge the result.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_data
from gemforest.config import WORKFLOW
from gemforest.errors import RefusedError
from gemforest.ledger import Reason

GROUPS = ("gramneg", "grampos", "cyanobacteria", "archaea", "eukaryotes")
MODELS = "lineage_models.tsv"
MARKERS = "lineage_markers.tsv"

LEAST_BITS = 50.0
MARKER_BITS, MARKER_COVERAGE = 60.0, 0.6
# Mycoplasma genitalium, with the fewest genes of any cell in culture, has 130 proteins with a hit, one in four.
LEAST_PROTEINS_WITH_HIT, LEAST_SHARE_WITH_HIT = 30, 0.05
SURE = 0.85


@dataclass(frozen=True)
class Lineage:
    """The decision for one genome.

    Attributes
    ----------
    universe
        gramneg | grampos | cyanobacteria | archaea, or bacteria where the Gram type is uncertain.
    score
        Probability of that universe as the rule sees it, 0.5 to 1; for `bacteria` that of the likelier Gram type.
    uncertain
        `bacteria` was chosen for want of a sure Gram type.
    votes
        Share of the proteins with a hit whose best hit is of each group.
    markers
        Families found of each marker set.
    proteins_with_hit
        Proteins with a hit of at least 50 bits.
    """

    universe: str
    score: float
    uncertain: bool
    votes: Mapping[str, float]
    markers: Mapping[str, int]
    proteins_with_hit: int

    def __str__(self) -> str:
        votes = ", ".join(f"{group} {share:.2f}" for group, share in self.votes.items() if share >= 0.01)
        markers = ", ".join(f"{name} {count}" for name, count in self.markers.items())
        return f"{self.universe} ({self.score:.2f}); votes: {votes}; marker families: {markers}"


@dataclass(frozen=True)
class LineageEvidence:
    """What the database's proteins stand for.

    Attributes
    ----------
    group_of_model
        BiGG model id to a code in `GROUPS`.
    families
        Database protein to the (set, family) pairs that it belongs to.
    """

    group_of_model: Mapping[str, int]
    families: Mapping[str, tuple[tuple[str, str], ...]]
    sets: tuple[str, ...] = field(default=())


@cache
def lineage_evidence() -> LineageEvidence:
    """Read the project's two tables and join the markers with the gene rules that carveme ships."""
    models = {row["model"]: GROUPS.index(row["group"]) for row in _rows(resource(MODELS))}
    by_reaction: dict[str, list[tuple[str, str]]] = {}
    sets: dict[str, None] = {}
    for row in _rows(resource(MARKERS)):
        sets[row["set"]] = None
        for reaction in row["reactions"].split():
            by_reaction.setdefault(f"R_{reaction}", []).append((row["set"], row["family"]))
    families: dict[str, set[tuple[str, str]]] = {}
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz"), "rt", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            if row["reaction"] in by_reaction:
                protein = f"{row['model']}.{row['gene'].removeprefix('G_')}"
                families.setdefault(protein, set()).update(by_reaction[row["reaction"]])
    return LineageEvidence(models, {protein: tuple(sorted(found)) for protein, found in families.items()}, tuple(sets))


def resource(name: str) -> Path:
    """A file of the project's `resources` folder."""
    return WORKFLOW.parent / "resources" / name


def lineage_digests() -> dict[str, str]:
    """Digests of the project's tables that the decision rests on, for stage keys."""
    return {name: sha256(resource(name).read_bytes()).hexdigest() for name in (MODELS, MARKERS)}


def _rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t"))


def decide(hits: pa.Table, proteins: int, evidence: LineageEvidence | None = None) -> Lineage:
    """The universe that fits a genome.

    Parameters
    ----------
    hits
        The `hits` table, or its columns gene_id, target, bitscore, alignment_length, target_length.
    proteins
        Proteins of the genome, with or without hits.

    Raises
    ------
    RefusedError
        `outside_universes`: best hits are of eukaryotes, or hardly any protein has a hit (viruses, plasmids).
    """
    evidence = evidence or lineage_evidence()
    genes, targets, bits, coverage = _columns(hits)
    votes, count = _votes(genes, targets, bits, evidence)
    markers = _markers(genes, targets, bits, coverage, evidence)
    if count < LEAST_PROTEINS_WITH_HIT or count < LEAST_SHARE_WITH_HIT * proteins:
        raise RefusedError(
            Reason.OUTSIDE_UNIVERSES,
            f"{count} of {proteins} proteins resemble a metabolic enzyme of any known cell; a virus, plasmid or "
            "fragment? Name a universe in the sheet to go on all the same",
        )
    share = dict(zip(GROUPS, votes.tolist(), strict=True))
    if (sure := _logistic(20 * (share["eukaryotes"] - 0.35))) > 0.5:
        raise RefusedError(
            Reason.OUTSIDE_UNIVERSES,
            f"{share['eukaryotes']:.0%} of the proteins with a hit resemble eukaryotes most (score {sure:.2f}); the "
            "universes hold bacteria and archaea only",
        )
    universe, score = _universe(share, markers)
    return Lineage(universe, score, universe == "bacteria", share, markers, count)


def _universe(share: Mapping[str, float], markers: Mapping[str, int]) -> tuple[str, float]:
    """Universe and score from the shares of votes and the marker families found."""
    archaeon = _logistic(1.5 * (markers["archaeal_lipids"] - 1.5) + 20 * (share["archaea"] - 0.15))
    cyanobacterium = _logistic(1.2 * (markers["oxygenic"] - 2) + 15 * (share["cyanobacteria"] - 0.25))
    if max(archaeon, cyanobacterium) > 0.5:
        return ("archaea", archaeon) if archaeon >= cyanobacterium else ("cyanobacteria", cyanobacterium)
    negative, positive = share["gramneg"], share["grampos"]
    leaning = (negative - positive) / max(negative + positive, 1e-9)
    outer_membrane = _logistic(1.2 * (markers["lipopolysaccharide"] - 2) + 6 * leaning)
    bacterium = 1.0 - max(archaeon, cyanobacterium)
    if outer_membrane >= SURE:
        return "gramneg", outer_membrane * bacterium
    if outer_membrane <= 1 - SURE:
        return "grampos", (1 - outer_membrane) * bacterium
    return "bacteria", max(outer_membrane, 1 - outer_membrane)


def _logistic(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-x)))


def _columns(hits: pa.Table) -> tuple[np.ndarray, pa.DictionaryArray, np.ndarray, np.ndarray]:
    """Gene codes, targets, bit scores and target coverages of hits with at least `LEAST_BITS`."""
    strong = hits.filter(pa.array(hits["bitscore"].to_numpy() >= LEAST_BITS)).combine_chunks()
    genes = _encoded(strong["gene_id"]).indices.to_numpy()
    coverage = strong["alignment_length"].to_numpy() / np.maximum(strong["target_length"].to_numpy(), 1)
    return genes, _encoded(strong["target"]), strong["bitscore"].to_numpy(), coverage


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return pa.concat_arrays(column.chunks or [pa.array([], column.type)]).dictionary_encode()


def _votes(
    genes: np.ndarray, targets: pa.DictionaryArray, bits: np.ndarray, evidence: LineageEvidence
) -> tuple[np.ndarray, int]:
    """Share of genes whose best hit is of each group, ties split; number of genes that vote."""
    of_target = [evidence.group_of_model.get(name.split(".", 1)[0], -1) for name in targets.dictionary.to_pylist()]
    groups = np.array(of_target, np.int64)[targets.indices.to_numpy()] if of_target else np.zeros(0, np.int64)
    known = groups >= 0
    best = np.zeros((genes.max(initial=-1) + 1, len(GROUPS)))
    np.maximum.at(best, (genes[known], groups[known]), bits[known])
    best = best[best.max(axis=1, initial=0) > 0]
    winners = best == best.max(axis=1, keepdims=True, initial=0)
    shares = (winners / winners.sum(axis=1, keepdims=True)).sum(axis=0) / max(len(best), 1)
    return shares, len(best)


def _markers(
    genes: np.ndarray, targets: pa.DictionaryArray, bits: np.ndarray, coverage: np.ndarray, evidence: LineageEvidence
) -> dict[str, int]:
    """Number of families of each set that are the best hit of some gene."""
    found: dict[str, set[str]] = {name: set() for name in evidence.sets}
    best = np.zeros(genes.max(initial=-1) + 1)
    np.maximum.at(best, genes, bits)
    (rows,) = np.nonzero((bits >= best[genes]) & (bits >= MARKER_BITS) & (coverage >= MARKER_COVERAGE))
    names = targets.dictionary.to_pylist()
    for code in np.unique(targets.indices.to_numpy()[rows]):
        for set_name, family in evidence.families.get(names[int(code)], ()):
            found[set_name].add(family)
    return {name: len(families) for name, families in found.items()}
