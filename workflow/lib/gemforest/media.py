"""Media: what a genome is grown on, as upper limits of uptake.

`config/media.tsv` is tidy: one row per medium and compound, `max_uptake` in mmol gDW^-1 h^-1. An empty `max_uptake`
means the config's `growth.uptake`, the same limit for every organic compound. The reserved medium `complete` opens
every exchange of a model at that limit.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from gemforest.errors import InputError
from gemforest.fluxes import medium_bounds
from gemforest.models import Network
from gemforest.stage import Context
from gemforest.store import digest

COLUMNS = ("medium", "compound", "max_uptake", "source")
COMPLETE = "complete"


@dataclass(frozen=True)
class Media:
    """All media of a table: name to {compound: uptake, None where the config's limit holds}."""

    path: Path
    compounds: Mapping[str, Mapping[str, float | None]]

    def names(self) -> list[str]:
        """Names that a sheet may use."""
        return [*self.compounds, COMPLETE]

    def uptakes(self, medium: str, default: float) -> dict[str, float] | None:
        """Compound to uptake limit; None for `complete`; InputError where the medium is not known."""
        if medium == COMPLETE:
            return None
        if medium not in self.compounds:
            raise InputError(f"{self.path}: no medium {medium!r}; known media: {', '.join(self.names())}")
        return {c: default if limit is None else limit for c, limit in self.compounds[medium].items()}

    def digest(self, medium: str) -> str:
        """Digest of one medium's rows, for stage keys."""
        return digest({} if medium == COMPLETE else dict(self.compounds.get(medium, {})))


@lru_cache(maxsize=4)
def read_media(path: Path) -> Media:
    """Read a table of media; InputError with every problem found."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table of media: {error}") from None
    reader = csv.DictReader((line for line in text.splitlines() if line and not line.startswith("#")), delimiter="\t")
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(f"{path}: expected the columns {', '.join(COLUMNS)}, tab-separated; found {reader.fieldnames}")
    compounds: dict[str, dict[str, float | None]] = {}
    problems = []
    for number, row in enumerate(reader, start=2):
        where = f"{path}, entry {number - 1}"
        if not row["medium"] or not row["compound"]:
            problems.append(f"{where}: medium and compound must not be empty")
            continue
        if row["medium"] == COMPLETE:
            problems.append(f"{where}: the name {COMPLETE!r} is reserved for the medium with everything in it")
        if row["compound"] in compounds.setdefault(row["medium"], {}):
            problems.append(f"{where}: {row['compound']!r} is in medium {row['medium']!r} twice; remove one")
        uptake = _uptake(row["max_uptake"] or "")
        if uptake is not None and not 0 <= uptake < float("inf"):
            problems.append(f"{where}: max_uptake {row['max_uptake']!r}; expected mmol/gDW/h, zero or more, or nothing")
        compounds[row["medium"]][row["compound"]] = uptake
    if problems:
        raise InputError("\n".join(problems))
    return Media(path, compounds)


def exchange_bounds(
    network: Network, uptakes: Mapping[str, float] | None, default: float
) -> dict[str, tuple[float, float]]:
    """Bounds of all exchanges of a network on a medium; every exchange open at `default` where `uptakes` is None."""
    if uptakes is None:
        named = {r: default for r, is_exchange in zip(network.reactions, network.exchanges, strict=True) if is_exchange}
    else:
        named = {f"EX_{compound}_e": limit for compound, limit in uptakes.items()}
    return medium_bounds(network, named)


def exchanges_by_compound(network: Network) -> tuple[dict[str, int], dict[str, str]]:
    """Compound (id without its compartment) to the index of its exchange, and to its formula.

    Only exchanges written as the compound leaving (`glc__D_e ->`) are meant; the other way round is no BiGG convention.
    """
    exchange_of, formula_of = {}, {}
    matrix = network.stoichiometry
    sizes = np.diff(matrix.indptr)
    for j, reaction in enumerate(network.reactions):
        if reaction.startswith("EX_") and sizes[j] == 1 and matrix.data[matrix.indptr[j]] < 0.0:
            i = matrix.indices[matrix.indptr[j]]
            compound = network.metabolites[i].rpartition("_")[0] or network.metabolites[i]
            exchange_of[compound], formula_of[compound] = j, network.formulas[i]
    return exchange_of, formula_of


def media_digests(context: Context, row: Mapping[str, str]) -> dict[str, str]:
    """Digests of the media that a row of the sheet names: a stage's `row_resources`."""
    media = read_media(context.project / context.config["media"])
    return {medium: media.digest(medium) for medium in row["medium"].split(";")}


def _uptake(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return float("nan")
