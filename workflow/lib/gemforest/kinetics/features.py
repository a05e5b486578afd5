"""What the kcat predictor sees of proteins, substrates and EC numbers: numbers that depend on nothing but the input.

Proteins: frequencies of residues and of residue pairs up to four apart, and a signed count sketch of three-letter words
(Weinberger et al. 2009, «feature hashing»), whose dot products approximate the cosine of the words' weighted
frequencies. Substrates: counts of Morgan environments and atom pairs, and cheap descriptors, by RDKit. EC numbers:
random signs by hash, so that products of them are one for equal classes and average to zero for others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
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
LEAST_RESIDUES = 30
"""Fewer known residues than this tell nothing."""
MOST_UNKNOWN = 0.5
"""A larger share of unknown residues makes a sequence unusable."""

_LETTER = np.full(256, 20, np.int64)
_LETTER[np.frombuffer(RESIDUES.encode(), np.uint8)] = np.arange(20)

_DESCRIPTORS = (
    *("CalcExactMolWt", "CalcTPSA", "CalcLabuteASA", "CalcNumHBD", "CalcNumHBA", "CalcNumRotatableBonds"),
    *("CalcNumRings", "CalcNumAromaticRings", "CalcNumAliphaticRings", "CalcNumHeteroatoms", "CalcFractionCSP3"),
    *("CalcNumAmideBonds", "CalcNumHeterocycles", "CalcNumSpiroAtoms", "CalcNumBridgeheadAtoms"),
    *("CalcNumAtomStereoCenters", "CalcChi0v", "CalcChi1v", "CalcChi2v", "CalcChi3v", "CalcChi4v"),
    *("CalcKappa1", "CalcKappa2", "CalcKappa3", "CalcHallKierAlpha", "CalcPhi"),
)
_ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35)


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


def substrates(smiles: Sequence[str]) -> Substrates:
    """Features of substrates given as SMILES; what cannot be read is marked so, not guessed."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdFingerprintGenerator

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_WIDTH)
    pairs = rdFingerprintGenerator.GetAtomPairGenerator(fpSize=FINGERPRINT_WIDTH)
    shape = (len(smiles), FINGERPRINT_WIDTH)
    readable = np.zeros(len(smiles), bool)
    found = Substrates(
        readable, np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros((len(smiles), DESCRIPTORS), "f4")
    )
    with rdBase.BlockLogs():
        for row, text in enumerate(smiles):
            molecule = Chem.MolFromSmiles(text) if text else None
            if molecule is None or not molecule.GetNumAtoms():
                continue
            readable[row] = True
            found.morgan[row] = morgan.GetCountFingerprintAsNumPy(molecule)
            found.pairs[row] = pairs.GetCountFingerprintAsNumPy(molecule)
            found.descriptors[row] = _descriptors(molecule)
    return found


_PER_MOLECULE = len(_DESCRIPTORS) + len(_ELEMENTS) + 4
_SURFACES = (12, 10, 14)
DESCRIPTORS = _PER_MOLECULE + sum(_SURFACES)


def _descriptors(molecule: Any) -> Floats:
    from rdkit import Chem
    from rdkit.Chem import rdMolDescriptors

    values = [float(getattr(rdMolDescriptors, name)(molecule)) for name in _DESCRIPTORS]
    atoms = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    values += [float(sum(atom == element for atom in atoms)) for element in _ELEMENTS]
    values += [
        float(Chem.GetFormalCharge(molecule)),
        float(len(atoms)),
        *rdMolDescriptors.CalcCrippenDescriptors(molecule),
    ]
    for function, width in zip(
        (rdMolDescriptors.SlogP_VSA_, rdMolDescriptors.SMR_VSA_, rdMolDescriptors.PEOE_VSA_), _SURFACES, strict=True
    ):
        values += list(function(molecule))[:width]
    array = np.nan_to_num(np.array(values, np.float32), posinf=0.0, neginf=0.0)
    return np.asarray(np.sign(array) * np.log1p(np.abs(array)), np.float32)


def _letters(sequence: str) -> NDArray[np.int64]:
    return _LETTER[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014): the same on every machine and version."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
