"""Train the kcat predictor: resources/kcat.

    python scripts/train_kcat.py --data SHARED/kinetics/kcatnet_train_valid.parquet --work FOLDER
    python scripts/train_kcat.py --data ... --work OTHER --without ecoli.faa --out OTHER/kcat

Fits are made for five folds grouped by homology cluster, for the published train and valid split, and for all rows;
the first six calibrate the last. Each fit is kept in the work folder, so an interrupted run goes on where it stopped.
`--without` leaves out the rows whose protein is at least 90 % identical, over 80 % of its length, to one in a FASTA
file.

Rows without a UniProt accession are engineered variants: their sequences are those of others but for a residue or two.
They are marked so for the calibration (`calibration.py`), by which all is told of natural enzymes.

What is fitted on all rows is free of turnover numbers: the axes of the features, the weights of the words, and the
discriminant axes of enzymes (Fisher), fitted on Swiss-Prot's EC numbers in resources/ec.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.optimize
import torch
from numpy.typing import NDArray

from gemforest.homology import diamond
from gemforest.kinetics import calibration, ecmeans, features, predictor, regression
from gemforest.kinetics.regression import Floats, Rows, Views

PLACE = Path(__file__).resolve().parents[1] / "resources"
VERSION = "1.2"
FIT = 2
"""Raise it when a fit changes: fits kept in a work folder are then made again."""
FOLDS = 5
VARIANCES = np.array([0.2, 0.3, 0.05, 0.1, 0.5, 0.35])
"""Of the covariance within a cluster (`regression.local_kernel`), and of single values."""
EVIDENCE_STEPS = 4
START = (0.01, 0.06, 0.08, 0.035, 0.06, 0.03, 0.005, 0.01, 0.035, 0.03, 0.25, 0.8, 0.008, 0.008, 0.015, 0.014, 0.01)
"""Where the search for block variances starts; the rows of the fit decide where it ends."""
EPOCHS, BATCH, HIDDEN = 20, 128, (128, 64)
SEED = 20
NETWORKS = 3
CHECK = "check.tsv"

Arrays = dict[str, NDArray]  # type: ignore[type-arg]


@dataclass(frozen=True)
class Table:
    """The training table; `protein` and `substrate` index the unique ones."""

    proteins: list[str]
    smiles: list[str]
    rows: Rows
    y: NDArray[np.float64]
    cluster: NDArray[np.int64]
    valid: NDArray[np.bool_]
    fold: NDArray[np.int64]


def main() -> None:
    """Train, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PLACE / "kcat")
    parser.add_argument("--without", type=Path, help="FASTA of proteins whose rows are left out")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    parsed.work.mkdir(parents=True, exist_ok=True)
    parsed.out.mkdir(parents=True, exist_ok=True)
    table = read_table(parsed.data, parsed.work, parsed.without)
    say(f"{len(table.y)} rows, {len(table.proteins)} proteins, {len(table.smiles)} structures")
    trainer = Trainer(table, parsed.work, parsed.networks)
    oof = out_of_fold(trainer)
    store(parsed.work / "oof.npz", oof)
    identity = nearest_identity(table, parsed.work)
    settings = calibrate(oof, table, identity_bins(identity, oof))
    store(parsed.work / "identity.npz", identity)
    final = trainer.fit("all", np.arange(len(table.y)))
    means = trainer.means(np.arange(len(table.y)))
    write(parsed.out, final, means, settings)
    write_check(parsed.out / CHECK, predictor.Predictor(final, means, settings))
    say(f"written to {parsed.out}")


def read_table(path: Path, work: Path, without: Path | None) -> Table:
    """Read the rows; folds are made before rows are left out, so that they stay the same."""
    frame = pd.read_parquet(path)
    frame = frame[np.isfinite(frame.log10_kcat)].reset_index(drop=True)
    frame["fold"] = grouped_folds(frame.cluster5mer.to_numpy())
    if without is not None:
        frame = frame[~like(frame.sequence, without, work)].reset_index(drop=True)
    proteins, protein = np.unique(frame.sequence.to_numpy(str), return_inverse=True)
    smiles, substrate = np.unique(frame.smiles.to_numpy(str), return_inverse=True)
    return Table(
        proteins.tolist(),
        smiles.tolist(),
        Rows(protein, substrate, frame.ec.fillna("").tolist(), frame.uniprot.isna().to_numpy()),
        frame.log10_kcat.to_numpy(float),
        frame.cluster5mer.to_numpy(),
        (frame.split == "valid").to_numpy(),
        frame.fold.to_numpy(),
    )


