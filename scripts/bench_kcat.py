"""Measure the kcat predictor: tests/bench/kcat.json.

    python scripts/bench_kcat.py --data SHARED/kinetics/kcatnet_train_valid.parquet --work FOLDER --json FILE

Predictions out of fold are those that `scripts/train_kcat.py` left in the work folder (it is run first). Accuracy:
five folds grouped by homology cluster and the published train and valid split, beside the same rows' EC class mean,
the value of the same sequence and EC number where there is one, and extra trees on composition, fingerprint, EC and the
mark of engineered variants. Figures are given for all rows and for natural enzymes, which are what a genome has.
Intervals: each fold calibrated on the other four, coverage by DIAMOND's identity to what the fit was trained on, bins
merged until they hold 1,000 rows. `--only speed` times a genome's worth of pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from train_kcat import Table, pooled, read_table, samples

from gemforest.evaluation.turnover import scores
from gemforest.kinetics import calibration, ecmeans, features, predictor

LEAST_IN_A_BIN = 1000
TREES = 30


def main() -> None:
    """Run what is asked for and write the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="work folder of scripts/train_kcat.py")
    parser.add_argument("--only", choices=["accuracy", "intervals", "speed"])
    parser.add_argument("--quick", action="store_true", help="no extra trees")
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    table = read_table(parsed.data, parsed.work, None)
    with np.load(parsed.work / "oof.npz") as stored:
        oof = {name: stored[name] for name in stored.files}
    with np.load(parsed.work / "identity.npz") as stored:
        identity = {name: stored[name] for name in stored.files}
    benches: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "accuracy": lambda: accuracy(table, oof, identity, parsed.work, parsed.quick),
        "intervals": lambda: intervals(table, oof, identity),
        "speed": lambda: speed(table),
    }
    records = [record for name, run in benches.items() if parsed.only in (None, name) for record in run()]
    for record in records:
        print("\t".join(f"{key}={value}" for key, value in record.items()), flush=True)
    if parsed.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


def out_of_fold_values(
    table: Table, oof: dict[str, NDArray[Any]], marked: bool = True
) -> dict[str, calibration.Calibrated]:
    """Values and intervals of `grouped` and `valid` rows, weights and quantiles of each fold fitted on the others.

    Without `marked` nothing is told of which rows are engineered variants.
    """
    if not marked:
        oof = {name: np.zeros_like(part) if name.endswith("_variant") else part for name, part in oof.items()}
    cuts = json.loads((predictor.RESOURCE / predictor.CALIBRATION).read_text())["cosine_cuts"]
    found = {}
    for kind in ("grouped", "no_structure", "valid"):
        shape = len(table.y)
        made = [np.full(shape, np.nan) for _ in range(3)]
        bins = np.full(shape, "none", dtype="<U8")
        for fold in range(5):
            settings = calibration.fit(*pooled(oof, table.y, table.fold != fold), cuts)
            asked = (table.fold == fold) & (table.valid if kind == "valid" else True)
            told = calibration.apply(
                settings, samples(oof, kind, asked), np.full(int(asked.sum()), kind != "no_structure")
            )
            for values, new in zip(made, (told.value, told.sd, told.half), strict=True):
                values[asked] = new
            bins[asked] = told.bins
        found[kind] = calibration.Calibrated(*made, bins)
    return found


def accuracy(
    table: Table, oof: dict[str, NDArray[Any]], identity: dict[str, NDArray[Any]], work: Path, quick: bool
) -> list[dict[str, Any]]:
    """R², r and RMSE of the predictor and its baselines, and of its parts."""
    values, unmarked = out_of_fold_values(table, oof), out_of_fold_values(table, oof, marked=False)
    every = np.ones(len(table.y), bool)
    splits = {"grouped": (values["grouped"].value, every), "valid": (values["valid"].value, table.valid)}
    natural = table.rows.engineered == 0.0
    records = []
    for split, (value, rows) in splits.items():
        kind = "grouped" if split == "grouped" else "valid"
        methods = {
            "predictor": value,
            "predictor, not told of variants": unmarked[split].value,
            "general": oof[f"{kind}_general"],
            "general + local": oof[f"{kind}_general"] + oof[f"{kind}_local"],
            "networks": oof[f"{kind}_network"],
            "EC class mean": look_up(table, split, same_sequence=False),
            "same sequence and EC, else EC class mean": look_up(table, split),
        }
        if split == "grouped":
            methods["predictor without structure"] = values["no_structure"].value
        if not quick:
            methods["extra trees"] = kept_trees(table, split, work)
        for name, predicted in methods.items():
            for ending, chosen in (("", rows), (", natural enzymes", rows & natural)):
                found = scores(table.y[chosen], predicted[chosen])
                about = {"bias": float(np.mean(predicted[chosen] - table.y[chosen]))} | found
                records.append(
                    {"what": f"{split}: {name}{ending}", "n": int(chosen.sum())}
                    | {key: round(v, 4) for key, v in about.items()}
                )
        for label, chosen in merged(identity[kind], rows).items():
            found = scores(table.y[chosen], value[chosen])
            records.append(
                {"what": f"{split}: predictor, identity {label} %", "n": int(chosen.sum())}
                | {key: round(v, 4) for key, v in found.items()}
            )
    return records


