"""Proteins to ESM-2's tokens by two look-up tables, and long proteins to windows.

fair-esm's alphabet «ESM-1b»: 33 tokens, of which the 25 letters of a protein hold 4 to 28. All proteins of a batch are
joined with their begin and end marks and translated in one pass over the bytes; fair-esm splits strings in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gemforest.sequences import normalise

LETTERS = b"LAGVSERTIDPKQNFYMHWCXBUZO"
CLS, PAD, EOS, UNK, FIRST_LETTER, MASK = 0, 1, 2, 3, 4, 32
ALPHABET_SIZE = 33
# Marks that no normalised protein holds.
BEGIN, END = b"<", b">"

WINDOW = 1022
STRIDE = 511


def _token_table() -> bytes:
    table = bytearray([UNK] * 256)
    for place, letter in enumerate(LETTERS):
        table[letter] = FIRST_LETTER + place
    table[BEGIN[0]], table[END[0]] = CLS, EOS
    return bytes(table)


TOKEN_OF_BYTE = _token_table()


def tokenise(proteins: Sequence[bytes]) -> np.ndarray:
    """Tokens of all proteins one after the other, each between its begin and end token; shape (Σ(L+2),), uint8.

    `*` at the end is stripped, any byte but the 25 letters (in either case) is X.
    """
    if not proteins:
        return np.zeros(0, np.uint8)
    joined = (END + BEGIN).join(map(normalise, proteins))
    return np.frombuffer((BEGIN + joined + END).translate(TOKEN_OF_BYTE), dtype=np.uint8)


@dataclass(frozen=True)
class Windows:
    """Pieces of proteins, the shortest first.

    Attributes
    ----------
    pieces
        Residues of each piece.
    owner
        (n,) index of the protein that each piece is from.
    """

    pieces: list[bytes]
    owner: np.ndarray


def window_starts(length: int) -> range:
    """Where windows begin: one window up to 1,022 residues, beyond that one every 511 until the end is reached."""
    return range(0, max(length - WINDOW + STRIDE, 1), STRIDE)


def cut(proteins: Sequence[bytes]) -> Windows:
    """Cut proteins into windows of at most 1,022 residues and sort these by length."""
    pieces = [
        (protein[start : start + WINDOW], number)
        for number, protein in enumerate(proteins)
        for start in window_starts(len(protein))
    ]
    pieces.sort(key=lambda piece: len(piece[0]))
    return Windows([piece for piece, _ in pieces], np.array([number for _, number in pieces], dtype=np.int64))