def grouped_folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Folds that keep groups whole: the largest first, each into the smallest fold (scikit-learn)."""
    from sklearn.model_selection import GroupKFold

    fold = np.zeros(len(groups), np.int64)
    for k, (_, test) in enumerate(GroupKFold(FOLDS).split(groups, groups=groups)):
        fold[test] = k
    return fold


class Trainer:
    """Features of the whole table, and fits on parts of it."""

    def __init__(self, table: Table, work: Path, networks: int) -> None:
        self.table, self.work, self.networks = table, work, networks
        told = [FIT, EVIDENCE_STEPS, EPOCHS, BATCH, HIDDEN, SEED, VARIANCES.tolist(), table.proteins, table.smiles]
        self.key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
        self.axes = self._kept("axes", lambda: fit_axes(table))
        self.views = Views(self.axes, table.proteins, table.smiles)
        self.axes |= mean_waves(self.axes, self.views)
        self.design = regression.design(self.axes, self.views, table.rows)
        self.block = regression.block_of_feature(self.axes)
        say(f"{self.design.shape[1]} features")

    def means(self, train: NDArray[np.int64]) -> dict[str, ecmeans.ClassMean]:
        """EC class means of some rows."""
        ecs = [self.table.rows.ec[i] for i in train]
        return ecmeans.fit(ecs, self.table.y[train], self.table.cluster[train].tolist())

    def fit(self, name: str, train: NDArray[np.int64]) -> Arrays:
        """All arrays of a fit on the rows `train`, from the work folder where they are there."""
        found = dict(self.axes)
        found |= self._kept(f"{name}_general", lambda: self.fit_general(train))
        nets = [self._kept(f"{name}_network{k}", lambda k=k: self.fit_network(train, k)) for k in range(self.networks)]
        return found | {part: np.stack([net[part] for net in nets]) for part in nets[0]}

    def _kept(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        path = self.work / f"{name}_{self.key}.npz"
        if not path.is_file():
            started = time.process_time()
            made = make()
            store(path.with_suffix(".part.npz"), made)
            path.with_suffix(".part.npz").replace(path)
            say(f"{name}: {time.process_time() - started:.0f} s of CPU")
        with np.load(path) as stored:
            return {part: stored[part] for part in stored.files}

    def fit_general(self, train: NDArray[np.int64]) -> Arrays:
        """Weights by generalised least squares with a variance for each block, and the local term."""
        factors = self.cluster_factors(train)
        gram = np.zeros((self.design.shape[1],) * 2, np.float32)
        moment = np.zeros(len(gram))
        square = 0.0
        whitened = np.empty((len(train), len(gram)), np.float32)
        start = 0
        for members, factor in factors:
            both = np.column_stack([self.design[members], self.table.y[members]])
            solved = scipy.linalg.solve_triangular(factor, both, lower=True, check_finite=False)
            whitened[start : start + len(members)] = solved[:, :-1]
            moment += solved[:, :-1].T @ solved[:, -1]
            square += float(solved[:, -1] @ solved[:, -1])
            start += len(members)
        gram = whitened.T @ whitened
        weights = evidence(gram, moment.astype(np.float32), square, len(train), self.block)
        alpha = np.zeros(len(self.table.y))
        for members, factor in factors:
            alpha[members] = scipy.linalg.cho_solve(
                (factor, True), self.table.y[members] - self.design[members] @ weights
            )
        return {"general_weights": weights} | self.local_arrays(train, alpha)

    def cluster_factors(self, train: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Rows of each homology cluster and the Cholesky factor of their covariance."""
        found = []
        rows, views = self.table.rows, self.views
        for cluster in np.unique(self.table.cluster[train]):
            members = train[self.table.cluster[train] == cluster]
            sketch = views.sketch[rows.protein[members]]
            unique, place = np.unique(rows.substrate[members], return_inverse=True)
            likeness = regression.tanimoto(views.fingerprint[unique], views.fingerprint[unique])[place][:, place]
            kernel = regression.local_kernel(np.maximum(sketch @ sketch.T, 0), likeness, VARIANCES)
            kernel[np.diag_indices(len(members))] += VARIANCES[5]
            found.append((members, scipy.linalg.cholesky(kernel, lower=True)))
        return found

    def local_arrays(self, train: NDArray[np.int64], alpha: NDArray[np.float64]) -> Arrays:
        """What the local term needs of the training rows: sketches, fingerprints, weights; no sequence, no kcat."""
        rows = self.table.rows
        proteins, protein = np.unique(rows.protein[train], return_inverse=True)
        substrates, substrate = np.unique(rows.substrate[train], return_inverse=True)
        cluster = np.zeros(len(proteins), np.int64)
        cluster[protein] = self.table.cluster[train]
        counts = self.views.fingerprint[substrates]
        row, bit = np.nonzero(counts)
        return {
            "local_sketch": np.clip(np.rint(self.views.sketch[proteins] * regression.SKETCH_SCALE), -127, 127).astype(
                "i1"
            ),
            "local_cluster": cluster.astype(np.int16),
            "local_protein": protein.astype(np.int16),
            "local_substrate": substrate.astype(np.int16),
            "local_alpha": alpha[train].astype(np.float32),
            "local_variances": VARIANCES,
            "local_fingerprint_starts": np.searchsorted(row, np.arange(len(substrates) + 1)).astype(np.int32),
            "local_fingerprint_bits": bit.astype(np.int16),
            "local_fingerprint_counts": np.minimum(counts[row, bit], 255).astype(np.uint8),
        }

    def fit_network(self, train: NDArray[np.int64], number: int) -> Arrays:
        """One network; a row weighs less the larger its cluster, and its class means are those of other clusters."""
        table = self.table
        inputs = regression.network_input(self.axes, self.views, table.rows.take(train), self.means(train))
        inputs[:, -7:-1] = self.class_features_of_other_clusters(train)
        size = np.bincount(table.cluster[train])[table.cluster[train]]
        weight = (1 / (1 + 0.5 * size) ** 0.6).astype(np.float32)
        targets = ((table.y[train] - 0.5) / 1.4).astype(np.float32)
        net = train_network(inputs, targets, weight / weight.mean(), self.blanks(self.means(train)), SEED + number)
        found: Arrays = {}
        for layer, (weights, bias) in enumerate(net):
            scale, shift = (1.4, 0.5) if layer == 2 else (1.0, 0.0)
            found[f"network_{layer}_weights"] = (weights.T * scale).astype(np.float16)
            found[f"network_{layer}_bias"] = (bias * scale + shift).astype(np.float32)
        return found

    def class_features_of_other_clusters(self, train: NDArray[np.int64]) -> Floats:
        """Class means of each row from clusters other than its own, in eight parts."""
        generator = np.random.default_rng(SEED)
        part = generator.integers(0, 8, int(self.table.cluster.max()) + 1)[self.table.cluster[train]]
        found = np.zeros((len(train), 6), np.float32)
        for k in range(8):
            asked = [self.table.rows.ec[i] for i in train[part == k]]
            found[part == k] = regression.class_features(self.means(train[part != k]), asked)
        return found

    def blanks(self, means: Mapping[str, ecmeans.ClassMean]) -> tuple[Floats, Floats, Floats]:
        """What the inputs are without a structure and without an EC number: two masks and the values that take over."""
        widths = {name: view.shape[1] for name, view in (self.views.protein | self.views.substrate).items()}
        proteins = sum(widths[name] for name in ("pairs", "enzymes", "composition"))
        substrates = sum(widths[name] for name in ("descriptors", "morgan", "atom_pairs"))
        classes = len(self.axes["ec_classes"])
        kind = np.repeat([0, 1, 2, 1], [proteins, substrates, classes + 6, 1])
        values = np.zeros(len(kind), np.float32)
        values[-7:-1] = regression.class_features(means, [""])[0]
        return (kind == 1).astype(np.float32), (kind == 2).astype(np.float32), values


