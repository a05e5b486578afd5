#!/usr/bin/env python
"""Fit `resources/growth_calls.json` and `growth_kinship.npz`: priors, their shift by kinship, and the regression.

    gemforest evaluate growth --proteomes DIR --labels dev.tsv --out dev          # development organisms
    python scripts/fit_growth_calls.py --biolog-labels six.tsv                    # labels of CarveMe's organisms
    gemforest evaluate growth --proteomes CARVEME_FASTA --labels six.tsv --out six
    python scripts/fit_growth_calls.py --development dev --biolog six --output resources

Every choice is judged by leaving one development organism out: prior, kinship, coefficients and cuts are then fitted
without it. A training organism's own labels never enter the prior that its rows are trained with. Biolog measures
respiration on plates and the development table growth in tubes, so Biolog rows count half, and not for the cuts.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gemforest.carveme_files import carveme_data
from gemforest.config import load_config
from gemforest.evaluation.calls import LEAST_PRIOR, MOST_PRIOR, expected_cut, logit
from gemforest.evaluation.growth import Organism, scores_without_model
from gemforest.evaluation.kinship import (
    GenomeFacts,
    KinshipModel,
    fingerprint,
    genome_facts,
    kinship_rules,
    write_kinship,
)
from gemforest.evaluation.metrics import auc, brier, confusion, macro
from gemforest.evaluation.project import Finished
from gemforest.simulate.growth_score import common_compounds
from gemforest.stage import Context
from gemforest.store import Store

BIOLOG = {
    "bsub": "Bsubtilis_168",
    "ecol": "Ecoli_K12_MG1655",
    "paer": "Paeruginosa_PAO1",
    "rsol": "Rsolanacearum_GMI1000",
    "sone": "Soneidensis_MR1",
}
FEATURES = {
    "prior": ("one", "prior"),
    "fba_and_prior": ("one", "prior", "fba"),
    "combination": ("one", "prior", "score"),
    "score": ("one", "standing"),
}
BIOLOG_WEIGHT, STRENGTH, PENALTY, RIDGE = 0.5, 2.0, 1.0, 1.0
CUT_LIMITS = (0.35, 0.55)
NOTE = (
    "Prior, kinship and coefficients are fitted on six organisms of Price et al. 2018 (Nature 557, 503-509, Table S2) "
    "and on the Biolog carbon sources of five organisms that CarveMe 1.6.6 ships; measures on these organisms are "
    "in-sample."
)


@dataclass(frozen=True)
class Labelled:
    """One row of a table of calls; `score` and `standing` as `Organism` gives them."""

    org_id: str
    compound: str
    growth: bool
    fba: float
    score: float
    standing: float
    biolog: bool


@dataclass(frozen=True)
class Training:
    """Rows, and the log-odds of each organism's reactions (r)."""

    rows: list[Labelled]
    log_odds: dict[str, np.ndarray]

    def without(self, org_id: str) -> Training:
        """All other organisms."""
        kept = {name: odds for name, odds in self.log_odds.items() if name != org_id}
        return Training([row for row in self.rows if row.org_id != org_id], kept)

    def of(self, org_id: str) -> list[Labelled]:
        """Rows of one organism."""
        return [row for row in self.rows if row.org_id == org_id]

    @property
    def organisms(self) -> list[str]:
        """Names, sorted."""
        return sorted({row.org_id for row in self.rows})


def main() -> int:
    """Fit, print what leaving one organism out says, write the resources."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--development", type=Path, help="folder of `evaluate growth` on the development organisms")
    parser.add_argument("--biolog", type=Path, help="the same on CarveMe's organisms")
    parser.add_argument("--output", type=Path, help="folder to write the resources to")
    parser.add_argument("--biolog-labels", type=Path, help="write the labels of CarveMe's organisms here and stop")
    parsed = parser.parse_args()
    if parsed.biolog_labels:
        write_biolog_labels(parsed.biolog_labels)
        return 0
    development, biolog = read_folder(parsed.development, False), read_folder(parsed.biolog, True)
    training = Training(development.rows + biolog.rows, development.log_odds | biolog.log_odds)
    found = leave_one_out(training)
    print(json.dumps(found["mean"], indent=1))
    fitted, kinship = fit(training)
    fitted |= {"note": NOTE, "leave_one_organism_out": found}
    if parsed.output:
        text = json.dumps(fitted, indent=1, sort_keys=True) + "\n"
        (parsed.output / "growth_calls.json").write_text(text, encoding="utf-8")
        write_kinship(parsed.output / "growth_kinship.npz", kinship)
    return 0


def write_biolog_labels(path: Path) -> None:
    """CarveMe's Biolog carbon sources in the columns of `gemforest evaluate growth`; empty entries are left out."""
    lines = ["org_id\tproteome\tbigg_id\tgrowth\n"]
    for org_id, proteome in BIOLOG.items():
        with carveme_data(f"benchmark/biolog/{org_id}/biolog_carbon.tsv").open(encoding="utf-8") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                if row["bigg_id"] and row["growth"]:
                    lines.append(f"{org_id}\t{proteome}.faa\t{row['bigg_id']}\t{int(row['growth'] in ('+', '++'))}\n")
    path.write_text("".join(lines), encoding="utf-8")


