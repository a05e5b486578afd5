"""Biomass that fits the lineage: variants of a universe in which the evidence decides what a cell is made of.

CarveMe's biomass asks the same of every genome of a universe: menaquinol-8 of all, lipopolysaccharide and murein of all
Gram-negatives. A variant treats such parts as follows. Alternatives that do the same job (the quinols; phosphatidyl-
glycerol for phosphatidylethanolamine) flow into one pool that biomass draws on; which of them a genome makes is up to
its evidence. Parts that whole lineages lack (quinones, haems, lipopolysaccharide, walls) may be left out.

A variant's name is the universe's with what was changed: `gramneg~any_quinol~no_lps`. In the variant `~open` each part
that may be left out has a reaction `OMIT_...` that makes it from nothing, for the carving to choose and pay for; no
model holds such a reaction, for the draft is then of the variant without that part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, hstack, vstack

from gemforest.models import Network

OPEN = "open"
OMIT, POOL = "OMIT_", "BIOMASS_POOL_"
_VARIANT = re.compile(r"(?P<base>.+?)(?P<changes>(?:~(?:open|any_[a-z]+|no_[a-z_]+))*)")


@dataclass(frozen=True)
class Part:
    """Biomass components that stand or fall together.

    Attributes
    ----------
    components
        Metabolites of one choice, over all universes; a universe's biomass has some or none of them.
    alternatives
        Each a tuple that replaces the components, one by one; the components themselves are the first alternative.
    optional
        Whether whole lineages live without.
    """

    name: str
    components: tuple[str, ...]
    alternatives: tuple[tuple[str, ...], ...] = ()
    optional: bool = True


PARTS = (
    # No universe holds the last five steps to ubiquinol; 2-octaprenyl-6-hydroxyphenol, where they begin, stands for it.
    Part("quinol", ("mql8_c",), (("2dmmql8_c",), ("2ohph_c",))),
    Part(
        "phospholipid",
        ("pe160_c", "pe160_p", "pe161_c", "pe161_p"),
        (("pg160_c", "pg160_p", "pg161_c", "pg161_p"),),
        optional=False,
    ),
    Part("haem", ("pheme_c",)),
    Part("sirohaem", ("sheme_c",)),
    Part("lps", ("kdo2lipid4_p",)),
    Part("wall", ("murein5px4p_p", "peptido_BS_c", "uaagmda_c")),
    Part("teichoic_acid", ("gtca1_45_BS_c", "gtca2_45_BS_c", "gtca3_45_BS_c")),
    Part("lipoteichoic_acid", ("lipo1_24_BS_c", "lipo2_24_BS_c", "lipo3_24_BS_c", "lipo4_24_BS_c")),
)


def split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """The universe and the changes in a variant's name: `gramneg~no_lps` is (`gramneg`, (`no_lps`,))."""
    match = _VARIANT.fullmatch(name)
    assert match is not None
    return match["base"], tuple(filter(None, match["changes"].split("~")))


def is_biomass_pool(reaction: str) -> bool:
    """Whether a reaction only says which alternative biomass is made of, or that a part is left out."""
    return reaction.startswith((POOL, OMIT))


def open_name(universe: str) -> str:
    """Name of the variant that a carving chooses from."""
    return f"{universe}~{OPEN}"


def closed_name(universe: str, network: Network, reactions: Iterable[str]) -> str:
    """Name of the variant that a carving of `~open` came to: pools where there are some, what was omitted left out.

    Parameters
    ----------
    network
        The variant `~open`.
    reactions
        What the carving kept.
    """
    kept = set(reactions)
    changes = []
    for part in PARTS:
        if f"{OMIT}{part.name}" in kept:
            changes.append(f"no_{part.name}")
        elif any(r.startswith(f"{POOL}{part.name}_") for r in network.reactions):
            changes.append(f"any_{part.name}")
    return "~".join([universe, *changes])


def described(changes: Iterable[str]) -> str:
    """What was changed in the biomass, in words; empty for nothing."""
    words = []
    for change in changes:
        kind, _, part = change.partition("_")
        words.append(f"any {part}" if kind == "any" else f"without {part.replace('_', ' ')}")
    return ", ".join(words)


