"""EC numbers as they stand in annotation, brought to today's numbers.

Annotation mixes lists, prefixes, prose and numbers that were transferred long ago. A number is kept as it is written,
partial (`1.1.1.-`) and provisional (`1.1.1.n1`) ones too, unless ENZYME names successors; of several successors each
gets an equal share of the weight, for the annotation does not say which was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from gemforest.reviewed import ec_resource

SUPERSEDED = "superseded.tsv"

_NUMBER = re.compile(r"[1-7](\.(\d{1,3}|-)){2}\.(n?\d{1,4}|-)|[1-7]\.-\.-\.-")
_PREFIX = re.compile(r"^(EC|ec-code|EC_number)?[\s:=_-]*", re.IGNORECASE)


@dataclass(frozen=True)
class ParsedEcs:
    """Numbers of a field, sorted, and the parts of it that are none."""

    numbers: tuple[str, ...]
    rejected: tuple[str, ...]


def parse_ecs(text: str) -> ParsedEcs:
    """Read a field such as `EC:1.1.1.1, 2.7.1.-;3.4.21.n1`; prose is rejected, not searched for numbers."""
    numbers, rejected = set(), []
    for part in re.split(r"[;,|\t]|\s+(?=EC\b)|\s+(?=\d)", text):
        bare = _PREFIX.sub("", part.strip(), count=1).strip()
        if not bare:
            continue
        padded = bare + ".-" * (3 - bare.count(".")) if re.fullmatch(r"[1-7](\.\d{1,3}){0,2}", bare) else bare
        if _NUMBER.fullmatch(padded) and not re.search(r"-\.\d", padded):
            numbers.add(padded)
        else:
            rejected.append(part.strip())
    return ParsedEcs(tuple(sorted(numbers)), tuple(rejected))


def current_ecs(number: str, successors: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, float]:
    """Today's numbers of a number, with weights that sum to 1.

    `successors` are ENZYME's unless given. A number that comes back to itself stays.
    """
    table = superseded_ecs() if successors is None else successors
    weights: dict[str, float] = {}

    def follow(ec: str, weight: float, seen: frozenset[str]) -> None:
        later = [new for new in table.get(ec, ()) if new not in seen]
        if not later:
            weights[ec] = weights.get(ec, 0.0) + weight
        for new in later:
            follow(new, weight / len(later), seen | {new})

    follow(number, 1.0, frozenset({number}))
    return dict(sorted(weights.items()))


@cache
def superseded_ecs() -> dict[str, tuple[str, ...]]:
    """Superseded number to its successors, from ENZYME."""
    lines = [line for line in ec_resource(SUPERSEDED).read_text(encoding="utf-8").splitlines() if line[:1].isdigit()]
    return {old: tuple(new.split(";")) for old, new in (line.split("\t") for line in lines)}


@lru_cache(maxsize=1 << 18)
def level_shared(one: str, other: str) -> int:
    """How many leading fields two numbers share, 0 to 4; a dash shares nothing."""
    shared = 0
    for a, b in zip(one.split("."), other.split("."), strict=True):
        if a != b or a == "-":
            break
        shared += 1
    return shared