def read_folder(out: Path, biolog: bool) -> Training:
    """What `gemforest evaluate growth` left; scores and facts are made anew from the hits."""
    config = load_config(out / "project" / "config" / "config.yaml")
    context = Context((out / "project").resolve(), config, Store(out / "project" / "results"))
    with (out / "calls.tsv").open(encoding="utf-8") as handle:
        calls = list(csv.DictReader(handle, delimiter="\t"))
    organisms: dict[str, Organism] = {}
    for org_id in sorted({row["org_id"] for row in calls}):
        finished = Finished(context, {}, {org_id: ("0000", org_id)}, {})
        scores = scores_without_model(finished, org_id, common_compounds())
        facts = genome_facts(kinship_rules(context.cache), context.store.read("hits", "0000", org_id))
        organisms[org_id] = Organism({}, scores, facts)
        print(f"{org_id}: {len(scores)} scores", file=sys.stderr)
    rows = []
    for row in calls:
        organism = organisms[row["org_id"]]
        score = organism.relative_score(row["bigg_id"])
        standing = organism.standing(row["bigg_id"])
        rows.append(
            Labelled(
                row["org_id"],
                row["bigg_id"],
                row["growth"] == "1",
                float(row["fba"]),
                np.nan if score is None else score,
                np.nan if standing is None else standing,
                biolog,
            )
        )
    known = {org_id: organism.facts for org_id, organism in organisms.items()}
    return Training(rows, {org_id: fact.log_odds for org_id, fact in known.items() if fact is not None})


# -- prior and features ------------------------------------------------------------------------------------------------


def count(rows: Sequence[Labelled]) -> tuple[dict[str, list[float]], float]:
    """Compound to [grew, tried], and the rate over all rows of the development organisms."""
    counts: dict[str, list[float]] = {}
    for row in rows:
        if row.compound:
            weight = BIOLOG_WEIGHT if row.biolog else 1.0
            entry = counts.setdefault(row.compound, [0.0, 0.0])
            entry[0] += weight * row.growth
            entry[1] += weight
    return dict(sorted(counts.items())), float(np.mean([row.growth for row in rows if not row.biolog]))


def fit_prior(training: Training) -> tuple[dict[str, list[float]], float, KinshipModel]:
    """Counts, rate, and how growth on each compound varies with kinship (ridge regression on fingerprints)."""
    counts, rate = count(training.rows)
    names = sorted(training.log_odds)
    mean = np.mean([training.log_odds[name] for name in names], axis=0)
    prints = np.stack([fingerprint(training.log_odds[name], mean) for name in names])
    _, sizes, rows = np.linalg.svd(prints, full_matrices=False)
    axes = rows[sizes > 1e-6 * sizes[0]].T
    places = dict(zip(names, prints @ axes, strict=True))
    slopes = {}
    for compound, (grew, tried) in counts.items():
        share = (grew + STRENGTH * rate) / (tried + STRENGTH)
        own = {row.org_id: row for row in training.rows if row.compound == compound and row.org_id in places}
        at = np.stack([places[org_id] for org_id in own])
        noise = np.diag([RIDGE / (BIOLOG_WEIGHT if row.biolog else 1.0) for row in own.values()])
        residual = np.array([row.growth - share for row in own.values()])
        slopes[compound] = at.T @ np.linalg.solve(at @ at.T + noise, residual)
    return counts, rate, KinshipModel(mean, axes, slopes)


