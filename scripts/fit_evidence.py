"""Fit the calibrations of the evidence (homologs, all sources, reactions) and report them on held-out lineages.

    python scripts/fit_evidence.py --cache DIR --out resources/evidence --report tests/bench/evidence.json

The 21 prokaryotic BiGG models whose proteins are in CarveMe's database are the genomes, their gene rules the labels.
A model is judged with its whole clade (`resources/evidence/clades.tsv`) hidden: as reference, as prior, and from the
fit. The genomes that are fitted on are themselves seen without their own clade, so that fit and judgement meet the
same distance to the database. `< 70` and `< 50`: hits at or above that identity are removed. What is shipped is fitted
on all 21. Needs scikit-learn (a development dependency); DIAMOND is called twice, its hits are kept in the cache.

Reviewed enzymes (source E) of the hidden clade are hidden too: those that BiGG's models of the clade name by accession,
and all that a gene resembles by 80 % and more. Annotation (source A) is synthetic, for no annotation file exists for
these genomes: the true EC numbers of each gene, 40 % of them lost and 15 % replaced by another, half of these within
the same subclass. Source N and dark proteins: `encoder_neighbours.py`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent))
import encoder_neighbours as encoding
from whole_proteomes import COLUMNS, PROTEOMES, beside, bigg_hits

from gemforest.carveme_files import carveme_data
from gemforest.evidence.calibration import Calibration, Term, probability
from gemforest.evidence.combine import (
    NO_HOMOLOG,
    OTHER_SOURCES,
    EcSupport,
    EcWord,
    columns_with_homolog,
    columns_without_homolog,
    ec_candidates,
    ec_support,
    options_of,
)
from gemforest.evidence.ec import current_ecs
from gemforest.evidence.ecreactions import reaction_ecs
from gemforest.evidence.homologs import FEATURES, PRIORS, Hits, Reference, bigg_reference, candidates, self_bits
from gemforest.evidence.neighbours import NeighbourSupport, neighbour_support
from gemforest.evidence.reactions import GENE_FEATURES, REACTION_FEATURES, gene_features, reaction_features
from gemforest.evidence.subunits import Presence, bigg_partners, subunit_presence
from gemforest.reviewed import SEQUENCES, ec_resource, enzyme_ecs

REGIMES = {"all": 9.0, "<70": 0.7, "<50": 0.5}
# «kin»: only the genome itself is hidden, its close relatives are not; where the fit sees hits of high identity.
KIN = "kin"
FITTED_REGIMES = ("all", "<50", KIN)
# Features whose logarithm is the better scale, and what is added before.
OFFSETS = {
    "vote": 0.01,
    "clade_vote": 0.01,
    "clades_agree": 0.3,
    "clades_elsewhere": 0.3,
    "clades_without": 0.3,
    "clades_with_reaction": 0.0,
    "kin_with_reaction": 0.02,
    "similar_with_reaction": 0.01,
    "best_for_target": 0.0,
    "best_in_genome": 0.0,
}
TERMS: tuple[tuple[str, float | None], ...] = tuple((name, OFFSETS.get(name)) for name in FEATURES)
REACTION_TERMS: tuple[tuple[str, float | None], ...] = tuple((name, None) for name in REACTION_FEATURES)
GENE_TERMS: tuple[tuple[str, float | None], ...] = tuple((name, None) for name in GENE_FEATURES)
BINS = ((0.3, 0.5), (0.5, 0.7), (0.7, 1.01))


@dataclass(frozen=True)
class Genome:
    """A BiGG model's genes with their true reactions; `truth` holds gene · reactions + reaction."""

    model: str
    clade: int
    genes: tuple[str, ...]
    truth: np.ndarray
    hits: Hits


@dataclass(frozen=True)
class Examples:
    """Candidates of one genome with labels; `positives` counts also what no candidate reaches."""

    columns: np.ndarray
    query: np.ndarray
    reaction: np.ndarray
    label: np.ndarray
    identity: np.ndarray
    positives: int


def pooled_hits(cache: Path) -> pa.Table:
    """All against all in CarveMe's database."""
    cache.mkdir(parents=True, exist_ok=True)
    return bigg_hits(prokaryotic_fasta(cache), cache / "pooled.tsv")


def prokaryotic_fasta(cache: Path) -> Path:
    reference = bigg_reference()
    wanted = {reference.models[i] for i in prokaryotes(reference)}
    path = cache / "query.faa"
    with path.open("w") as out:
        for name, sequence in sorted(database_sequences().items()):
            if name.split(".", 1)[0] in wanted:
                out.write(f">{name}\n{sequence}\n")
    return path