def evidence(gram: Floats, moment: Floats, square: float, count: int, block: NDArray[np.int64]) -> Floats:
    """Weights of ridge regression whose variance per block maximises the evidence (MacKay 1992), by fixed point."""
    blocks = int(block.max()) + 1
    variance = np.array(START)
    precision = 1.0
    for step in range(EVIDENCE_STEPS + 1):
        scale = np.append(np.sqrt(variance), 10.0)[block].astype(np.float32)
        system = np.float32(precision) * gram * scale * scale[:, None]
        system[np.diag_indices(len(system))] += 1
        factor = scipy.linalg.cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        weights = np.float32(precision) * scale * scipy.linalg.cho_solve(factor, scale * moment, check_finite=False)
        if step == EVIDENCE_STEPS:
            break
        kept = 1 - np.diag(scipy.linalg.lapack.spotri(factor[0], lower=1)[0])
        told = np.array([kept[block == k].sum() for k in range(blocks)])
        size = np.array([(weights[block == k].astype(float) ** 2).sum() for k in range(blocks)])
        variance = np.clip(size / np.maximum(told, 1e-6), 1e-6, 10)
        missed = square - 2 * float(weights @ moment) + float(weights @ (gram @ weights))
        precision = (count - told.sum() - 1) / max(missed, 1e-9)
    return np.asarray(weights, np.float32)


