"""Energy from nothing: which directions of which reactions a network must lose so that no cycle makes free energy.

Without food nothing may charge an energy carrier (Fritzemeier et al., PLoS Comput. Biol. 13: e1005494, 2017). They
close every boundary; here water, protons and other matter at the bottom of the energy hill (`SPENT_MATTER`) may pass
in and everything out, because that is how these models cheat: CarveMe's universes for Gram-negatives and cyanobacteria
make 250 mmol/gDW/h of ATP from water and protons, and nothing with all boundaries closed.

A cycle is broken by taking one direction from one reaction. `closed_directions` finds the cheapest set that breaks all
cycles: find a cycle, choose the cheapest set of directions that hits every cycle found so far, close it, look for the
next. What a direction costs says how hard it is to believe that cells do without it: standard Gibbs energies where they
are known (`resources/reaction_energies.tsv`, from ModelSEED, CC BY 4.0).

A network of which no part makes free energy has no sub-network that does, so the universe's closed directions serve
every draft: they are worked out once per universe and kept in the cache.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.config import WORKFLOW
from gemforest.fluxes import boundary
from gemforest.lp import LinearProgram, Settings, Status
from gemforest.models import Network
from gemforest.store import atomic, digest
from gemforest.universe import LARGEST_FLUX, Universe

FORMAT = 1
"""Raised whenever the search changes: part of the cached file's name."""

# What spends one unit of each carrier: metabolite without compartment to coefficient, in the cytosol; Fritzemeier et
# al. 2017, table 1. `h_p` and `h_e` stand for themselves.
DISSIPATION: dict[str, dict[str, float]] = {
    "atp": {"atp_c": -1, "h2o_c": -1, "adp_c": 1, "pi_c": 1, "h_c": 1},
    "ctp": {"ctp_c": -1, "h2o_c": -1, "cdp_c": 1, "pi_c": 1, "h_c": 1},
    "gtp": {"gtp_c": -1, "h2o_c": -1, "gdp_c": 1, "pi_c": 1, "h_c": 1},
    "utp": {"utp_c": -1, "h2o_c": -1, "udp_c": 1, "pi_c": 1, "h_c": 1},
    "itp": {"itp_c": -1, "h2o_c": -1, "idp_c": 1, "pi_c": 1, "h_c": 1},
    "nadh": {"nadh_c": -1, "nad_c": 1, "h_c": 1},
    "nadph": {"nadph_c": -1, "nadp_c": 1, "h_c": 1},
    "fadh2": {"fadh2_c": -1, "fad_c": 1, "h_c": 2},
    "fmnh2": {"fmnh2_c": -1, "fmn_c": 1, "h_c": 2},
    "ubiquinol": {"q8h2_c": -1, "q8_c": 1, "h_c": 2},
    "menaquinol": {"mql8_c": -1, "mqn8_c": 1, "h_c": 2},
    "demethylmenaquinol": {"2dmmql8_c": -1, "2dmmq8_c": 1, "h_c": 2},
    "acetyl_coa": {"accoa_c": -1, "h2o_c": -1, "ac_c": 1, "coa_c": 1, "h_c": 1},
    "glutamate": {"glu__L_c": -1, "h2o_c": -1, "akg_c": 1, "nh4_c": 1, "h_c": 2},
    "proton_periplasm": {"h_p": -1, "h_c": 1},
    "proton_outside": {"h_e": -1, "h_c": 1},
}

SPENT_MATTER = (
    *("h2o", "h", "co2", "o2", "pi", "so4", "n2"),
    *("k", "na1", "cl", "mg2", "ca2", "fe3", "zn2", "mn2", "cobalt2", "ni2", "cu2", "mobd"),
)
"""What no cell can live on, alone or mixed: fully oxidised, or inert."""

_ACTIVE = 1e-7
_SOLE_DIRECTION = 50.0
_MEMBRANE = 30.0
_DOUBTFUL = 0.2
_KJ_SCALE = 20.0


@dataclass(frozen=True)
class Energy:
    """Standard Gibbs energy of a reaction as BiGG writes it, kJ mol^-1, and its standard error."""

    kj_per_mol: float
    error: float


def energies_path() -> Path:
    """The table of Gibbs energies."""
    return WORKFLOW.parent / "resources" / "reaction_energies.tsv"


@lru_cache(maxsize=1)
def reaction_energies() -> dict[str, Energy]:
    """BiGG reaction to its energy."""
    with energies_path().open(encoding="utf-8", newline="") as handle:
        return {
            row["reaction"]: Energy(float(row["dg_kj_per_mol"]), float(row["error_kj_per_mol"]))
            for row in csv.DictReader(handle, delimiter="\t")
        }


