"""`gemforest media check`: which compounds of the media a universe cannot take up, and what may have been meant.

A compound without an exchange does no harm: it cannot be taken up, that is all. But a misspelt one looks just the same,
so each is told with the nearest ids that the universe has. Trace metals without a cap are told too: iron is food then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gemforest.media import Media
from gemforest.mediaimport import TRACE_LIMIT, TRACE_METALS
from gemforest.universe import load_universe


@dataclass(frozen=True)
class Lacking:
    """A compound of a medium that some universes cannot take up; `near` are ids that they have."""

    medium: str
    compound: str
    universes: tuple[str, ...]
    near: tuple[str, ...]


def lacking_compounds(media: Media, exchanged: Mapping[str, Collection[str]]) -> list[Lacking]:
    """Compounds of all media without an exchange, by medium and compound.

    Parameters
    ----------
    exchanged
        Universe to the compounds that it exchanges.
    """
    known = sorted(set().union(*exchanged.values()))
    found = []
    for medium, compounds in sorted(media.compounds.items()):
        for compound in sorted(compounds):
            without = tuple(name for name, has in exchanged.items() if compound not in has)
            if without:
                near = () if compound in known else tuple(get_close_matches(compound, known, 3, 0.6))
                found.append(Lacking(medium, compound, without, near))
    return found


def uncapped_metals(media: Media) -> list[str]:
    """A line per trace metal that a medium offers more of than traces."""
    return [
        f"{medium}\t{compound}\tis offered at {'the limit of food' if limit is None else f'{limit:g}'}; "
        f"a trace metal above {TRACE_LIMIT:g} feeds models (FEROc): set max_uptake {TRACE_LIMIT:g}"
        for medium, compounds in sorted(media.compounds.items())
        for compound, limit in sorted(compounds.items())
        if compound in TRACE_METALS and (limit is None or limit > TRACE_LIMIT)
    ]


def exchanged_compounds(universes: Collection[str], cache: Path) -> dict[str, set[str]]:
    """Universe to the compounds that it has an exchange for."""
    return {
        name: {
            reaction.removeprefix("EX_").removesuffix("_e")
            for reaction in load_universe(name, cache).network.reactions
            if reaction.startswith("EX_")
        }
        for name in universes
    }


def as_text(found: Collection[Lacking], universes: Collection[str]) -> str:
    """A line per compound, for a terminal."""
    lines = []
    for one in found:
        where = "any universe" if len(one.universes) == len(universes) else ", ".join(one.universes)
        near = f"; near: {', '.join(one.near)}" if one.near else ""
        lines.append(f"{one.medium}\t{one.compound}\thas no exchange in {where}{near}")
    return "\n".join([*lines, f"{len(found)} compounds that some universe cannot take up"])