def train_network(
    inputs: Floats, targets: Floats, weights: Floats, blank: tuple[Floats, Floats, Floats], seed: int
) -> list[tuple[Floats, Floats]]:
    """One network: (weights, bias) of its three layers; a tenth of the rows each lose their structure or EC number."""
    torch.manual_seed(seed)
    layers = [
        torch.nn.Linear(inputs.shape[1], HIDDEN[0]),
        torch.nn.Linear(HIDDEN[0], HIDDEN[1]),
        torch.nn.Linear(HIDDEN[1], 1),
    ]
    drop, relu = torch.nn.Dropout, torch.nn.ReLU
    net = torch.nn.Sequential(drop(0.2), layers[0], relu(), drop(0.4), layers[1], relu(), drop(0.4), layers[2])
    x, y, w = (torch.from_numpy(array) for array in (inputs, targets, weights))
    no_structure, no_ec, values = (torch.from_numpy(array) for array in blank)
    batches = -(-len(x) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2.5e-3, total_steps=EPOCHS * batches)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            lost = (torch.rand(len(chosen), 1) < 0.1) * no_structure + (torch.rand(len(chosen), 1) < 0.1) * no_ec
            loss = (w[chosen] * (net(x[chosen] * (1 - lost) + values * lost)[:, 0] - y[chosen]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers]


def fit_axes(table: Table) -> Arrays:
    """Coordinates of the features and the random waves; nothing of it sees a turnover number."""
    generator = np.random.default_rng(SEED)
    frequencies = features.pair_frequencies(table.proteins)
    mean = frequencies.mean(axis=0)
    composition = np.column_stack([frequencies[:, :20], features.lengths(table.proteins)])
    found: Arrays = {
        "pair_mean": mean,
        "pair_axes": principal(frequencies - mean, 128),
        "enzyme_axes": enzyme_axes(mean, 160),
        "composition_mean": composition.mean(axis=0),
        "composition_scale": 1 / (composition.std(axis=0) * np.sqrt(np.float32(21))),
        "word_weights": word_weights(table.proteins),
    }
    names = features.descriptor_names()
    found["descriptor_names"] = np.array(names)
    substrates = features.substrates(table.smiles, names)
    spread = substrates.descriptors.std(axis=0)
    found["descriptor_mean"] = substrates.descriptors.mean(axis=0)
    found["descriptor_scale"] = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0).astype(np.float32)
    scaled = np.clip((substrates.descriptors - found["descriptor_mean"]) * found["descriptor_scale"], -4, 4)
    found["descriptor_axes"] = principal(scaled, 48)
    for name, counts, least, width in (("morgan", substrates.morgan, 4, 96), ("atom_pairs", substrates.pairs, 25, 64)):
        columns = np.flatnonzero((counts > 0).sum(axis=0) >= least)
        logs = np.log1p(counts[:, columns])
        found[f"{name}_columns"], found[f"{name}_mean"] = columns.astype(np.int16), logs.mean(axis=0)
        found[f"{name}_axes"] = principal(logs - found[f"{name}_mean"], width)
        found[f"{name}_width"] = np.array(width)
    found["pairs_width"], found["enzymes_width"] = np.array(128), np.array(160)
    classes = sorted({prefix for ec in table.rows.ec for prefix in ecmeans.prefixes(ec)[1:4]})
    found["ec_classes"] = np.array(classes)
    widths = {"pairs": 128, "enzymes": 160, "composition": 21, "descriptors": 48, "both": 144, "": 0}
    for block in regression.FOURIER:
        name = f"fourier_{block.name}"
        found[f"{name}_phase"] = generator.uniform(0, 2 * np.pi, block.width).astype(np.float32)
        for view, kind, gamma in (
            (block.protein, "protein", block.protein_gamma),
            (block.substrate, "substrate", block.substrate_gamma),
        ):
            if view:
                drawn = generator.normal(size=(widths[view], block.width)) * np.sqrt(2 * gamma)
                found[f"{name}_{kind}"] = drawn.astype(np.float16)
    return found