def features(rows: Sequence[Labelled], log_odds: np.ndarray, others: Training) -> dict[str, np.ndarray]:
    """Features of one organism's rows with the prior of `others`."""
    counts, rate, kinship = fit_prior(others)
    facts = GenomeFacts(log_odds, 1.0)
    prior = []
    for row in rows:
        grew, tried = counts.get(row.compound, [0.0, 0.0])
        share = (grew + STRENGTH * rate) / (tried + STRENGTH) + kinship.shift(row.compound, facts)
        prior.append(logit(min(MOST_PRIOR, max(LEAST_PRIOR, share))))
    return {
        "one": np.ones(len(rows)),
        "prior": np.array(prior),
        "fba": np.array([row.fba for row in rows]),
        "score": np.array([row.score for row in rows]),
        "standing": np.array([row.standing for row in rows]),
    }


def stacked(training: Training) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features of all rows, each with the prior of the other organisms; growth; weights."""
    parts, order = [], []
    for org_id in training.organisms:
        own = training.of(org_id)
        parts.append(features(own, training.log_odds[org_id], training.without(org_id)))
        order += own
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    weights = np.array([BIOLOG_WEIGHT if row.biolog else 1.0 for row in order])
    return joined, np.array([row.growth for row in order], dtype=float), weights


# -- fitting -----------------------------------------------------------------------------------------------------------


def fit(training: Training) -> tuple[dict[str, Any], KinshipModel]:
    """The resources."""
    counts, rate, kinship = fit_prior(training)
    joined, growth, weights = stacked(training)
    fitted: dict[str, Any] = {"weights": {}, "cut_limits": list(CUT_LIMITS)}
    for basis, names in FEATURES.items():
        known = ~np.isnan(np.stack([joined[name] for name in names])).any(axis=0)
        matrix = np.stack([joined[name][known] for name in names], axis=1)
        found = logistic(matrix, growth[known], weights[known])
        fitted["weights"][basis] = {name: round(float(w), 6) for name, w in zip(names, found, strict=True)}
    return fitted | {"counts": counts, "rate": round(rate, 6), "strength": STRENGTH}, kinship


def logistic(matrix: np.ndarray, growth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge-penalised logistic regression by Newton's method; the first column is the intercept, not penalised."""
    scale = np.maximum(matrix.std(axis=0), 1e-9)
    scale[0] = 1.0
    scaled = matrix / scale
    penalty = np.full(matrix.shape[1], PENALTY)
    penalty[0] = 1e-6
    found = np.zeros(matrix.shape[1])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-scaled @ found))
        gradient = scaled.T @ (weights * (growth - p)) - penalty * found
        hessian = (scaled * (weights * p * (1 - p))[:, None]).T @ scaled + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        found = found + step
        if np.abs(step).max() < 1e-10:
            break
    return np.asarray(found / scale)


def leave_one_out(training: Training) -> dict[str, Any]:
    """Measures on each development organism with everything fitted without it, and their means."""
    found: dict[str, dict[str, float]] = {}
    for org_id in sorted({row.org_id for row in training.rows if not row.biolog}):
        own, others = training.of(org_id), training.without(org_id)
        fitted, _ = fit(others)
        held = features(own, training.log_odds[org_id], others)
        truth = np.array([row.growth for row in own])
        counts, rate = count(others.rows)
        shares = [float(np.divide(*counts.get(row.compound, (rate, 1.0)))) for row in own]
        measured = {
            "mcc_fba": confusion(truth, held["fba"] > 0).mcc,
            "mcc_majority": confusion(truth, [share >= 0.5 for share in shares]).mcc,
        }
        for basis in FEATURES:
            p = predicted(fitted, basis, held)
            # As in `calls.py`: without a score, FBA and prior decide, and the score alone says no growth.
            p = np.where(np.isnan(p), 0.0 if basis == "score" else predicted(fitted, "fba_and_prior", held), p)
            cut = expected_cut(p.tolist(), CUT_LIMITS)
            measured |= {
                f"mcc_{basis}": confusion(truth, p >= cut).mcc,
                f"auc_{basis}": auc(truth, p),
                f"brier_{basis}": brier(truth, p),
            }
        found[org_id] = measured
    names = sorted({name for measured in found.values() for name in measured})
    means = {name: macro([measured[name] for measured in found.values()]) for name in names}
    rounded = {org: {name: round(value, 4) for name, value in measured.items()} for org, measured in found.items()}
    return {"mean": {name: round(value, 4) for name, value in means.items()}, "organisms": rounded}


def predicted(fitted: dict[str, Any], basis: str, held: dict[str, np.ndarray]) -> np.ndarray:
    """Probabilities of one basis; NaN where a feature is missing."""
    total = sum(weight * held[name] for name, weight in fitted["weights"][basis].items())
    return np.asarray(1.0 / (1.0 + np.exp(-total)))


if __name__ == "__main__":
    sys.exit(main())
