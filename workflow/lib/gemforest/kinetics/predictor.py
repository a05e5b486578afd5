"""Turnover numbers of enzyme and substrate from sequence, structure and EC number, with their uncertainty.

The fitted parameters are arrays in `resources/kcat`, made by `scripts/train_kcat.py`; nothing but numpy and RDKit is
needed to use them. What was predicted for a pair is kept, so that a shard of related genomes asks each worker once.
Without a structure or an EC number a prediction is made from what there is, and its tier says so;
without a usable sequence it is the EC class's mean, and without that the global one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from gemforest.config import WORKFLOW
from gemforest.errors import InfrastructureError
from gemforest.kinetics import calibration, ecmeans, features, regression

Floats = NDArray[np.float64]

RESOURCE = WORKFLOW.parent / "resources" / "kcat"
CLASS_MEANS = "ec_means.tsv"
CALIBRATION = "calibration.json"
MODEL = "model.npz"
NORMAL = 1.645
"""90 % of a normal distribution lie within this many standard deviations."""
ROWS_AT_ONCE = 4000
KEPT = 100_000
"""Pairs that stay in a worker, about 0.3 kB each."""
DECIMALS = 8
"""Of what is told: below it a prediction would depend on which others are worked out with it."""


@dataclass(frozen=True)
class Prediction:
    """Turnover numbers of n pairs of enzyme and substrate.

    Attributes
    ----------
    log10_kcat
        n, log10(s^-1), drawn toward the EC mean as far as the evidence is weak.
    sd
        n, standard deviation of the error of `log10_kcat`.
    lower90, upper90
        n, interval that held 90 % of the measured values in calibration.
    similarity_bin
        n, how near the training set: percent identity of the nearest enzyme there, in bins; `none` where no sequence
        was used.
    tier
        n, `predicted`, `predicted_no_structure`, `ec_mean` or `global`.
    """

    log10_kcat: Floats
    sd: Floats
    lower90: Floats
    upper90: Floats
    similarity_bin: NDArray[np.str_]
    tier: NDArray[np.str_]


class Predictor:
    """A fitted predictor; make one with `load_predictor`."""

    def __init__(
        self,
        arrays: regression.Arrays,
        means: Mapping[str, ecmeans.ClassMean],
        calibration: Mapping[str, Any],
    ) -> None:
        self._arrays, self._means, self._calibration = arrays, means, calibration
        self.version = str(calibration["version"])
        self.asked = self.worked_out = 0
        self._kept: dict[bytes, tuple[float, float, float, str, bool]] = {}

    def predict(
        self,
        sequences: Sequence[str],
        smiles: Sequence[str | None],
        ecs: Sequence[Sequence[str]],
        embeddings: NDArray[np.floating[Any]] | None = None,
        variants: Sequence[float] | None = None,
    ) -> Prediction:
        """Predict n pairs; those that were predicted before are not worked out again.

        Parameters
        ----------
        sequences
            n proteins in one-letter code.
        smiles
            n substrates; None or empty where the structure is not known. What RDKit cannot read counts as not known.
        ecs
            n lists of EC numbers, partial ones too; empty where none is known. Several are averaged.
        embeddings
            Not used by this version, which has its own sequence features.
        variants
            n, from 0 to 1: how likely each protein is an engineered variant; None: all are natural, as in a genome.

        Raises
        ------
        ValueError
            The lengths differ.
        """
        if not len(sequences) == len(smiles) == len(ecs):
            raise ValueError(f"{len(sequences)} sequences, {len(smiles)} structures and {len(ecs)} lists of EC numbers")
        engineered = [0.0] * len(ecs) if variants is None else [float(one) for one in variants]
        found = self._by_class(ecs, np.array(engineered))
        clean = {text: "".join(text.split()).upper().rstrip("*") for text in set(sequences)}
        able = {text: features.usable(sequence) for text, sequence in clean.items()}
        pairs = [
            (n, clean[sequences[n]], smiles[n] or "", ec, engineered[n])
            for n in range(len(sequences))
            if able[sequences[n]]
            for ec in (sorted({ecmeans.prefixes(ec)[-1] for ec in ecs[n]}) or [""])
        ]
        if pairs:
            self._fill(found, pairs)
        return found

    @property
    def variant_share(self) -> float:
        """Share of engineered variants in the training table, by the predictions that the calibration was fitted on."""
        return float(self._calibration["variant_share"])

    def _by_class(self, ecs: Sequence[Sequence[str]], engineered: Floats) -> Prediction:
        """Class means, and their spread, for every pair; means are those of the mixture, moved to what is asked for."""
        found = [ecmeans.lookup(self._means, numbers) for numbers in ecs]
        values = np.array([one.mean for one, _ in found], float) + self._calibration["class_shift"] * (
            1 - engineered / self.variant_share
        )
        sds = np.array([one.sd for one, _ in found], float) * self._calibration["class_factor"]
        tiers = np.array(["ec_mean" if depth else "global" for _, depth in found], dtype="<U22")
        bins = np.array(["none"] * len(found), dtype="<U8")
        return Prediction(values, sds, values - NORMAL * sds, values + NORMAL * sds, bins, tiers)

    def _fill(self, found: Prediction, pairs: Sequence[tuple[int, str, str, str, float]]) -> None:
        """Write predictions of (place, protein, structure, EC, variant) into `found`, several for a place averaged."""
        keys = [_key(*pair[1:]) for pair in pairs]
        self.asked += len(keys)
        new = {key: pair[1:] for key, pair in zip(keys, pairs, strict=True) if key not in self._kept}
        told = self._kept | dict(zip(new, self._work_out(list(new.values())), strict=True))
        self.worked_out += len(new)
        while len(self._kept) > KEPT - len(new) and self._kept:
            del self._kept[next(iter(self._kept))]
        self._kept |= {key: told[key] for key in list(new)[:KEPT]}
        value, sd, half, bins, structured = (np.array(part) for part in zip(*(told[key] for key in keys), strict=True))
        place = np.array([pair[0] for pair in pairs], np.int64)
        count = np.bincount(place, minlength=len(found.tier))
        asked = np.flatnonzero(count)

        def average(values: Floats) -> Floats:
            return np.asarray(np.bincount(place, values, minlength=len(count))[asked] / count[asked], float)

        mean = average(value)
        variance = average(sd**2) + np.maximum(average(value**2) - mean**2, 0)
        width = average(half) * np.sqrt(variance / average(sd**2))
        found.log10_kcat[asked], found.sd[asked] = mean, np.sqrt(variance)
        found.lower90[asked], found.upper90[asked] = mean - width, mean + width
        found.similarity_bin[place] = bins
        found.tier[place] = np.where(structured, "predicted", "predicted_no_structure")

    def _work_out(
        self, pairs: Sequence[tuple[str, str, str, float]]
    ) -> Iterator[tuple[float, float, float, str, bool]]:
        """Value, deviation, half width, bin, whether the structure was used, of (protein, structure, EC, variant)."""
        if not pairs:
            return
        proteins = sorted({pair[0] for pair in pairs})
        structures = sorted({pair[1] for pair in pairs if pair[1]})
        views = regression.Views(self._arrays, proteins, structures, np.float64)
        protein_of = {text: k for k, text in enumerate(proteins)}
        structure_of = {text: k if views.readable[k] else -1 for k, text in enumerate(structures)}
        rows = regression.Rows(
            np.array([protein_of[pair[0]] for pair in pairs], np.int64),
            np.array([structure_of.get(pair[1], -1) for pair in pairs], np.int64),
            [pair[2] for pair in pairs],
            np.array([pair[3] for pair in pairs], float),
        )
        structured = rows.substrate >= 0
        for start in range(0, len(pairs), ROWS_AT_ONCE):
            part = np.arange(start, min(start + ROWS_AT_ONCE, len(pairs)))
            told = regression.parts(self._arrays, self._means, views, rows.take(part))
            made = calibration.apply(self._calibration, told, structured[part])
            numbers = (np.round(values, DECIMALS).tolist() for values in (made.value, made.sd, made.half))
            yield from zip(*numbers, made.bins.tolist(), structured[part].tolist(), strict=True)


def _key(protein: str, structure: str, ec: str, variant: float) -> bytes:
    return hashlib.blake2b("\n".join((protein, structure, ec, f"{variant:g}")).encode(), digest_size=16).digest()


def load_predictor(folder: Path | None = None) -> Predictor:
    """The predictor of a folder, the shipped one by default.

    Raises
    ------
    InfrastructureError
        A file of it is missing or damaged.
    """
    folder = folder or RESOURCE
    try:
        settings = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
        with np.load(folder / MODEL, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Predictor(arrays, ecmeans.read(folder / CLASS_MEANS), settings)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InfrastructureError(
            f"{folder}: no whole kcat predictor ({error}); restore {MODEL}, {CLASS_MEANS} and {CALIBRATION} "
            "or make them with scripts/train_kcat.py"
        ) from None


def ec_means(folder: Path | None = None) -> Mapping[str, tuple[float, float, int]]:
    """EC prefix of 0 to 4 fields to mean log10(kcat / s^-1), standard deviation and number of values behind it.

    Of natural enzymes; the empty prefix is the global prior.
    """
    folder = folder or RESOURCE
    means = ecmeans.read(folder / CLASS_MEANS)
    told = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    return {
        prefix: (one.mean + told["class_shift"], one.sd * told["class_factor"], one.n) for prefix, one in means.items()
    }