def mean_waves(axes: Arrays, views: Views) -> Arrays:
    """Means over the training substrates of the random waves, for pairs without a structure."""
    found: Arrays = {}
    for block in regression.FOURIER:
        if block.substrate:
            angle = views.substrate[block.substrate] @ axes[f"fourier_{block.name}_substrate"].astype(np.float32)
            found[f"fourier_{block.name}_mean_cos"] = np.cos(angle).mean(axis=0)
            found[f"fourier_{block.name}_mean_sin"] = np.sin(angle).mean(axis=0)
    return found


def principal(centred: Floats, width: int) -> Floats:
    """Principal axes, scaled so that projected rows have mean square length 1; half precision, as it is stored."""
    _, axes = np.linalg.eigh((centred.T @ centred).astype(float))
    axes = axes[:, ::-1][:, :width]
    # A sign of its own for each axis, so that a run on another machine gives the same.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(axes / np.sqrt(((centred @ axes) ** 2).sum(axis=1).mean()), np.float16)


def enzyme_axes(mean: Floats, width: int) -> Floats:
    """Fisher's discriminant axes of EC numbers with at least three reviewed enzymes; large classes count as 40."""
    text = gzip.decompress((PLACE / "ec" / "reviewed.faa.gz").read_bytes()).decode()
    records = [record.partition("\n") for record in text.split(">")[1:]]
    ecs = np.array([head.split()[1].split(";")[0] for head, _, _ in records])
    _, of, counts = np.unique(ecs, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[of] >= 3)
    rows = features.pair_frequencies([records[k][2].replace("\n", "") for k in kept]) - mean
    _, of, counts = np.unique(ecs[kept], return_inverse=True, return_counts=True)
    weight = np.minimum(1, 40 / counts)[of].astype(np.float32)
    total = np.bincount(of, weights=weight)
    centre = (rows * weight[:, None]).sum(axis=0) / weight.sum()
    rows = rows - centre
    centres = np.zeros((len(counts), rows.shape[1]), np.float32)
    np.add.at(centres, of, rows * weight[:, None])
    centres /= total[:, None].astype(np.float32)
    every = (rows * weight[:, None]).T @ rows / weight.sum()
    between = (centres * total[:, None].astype(np.float32)).T @ centres / np.float32(total.sum())
    within = (every - between).astype(float)
    within += np.eye(len(within)) * 0.3 * np.trace(within) / len(within)
    last = len(within)
    _, axes = scipy.linalg.eigh(between.astype(float), within, subset_by_index=[last - width, last - 1])
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(width)])
    return np.asarray(axes[:, ::-1] / np.abs(axes).max(), np.float16)