def variant(network: Network, changes: Iterable[str]) -> Network:
    """The network of a universe with these changes of its biomass; ValueError for one that it does not allow."""
    asked = list(changes)
    if asked == [OPEN]:
        for part in _parts_of(network):
            if part.alternatives:
                network = _pooled(network, part)
            if part.optional:
                network = _omittable(network, part)
        return network
    parts = {part.name: part for part in _parts_of(network)}
    for change in asked:
        kind, _, name = change.partition("_")
        if name not in parts or (kind == "no" and not parts[name].optional):
            raise ValueError(f"the biomass of {network.network_id} allows no change {change!r}")
        network = _pooled(network, parts[name]) if kind == "any" else _without(network, parts[name])
    return network


def biomass_notes(network: Network, changes: Iterable[str]) -> dict[str, dict[str, str]]:
    """Notes for SBML that say what was changed in the biomass."""
    said = described(change for change in changes if change != OPEN)
    return {network.reactions[network.biomass]: {"BIOMASS": said}} if said else {}


def _parts_of(network: Network) -> list[Part]:
    """Parts of which this universe's biomass has components, with those components and the alternatives it knows."""
    growth = _growth(network)
    row = {m: i for i, m in enumerate(network.metabolites)}
    found = []
    for part in PARTS:
        here = [k for k, m in enumerate(part.components) if m in row and growth[row[m]] < 0]
        if here:
            options = [tuple(option[k] for k in here) for option in part.alternatives]
            known = tuple(option for option in options if all(m in row for m in option))
            found.append(replace(part, components=tuple(part.components[k] for k in here), alternatives=known))
    return found


def _growth(network: Network) -> np.ndarray:
    return np.asarray(network.stoichiometry[:, [network.biomass]].toarray().ravel())


def _shares(network: Network, part: Part) -> np.ndarray:
    """What biomass takes of each component, relative to the largest, and the largest."""
    growth = _growth(network)
    return np.array([-growth[network.metabolites.index(m)] for m in part.components])


def _without(network: Network, part: Part) -> Network:
    """Biomass no longer asks for the part."""
    growth = _growth(network)
    growth[[network.metabolites.index(m) for m in part.components]] = 0.0
    return _with_growth(network, growth)


def _with_growth(network: Network, growth: np.ndarray) -> Network:
    changed = network.stoichiometry.tolil()
    changed[:, [network.biomass]] = growth[:, None]
    matrix = csc_array(changed.tocsc())
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return replace(network, stoichiometry=matrix)


def _pooled(network: Network, part: Part) -> Network:
    """Biomass asks for a pool that the components or any alternative fill."""
    amounts = _shares(network, part)
    largest = float(amounts.max())
    options = (part.components, *part.alternatives)
    network = _without(network, part)
    pool = f"{part.name}_pool_c"
    network = _with_metabolite(network, pool, f"{part.name} of biomass")
    growth = _growth(network)
    growth[-1] = -largest
    network = _with_growth(network, growth)
    for option in options:
        column = {m: -float(a) / largest for m, a in zip(option, amounts, strict=True)} | {pool: 1.0}
        network = _with_reaction(network, f"{POOL}{part.name}_{option[0]}", column, f"{part.name} as {option[0]}")
    return network


def _omittable(network: Network, part: Part) -> Network:
    """A reaction that makes the part from nothing."""
    pool = f"{part.name}_pool_c"
    if pool in network.metabolites:
        column = {pool: 1.0}
    else:
        amounts = _shares(network, part)
        column = {m: float(a / amounts.max()) for m, a in zip(part.components, amounts, strict=True)}
    return _with_reaction(network, f"{OMIT}{part.name}", column, f"leave {part.name} out of biomass")


def _with_metabolite(network: Network, identifier: str, name: str) -> Network:
    row = csc_array((1, len(network.reactions)))
    return replace(
        network,
        metabolites=(*network.metabolites, identifier),
        stoichiometry=csc_array(vstack([network.stoichiometry, row])),
        metabolite_names=(*network.metabolite_names, name),
        formulas=(*network.formulas, ""),
        charges=(*network.charges, None),
        compartments=(*network.compartments, "c"),
    )


def _with_reaction(network: Network, identifier: str, column: dict[str, float], name: str) -> Network:
    rows = [network.metabolites.index(m) for m in column]
    entries = csc_array((list(column.values()), (rows, [0] * len(rows))), shape=(len(network.metabolites), 1))
    matrix = csc_array(hstack([network.stoichiometry, entries]))
    matrix.sort_indices()
    return replace(
        network,
        reactions=(*network.reactions, identifier),
        stoichiometry=matrix,
        lower=np.append(network.lower, 0.0),
        upper=np.append(network.upper, 1000.0),
        objective=np.append(network.objective, 0.0),
        gprs=(*network.gprs, ""),
        reaction_names=(*network.reaction_names, name),
    )