def database_sequences() -> dict[str, str]:
    """Sequences of CarveMe's database by `model.gene`."""
    said = subprocess.run(
        ["diamond", "getseq", "--db", str(carveme_data("generated/bigg_proteins.dmnd"))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    parts = [record.split("\n", 1) for record in said.split(">")[1:]]
    return {head.split()[0]: body.replace("\n", "") for head, body in parts}


def prokaryotes(reference: Reference) -> list[int]:
    return [i for i, name in enumerate(reference.kin_names) if name != "eukaryotes"]


def genomes(reference: Reference, cache: Path) -> list[Genome]:
    """The prokaryotic models as genomes."""
    sequences, table = database_sequences(), pooled_hits(cache)
    owner = np.array([name.split(".", 1)[0] for name in table["query"].to_pylist()])
    found = []
    for i in prokaryotes(reference):
        members = [g for g in np.flatnonzero(reference.model == i).tolist() if reference.genes[g] in sequences]
        genes = tuple(str(reference.genes[g]) for g in members)
        truth = [
            n * len(reference.reactions) + reference.reaction[reference.start[g] : reference.start[g + 1]]
            for n, g in enumerate(members)
        ]
        hits = hits_of(reference, table.filter(owner == reference.models[i]), genes, [sequences[g] for g in genes])
        found.append(Genome(reference.models[i], int(reference.clade[i]), genes, np.concatenate(truth), hits))
    return found


def genome_beside(reference: Reference, genome: Genome, cache: Path) -> Genome:
    """What the whole proteome has beside the model: genes of which none does a reaction, as far as BiGG knows."""
    proteins, table = beside(genome.model, genome.genes, cache)
    hits = hits_of(reference, table, tuple(proteins), [residues.decode() for residues in proteins.values()])
    return Genome(genome.model, genome.clade, tuple(proteins), np.zeros(0, dtype=np.int64), hits)


def hits_of(reference: Reference, table: pa.Table, genes: Sequence[str], sequences: Sequence[str]) -> Hits:
    """Rows of DIAMOND's table about some genes, where the target is in the reference."""
    target = np.array(table["target"].to_pylist(), dtype=str)
    place = np.minimum(np.searchsorted(reference.genes, target), len(reference.genes) - 1)
    number = {name: n for n, name in enumerate(genes)}
    query = np.array([number.get(name, -1) for name in table["query"].to_pylist()], dtype=np.int64)
    rows = np.flatnonzero((reference.genes[place] == target) & (query >= 0))
    column = {name: table[name].to_numpy().astype(float)[rows] for name in list(COLUMNS.values())[2:]}
    return Hits(
        query=query[rows],
        target=place[rows],
        bits=column["bits"],
        identity=column["identity"] / 100,
        query_coverage=(column["qend"] - column["qstart"] + 1) / column["qlen"],
        target_coverage=(column["send"] - column["sstart"] + 1) / column["slen"],
        self_bits=self_bits(sequences),
    )


def examples(reference: Reference, genome: Genome, regime: str, also_hidden: int = -1) -> Examples:
    """Candidates of a genome that its own clade, and another, does not help."""
    hidden = np.isin(reference.clade, [genome.clade, also_hidden])
    if regime == KIN:
        hidden = (reference.clade == also_hidden) | (np.array(reference.models) == genome.model)
    hits = genome.hits.take(np.flatnonzero(genome.hits.identity < REGIMES.get(regime, np.inf)))
    found = candidates(hits, reference, hidden)
    label = np.isin(found.query * len(reference.reactions) + found.reaction, genome.truth)
    columns = found.features.astype(np.float32)
    return Examples(columns, found.query, found.reaction, label, hits.identity[found.hit], len(genome.truth))


def fit(
    columns: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    names: Sequence[str],
    terms: Sequence[tuple[str, float | None]],
    version: str,
    inverse_penalty: float = 0.05,
) -> Calibration:
    """Logistic regression over standardised terms; those of sources that may be silent are 0 where they are."""
    place = {name: i for i, name in enumerate(names)}
    values = np.column_stack([Term(n, o, 0, 1, 0).value(columns[:, place[n]].astype(float)) for n, o in terms])
    mean = np.average(values, axis=0, weights=weight)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight)) + 1e-6
    mean[[n.split("_", 1)[0] in OTHER_SOURCES for n, _ in terms]] = 0.0
    model = LogisticRegression(C=inverse_penalty, max_iter=300, tol=1e-4).fit((values - mean) / scale, label, weight)
    prior = float(np.average(label, weights=weight))
    return Calibration(
        version=version,
        terms=tuple(
            Term(name, offset, float(mean[i]), float(scale[i]), float(model.coef_[0, i]))
            for i, (name, offset) in enumerate(terms)
        ),
        intercept=float(model.intercept_[0]),
        threshold=0.5,
        prior_log_odds=float(np.log(prior / (1 - prior))),
    )


