"""Files of constraints for carving: soft and hard constraints as CarveMe reads them, and a reference model.

Soft constraints: reaction and expected direction (1, -1; 0 for a reaction that should not be there). Hard constraints:
reaction, lower and upper bound. Tab-separated, without a header; `R_` before an id is allowed; lines that begin with #
are left out. Every fault is told at once, with file and line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from gemforest.errors import InputError, RefusedError
from gemforest.models import read_sbml

Value = TypeVar("Value")


@lru_cache(maxsize=4)
def read_soft(path: Path) -> dict[str, int]:
    """Reaction to -1, 0 or 1; InputError with every problem found."""
    return _read(path, 2, "a reaction and -1, 0 or 1", _direction)


@lru_cache(maxsize=4)
def read_hard(path: Path) -> dict[str, tuple[float, float]]:
    """Reaction to (lower, upper), mmol gDW^-1 h^-1; InputError with every problem found."""
    return _read(path, 3, "a reaction, its lower and its upper bound", _bounds)


@lru_cache(maxsize=2)
def read_reference(path: Path) -> frozenset[str]:
    """Reaction ids of a curated model; InputError where it is no model."""
    try:
        return frozenset(read_sbml(path).reactions)
    except (OSError, RefusedError) as error:
        raise InputError(f"draft.reference_model: {path} cannot be read as SBML: {error}") from error


def _read(path: Path, fields: int, expected: str, value: Callable[[list[str]], Value]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    problems = []
    for number, line in _lines(path):
        parts = [part.strip() for part in line.split("\t")]
        where = f"{path}, line {number}"
        reaction = parts[0].removeprefix("R_")
        if len(parts) != fields or not reaction:
            problems.append(f"{where}: {line!r}; expected {expected}, separated by tabs")
        elif reaction in found:
            problems.append(f"{where}: {reaction} stands here twice; remove one line")
        else:
            try:
                found[reaction] = value(parts[1:])
            except ValueError:
                problems.append(f"{where}: {line!r}; expected {expected}")
    if problems:
        raise InputError("\n".join(problems))
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table of constraints: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _direction(parts: list[str]) -> int:
    value = int(parts[0])
    if value not in (-1, 0, 1):
        raise ValueError
    return value


def _bounds(parts: list[str]) -> tuple[float, float]:
    low, high = float(parts[0]), float(parts[1])
    if math.isnan(low) or math.isnan(high) or low > high:
        raise ValueError
    return low, high