def word_weights(proteins: list[str]) -> Floats:
    """Inverse document frequency of three-letter words."""
    seen = np.zeros(features.WORDS)
    for protein in proteins:
        seen[features.word_counts(protein)[0]] += 1
    return np.log((len(proteins) + 1) / (seen + 1)).astype(np.float16)


def out_of_fold(trainer: Trainer) -> Arrays:
    """Parts for rows that the fit did not see: `grouped`, the same without structure, and the published valid split."""
    table = trainer.table
    every = np.arange(len(table.y))
    found: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in ("grouped", "no_structure", "valid")}
    jobs = [(f"grouped{k}", table.fold != k, table.fold == k) for k in range(FOLDS)]
    for name, trained, asked in [*jobs, ("train", ~table.valid, table.valid)]:
        arrays, means = trainer.fit(name, every[trained]), trainer.means(every[trained])
        kinds = ("valid",) if name == "train" else ("grouped", "no_structure")
        for kind in kinds:
            rows = table.rows.take(every[asked])
            if kind == "no_structure":
                rows = Rows(rows.protein, np.full(len(rows.ec), -1), rows.ec, rows.variant)
            for part, values in vars(regression.parts(arrays, means, trainer.views, rows)).items():
                found[kind].setdefault(part, np.full(len(every), np.nan))[asked] = values
    stored: Arrays = {f"{kind}_{part}": values for kind, some in found.items() for part, values in some.items()}
    return stored | {"fold": table.fold, "valid": table.valid, "y": table.y, "cluster": table.cluster}


def samples(oof: Arrays, kind: str, chosen: NDArray[np.bool_]) -> regression.Parts:
    """Parts of some rows."""
    names = list(regression.Parts.__dataclass_fields__)
    return regression.Parts(**{name: oof[f"{kind}_{name}"][chosen] for name in names})