def predicted(calibration: Calibration, columns: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return probability(calibration.log_odds({n: columns[:, i].astype(float) for i, n in enumerate(names)}))


def stacked(made: Sequence[Examples], sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, weights: each clade counts as one model."""
    return (
        np.concatenate([e.columns for e in made]),
        np.concatenate([e.label for e in made]),
        np.concatenate([np.full(len(e.label), 1 / size) for e, size in zip(made, sizes, strict=True)]),
    )


def regimes_of(pool: Sequence[Genome], sizes: dict[int, int]) -> list[tuple[Genome, str]]:
    """What is fitted on: every genome at every distance, and with its kin where it has some."""
    return [(g, r) for g in pool for r in FITTED_REGIMES if r != KIN or sizes[g.clade] > 1]


def clade_sizes(pool: Sequence[Genome]) -> dict[int, int]:
    return {g.clade: sum(h.clade == g.clade for h in pool) for g in pool}


def held_out(reference: Reference, pool: Sequence[Genome], version: str) -> Iterator[tuple[Genome, Calibration]]:
    """Each genome with a calibration that has seen neither its clade's labels nor its proteins."""
    sizes = clade_sizes(pool)
    for clade in sorted(sizes):
        others = [g for g in pool if g.clade != clade]
        made = [(examples(reference, g, r, clade), sizes[g.clade]) for g, r in regimes_of(others, sizes)]
        columns, label, weight = stacked([e for e, _ in made], [s for _, s in made])
        calibration = fit(columns, label, weight, FEATURES, TERMS, version)
        distant = [e for (_, r), (e, _) in zip(regimes_of(others, sizes), made, strict=True) if r != KIN]
        calibration = with_threshold(calibration, distant)
        yield from ((g, calibration) for g in pool if g.clade == clade)


def with_threshold(calibration: Calibration, made: Sequence[Examples]) -> Calibration:
    """Accept from half the best micro F1 on the fitted genomes, their clades hidden, on."""
    p = np.concatenate([predicted(calibration, e.columns, FEATURES) for e in made])
    label = np.concatenate([e.label for e in made])
    positives = sum(e.positives for e in made)
    best = max(f1(label[p >= t].sum(), (p >= t).sum(), positives) for t in np.arange(0.1, 0.5, 0.02))
    return replace(calibration, threshold=round(best / 2, 3))


def f1(hit: float, called: float, positives: float) -> float:
    return 2 * hit / max(called + positives, 1)


def best_hit_counts(reference: Reference, genome: Genome, regime: str) -> np.ndarray:
    """(right, called, positives) of the reactions of each gene's best hit."""
    hidden = reference.clade == genome.clade
    hits = genome.hits.take(
        np.flatnonzero((genome.hits.identity < REGIMES[regime]) & ~hidden[reference.model[genome.hits.target]])
    )
    hits = hits.take(np.lexsort((hits.target, -hits.bits, hits.query)))
    query, first = np.unique(hits.query, return_index=True)
    called = np.concatenate(
        [
            q * len(reference.reactions) + reference.reaction[reference.start[t] : reference.start[t + 1]]
            for q, t in zip(query, hits.target[first], strict=True)
        ]
    )
    return np.array([np.isin(called, genome.truth).sum(), len(called), len(genome.truth)], dtype=float)


def composition_counts(reference: Reference, pool: Sequence[Genome]) -> list[np.ndarray]:
    """(right, called, positives) of the reactions of the protein with the nearest dipeptide composition."""
    sequences = database_sequences()
    present = np.array([g for g, name in enumerate(reference.genes.tolist()) if name in sequences])
    vectors = np.stack([dipeptides(sequences[str(reference.genes[g])]) for g in present])
    row_of = {str(reference.genes[g]): i for i, g in enumerate(present)}
    counts = []
    for genome in pool:
        shown = reference.clade[reference.model[present]] != genome.clade
        nearness = vectors[[row_of[name] for name in genome.genes]] @ vectors[shown].T
        nearest = present[shown][nearness.argmax(axis=1)]
        called = np.concatenate(
            [
                q * len(reference.reactions) + reference.reaction[reference.start[t] : reference.start[t + 1]]
                for q, t in enumerate(nearest)
            ]
        )
        counts.append(np.array([np.isin(called, genome.truth).sum(), len(called), len(genome.truth)], dtype=float))
    return counts


def dipeptides(sequence: str) -> np.ndarray:
    code = np.full(128, -1)
    for i, letter in enumerate("ACDEFGHIKLMNPQRSTVWY"):
        code[ord(letter)] = i
    residues = code[np.frombuffer(sequence.encode(), dtype=np.uint8)]
    pair = residues[:-1] * 20 + residues[1:]
    counts = np.bincount(pair[(residues[:-1] >= 0) & (residues[1:] >= 0)], minlength=400).astype(np.float32)
    return counts / max(float(np.linalg.norm(counts)), 1e-9)


def ece(p: np.ndarray, label: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal mass."""
    order = np.argsort(p, kind="stable")
    bins = zip(np.array_split(p[order], 10), np.array_split(label[order], 10), strict=True)
    return float(sum(abs(a.mean() - b.mean()) * len(a) for a, b in bins if len(a)) / max(len(p), 1))


def reliability(p: np.ndarray, label: np.ndarray) -> list[dict[str, float]]:
    order = np.argsort(p, kind="stable")
    bins = zip(np.array_split(p[order], 10), np.array_split(label[order], 10), strict=True)
    return [
        {"n": len(a), "mean_probability": round(float(a.mean()), 4), "share_right": round(float(b.mean()), 4)}
        for a, b in bins
        if len(a)
    ]


def interval(ours: np.ndarray, theirs: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval over models of the difference in micro F1; rows are (right, called, positives)."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(ours), (draws, len(ours)))
    a, b = ours[picks].sum(axis=1), theirs[picks].sum(axis=1)
    difference = 2 * a[:, 0] / (a[:, 1] + a[:, 2]) - 2 * b[:, 0] / (b[:, 1] + b[:, 2])
    low, high = np.quantile(difference, [0.025, 0.975])
    return float(low), float(high)


def judge(
    reference: Reference, pool: Sequence[Genome], held: Sequence[tuple[Genome, Calibration]]
) -> tuple[list[dict], list]:
    """Records of the report, and (genome, its candidates without identity limit, probabilities) for the reactions."""
    composition = dict(zip([g.model for g in pool], composition_counts(reference, pool), strict=True))
    counts: dict[str, list] = {regime: [] for regime in REGIMES}
    kept: list = []
    for genome, calibration in held:
        for regime in REGIMES:
            made = examples(reference, genome, regime)
            p = predicted(calibration, made.columns, FEATURES)
            accepted = p >= calibration.threshold
            ours = np.array([made.label[accepted].sum(), accepted.sum(), made.positives], dtype=float)
            counts[regime].append((ours, best_hit_counts(reference, genome, regime)))
            if regime == "all":
                kept.append((genome, made, p))
    records = []
    for regime, rows in counts.items():
        ours, theirs = (np.array([row[i] for row in rows]) for i in (0, 1))
        a, b = f1(*ours.sum(axis=0)), f1(*theirs.sum(axis=0))
        low, high = interval(ours, theirs)
        records.append(
            {
                "what": f"gene to reaction, micro F1, {regime}",
                "value": round(float(a), 4),
                "unit": "",
                "peer": "DIAMOND best hit",
                "peer_value": round(float(b), 4),
                "difference": round(float(a - b), 4),
                "difference_95": [round(low, 4), round(high, 4)],
            }
        )
    total = np.array([composition[g.model] for g in pool]).sum(axis=0)
    name = "gene to reaction, micro F1, all, composition neighbour"
    records.append({"what": name, "value": round(float(f1(*total)), 4)})
    return records + calibration_records("gene to reaction", kept), kept


def calibration_records(what: str, kept: list) -> list[dict]:
    p = np.concatenate([row[2] for row in kept])
    label = np.concatenate([row[1].label for row in kept])
    identity = np.concatenate([row[1].identity for row in kept])
    records = [{"what": f"{what}, Brier score", "value": round(float(np.mean((p - label) ** 2)), 4), "unit": ""}]
    for low, high in BINS:
        inside = (identity >= low) & (identity < high)
        records.append(
            {
                "what": f"{what}, ECE, identity {low:.0%} to {min(high, 1):.0%}",
                "value": round(ece(p[inside], label[inside]), 4),
                "unit": "",
                "n": int(inside.sum()),
                "reliability": reliability(p[inside], label[inside]),
            }
        )
    return records


def reaction_level(reference: Reference, kept: list, version: str) -> tuple[list[dict], Calibration]:
    """Fit and judge the step from genes to reactions on the held-out probabilities of genes."""
    made = []
    for genome, found, p in kept:
        rows = reaction_features(found.query, found.reaction, np.log(p / (1 - p)), prior_of(found))
        label = np.isin(rows.reaction, np.unique(genome.truth % len(reference.reactions)))
        made.append((genome.clade, rows.features, label))
    return judge_reactions("reactions", made, version)


def judge_reactions(what: str, made: list, version: str) -> tuple[list[dict], Calibration]:
    """Records and the fit on all; `made` are (clade, features, labels) of genomes."""
    sizes = {clade: sum(c == clade for c, _, _ in made) for clade, _, _ in made}
    fitted = {}
    for clade in [*sorted(sizes), None]:
        rest = [row for row in made if row[0] != clade]
        fitted[clade] = fit(
            np.concatenate([f for _, f, _ in rest]),
            np.concatenate([y for _, _, y in rest]),
            np.concatenate([np.full(len(y), 1 / sizes[c]) for c, _, y in rest]),
            REACTION_FEATURES,
            REACTION_TERMS,
            version,
            1.0,
        )
    p = np.concatenate([predicted(fitted[c], f, REACTION_FEATURES) for c, f, _ in made])
    label = np.concatenate([y for _, _, y in made])
    records = [
        {"what": f"{what}, Brier score", "value": round(float(np.mean((p - label) ** 2)), 4), "unit": ""},
        {
            "what": f"{what}, ECE",
            "value": round(ece(p, label), 4),
            "unit": "",
            "n": len(p),
            "reliability": reliability(p, label),
        },
    ]
    return records, fitted[None]


def gene_level(
    reference: Reference, held: Sequence[tuple[Genome, Calibration]], kept: list, cache: Path, version: str
) -> tuple[list[dict], Calibration]:
    """Fit and judge «none of these»: whether any reaction that is proposed for a gene is right.

    Two whole proteomes tell of genes beside the models; each stands for those of half the clades.
    """
    made = [(genome, True, *genes_judged(found, p)) for genome, found, p in kept]
    for genome, calibration in held:
        if genome.model in PROTEOMES:
            found = examples(reference, genome_beside(reference, genome, cache), "all")
            made.append((genome, False, *genes_judged(found, predicted(calibration, found.columns, FEATURES))))
    sizes = clade_sizes([genome for genome, *_ in kept])
    fitted = {}
    for clade in [*sorted(sizes), None]:
        rest = [row for row in made if row[0].clade != clade]
        share = len({g.clade for g, *_ in rest}) / sum(not named for _, named, *_ in rest)
        fitted[clade] = fit(
            np.concatenate([f for _, _, f, _ in rest]),
            np.concatenate([y for *_, y in rest]),
            np.concatenate([np.full(len(y), 1 / sizes[g.clade] if named else share) for g, named, _, y in rest]),
            GENE_FEATURES,
            GENE_TERMS,
            version,
            1.0,
        )
    whole = [(predicted(fitted[g.clade], f, GENE_FEATURES), y) for g, _, f, y in made if g.model in PROTEOMES]
    p, label = (np.concatenate([row[i] for row in whole]) for i in (0, 1))
    what = "genes, any of the proposed reactions, whole proteomes of E. coli and B. subtilis"
    return [
        {"what": f"{what}, Brier score", "value": round(float(np.mean((p - label) ** 2)), 4)},
        {
            "what": f"{what}, ECE",
            "value": round(ece(p, label), 4),
            "n": len(p),
            "reliability": reliability(p, label),
        },
    ], fitted[None]


def genes_judged(found: Examples, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features of the genes that have candidates, and whether any candidate is right."""
    genes, features = gene_features(found.query, np.log(p / (1 - p)))
    return features, np.isin(genes, found.query[found.label])


def prior_of(found: Examples) -> np.ndarray:
    return found.columns[:, FEATURES.index("kin_with_reaction")].astype(float)


# Sets of sources beside D that have a fit of their own, and those that are judged on held-out clades.
SETS = ("E", "P", "A", "AE", "AP", "EP", "AEP", "N", "EN", "AN", "NP", "AEN", "ENP", "ANP", "AENP")
JUDGED = ("E", "P", "A", "AE", "N", "EN")
# Of wrong candidates one in so many is fitted on, with that weight.
THINNING = 8
LOSS, ERROR = 0.4, 0.15
NEAREST_ENZYME = {"all": 0.8, "<70": 0.7, "<50": 0.5}
PRIOR_TERMS: tuple[tuple[str, float | None], ...] = (
    ("clades_with_reaction", 0.3),
    ("kin_with_reaction", 0.02),
    ("similar_with_reaction", 0.01),
    ("log_genes_per_model", None),
    ("best_of_gene", None),
    ("options", 0.0),
)
# On the two held-out proteomes cosine and votes made likely what was wrong; with these two the log loss was least.
DARK_TERMS: tuple[tuple[str, float | None], ...] = (("margin", None), ("kin_with_reaction", 0.02))


@dataclass(frozen=True)
class Case:
    """A genome at one distance, its clade hidden, with everything that the sources say."""

    genome: Genome
    regime: str
    query: np.ndarray
    reaction: np.ndarray
    label: np.ndarray
    identity: np.ndarray
    log_odds: np.ndarray
    supports: dict[str, EcSupport]
    presence: Presence
    neighbours: NeighbourSupport
    kin: np.ndarray
    further: dict[str, Further]


@dataclass(frozen=True)
class Further:
    """Candidates that only the EC numbers of a set of sources propose."""

    query: np.ndarray
    reaction: np.ndarray
    label: np.ndarray
    columns: dict[str, np.ndarray]


def enzyme_words(pool: Sequence[Genome], cache: Path) -> dict[str, list[list]]:
    """Per model and gene: (accession, identity, strength, bits) of the reviewed enzymes that it resembles."""
    found = cache / "enzymes.tsv"
    if not found.exists():
        (cache / "enzymes.faa").write_bytes(gzip.decompress(ec_resource(SEQUENCES).read_bytes()))
        made = ["diamond", "makedb", "--in", str(cache / "enzymes.faa"), "--db", str(cache / "enzymes"), "--quiet"]
        subprocess.run(made, check=True)
        command = ["diamond", "blastp", "--db", str(cache / "enzymes"), "--query", str(prokaryotic_fasta(cache))]
        command += ["--out", str(found), "--more-sensitive", "-k", "50", "-e", "1e-5", "--index-chunks", "1"]
        columns = ["qseqid", "sseqid", "pident", "qcovhsp", "scovhsp", "bitscore"]
        subprocess.run([*command, "--quiet", "--outfmt", "6", *columns], check=True)
    hits: dict[str, list] = {}
    for line in found.read_text().splitlines():
        query, target, identity, query_cover, target_cover, bits = line.split("\t")
        covered = min(float(query_cover), float(target_cover)) / 100
        share = float(identity) / 100
        hits.setdefault(query, []).append((target, share, share * covered**0.5, float(bits)))
    return {g.model: [hits.get(name, []) for name in g.genes] for g in pool}


def accessions_of_clades(reference: Reference) -> dict[int, frozenset[str]]:
    """UniProt accessions that the models of each clade name for their genes."""
    clade_of = {model: int(reference.clade[i]) for i, model in enumerate(reference.models)}
    found: dict[int, set[str]] = {}
    with gzip.open(carveme_data("generated/gene_annotations.tsv.gz"), "rt") as handle:
        for line in handle:
            model, _, resource = line.rstrip("\n").split("\t")[:3]
            if "/uniprot/" in resource and model in clade_of:
                found.setdefault(clade_of[model], set()).add(resource.rsplit("/", 1)[1])
    return {clade: frozenset(names) for clade, names in found.items()}


def words_of_enzymes(hits: Sequence[list], nearest: float, hidden: frozenset[str]) -> list[EcWord]:
    numbers_of, words = enzyme_ecs(), []
    for gene, rows in enumerate(hits):
        near = [row for row in rows if row[1] < nearest and row[0] not in hidden]
        best = max((row[3] for row in near), default=0.0)
        for target, _, strength, bits in near:
            if bits >= 0.5 * best:
                for number in numbers_of[target]:
                    words += [EcWord(gene, ec, strength, w * bits / best) for ec, w in current_ecs(number).items()]
    return words


def synthetic_annotation(genome: Genome, ecs: Sequence[tuple[str, ...]], seed: int) -> list[EcWord]:
    """True EC numbers of each gene with the stated loss and errors."""
    rng = np.random.default_rng(seed)
    pool = sorted({ec for numbers in ecs for ec in numbers})
    siblings: dict[str, list[str]] = {}
    for ec in pool:
        siblings.setdefault(ec.rsplit(".", 1)[0], []).append(ec)
    n, words = len(ecs), []
    for gene in range(len(genome.genes)):
        mine = genome.truth[genome.truth // n == gene] % n
        for ec in sorted({ec for r in mine.tolist() for ec in ecs[r]}):
            if rng.random() < LOSS:
                continue
            said = ec
            if rng.random() < ERROR:
                others = siblings[ec.rsplit(".", 1)[0]] if rng.random() < 0.5 else pool
                said = others[int(rng.integers(len(others)))]
            words.append(EcWord(gene, said, 0.5))
    return words


def cases(
    reference: Reference, held: Sequence[tuple[Genome, Calibration]], cache: Path, encoder: encoding.Encoder
) -> list[Case]:
    """All genomes at all distances; source D's log-odds are held-out ones."""
    mapped = reaction_ecs("bacteria", cache / "none", cache)
    n = len(reference.reactions)
    ecs = [mapped.get(name, ()) for name in reference.reactions.tolist()]
    reactions_of: dict[str, list[int]] = {}
    for r, numbers in enumerate(ecs):
        for ec in numbers:
            reactions_of.setdefault(ec, []).append(r)
    hits_of, accessions, partners = (
        enzyme_words([genome for genome, _ in held], cache),
        accessions_of_clades(reference),
        bigg_partners(),
    )
    made = []
    for number, (genome, calibration) in enumerate(held):
        hidden = reference.clade == genome.clade
        for regime, limit in REGIMES.items():
            hits = genome.hits.take(np.flatnonzero(genome.hits.identity < limit))
            found = candidates(hits, reference, hidden)
            log_odds = calibration.log_odds({name: found.features[:, i] for i, name in enumerate(FEATURES)})
            known_names = accessions.get(genome.clade, frozenset())
            words = {
                "E": words_of_enzymes(hits_of[genome.model], NEAREST_ENZYME[regime], known_names),
                "A": synthetic_annotation(genome, ecs, number),
            }
            keys = found.query * n + found.reaction
            best = np.full(len(genome.genes), NO_HOMOLOG)
            np.maximum.at(best, found.query, log_odds)
            too_near = genome.hits.take(np.flatnonzero(genome.hits.identity >= limit))
            members = np.searchsorted(reference.genes, genome.genes)
            near = encoding.neighbours(encoder, reference, members, too_near, hidden)
            further = {}
            for letters in ("A", "E", "AE"):
                pairs = ec_candidates([w for s in letters for w in words[s]], reactions_of, keys, n)
                query, reaction = pairs // n, pairs % n
                supports = {s: ec_support(query, reaction, words[s], ecs) for s in letters}
                given = (supports, found.priors[reaction], best[query], options_of(pairs, n))
                label, around = np.isin(pairs, genome.truth), neighbour_support(query, reaction, near, reference)
                further[letters] = Further(query, reaction, label, columns_without_homolog(*given))
                further[letters + "N"] = Further(query, reaction, label, columns_without_homolog(*given, around))
            made.append(
                Case(
                    genome,
                    regime,
                    found.query,
                    found.reaction,
                    np.isin(keys, genome.truth),
                    hits.identity[found.hit],
                    log_odds,
                    {s: ec_support(found.query, found.reaction, words[s], ecs) for s in words},
                    subunit_presence(hits, found, reference, partners, hidden),
                    neighbour_support(found.query, found.reaction, near, reference),
                    found.priors[found.reaction, PRIORS.index("kin_with_reaction")],
                    further,
                )
            )
    return made


def fit_set(made: Sequence[Case], letters: str, sizes: dict[int, int], version: str) -> dict[str, Calibration]:
    """The two regressions of a set of sources, with a common threshold."""
    used = [case for case in made if case.regime in FITTED_REGIMES]
    fits = {"with_homolog": fit_columns([(c, with_homolog(c, letters), c.label) for c in used], [], sizes, version)}
    ec_letters = letters.replace("P", "")
    if set(ec_letters) & {"A", "E"}:
        rows = [(c, c.further[ec_letters].columns, c.further[ec_letters].label) for c in used]
        made_of_ecs = fit_columns(rows, PRIOR_TERMS, sizes, version)
        fits["without_homolog"] = made_of_ecs
        if len(ec_letters.replace("N", "")) == 1:
            fits["without_homolog"] = anchored(made_of_ecs, ec_letters[0])
    threshold = best_threshold([c for c in used if c.regime == "<50"], letters, fits, sizes)
    return {name: replace(one, threshold=threshold) for name, one in fits.items()}


def anchored(fit: Calibration, letter: str) -> Calibration:
    """The same regression with full agreement as its zero: one source always speaks here, its indicators sum to 1."""
    kinds = [f"{letter}_{kind}" for kind in ("same", "same_ec3", "other", "blank")]
    full = next(term.weight / term.scale for term in fit.terms if term.feature == kinds[0])
    terms = tuple(
        replace(term, weight=term.weight - full * term.scale)
        if term.feature == kinds[0] or (term.feature in kinds and term.weight)
        else term
        for term in fit.terms
    )
    return replace(fit, terms=terms, intercept=fit.intercept + full)


def best_threshold(used: Sequence[Case], letters: str, fits: dict[str, Calibration], sizes: dict[int, int]) -> float:
    """Where micro F1 is largest, each clade counted once, on genomes as far from the database as a new lineage is."""
    grid = np.arange(0.06, 0.4, 0.01)
    counts = np.zeros((2, len(grid)))
    for case in used:
        p, label = judged(case, letters, fits)
        accepted = p[None, :] >= grid[:, None]
        hit, called = (accepted & label).sum(axis=1), accepted.sum(axis=1)
        counts += np.array([2 * hit, called + len(case.genome.truth)]) / sizes[case.genome.clade]
    return round(float(grid[(counts[0] / counts[1]).argmax()]), 3)


def with_homolog(case: Case, letters: str) -> dict[str, np.ndarray]:
    supports = {s: case.supports[s] for s in letters if s in case.supports}
    return columns_with_homolog(
        case.log_odds,
        supports,
        case.presence if "P" in letters else None,
        case.neighbours if "N" in letters else None,
    )


def fit_columns(
    rows: Sequence[tuple[Case, dict[str, np.ndarray], np.ndarray]],
    first: Sequence[tuple[str, float | None]],
    sizes: dict[int, int],
    version: str,
) -> Calibration:
    names = list(rows[0][1])
    terms = [*first, *((name, None) for name in names if name not in {n for n, _ in first})]
    columns = np.concatenate([np.column_stack([made[name] for name in names]) for _, made, _ in rows])
    weight = np.concatenate([np.full(len(y), 1 / sizes[case.genome.clade]) for case, _, y in rows])
    label = np.concatenate([y for _, _, y in rows])
    used = label | (np.arange(len(label)) % THINNING == 0)
    weight = np.where(label, weight, weight * THINNING)
    return fit(columns[used], label[used], weight[used], names, terms, version, 1.0)


def judged(case: Case, letters: str, fits: dict[str, Calibration]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of both kinds of candidates."""
    p = [probability(fits["with_homolog"].log_odds(with_homolog(case, letters)))]
    label = [case.label]
    if "without_homolog" in fits:
        further = case.further[letters.replace("P", "")]
        if len(further.query):
            p.append(probability(fits["without_homolog"].log_odds(further.columns)))
            label.append(further.label)
    return np.concatenate(p), np.concatenate(label)


def judge_set(
    reference: Reference, made: Sequence[Case], letters: str, sizes: dict[int, int], version: str
) -> tuple[list[dict], Calibration]:
    """Records of a set of sources on held-out clades, and the step to reactions fitted on its probabilities."""
    clades = sorted(sizes)
    if letters in JUDGED:
        held = {c: fit_set([m for m in made if m.genome.clade != c], letters, sizes, version) for c in clades}
    else:
        held = dict.fromkeys(clades, fit_set(made, letters, sizes, version))
    records, reactions = [], []
    name = "D" + letters
    for regime in REGIMES:
        ours, theirs, everything = [], [], []
        for case in (c for c in made if c.regime == regime):
            fits = held[case.genome.clade]
            p, label = judged(case, letters, fits)
            accepted = p >= fits["with_homolog"].threshold
            ours.append(np.array([label[accepted].sum(), accepted.sum(), len(case.genome.truth)], dtype=float))
            theirs.append(best_hit_counts(reference, case.genome, regime))
            everything.append((case, p, label))
        a, b = (f1(*np.array(rows).sum(axis=0)) for rows in (ours, theirs))
        low, high = interval(np.array(ours), np.array(theirs))
        records.append(
            {
                "what": f"gene to reaction, micro F1, {regime}, sources {name}",
                "value": round(float(a), 4),
                "unit": "",
                "peer": "DIAMOND best hit",
                "peer_value": round(float(b), 4),
                "difference": round(float(a - b), 4),
                "difference_95": [round(low, 4), round(high, 4)],
            }
        )
        if regime == "all":
            records += set_calibration(name, everything)
            reactions = [reaction_rows(reference, case, p, letters) for case, p, _ in everything]
    more, calibration = judge_reactions(f"reactions, sources {name}", reactions, version)
    return records + more, calibration


def set_calibration(name: str, everything: list) -> list[dict]:
    """Brier score and ECE by identity of candidates of homologs, and of those of EC numbers alone."""
    p, y = (np.concatenate([row[i] for row in everything]) for i in (1, 2))
    records = [
        {"what": f"gene to reaction, Brier score, sources {name}", "value": round(float(np.mean((p - y) ** 2)), 4)}
    ]
    identity = np.concatenate([c.identity for c, _, _ in everything])
    with_hit = [len(c.label) for c, _, _ in everything]
    first = [np.concatenate([row[i][:n] for row, n in zip(everything, with_hit, strict=True)]) for i in (1, 2)]
    rest = [np.concatenate([row[i][n:] for row, n in zip(everything, with_hit, strict=True)]) for i in (1, 2)]
    parts = [(f"identity {low:.0%} to {min(high, 1):.0%}", (identity >= low) & (identity < high)) for low, high in BINS]
    for what, inside in parts:
        pp, yy = first[0][inside], first[1][inside]
        records.append(
            {
                "what": f"gene to reaction, ECE, {what}, sources {name}",
                "value": round(ece(pp, yy), 4),
                "n": len(pp),
                "reliability": reliability(pp, yy),
            }
        )
    if len(rest[0]):
        records.append(
            {
                "what": f"gene to reaction, ECE, EC number alone, sources {name}",
                "value": round(ece(*rest), 4),
                "n": len(rest[0]),
                "reliability": reliability(*rest),
            }
        )
    return records


def reaction_rows(reference: Reference, case: Case, p: np.ndarray, letters: str) -> tuple[int, np.ndarray, np.ndarray]:
    further = case.further.get(letters.replace("P", ""))
    query, reaction, kin = case.query, case.reaction, case.kin
    if further is not None and len(p) > len(query):
        query, reaction = np.concatenate([query, further.query]), np.concatenate([reaction, further.reaction])
        kin = np.concatenate([kin, further.columns["kin_with_reaction"]])
    rows = reaction_features(query, reaction, np.log(p / (1 - p)), kin)
    label = np.isin(rows.reaction, np.unique(case.genome.truth % len(reference.reactions)))
    return case.genome.clade, rows.features, label


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cache", type=Path, required=True, help="folder of the pooled hits")
    options.add_argument("--out", type=Path, help="folder to write the parameters to")
    options.add_argument("--report", "--json", type=Path, help="file to write the figures to")
    options.add_argument("--version", default="1")
    given = options.parse_args()
    started = time.process_time()
    reference = bigg_reference()
    pool = genomes(reference, given.cache)
    held = list(held_out(reference, pool, given.version))
    records, kept = judge(reference, pool, held)
    more, reactions = reaction_level(reference, kept, given.version)
    records += more
    more, genes = gene_level(reference, held, kept, given.cache, given.version)
    records += more
    sizes = clade_sizes(pool)
    made = [(examples(reference, g, r), sizes[g.clade]) for g, r in regimes_of(pool, sizes)]
    columns, label, weight = stacked([e for e, _ in made], [s for _, s in made])
    calibration = fit(columns, label, weight, FEATURES, TERMS, given.version)
    reached = records[0]["value"] / 2
    calibration = replace(calibration, threshold=round(reached, 3))
    together = {}
    encoder = encoding.load_encoder(reference, given.cache)
    everything = cases(reference, held, given.cache, encoder)
    for letters in SETS:
        fits = fit_set(everything, letters, sizes, given.version)
        found, by_set = judge_set(reference, everything, letters, sizes, given.version)
        records += found if letters in JUDGED else []
        together[letters] = {name: asdict(one) for name, one in fits.items()} | {"reactions": asdict(by_set)}
        print(letters, [(r["what"], r["value"], r.get("difference_95")) for r in found], flush=True)
    unknown = encoding.dark_examples(encoder, reference, pool, given.cache)
    dark = encoding.fit_dark(unknown, fit, DARK_TERMS, given.version)
    of_dark = encoding.judge_dark(unknown, fit, DARK_TERMS, given.version)
    records += of_dark
    if given.out:
        (given.out / "dark.json").write_text(
            json.dumps(asdict(dark) | {"reliability_on_held_out_clades": of_dark}, indent=1) + "\n"
        )
        (given.out / "encoder.json").write_text(json.dumps({"checkpoint": encoder.checkpoint}, indent=1) + "\n")
        tables = [r for r in records if "reliability" in r and "sources" in r["what"]]
        content = {"version": given.version, "sources": together, "reliability_on_held_out_clades": tables}
        (given.out / "combined.json").write_text(json.dumps(content, indent=1) + "\n")
    shipped = (("homologs", calibration, "gene to"), ("reactions", reactions, "reactions"), ("genes", genes, "genes"))
    for name, fitted, what in shipped:
        own = [r for r in records if "reliability" in r and "sources" not in r["what"] and r not in of_dark]
        tables = [r for r in own if r["what"].startswith(what)]
        if given.out:
            content = asdict(fitted) | {"reliability_on_held_out_clades": tables}
            (given.out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    for record in records:
        print({k: v for k, v in record.items() if k != "reliability"})
    print("CPU seconds", round(time.process_time() - started))
    if given.report:
        machine = {"platform": platform.platform(), "cpu_s": round(time.process_time() - started)}
        given.report.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
