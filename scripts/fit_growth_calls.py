#!/usr/bin/env python
"""Fit `resources/growth_calls.json`: the prior of each compound and the logistic regression of growth calls.

    gemforest evaluate growth --proteomes DIR --labels dev.tsv --out dev          # development organisms
    python scripts/fit_growth_calls.py --biolog-labels six.tsv                    # labels of CarveMe's organisms
    gemforest evaluate growth --proteomes CARVEME_FASTA --labels six.tsv --out six
    python scripts/fit_growth_calls.py --calls dev/calls.tsv --biolog six/calls.tsv --output resources/growth_calls.json

Every choice is judged by leaving one development organism out: prior, coefficients and cuts are then fitted without
it. A training organism's own labels never enter the prior that its rows are trained with. Biolog measures respiration
on plates and the development table growth in tubes, so Biolog rows count less in the prior, and not for the cuts.
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
from gemforest.evaluation.calls import logit
from gemforest.evaluation.metrics import auc, brier, confusion, macro

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
    "combination": ("one", "prior", "fba", "score"),
}
BIOLOG_WEIGHT, STRENGTH, PENALTY = 0.5, 2.0, 1.0
NOTE = (
    "Prior and coefficients are fitted on six organisms of Price et al. 2018 (Nature 557, 503-509, Table S2) and on "
    "the Biolog carbon sources of five organisms that CarveMe 1.6.6 ships; measures on these organisms are in-sample."
)


@dataclass(frozen=True)
class Labelled:
    """One row of a table of calls."""

    org_id: str
    compound: str
    growth: bool
    fba: float
    score: float
    biolog: bool


def main() -> int:
    """Fit, print what leaving one organism out says, write the resource."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, help="calls.tsv of the development organisms")
    parser.add_argument("--biolog", type=Path, help="calls.tsv of CarveMe's organisms")
    parser.add_argument("--output", type=Path, help="where to write the resource")
    parser.add_argument("--biolog-labels", type=Path, help="write the labels of CarveMe's organisms here and stop")
    parsed = parser.parse_args()
    if parsed.biolog_labels:
        write_biolog_labels(parsed.biolog_labels)
        return 0
    rows = read_calls(parsed.calls, biolog=False) + (read_calls(parsed.biolog, biolog=True) if parsed.biolog else [])
    found = leave_one_out(rows)
    print(json.dumps(found, indent=1))
    fitted = fit(rows)
    fitted |= {"note": NOTE, "leave_one_organism_out": found, "command": "python scripts/fit_growth_calls.py"}
    if parsed.output:
        parsed.output.write_text(json.dumps(fitted, indent=1, sort_keys=True) + "\n", encoding="utf-8")
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


def read_calls(path: Path, biolog: bool) -> list[Labelled]:
    """Rows of `calls.tsv`; those without a model or a BiGG compound teach nothing about models."""
    with path.open(encoding="utf-8") as handle:
        return [
            Labelled(
                row["org_id"],
                row["bigg_id"],
                row["growth"] == "1",
                float(row["fba"]),
                float(row["growth_score"]) if row["growth_score"] else np.nan,
                biolog,
            )
            for row in csv.DictReader(handle, delimiter="\t")
        ]


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


def features(rows: Sequence[Labelled], others: Sequence[Labelled]) -> dict[str, np.ndarray]:
    """Features of rows with the prior of `others`."""
    counts, rate = count(others)
    prior = []
    for row in rows:
        grew, tried = counts.get(row.compound, [0.0, 0.0])
        prior.append(logit((grew + STRENGTH * rate) / (tried + STRENGTH)))
    return {
        "one": np.ones(len(rows)),
        "prior": np.array(prior),
        "fba": np.array([row.fba for row in rows]),
        "score": np.array([row.score for row in rows]),
    }


