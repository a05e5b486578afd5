"""What the kcat predictor sees of proteins, substrates and EC numbers: numbers that depend on nothing but the input.

Proteins: frequencies of residues and of residue pairs up to four apart, and a signed count sketch of three-letter words
(Weinberger et al. 2009, «feature hashing»), whose dot products approximate the cosine of the words' weighted
frequencies. Substrates: counts of Morgan environments and atom pairs, and descriptors, by RDKit. EC numbers:
random signs by hash, so that products of them are one for equal classes and average to zero for others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
GAPS = (0, 1, 2, 3)
PAIR_WIDTH = 20 + 400 * len(GAPS)
WORDS = 20**3
SKETCH_WIDTH = 384
FINGERPRINT_WIDTH = 2048
STRUCTURES_KEPT = 1500
"""Features of so many structures stay in a worker, 17 kB each."""
LEAST_RESIDUES = 30
"""Fewer known residues than this tell nothing."""
MOST_UNKNOWN = 0.5
"""A larger share of unknown residues makes a sequence unusable."""

_LETTER = np.full(256, 20, np.int64)
_LETTER[np.frombuffer(RESIDUES.encode(), np.uint8)] = np.arange(20)

_SLOW = frozenset({"Ipc", "AvgIpc", "qed", "SPS", "BertzCT", "BalabanJ"})
"""Descriptors of RDKit that take most of the time, or are not defined for single atoms."""


def descriptor_names() -> tuple[str, ...]:
    """RDKit's descriptors that are used in training; a fit stores the names that it was trained with."""
    from rdkit.Chem import Descriptors

    return tuple(name for name, _ in Descriptors.descList if name not in _SLOW)


def usable(sequence: str) -> bool:
    """Whether a protein has enough known residues to predict from."""
    known = sum(sequence.count(residue) for residue in RESIDUES)
    return known >= LEAST_RESIDUES and known >= (1 - MOST_UNKNOWN) * len(sequence)


def pair_frequencies(sequences: Sequence[str]) -> Floats:
    """N × `PAIR_WIDTH` square roots of the frequencies of residues and of pairs at each of `GAPS`."""
    found = np.zeros((len(sequences), PAIR_WIDTH), np.float32)
    for row, sequence in enumerate(sequences):
        letters = _letters(sequence)
        parts = [np.bincount(letters, minlength=21)[:20] / max(len(letters), 1)]
        for gap in GAPS:
            pairs = letters[: -gap - 1] * 21 + letters[gap + 1 :]
            counts = np.bincount(pairs, minlength=441).reshape(21, 21)[:20, :20].ravel()
            parts.append(counts / max(len(pairs), 1))
        found[row] = np.sqrt(np.concatenate(parts))
    return found


def lengths(sequences: Sequence[str]) -> Floats:
    """N natural logarithms of the length."""
    return np.log(np.array([max(len(sequence), 1) for sequence in sequences], np.float32))


def word_counts(sequence: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Three-letter words of known residues, and how often each occurs."""
    letters = _letters(sequence)
    windows = np.stack([letters[:-2], letters[1:-1], letters[2:]]) if len(letters) > 2 else np.zeros((3, 0), np.int64)
    windows = windows[:, (windows < 20).all(axis=0)]
    words, counts = np.unique(windows[0] * 400 + windows[1] * 20 + windows[2], return_counts=True)
    return words, counts


def sketches(sequences: Sequence[str], weights: Floats) -> Floats:
    """N × `SKETCH_WIDTH` unit vectors; `weights` has one for each of `WORDS` words."""
    mixed = _mix(np.arange(WORDS, dtype=np.uint64))
    places = (mixed % np.uint64(SKETCH_WIDTH)).astype(np.int64)
    signs = np.where((mixed >> np.uint64(40)) & np.uint64(1), np.float32(1), np.float32(-1))
    found = np.zeros((len(sequences), SKETCH_WIDTH), np.float32)
    for row, sequence in enumerate(sequences):
        words, counts = word_counts(sequence)
        found[row] = np.bincount(
            places[words], weights=signs[words] * weights[words] * np.sqrt(counts), minlength=SKETCH_WIDTH
        )
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6), np.float32)


def ec_signs(prefix: str, width: int, salt: int) -> Floats:
    """`width` signs that belong to an EC prefix; zeros for the empty one."""
    if not prefix:
        return np.zeros(width, np.float32)
    start = np.uint64(zlib.crc32(f"{salt}:{prefix}".encode())) << np.uint64(20)
    bits = (_mix(start + np.arange(width, dtype=np.uint64)) >> np.uint64(33)) & np.uint64(1)
    return np.where(bits, np.float32(1), np.float32(-1))


@dataclass(frozen=True)
class Substrates:
    """Features of m substrates.

    Attributes
    ----------
    readable
        m, bool: RDKit could read the structure; the other rows are zero.
    morgan, pairs
        m × `FINGERPRINT_WIDTH` counts of Morgan environments (radius 2) and of atom pairs.
    descriptors
        m × number of descriptors, signed logarithms.
    """

    readable: NDArray[np.bool_]
    morgan: Floats
    pairs: Floats
    descriptors: Floats


def substrates(smiles: Sequence[str], descriptors: Sequence[str]) -> Substrates:
    """Features of substrates given as SMILES; what cannot be read is marked so, not guessed.

    `descriptors` are names of RDKit's descriptors. What was worked out for a structure is kept, for the next genomes of
    a worker ask for the same ones: three quarters of a prediction's time are RDKit's.
    """
    names = tuple(descriptors)
    rows = [_substrate(text, names) for text in smiles]
    shape = (len(rows), FINGERPRINT_WIDTH)
    found = Substrates(
        np.array([row is not None for row in rows], bool),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros((len(rows), len(names)), np.float32),
    )
    for place, row in enumerate(rows):
        if row is not None:
            found.morgan[place], found.pairs[place], found.descriptors[place] = row
    return found


@lru_cache(maxsize=STRUCTURES_KEPT)
def _substrate(text: str, descriptors: tuple[str, ...]) -> tuple[Floats, Floats, Floats] | None:
    """Morgan counts, atom-pair counts and descriptors of one structure; None where RDKit cannot read it."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text) if text else None
        if molecule is None or not molecule.GetNumAtoms():
            return None
        morgan, pairs, functions = _tools(descriptors)
        counts = [tool.GetCountFingerprintAsNumPy(molecule).astype(np.float32) for tool in (morgan, pairs)]
        return counts[0], counts[1], _described(molecule, functions)


@lru_cache(maxsize=2)
def _tools(descriptors: tuple[str, ...]) -> tuple[Any, Any, list[Callable[[Any], float]]]:
    from rdkit.Chem import Descriptors, rdFingerprintGenerator

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_WIDTH)
    pairs = rdFingerprintGenerator.GetAtomPairGenerator(fpSize=FINGERPRINT_WIDTH)
    return morgan, pairs, [getattr(Descriptors, name) for name in descriptors]


def _described(molecule: Any, functions: Sequence[Callable[[Any], float]]) -> Floats:
    """Signed logarithms; a descriptor that is not defined for a molecule is 0."""
    values = np.zeros(len(functions))
    for place, function in enumerate(functions):
        with suppress(ValueError, ZeroDivisionError, RuntimeError):
            values[place] = function(molecule)
    values = np.nan_to_num(np.clip(values, -1e30, 1e30).astype(np.float32), posinf=0.0, neginf=0.0)
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), np.float32)


def _letters(sequence: str) -> NDArray[np.int64]:
    return _LETTER[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014): the same on every machine and version."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
