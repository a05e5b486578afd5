"""`gemforest media import FILE`: other tools' media as rows of the project's table.

CarveMe's table (`medium`, `description`, `compound`, `name`; tab-separated) states no limits: salts get 1000, oxygen
20, organic compounds the config's limit, as in the shipped table. cobrapy's `model.medium`, written as JSON or YAML,
states all: `{"EX_glc__D_e": 10.0, ...}`, or several media by name. Trace metals are capped at 0.1 in both: without a
cap Fe2+ is an energy source (FEROc).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gemforest.errors import InputError
from gemforest.media import COLUMNS, COMPLETE, read_media
from gemforest.store import write_text

TRACE_METALS = frozenset(
    {"aso3", "cd2", "cobalt2", "cro4", "cu", "cu2", "hg2", "fe2", "fe3", "mn2", "mobd", "ni2", "slnt", "tungs", "zn2"}
)
TRACE_LIMIT = 0.1
SALTS = frozenset({"ca2", "cl", "co2", "h", "h2o", "h2s", "hco3", "k", "mg2", "na1", "nh4", "no3", "pi", "so4"})
SALT_LIMIT, OXYGEN_LIMIT = 1000.0, 20.0

_EXCHANGE = re.compile(r"(?:R_)?EX_(.+?)(?:_e|\(e\)|_LPAREN_e_RPAREN_)?")


@dataclass(frozen=True)
class Imported:
    """Media by name: compound to limit, None for the config's; `capped` are (medium, trace metal, stated limit)."""

    media: Mapping[str, Mapping[str, float | None]]
    source: str
    capped: tuple[tuple[str, str, float], ...] = ()


def read_foreign(path: Path, name: str = "") -> Imported:
    """Media of a CarveMe table or of cobrapy's dict, told apart by what is in the file.

    Parameters
    ----------
    name
        Of the medium in a flat dict; of the one medium wanted, where the file holds several.

    Raises
    ------
    InputError
        With every problem: neither of the two kinds, no such medium, an id that is no exchange, a limit that is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    found = _carveme(path, text) if {"medium", "compound"} <= set(first.split("\t")) else _cobrapy(path, text, name)
    if name and name not in found.media:
        raise InputError(f"{path}: no medium {name!r} in it; it holds {', '.join(found.media)}")
    return Imported({name: found.media[name]}, found.source, found.capped) if name else found


def add_to_table(imported: Imported, table: Path) -> int:
    """Append the media to a project's table; the number of rows. InputError where a name is taken."""
    known = read_media(table)
    taken = [name for name in imported.media if name in known.names()]
    if taken:
        raise InputError(
            f"{table}: has a medium {', '.join(map(repr, taken))} already; import one of another name with --name"
        )
    text = table.read_text(encoding="utf-8")
    rows = [
        "\t".join((name, compound, "" if limit is None else f"{limit:g}", imported.source))
        for name, compounds in imported.media.items()
        for compound, limit in compounds.items()
    ]
    write_text(table, text.rstrip("\n") + "\n" + "\n".join(rows) + "\n")
    read_media.cache_clear()
    return len(rows)


def _carveme(path: Path, text: str) -> Imported:
    lines = text.splitlines()
    media: dict[str, dict[str, float | None]] = {}
    problems = []
    for number, row in enumerate(csv.DictReader(lines, delimiter="\t"), start=2):
        medium, compound = (row["medium"] or "").strip(), (row["compound"] or "").strip()
        if not medium or not compound:
            problems.append(f"{path}, line {number}: medium and compound must not be empty")
        elif "max_uptake" in row and tuple(row) == COLUMNS:
            raise InputError(f"{path}: is a table of media of ours already; name it in the config: media: {path}")
        else:
            media.setdefault(medium, {})[compound] = usual_limit(compound)
    problems += [f"{path}: the name {COMPLETE!r} is reserved; rename the medium"] if COMPLETE in media else []
    if problems or not media:
        raise InputError("\n".join(problems) or f"{path}: no medium in it")
    return Imported(media, f"{path.name}, CarveMe's format")


def usual_limit(compound: str) -> float | None:
    """Limit of a compound that a source does not state one for; None for the config's."""
    if compound in TRACE_METALS:
        return TRACE_LIMIT
    if compound in SALTS:
        return SALT_LIMIT
    return OXYGEN_LIMIT if compound == "o2" else None


def _cobrapy(path: Path, text: str, name: str) -> Imported:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: neither CarveMe's table of media nor cobrapy's dict: {error}") from None
    if not isinstance(content, Mapping) or not content:
        raise InputError(
            f"{path}: expected CarveMe's table (columns medium and compound, tab-separated) or cobrapy's model.medium "
            'as JSON or YAML, such as {"EX_glc__D_e": 10.0}'
        )
    nested = all(isinstance(value, Mapping) for value in content.values())
    if not nested and not name:
        raise InputError(f"{path}: holds one medium without a name; give it one with --name")
    problems: list[str] = []
    capped: list[tuple[str, str, float]] = []
    media: dict[str, dict[str, float | None]] = {}
    for medium, exchanges in (content if nested else {name: content}).items():
        media[str(medium)] = compounds = {}
        for exchange, limit in exchanges.items():
            compound, value = _compound(exchange), _limit(limit)
            if compound is None:
                problems.append(f"{path}: {medium}: {exchange!r}; expected an exchange reaction, such as EX_glc__D_e")
            elif value is None:
                problems.append(f"{path}: {medium}: {exchange}: {limit!r}; expected mmol/gDW/h, zero or more")
            else:
                compounds[compound] = min(value, TRACE_LIMIT) if compound in TRACE_METALS else value
                capped += [(str(medium), compound, value)] if compounds[compound] != value else []
    if COMPLETE in media:
        problems.append(f"{path}: the name {COMPLETE!r} is reserved; rename the medium")
    if problems:
        raise InputError("\n".join(problems))
    return Imported(media, f"{path.name}, cobrapy's medium", tuple(capped))


def _compound(exchange: Any) -> str | None:
    found = _EXCHANGE.fullmatch(str(exchange))
    return found[1] if found else None


def _limit(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        return None
    # cobrapy writes inf where a model states no bound.
    return min(float(value), SALT_LIMIT)