def training(rows: Sequence[Labelled]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features of all rows, each with the prior of the other organisms; growth; weights."""
    parts = []
    order: list[Labelled] = []
    for org_id in sorted({row.org_id for row in rows}):
        own = [row for row in rows if row.org_id == org_id]
        parts.append(features(own, [row for row in rows if row.org_id != org_id]))
        order += own
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    weights = np.array([BIOLOG_WEIGHT if row.biolog else 1.0 for row in order])
    return joined, np.array([row.growth for row in order], dtype=float), weights


# -- fitting -----------------------------------------------------------------------------------------------------------


def fit(rows: Sequence[Labelled]) -> dict[str, Any]:
    """The resource."""
    counts, rate = count(rows)
    joined, growth, weights = training(rows)
    fitted: dict[str, Any] = {"weights": {}, "cut": {}, "score_cut": 0.0}
    for basis, names in FEATURES.items():
        known = ~np.isnan(np.stack([joined[name] for name in names])).any(axis=0)
        if not known.any():
            continue
        matrix = np.stack([joined[name][known] for name in names], axis=1)
        found = logistic(matrix, growth[known], weights[known])
        fitted["weights"][basis] = {name: round(float(w), 6) for name, w in zip(names, found, strict=True)}
        fitted["cut"][basis] = 0.5
    score = joined["score"]
    if (~np.isnan(score)).any():
        fitted["score_cut"] = best_cut(np.nan_to_num(score, nan=-1e9), growth > 0.5, weights)
    return fitted | {"counts": counts, "rate": round(rate, 6), "strength": STRENGTH}


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


def best_cut(scores: np.ndarray, growth: np.ndarray, weights: np.ndarray) -> float:
    """The score from which growth is called so that Matthews' correlation is highest over the training rows."""
    chosen = weights >= 1.0
    candidates = np.unique(np.quantile(scores[chosen], np.linspace(0.05, 0.95, 91)))
    measured = [confusion(growth[chosen], scores[chosen] >= cut).mcc for cut in candidates]
    return round(float(candidates[int(np.argmax(measured))]), 6)


def leave_one_out(rows: Sequence[Labelled]) -> dict[str, Any]:
    """Measures on each development organism with everything fitted without it, and their means."""
    found: dict[str, dict[str, float]] = {}
    for org_id in sorted({row.org_id for row in rows if not row.biolog}):
        own, others = [r for r in rows if r.org_id == org_id], [r for r in rows if r.org_id != org_id]
        fitted, held = fit(others), features(own, others)
        truth = np.array([row.growth for row in own])
        counts, rate = count(others)
        shares = [float(np.divide(*counts.get(row.compound, (rate, 1.0)))) for row in own]
        found[org_id] = {
            "mcc_fba": confusion(truth, held["fba"] > 0).mcc,
            "mcc_majority": confusion(truth, [share >= 0.5 for share in shares]).mcc,
        }
        for basis in fitted["weights"]:
            p = predicted(fitted, basis, held)
            known = ~np.isnan(p)
            filled = np.where(known, p, predicted(fitted, "fba_and_prior", held))
            found[org_id] |= {
                f"mcc_{basis}": confusion(truth, filled >= 0.5).mcc,
                f"auc_{basis}": auc(truth, filled),
                f"brier_{basis}": brier(truth, filled),
            }
        if (~np.isnan(held["score"])).any():
            score = np.nan_to_num(held["score"], nan=-1e9)
            found[org_id] |= {
                "mcc_score": confusion(truth, score >= fitted["score_cut"]).mcc,
                "auc_score": auc(truth, score),
            }
    names = sorted({name for measured in found.values() for name in measured})
    means = {name: macro([measured[name] for measured in found.values() if name in measured]) for name in names}
    rounded = {org: {name: round(value, 4) for name, value in measured.items()} for org, measured in found.items()}
    return {"mean": {name: round(value, 4) for name, value in means.items()}, "organisms": rounded}


def predicted(fitted: dict[str, Any], basis: str, held: dict[str, np.ndarray]) -> np.ndarray:
    """Probabilities of one basis; NaN where a feature is missing."""
    total = sum(weight * held[name] for name, weight in fitted["weights"][basis].items())
    return np.asarray(1.0 / (1.0 + np.exp(-total)))


if __name__ == "__main__":
    sys.exit(main())