def pooled(
    oof: Arrays, y: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[regression.Parts, NDArray[np.float64], NDArray[np.bool_]]:
    """Parts, truth and whether structures were used: grouped, grouped without structure, and valid rows of `chosen`."""
    every = [
        (kind, chosen & oof["valid"] if kind == "valid" else chosen) for kind in ("grouped", "no_structure", "valid")
    ]
    several = [samples(oof, kind, rows) for kind, rows in every]
    together = {
        name: np.concatenate([getattr(one, name) for one in several]) for name in regression.Parts.__dataclass_fields__
    }
    truth = np.concatenate([y[rows] for _, rows in every])
    structured = np.concatenate([np.full(rows.sum(), kind != "no_structure") for kind, rows in every])
    return regression.Parts(**together), truth, structured


def calibrate(oof: Arrays, table: Table, cuts: list[float]) -> dict[str, object]:
    """Calibration on all predictions out of fold."""
    parts, truth, structured = pooled(oof, table.y, np.ones(len(table.y), bool))
    settings = calibration.fit(parts, truth, structured, cuts)
    return {"version": VERSION, "rows": len(table.y), **settings}


def nearest_identity(table: Table, work: Path) -> dict[str, NDArray[np.float64]]:
    """Percent identity (DIAMOND, query cover 50 %) of each row's protein with the nearest its fit was trained on."""
    hits = work / f"identity_{hashlib.sha256(''.join(table.proteins).encode()).hexdigest()[:12]}.tsv"
    if not hits.is_file():
        fasta, base = work / "proteins.faa", work / "proteins"
        fasta.write_text("".join(f">{k}\n{protein}\n" for k, protein in enumerate(table.proteins)))
        program = str(diamond())
        subprocess.run([program, "makedb", "--in", str(fasta), "-d", str(base), "--quiet"], check=True)
        search = [
            program,
            "blastp",
            "-q",
            str(fasta),
            "-d",
            str(base),
            "-k",
            "1000",
            "--query-cover",
            "50",
            "-p",
            "1",
            "--quiet",
        ]
        columns = ["-f", "6", "qseqid", "sseqid", "pident"]
        subprocess.run([*search, *columns, "-o", f"{hits}.part"], check=True)
        Path(f"{hits}.part").replace(hits)
    frame = pd.read_csv(hits, sep="\t", names=["query", "target", "identity"])
    fold = np.zeros(len(table.proteins), np.int64)
    fold[table.rows.protein] = table.fold
    in_train = np.zeros(len(table.proteins), bool)
    in_train[table.rows.protein[~table.valid]] = True
    grouped = np.zeros(len(table.proteins))
    valid = np.zeros(len(table.proteins))
    apart = frame[fold[frame["query"]] != fold[frame.target]]
    np.maximum.at(grouped, apart["query"].to_numpy(), apart.identity.to_numpy())
    trained = frame[in_train[frame.target]]
    np.maximum.at(valid, trained["query"].to_numpy(), trained.identity.to_numpy())
    return {"grouped": grouped[table.rows.protein], "valid": valid[table.rows.protein]}


def identity_bins(identity: Mapping[str, NDArray[np.float64]], oof: Arrays) -> list[float]:
    """Cosines of sketches that part proteins at 40, 60 and 80 % identity with the fewest on the wrong side."""
    known = oof["valid"]
    cosine = np.concatenate([oof["grouped_similarity"], oof["valid_similarity"][known]])
    percent = np.concatenate([identity["grouped"], identity["valid"][known]])
    found: list[float] = []
    for cut in calibration.IDENTITY_CUTS:
        tried = np.arange(0.15, 0.95, 0.01)
        above = percent >= cut
        wrong = [(np.mean(cosine[above] < at) + np.mean(cosine[~above] >= at)) for at in tried]
        found.append(round(float(max(tried[int(np.argmin(wrong))], found[-1] if found else 0)), 3))
    return found


def like(sequences: pd.Series, fasta: Path, work: Path) -> NDArray[np.bool_]:
    """Which sequences are at least 90 % identical over 80 % of their length to one in a FASTA file."""
    unique = sorted(set(sequences))
    query, base, hits = work / "rows.faa", work / "without", work / "without.tsv"
    query.write_text("".join(f">{k}\n{protein}\n" for k, protein in enumerate(unique)))
    program = str(diamond())
    subprocess.run([program, "makedb", "--in", str(fasta), "-d", str(base), "--quiet"], check=True)
    search = [
        program,
        "blastp",
        "-q",
        str(query),
        "-d",
        str(base),
        "--id",
        "90",
        "--query-cover",
        "80",
        "-k",
        "1",
        "-p",
        "1",
    ]
    subprocess.run([*search, "--quiet", "-f", "6", "qseqid", "-o", str(hits)], check=True)
    found = {unique[int(line)] for line in hits.read_text().split()}
    say(f"{int(sequences.isin(found).sum())} rows are left out: their protein is in {fasta.name}")
    return np.asarray(sequences.isin(found))


def write(out: Path, arrays: Arrays, means: Mapping[str, ecmeans.ClassMean], settings: Mapping[str, object]) -> None:
    """The three files of a predictor."""
    store(out / predictor.MODEL, arrays)
    ecmeans.write(means, out / predictor.CLASS_MEANS)
    (out / predictor.CALIBRATION).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def write_check(path: Path, trained: predictor.Predictor) -> None:
    """Predictions of the model in memory for made-up proteins: a test compares those of the stored one."""
    generator = np.random.default_rng(SEED)
    lines = ["sequence\tsmiles\tec\tlog10_kcat\tsd\tlower90"]
    for length, smiles, ec in (
        (250, "OCC1OC(O)C(O)C(O)C1O", "2.7.1.1"),
        (400, "", "1.1.1.1"),
        (90, "CC(=O)C(=O)O", ""),
        (700, "NC(CCC(=O)O)C(=O)O", "6.3.1.-"),
    ):
        sequence = "".join(generator.choice(list(features.RESIDUES), length))
        one = trained.predict([sequence], [smiles or None], [[ec] if ec else []])
        told = "\t".join(f"{float(values[0]):.6f}" for values in (one.log10_kcat, one.sd, one.lower90))
        lines.append(f"{sequence}\t{smiles}\t{ec}\t{told}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def store(path: Path, arrays: Arrays) -> None:
    """Arrays into a file, compressed; dates and names do not differ between runs."""
    named: dict[str, Any] = {name: arrays[name] for name in sorted(arrays)}
    np.savez_compressed(path, **named)


def say(text: str) -> None:
    """Progress, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
