"""The fitted part of the kcat predictor, as arrays: a Gaussian process in random features, networks, and a local term.

`general`: ridge regression on explicit features of kernels over proteins, substrates and EC classes and products of
them (random Fourier features, Rahimi and Recht 2007; products with EC classes by random signs). It was fitted by
generalised least squares, errors correlated within homology clusters, so that a much-measured family does not count
as many. `local`: what members of the nearest cluster said beyond that, the best linear prediction from the same
covariance; zero where no cluster is near. `network`: the mean of small ReLU networks on the same views.

In float64 a prediction agrees with that of the same pair in any other company to about 1e-12, so that rounding makes it
the same; in float32, in which fits are made, only to 1e-6.

Without a structure each substrate feature is its mean over the training substrates, which is the mean prediction over
them; without an EC number its features are zero. Arrays only, no code is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemforest.kinetics import ecmeans, features

Floats = NDArray[Any]
Arrays = Mapping[str, NDArray]  # type: ignore[type-arg]

ONE_HOT_LEVELS = (1, 2, 3)
SIGNS = 400
"""Width of the hashed fourth EC level."""
NEAR = 0.3
"""Cosine of sketches from which on the nearest training cluster is listened to."""
SKETCH_SCALE = 300.0
UNKNOWN_TANIMOTO = 0.4
"""Stands for the likeness of substrates where one has no structure."""


@dataclass(frozen=True)
class Fourier:
    """Random features of a product of kernels over a protein view, a substrate view and an EC level.

    Attributes
    ----------
    protein, substrate
        View, or empty; kernel exp(-gamma |x - x'|²) on it.
    level
        EC level whose signs multiply it, 0 for none.
    """

    name: str
    protein: str
    protein_gamma: float
    substrate: str
    substrate_gamma: float
    level: int
    width: int


FOURIER = (
    Fourier("pairs", "pairs", 1.0, "", 0.0, 0, 200),
    Fourier("composition", "composition", 0.5, "", 0.0, 0, 120),
    Fourier("descriptors", "", 0.0, "descriptors", 0.5, 0, 200),
    Fourier("descriptors_wide", "", 0.0, "descriptors", 0.1, 0, 100),
    Fourier("pairs_substrate", "pairs", 1.0, "both", 0.49, 0, 300),
    Fourier("ec2_substrate", "", 0.0, "both", 0.7, 2, 150),
    Fourier("ec3_substrate", "", 0.0, "both", 0.7, 3, 250),
    Fourier("ec2_pairs", "pairs", 1.0, "", 0.0, 2, 180),
    Fourier("ec3_enzymes", "enzymes", 1.0, "", 0.0, 3, 200),
)
LINEAR_PROTEIN = ("pairs", "enzymes")
LINEAR_SUBSTRATE = ("morgan", "atom_pairs")
NETWORK_SCALES = {
    "pairs": 11.0,
    "enzymes": 12.0,
    "composition": 4.5,
    "descriptors": 7.0,
    "morgan": 9.0,
    "atom_pairs": 6.0,
}
ONE_HOT_SCALE = 3.0


@dataclass(frozen=True)
class Rows:
    """n pairs: index of the protein, index of the substrate (-1: no structure), EC number (empty: none).

    `variant` says how likely each protein is an engineered variant (n, 0 to 1); None: all are natural.
    """

    protein: NDArray[np.int64]
    substrate: NDArray[np.int64]
    ec: Sequence[str]
    variant: NDArray[Any] | None = None

    @property
    def engineered(self) -> NDArray[np.float64]:
        """N, 0 to 1."""
        return np.zeros(len(self.ec)) if self.variant is None else self.variant.astype(float)

    def take(self, chosen: NDArray[np.int64]) -> Rows:
        """Some of the rows."""
        variant = None if self.variant is None else self.variant[chosen]
        return Rows(self.protein[chosen], self.substrate[chosen], [self.ec[i] for i in chosen], variant)


@dataclass(frozen=True)
class Parts:
    """What each part says of n pairs, log10(s^-1), and what it is worth.

    Attributes
    ----------
    general, local, network, class_mean
        n; `local` is a difference to `general`.
    spread
        n, standard deviation over the networks.
    class_sd, class_depth
        n, spread within the EC class of `class_mean`, and its level.
    similarity
        n, cosine of the sketch with the nearest training protein's.
    variant
        n, 1 for engineered variants, 0 for natural enzymes; the parts do not see it, what weighs them does
        (`calibration.py`).
    """

    general: NDArray[np.float64]
    local: NDArray[np.float64]
    network: NDArray[np.float64]
    spread: NDArray[np.float64]
    class_mean: NDArray[np.float64]
    class_sd: NDArray[np.float64]
    class_depth: NDArray[np.int64]
    similarity: NDArray[np.float64]
    variant: NDArray[np.float64]


class Views:
    """Features of unique proteins and substrates in the coordinates that a fit works in, in this number type."""

    def __init__(
        self, arrays: Arrays, proteins: Sequence[str], smiles: Sequence[str], dtype: type[np.floating[Any]] = np.float32
    ) -> None:
        self.dtype = dtype
        frequencies = features.pair_frequencies(proteins).astype(dtype)
        centred = frequencies - arrays["pair_mean"]
        enzymes = centred @ arrays["enzyme_axes"].astype(dtype)
        enzymes /= np.maximum(np.linalg.norm(enzymes, axis=1, keepdims=True), 1e-6)
        composition = np.column_stack([frequencies[:, :20], features.lengths(proteins)])
        self.protein: dict[str, Floats] = {
            "pairs": centred @ arrays["pair_axes"].astype(dtype),
            "enzymes": enzymes,
            "composition": (composition - arrays["composition_mean"]) * arrays["composition_scale"],
        }
        self.sketch = quantised(features.sketches(proteins, arrays["word_weights"].astype(np.float32)))
        # Row -1 stands for no structure and must be there to be masked.
        found = features.substrates(list(smiles) or [""], arrays["descriptor_names"].tolist())
        self.readable, self.fingerprint = found.readable, found.morgan
        descriptors = (found.descriptors.astype(dtype) - arrays["descriptor_mean"]) * arrays["descriptor_scale"]
        self.substrate: dict[str, Floats] = {
            "descriptors": np.clip(descriptors, -4, 4) @ arrays["descriptor_axes"].astype(dtype),
            "morgan": _projected(found.morgan.astype(dtype), arrays, "morgan"),
            "atom_pairs": _projected(found.pairs.astype(dtype), arrays, "atom_pairs"),
        }
        for view in self.substrate.values():
            view[~found.readable] = 0.0
        self.substrate["both"] = np.hstack([self.substrate["descriptors"], self.substrate["morgan"]])


def _projected(counts: Floats, arrays: Arrays, name: str) -> Floats:
    columns = arrays[f"{name}_columns"]
    return np.asarray(
        (np.log1p(counts[:, columns]) - arrays[f"{name}_mean"]) @ arrays[f"{name}_axes"].astype(counts.dtype),
        counts.dtype,
    )


def quantised(sketch: Floats) -> Floats:
    """A sketch as it is stored, in 8 bits, and of length one again."""
    rounded = np.clip(np.rint(sketch * SKETCH_SCALE), -127, 127).astype(np.float32)
    return unit(rounded)


def unit(rows: Floats) -> Floats:
    """Rows of length one; zero rows stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def one_hot(arrays: Arrays, ecs: Sequence[str]) -> Floats:
    """N × number of classes known at the first three levels."""
    place = {name: k for k, name in enumerate(arrays["ec_classes"].tolist())}
    found = np.zeros((len(ecs), len(place)), np.float32)
    for row, ec in enumerate(ecs):
        for prefix in ecmeans.prefixes(ec)[1:4]:
            if prefix in place:
                found[row, place[prefix]] = 1.0
    return found


def design(arrays: Arrays, views: Views, rows: Rows) -> Floats:
    """N × D features of the general part, the constant first."""
    substrate = np.where(_has_structure(views, rows), rows.substrate, -1)
    blocks: list[Floats] = [np.ones((len(rows.ec), 1), np.float32), one_hot(arrays, rows.ec)]
    blocks.append(_signs(rows.ec, 4, SIGNS, 0) / np.float32(np.sqrt(SIGNS)))
    blocks += [views.protein[name][rows.protein] for name in LINEAR_PROTEIN]
    for name in LINEAR_SUBSTRATE:
        blocks.append(views.substrate[name][substrate] * (substrate >= 0)[:, None].astype(np.float32))
    for salt, block in enumerate(FOURIER, start=1):
        blocks.append(_fourier(arrays, views, rows, substrate, block, salt))
    return np.hstack(blocks)


def block_of_feature(arrays: Arrays) -> NDArray[np.int64]:
    """D, the number of the block that each feature of `design` is in; -1 for the constant."""
    levels = np.array([name.count(".") for name in arrays["ec_classes"].tolist()], np.int64)
    widths = [SIGNS, *(arrays[f"{name}_width"].item() for name in (*LINEAR_PROTEIN, *LINEAR_SUBSTRATE))]
    widths += [block.width for block in FOURIER]
    numbers = [np.full(width, 3 + k, np.int64) for k, width in enumerate(widths)]
    return np.concatenate([np.array([-1], np.int64), levels, *numbers])


def _has_structure(views: Views, rows: Rows) -> NDArray[np.bool_]:
    known = rows.substrate >= 0
    if len(views.readable):
        known &= views.readable[np.maximum(rows.substrate, 0)]
    return known


def _signs(ecs: Sequence[str], level: int, width: int, salt: int) -> Floats:
    names = [(ecmeans.prefixes(ec) + [""] * 5)[level] if len(ecmeans.prefixes(ec)) > level else "" for ec in ecs]
    unique = {name: features.ec_signs(name, width, salt) for name in sorted(set(names))}
    return np.array([unique[name] for name in names], np.float32).reshape(len(ecs), width)


def _fourier(
    arrays: Arrays, views: Views, rows: Rows, substrate: NDArray[np.int64], block: Fourier, salt: int
) -> Floats:
    name = f"fourier_{block.name}"
    dtype = views.dtype
    scale = dtype(np.sqrt(2.0 / block.width))
    angle = arrays[f"{name}_phase"].astype(dtype)[None, :]
    if block.protein:
        own = views.protein[block.protein] @ arrays[f"{name}_protein"].astype(dtype)
        angle = angle + own[rows.protein]
    if block.substrate:
        own = views.substrate[block.substrate] @ arrays[f"{name}_substrate"].astype(dtype)
        # The last row, which -1 takes, is the mean over the training substrates.
        cosine = np.vstack([np.cos(own), arrays[f"{name}_mean_cos"][None, :]])[substrate]
        sine = np.vstack([np.sin(own), arrays[f"{name}_mean_sin"][None, :]])[substrate]
        found = np.cos(angle) * cosine - np.sin(angle) * sine
    else:
        found = np.cos(angle)
    found = np.broadcast_to(found, (len(rows.ec), block.width)) * scale
    return np.asarray(found * _signs(rows.ec, block.level, block.width, salt) if block.level else found, dtype)


def local_kernel(cosine: Floats, tanimoto: Floats, variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance within a homology cluster of pairs with these likenesses of proteins and substrates."""
    near, near_substrate, same, same_substrate, shared = variances[:5]
    return np.asarray(
        cosine * (near + near_substrate * tanimoto) + cosine**16 * (same + same_substrate * tanimoto) + shared, float
    )


def tanimoto(one: Floats, other: Floats) -> Floats:
    """Tanimoto similarity of two sets of counts (minimum over maximum), m × k."""
    found = np.empty((len(one), len(other)), np.float32)
    total = other.sum(axis=1)
    for row, counts in enumerate(one):
        held = np.flatnonzero(counts)
        common = np.minimum(counts[held], other[:, held]).sum(axis=1)
        found[row] = common / np.maximum(counts.sum() + total - common, 1e-6)
    return found


def network_input(arrays: Arrays, views: Views, rows: Rows, means: Mapping[str, ecmeans.ClassMean]) -> Floats:
    """N × inputs of the networks."""
    known = _has_structure(views, rows)
    substrate = np.where(known, rows.substrate, -1)
    blocks = [views.protein[name][rows.protein] * NETWORK_SCALES[name] for name in ("pairs", "enzymes", "composition")]
    for name in ("descriptors", "morgan", "atom_pairs"):
        blocks.append(views.substrate[name][substrate] * (NETWORK_SCALES[name] * known[:, None]))
    blocks += [one_hot(arrays, rows.ec) * ONE_HOT_SCALE, class_features(means, rows.ec)]
    return np.hstack([*blocks, known[:, None]]).astype(views.dtype)


def class_features(means: Mapping[str, ecmeans.ClassMean], ecs: Sequence[str]) -> Floats:
    """N × 6: the class mean at each EC level, or the one above where unknown; ln(1 + n) and spread of the deepest."""
    found = np.zeros((len(ecs), 6), np.float32)
    for row, ec in enumerate(ecs):
        prefixes = ecmeans.prefixes(ec)
        last = means[""]
        for level in range(1, 5):
            if level < len(prefixes) and prefixes[level] in means:
                last = means[prefixes[level]]
            found[row, level - 1] = last.mean
        found[row, 4] = np.log1p(last.n if last is not means[""] else 0)
        found[row, 5] = last.sd
    return found


def parts(arrays: Arrays, means: Mapping[str, ecmeans.ClassMean], views: Views, rows: Rows) -> Parts:
    """What each part of a fit says of pairs."""
    general = design(arrays, views, rows) @ arrays["general_weights"]
    similarity, local = _local(arrays, views, rows)
    networks = _networks(arrays, network_input(arrays, views, rows, means))
    found = [ecmeans.lookup(means, [ec] if ec else []) for ec in rows.ec]
    return Parts(
        general.astype(float),
        local,
        networks.mean(axis=0).astype(float),
        networks.std(axis=0).astype(float),
        np.array([one.mean for one, _ in found], float),
        np.array([one.sd for one, _ in found], float),
        np.array([depth for _, depth in found], np.int64),
        similarity,
        rows.engineered,
    )


def _networks(arrays: Arrays, inputs: Floats) -> Floats:
    """Number of networks × n."""
    count = arrays["network_0_bias"].shape[0]
    found = np.empty((count, len(inputs)), inputs.dtype)
    for k in range(count):
        hidden = inputs
        for layer in range(3):
            weights = arrays[f"network_{layer}_weights"][k].astype(inputs.dtype)
            hidden = hidden @ weights + arrays[f"network_{layer}_bias"][k].astype(inputs.dtype)
            if layer < 2:
                hidden = np.maximum(hidden, 0)
        found[k] = hidden[:, 0]
    return found


def _local(arrays: Arrays, views: Views, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Similarity of each row's protein to the training set, and what its nearest cluster adds."""
    stored = unit(arrays["local_sketch"].astype(np.float32)).astype(views.dtype)
    asked, row_of = np.unique(rows.protein, return_inverse=True)
    nearest = np.empty(len(asked), np.int64)
    similarity = np.empty(len(asked))
    for start in range(0, len(asked), 1000):
        cosine = views.sketch[asked[start : start + 1000]] @ stored.T
        nearest[start : start + 1000] = cosine.argmax(axis=1)
        similarity[start : start + 1000] = cosine.max(axis=1)
    added = np.zeros(len(rows.ec))
    clusters = arrays["local_cluster"][arrays["local_protein"]]
    order = np.argsort(row_of, kind="stable")
    starts = np.searchsorted(row_of[order], np.arange(len(asked) + 1))
    for k, protein in enumerate(asked):
        if similarity[k] < NEAR:
            continue
        mine = order[starts[k] : starts[k + 1]]
        members = np.flatnonzero(clusters == arrays["local_cluster"][nearest[k]])
        cosine = np.maximum(views.sketch[protein] @ stored[arrays["local_protein"][members]].T, 0)
        likeness = _likeness(arrays, views, rows.substrate[mine], arrays["local_substrate"][members])
        kernel = local_kernel(cosine[None, :], likeness, arrays["local_variances"])
        added[mine] = kernel @ arrays["local_alpha"][members]
    return similarity[row_of], added


def _likeness(arrays: Arrays, views: Views, asked: NDArray[np.int64], stored: NDArray[np.int64]) -> Floats:
    """Tanimoto of asked substrates with stored ones."""
    unique, place = np.unique(stored, return_inverse=True)
    counts = np.zeros((len(unique), features.FINGERPRINT_WIDTH), np.float32)
    starts = arrays["local_fingerprint_starts"]
    for row, substrate in enumerate(unique):
        part = slice(starts[substrate], starts[substrate + 1])
        counts[row, arrays["local_fingerprint_bits"][part]] = arrays["local_fingerprint_counts"][part]
    found = np.full((len(asked), len(unique)), UNKNOWN_TANIMOTO, np.float32)
    known = (asked >= 0) & views.readable[np.maximum(asked, 0)] if len(views.readable) else asked >= 0
    if known.any():
        own, again = np.unique(asked[known], return_inverse=True)
        found[known] = tanimoto(views.fingerprint[own], counts)[again]
    return found[:, place]