# -- is there energy from nothing --------------------------------------------------------------------------------------


def free_atp(network: Network) -> tuple[float, tuple[str, ...]]:
    """Highest flux through ATP maintenance without food, and the reactions of a cycle behind it.

    Returns
    -------
    flux, cycle
        mmol gDW^-1 h^-1, 0 where the network makes no ATP from nothing; NaN where it has no `ATPM`. `cycle`: reactions
        of one cycle of least total flux, sorted; empty where the flux is 0.
    """
    if "ATPM" not in network.reactions:
        return float("nan"), ()
    search = _CycleSearch(network, {"atp": DISSIPATION["atp"]})
    cycle = search.cycle()
    return (0.0, ()) if cycle is None else (search.most_atp(), tuple(sorted({network.reactions[j] for j, _ in cycle})))


def without_food(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Bounds under which a network takes up `SPENT_MATTER` only, gives off anything, and is forced to nothing."""
    lower, upper = np.minimum(network.lower, 0.0), np.maximum(network.upper, 0.0)
    harmless = {f"EX_{compound}_e" for compound in SPENT_MATTER}
    matrix = network.stoichiometry
    for j in np.flatnonzero(boundary(network)):
        if network.reactions[j] in harmless:
            lower[j], upper[j] = -LARGEST_FLUX, LARGEST_FLUX
        elif matrix.data[matrix.indptr[j]] < 0.0:
            lower[j], upper[j] = 0.0, LARGEST_FLUX
        else:
            lower[j], upper[j] = -LARGEST_FLUX, 0.0
    return lower, upper


class _CycleSearch:
    """Cycles that charge any of some carriers without food; directions can be closed one after another."""

    def __init__(self, network: Network, carriers: Mapping[str, Mapping[str, float]]) -> None:
        self.network = network
        row_of = {metabolite: i for i, metabolite in enumerate(network.metabolites)}
        spent = [parts for parts in carriers.values() if all(p in row_of for p in parts)]
        columns = np.zeros((len(row_of), len(spent)))
        for k, parts in enumerate(spent):
            for metabolite, coefficient in parts.items():
                columns[row_of[metabolite], k] = coefficient
        lower, upper = without_food(network)
        self.forward, self.backward = upper > 0.0, lower < 0.0
        self.n = len(network.reactions)
        matrix = csc_array(hstack([network.stoichiometry, -network.stoichiometry, csc_array(columns)]))
        able = np.concatenate([self.forward, self.backward, np.ones(len(spent), dtype=bool)])
        upper = np.where(able, np.inf, 0.0)
        costs = np.concatenate([np.ones(2 * self.n), np.zeros(len(spent))])
        settings = Settings(perturb=False)
        self.program = LinearProgram(matrix, np.zeros(len(upper)), upper, costs=costs, settings=settings)
        total = np.concatenate([np.zeros(2 * self.n), np.ones(len(spent))])
        self.program.add_rows(total[None, :], 1.0, 1.0)

    def cycle(self) -> list[tuple[int, int]] | None:
        """(reaction, direction 1 or -1) of a cycle of least total flux; None where there is none."""
        solution = self.program.solve()
        if solution.status is Status.INFEASIBLE:
            return None
        if not solution.is_optimal or solution.values is None:
            raise ArithmeticError(f"the search for energy-generating cycles ended with {solution.status}")
        active = np.flatnonzero(solution.values[: 2 * self.n] > _ACTIVE)
        return [(int(k % self.n), 1 if k < self.n else -1) for k in active]

    def close(self, direction: tuple[int, int], closed: bool = True) -> None:
        """Close a direction, or open it again."""
        j, sign = direction
        self.program.set_bounds(j if sign > 0 else j + self.n, 0.0, 0.0 if closed else np.inf)

    def most_atp(self) -> float:
        """Highest ATP maintenance within the network's bounds, without food."""
        network = self.network
        lower, upper = without_food(network)
        costs = np.zeros(self.n)
        costs[network.reactions.index("ATPM")] = 1.0
        solution = LinearProgram(network.stoichiometry, lower, upper, costs=costs, maximize=True).solve()
        return solution.objective if solution.is_optimal else float("inf")


# -- breaking cycles ---------------------------------------------------------------------------------------------------


def closed_directions(
    network: Network, energies: Mapping[str, Energy], carriers: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[tuple[str, int], ...]:
    """The cheapest directions whose closing leaves no cycle that charges a carrier.

    Returns
    -------
    directions
        (reaction, 1 or -1), sorted. The set is the cheapest that hits every cycle found (an integer program over
        those, solved to optimality); a minimal set in any case.
    """
    search = _CycleSearch(network, DISSIPATION if carriers is None else carriers)
    weights = direction_weights(network, energies)
    ends = boundary(network)
    cycles: list[list[tuple[int, int]]] = []
    closed: set[tuple[int, int]] = set()
    while True:
        found = 0
        # several cycles a round, each broken greedily, before the exact choice over all of them
        while (cycle := search.cycle()) is not None:
            cycle = [direction for direction in cycle if not ends[direction[0]]]
            cycles.append(cycle)
            found += 1
            hit = min(cycle, key=lambda d: (weights[d], d))
            closed.add(hit)
            search.close(hit)
        if not found:
            break
        chosen = _cheapest_hitting_set(cycles, weights)
        for direction in closed - chosen:
            search.close(direction, closed=False)
        for direction in chosen - closed:
            search.close(direction)
        closed = chosen
    return tuple(sorted((network.reactions[j], sign) for j, sign in closed))


def direction_weights(network: Network, energies: Mapping[str, Energy]) -> dict[tuple[int, int], float]:
    """What closing each direction costs: 1, less where its Gibbs energy speaks against it, more where for it.

    A factor exp(-dG / 20 kJ/mol), within 0.1 and 10; a reaction's only direction costs 50 times as much, transport
    twice; to reduce with FADH2, or to fix CO2, by a reversible reaction without known energy is doubtful (a fifth).
    """
    matrix = network.stoichiometry
    weights: dict[tuple[int, int], float] = {}
    for j, reaction in enumerate(network.reactions):
        part = slice(matrix.indptr[j], matrix.indptr[j + 1])
        rows, values = matrix.indices[part], matrix.data[part]
        membrane = len({network.compartments[i] for i in rows}) > 1
        for sign in (1, -1):
            used = {network.metabolites[i] for i, v in zip(rows, values, strict=True) if v * sign < 0}
            weight = _MEMBRANE if membrane else 1.0
            energy = energies.get(reaction)
            if energy is not None:
                surely = np.sign(energy.kj_per_mol) * max(0.0, abs(energy.kj_per_mol) - energy.error)
                weight *= float(np.clip(np.exp(-sign * surely / _KJ_SCALE), 0.1, 10.0))
            if used & {"fadh2_c", "co2_c"} and not membrane:
                weight *= _DOUBTFUL
            other = network.lower[j] < 0.0 if sign > 0 else network.upper[j] > 0.0
            weights[j, sign] = weight if other else weight * _SOLE_DIRECTION
    return weights


def _cheapest_hitting_set(
    cycles: list[list[tuple[int, int]]], weights: Mapping[tuple[int, int], float]
) -> set[tuple[int, int]]:
    directions = sorted({direction for cycle in cycles for direction in cycle})
    index = {direction: k for k, direction in enumerate(directions)}
    rows = np.concatenate([np.full(len(cycle), i) for i, cycle in enumerate(cycles)])
    columns = np.concatenate([[index[d] for d in cycle] for cycle in cycles])
    matrix = csc_array((np.ones(len(rows)), (rows, columns)), shape=(len(cycles), len(directions)))
    program = LinearProgram(
        matrix,
        np.zeros(len(directions)),
        np.ones(len(directions)),
        1.0,
        np.inf,
        costs=np.array([weights[d] for d in directions]),
        integer=np.arange(len(directions)),
        settings=Settings(relative_gap=0.0, node_limit=20000),
    )
    solution = program.solve()
    if solution.values is None:
        raise ArithmeticError(f"the choice of directions to close ended with {solution.status}")
    return {directions[k] for k in np.flatnonzero(solution.values > 0.5)}


def universe_closed_directions(universe: Universe, cache: Path) -> tuple[tuple[str, int], ...]:
    """`closed_directions` of a universe, from the cache where it was worked out before."""
    stated = digest({r: [e.kj_per_mol, e.error] for r, e in reaction_energies().items()})
    path = cache / f"closed-directions-{FORMAT}-{universe.digest[:16]}-{stated[:8]}.tsv"
    if not path.exists():
        directions = closed_directions(universe.network, reaction_energies())
        with atomic(path) as temporary:
            temporary.write_text("".join(f"{r}\t{sign}\n" for r, sign in directions), encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple((r, int(sign)) for r, sign in (line.split("\t") for line in lines))


def close(
    lower: np.ndarray, upper: np.ndarray, columns: Mapping[str, int], directions: tuple[tuple[str, int], ...]
) -> None:
    """Close directions in place, of the reactions that `columns` knows."""
    for reaction, sign in directions:
        j = columns.get(reaction)
        if j is None:
            continue
        if sign > 0:
            upper[j] = min(upper[j], 0.0)
            lower[j] = min(lower[j], upper[j])
        else:
            lower[j] = max(lower[j], 0.0)
            upper[j] = max(upper[j], lower[j])