def merged(identity: NDArray[Any], rows: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Rows by identity to the training set, neighbouring bins merged from the top until each has enough rows."""
    edges = [0, *calibration.IDENTITY_CUTS, 101]
    bins = [(edges[k], edges[k + 1], rows & (identity >= edges[k]) & (identity < edges[k + 1])) for k in range(4)]
    while len(bins) > 1 and min(chosen.sum() for _, _, chosen in bins) < LEAST_IN_A_BIN:
        small = int(np.argmin([chosen.sum() for _, _, chosen in bins]))
        low = max(small - 1, 0)
        joined = (bins[low][0], bins[low + 1][1], bins[low][2] | bins[low + 1][2])
        bins = [*bins[:low], joined, *bins[low + 2 :]]
    return {f"{low} to {min(high, 100)}": chosen for low, high, chosen in bins}


def intervals(table: Table, oof: dict[str, NDArray[Any]], identity: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Share of measured values inside the 90 % intervals, and their width."""
    records = []
    natural = table.rows.engineered == 0.0
    for kind, told in out_of_fold_values(table, oof).items():
        rows = table.valid if kind == "valid" else np.ones(len(table.y), bool)
        inside = np.abs(table.y - told.value) <= told.half
        groups = {"all": rows} | {
            f"identity {label} %": chosen
            for label, chosen in merged(identity["valid" if kind == "valid" else "grouped"], rows).items()
        }
        for ending, some in (("natural enzymes", natural), ("variants", ~natural)):
            groups[ending] = rows & some
        groups |= {f"bin {name}": rows & (told.bins == name) for name in calibration.IDENTITY_BINS}
        for label, chosen in groups.items():
            if chosen.any():
                records.append(
                    {
                        "what": f"{kind}: 90 % intervals, {label}",
                        "n": int(chosen.sum()),
                        "coverage90": round(float(inside[chosen].mean()), 4),
                        "mean_width": round(float(2 * told.half[chosen].mean()), 3),
                        "mean_sd": round(float(told.sd[chosen].mean()), 3),
                    }
                )
    return records


def parts_of(table: Table, split: str) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(Train, test) rows of a split."""
    if split == "valid":
        return [(np.flatnonzero(~table.valid), np.flatnonzero(table.valid))]
    return [(np.flatnonzero(table.fold != k), np.flatnonzero(table.fold == k)) for k in range(5)]


def look_up(table: Table, split: str, same_sequence: bool = True) -> NDArray[np.float64]:
    """Mean of the training rows of the same sequence and EC number; where there is none, the EC class mean."""
    found = np.full(len(table.y), np.nan)
    for train, test in parts_of(table, split):
        ecs = [table.rows.ec[i] for i in train]
        means = ecmeans.fit(ecs, table.y[train], table.cluster[train].tolist())
        keys = pd.Series(list(zip(table.rows.protein[train], ecs, strict=True)))
        known = pd.Series(table.y[train]).groupby(keys).mean().to_dict()
        for i in test:
            ec = table.rows.ec[i]
            mean = ecmeans.lookup(means, [ec])[0].mean
            found[i] = known.get((table.rows.protein[i], ec), mean) if same_sequence else mean
    return found


def kept_trees(table: Table, split: str, work: Path) -> NDArray[np.float64]:
    """Extra trees' predictions, from the work folder where they were made before."""
    path = work / f"extra_trees_marked_{split}_{TREES}.npy"
    if not path.is_file():
        np.save(path, extra_trees(table, split))
    return np.asarray(np.load(path), float)


def extra_trees(table: Table, split: str) -> NDArray[np.float64]:
    """Extra trees on residue and pair frequencies, Morgan counts, descriptors, EC fields and the variant's mark."""
    from sklearn.ensemble import ExtraTreesRegressor

    substrates = features.substrates(table.smiles, features.descriptor_names())
    common = (substrates.morgan > 0).sum(axis=0) > 20
    proteins = features.pair_frequencies(table.proteins)[:, :420] ** 2
    fields = [(ec.split(".") + [""] * 4)[:4] for ec in table.rows.ec]
    classes = np.array([[float(field) if field.isdigit() else -1.0 for field in row] for row in fields], np.float32)
    chemistry = np.hstack([substrates.morgan[:, common], substrates.descriptors])
    marks = table.rows.engineered[:, None]
    inputs = np.hstack([proteins[table.rows.protein], chemistry[table.rows.substrate], classes, marks])
    found = np.full(len(table.y), np.nan)
    for train, test in parts_of(table, split):
        trees = ExtraTreesRegressor(TREES, min_samples_leaf=3, max_features=0.1, random_state=0)
        found[test] = trees.fit(inputs[train], table.y[train]).predict(inputs[test])
    return found


def speed(table: Table) -> list[dict[str, Any]]:
    """CPU seconds of loading the predictor and of predicting 2,500 pairs of 1,300 proteins and 400 substrates."""
    generator = np.random.default_rng(0)
    proteins = [table.proteins[k] for k in generator.choice(len(table.proteins), 1300, replace=False)]
    structures = [table.smiles[k] for k in generator.choice(len(table.smiles), 400, replace=False)]
    ecs = [table.rows.ec[k] for k in generator.integers(0, len(table.y), 2500)]
    started = time.process_time()
    loaded = predictor.load_predictor()
    ready = time.process_time()
    loaded.predict(
        [proteins[k] for k in generator.integers(0, 1300, 2500)],
        [structures[k] for k in generator.integers(0, 400, 2500)],
        [[ec] for ec in ecs],
    )
    size = sum(path.stat().st_size for path in predictor.RESOURCE.iterdir())
    return [
        {"what": "load the predictor", "value": round(ready - started, 3), "unit": "CPU s"},
        {"what": "predict 2,500 pairs", "value": round(time.process_time() - ready, 3), "unit": "CPU s"},
        {"what": "size of resources/kcat", "value": round(size / 2**20, 2), "unit": "MiB"},
    ]


if __name__ == "__main__":
    main()
