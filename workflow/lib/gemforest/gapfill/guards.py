"""What a fill must not do: live on vitamins, breathe for an anaerobe; and vitamins that a draft cannot take up.

Growth counts only above what the medium gives without its carbon sources: vitamins are food too, if enough of them are
offered, and a leak in a network is growth on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

import numpy as np

from gemforest.media import exchanges_by_compound
from gemforest.models import Network

VITAMINS = frozenset(
    {"4abz", "adocbl", "btn", "cbl1", "cbl2", "fol", "inost", "lipoate", "nac", "ncam", "pnto__R", "pydam", "pydx"}
    | {"pydxn", "ribflv", "thm"}
)
INORGANIC_CARBON = frozenset({"co", "co2", "cyan", "cynt", "hco3", "tcynt"})
_CARBON = re.compile(r"C(?![a-z])")
_QUINOL_OR_CYTOCHROME = re.compile(r"(q\d+h2|(2dm)?mql\d+|focyt\w*)_\w")
_FOOD = 1.0


def carbon_sources(network: Network, uptakes: Mapping[str, float] | None) -> tuple[str, ...]:
    """Compounds of a medium that a network can take carbon from, sorted.

    Organic compounds but vitamins; where there are none, vitamins offered at 1 mmol gDW^-1 h^-1 or more, else inorganic
    carbon.

    Parameters
    ----------
    uptakes
        Compound to limit; None for every exchange.
    """
    _, formulas = exchanges_by_compound(network)
    offered = [c for c in formulas if uptakes is None or uptakes.get(c, 0.0) > 0.0]
    with_carbon = sorted(c for c in offered if _CARBON.search(formulas[c]))
    organic = [c for c in with_carbon if c not in INORGANIC_CARBON]
    food = [c for c in organic if c not in VITAMINS]
    if not food and uptakes is not None:
        food = [c for c in organic if uptakes[c] >= _FOOD]
    return tuple(food or [c for c in with_carbon if c in INORGANIC_CARBON])


def oxidases(network: Network) -> frozenset[str]:
    """Reactions that pass electrons of quinols or cytochromes on to oxygen and make water of it."""
    found = []
    for j, reaction in enumerate(network.reactions):
        parts = _parts(network, j)
        spent = any(_QUINOL_OR_CYTOCHROME.fullmatch(m) and value < 0.0 for m, value in parts.items())
        if spent and _oxygen(parts) < 0.0 < parts.get("h2o_c", 0.0):
            found.append(reaction)
    return frozenset(found)


def oxygen_consumption(network: Network) -> tuple[tuple[str, int], ...]:
    """Directions (reaction, 1 or -1) that use oxygen up; moving it across a membrane is none."""
    balance = {r: _oxygen(_parts(network, j)) for j, r in enumerate(network.reactions) if not r.startswith("EX_")}
    return tuple((r, 1 if change < 0.0 else -1) for r, change in balance.items() if abs(change) > 1e-9)


def uptake_route(network: Network, compound: str, costs: Mapping[str, float]) -> tuple[str, ...]:
    """The cheapest reactions that bring a compound into the cytosol, its exchange included; none where none do.

    Parameters
    ----------
    network
        The universe.
    costs
        Of its reactions.
    """
    exchange = f"EX_{compound}_e"
    steps: dict[tuple[str, str], list[str]] = {("e", "c"): [], ("e", "p"): [], ("p", "c"): []}
    for j, reaction in enumerate(network.reactions):
        parts = _parts(network, j)
        for start, end in steps:
            change = parts.get(f"{compound}_{start}", 0.0), parts.get(f"{compound}_{end}", 0.0)
            forward = change[0] < 0.0 < change[1] and network.upper[j] > 0.0
            backward = change[1] < 0.0 < change[0] and network.lower[j] < 0.0
            if forward or backward:
                steps[start, end].append(reaction)
    routes = [(r,) for r in steps["e", "c"]] + list(product(steps["e", "p"], steps["p", "c"]))
    if exchange not in network.reactions or not routes:
        return ()
    best = min(routes, key=lambda route: (sum(costs[r] for r in route), len(route), route))
    return (exchange, *best)


def _parts(network: Network, j: int) -> dict[str, float]:
    matrix = network.stoichiometry
    part = slice(matrix.indptr[j], matrix.indptr[j + 1])
    rows, values = matrix.indices[part], matrix.data[part]
    return {network.metabolites[i]: float(v) for i, v in zip(rows, values, strict=True)}


def _oxygen(parts: Mapping[str, float]) -> float:
    return float(np.sum([value for metabolite, value in parts.items() if metabolite[:-1] == "o2_"]))
