"""Quality figures of a model, fast: what MEMOTE measures (Lieven et al., Nat. Biotechnol. 38, 272-276, 2020).

Balance of mass and charge, dead ends, blocked and orphan reactions, stoichiometric consistency (Gevorgyan, Poolman and
Fell, Bioinformatics 24, 2245-2251, 2008) and energy-generating cycles (Fritzemeier et al., PLoS Comput. Biol. 13:
e1005494, 2017). Each figure tells what is behind it, and whether a person should look at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.energy import DISSIPATION
from gemforest.fluxes import boundary
from gemforest.loopless import blocked_reactions
from gemforest.lp import LinearProgram, Status
from gemforest.models import Network
from gemforest.reduction import reduce_network

_LISTED = 20
_BALANCED = 1e-6
_GENERATES = 1e-6
_LARGEST = 1000.0


@dataclass(frozen=True)
class Measure:
    """One figure; `value` is NaN where it could not be had."""

    name: str
    value: float
    unit: str = ""
    flagged: bool = False
    detail: str = ""


def quality(network: Network) -> list[Measure]:
    """All figures of a model as it stands; its bounds on exchanges matter to `blocked` only."""
    internal = internal_reactions(network)
    return [
        Measure("reactions", len(network.reactions)),
        Measure("metabolites", len(network.metabolites)),
        Measure("internal_reactions", int(internal.sum())),
        _biomass_changes(network),
        _without_genes(network, internal),
        *_balance(network, internal),
        *_dead_ends(network),
        _blocked(network),
        _consistency(network, internal),
        *_energy_cycles(network),
        growth_without_uptake(network),
    ]


def _biomass_changes(network: Network) -> Measure:
    """Parts of the universe's biomass that were changed to fit the lineage; what they are stands in the detail."""
    said = network.reaction_notes.get(network.reactions[network.biomass], {}).get("BIOMASS", "")
    return Measure("biomass_changes", len(said.split(", ")) if said else 0, "", False, said)


def internal_reactions(network: Network) -> np.ndarray:
    """n, bool: neither boundary reactions nor biomass (the objective or by name), which are not balanced by design."""
    names = zip(network.reactions, network.reaction_names, strict=True)
    biomass = np.array(["biomass" in identifier.lower() or "biomass" in name.lower() for identifier, name in names])
    several = np.diff(network.stoichiometry.indptr) > 1
    return np.asarray(several & (network.objective == 0.0) & ~biomass)


def _without_genes(network: Network, internal: np.ndarray) -> Measure:
    bare = [r for r, gpr, inside in zip(network.reactions, network.gprs, internal, strict=True) if inside and not gpr]
    share = len(bare) / max(1, int(internal.sum()))
    return Measure("without_genes_share", share, flagged=share > 0.5, detail=_some(bare))


# -- balance -----------------------------------------------------------------------------------------------------------


def _balance(network: Network, internal: np.ndarray) -> list[Measure]:
    """Shares of internal reactions whose elements and charges add up; those without a formula are counted apart."""
    elements, known_formula = _element_matrix(network.formulas)
    charges = np.array([np.nan if c is None else float(c) for c in network.charges])
    matrix = network.stoichiometry[:, np.flatnonzero(internal)]
    names = [r for r, inside in zip(network.reactions, internal, strict=True) if inside]
    uses = abs(matrix.sign())
    without_formula = (uses.T @ (~known_formula).astype(float)) > 0
    without_charge = (uses.T @ np.isnan(charges).astype(float)) > 0
    off_mass = (np.abs((elements @ matrix).toarray()).max(axis=0, initial=0.0) > _BALANCED) & ~without_formula
    off_charge = (np.abs(matrix.T @ np.nan_to_num(charges)) > _BALANCED) & ~without_charge
    return [
        _share("mass_balanced_share", names, off_mass, ~without_formula, 0.98),
        _share("charge_balanced_share", names, off_charge, ~without_charge, 0.95),
        Measure("without_formula", int(without_formula.sum()), detail=_some(_where(names, without_formula))),
    ]


def _share(name: str, names: Sequence[str], wrong: np.ndarray, judged: np.ndarray, least: float) -> Measure:
    """Share of the judged that are right."""
    if not judged.any():
        return Measure(name, np.nan)
    share = 1.0 - wrong.sum() / judged.sum()
    return Measure(name, float(share), flagged=bool(share < least), detail=_some(_where(names, wrong)))


_ELEMENT = re.compile(r"([A-Z][a-z]*)(\d*\.?\d*)")


def _element_matrix(formulas: Sequence[str]) -> tuple[csc_array, np.ndarray]:
    """Elements by metabolites, and which metabolites have a formula that can be read."""
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    index: dict[str, int] = {}
    known = np.zeros(len(formulas), dtype=bool)
    for i, formula in enumerate(formulas):
        known[i] = bool(formula) and _ELEMENT.sub("", formula) == ""
        for element, count in _ELEMENT.findall(formula) if known[i] else ():
            rows.append(index.setdefault(element, len(index)))
            columns.append(i)
            values.append(float(count or 1))
    return csc_array((values, (rows, columns)), shape=(len(index), len(formulas)), dtype=float), known


# -- topology ----------------------------------------------------------------------------------------------------------


def _dead_ends(network: Network) -> list[Measure]:
    """Metabolites that are only made or only used, and reactions that this blocks, all exchanges open."""
    lower, upper = _opened(network)
    matrix = network.stoichiometry.tocoo()
    rows, columns = matrix.coords
    forward, backward = upper[columns] > 0.0, lower[columns] < 0.0
    positive = matrix.data > 0.0
    made, used = np.zeros(len(network.metabolites), bool), np.zeros(len(network.metabolites), bool)
    made[rows[(positive & forward) | (~positive & backward)]] = True
    used[rows[(positive & backward) | (~positive & forward)]] = True
    dead = ~(made & used)
    try:
        blocked = reduce_network(network, lower, upper).blocked
    except ValueError:
        return [_count("dead_ends", network.metabolites, dead), Measure("blocked_by_dead_ends_share", np.nan)]
    share = float(blocked.mean())
    return [
        _count("dead_ends", network.metabolites, dead),
        Measure("blocked_by_dead_ends_share", share, detail=_some(_where(network.reactions, blocked))),
    ]


def _blocked(network: Network) -> Measure:
    """Reactions that carry no flux whatever is offered, by linear programs; dead ends are not the only cause."""
    blocked = blocked_reactions(network)
    share = float(blocked.mean()) if len(blocked) else np.nan
    return Measure("blocked_share", share, detail=_some(_where(network.reactions, blocked)))


def _opened(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Bounds with all boundary reactions open both ways and no flux forced."""
    ends = boundary(network)
    lower = np.where(ends, -_LARGEST, np.minimum(network.lower, 0.0))
    upper = np.where(ends, _LARGEST, np.maximum(network.upper, 0.0))
    return lower, upper


# -- conservation ------------------------------------------------------------------------------------------------------


def _consistency(network: Network, internal: np.ndarray) -> Measure:
    """Share of metabolites that can have a positive mass which every internal reaction conserves.

    One program: masses m >= 0 with S^T m = 0, z <= m, 0 <= z <= 1, most z. Masses form a cone, so each that can be
    positive is 1 at the optimum.
    """
    matrix = network.stoichiometry[:, np.flatnonzero(internal)]
    m = matrix.shape[0]
    conserved = csc_array(hstack([matrix.T, matrix.T]))  # mass = z + rest
    program = LinearProgram(
        conserved,
        np.zeros(2 * m),
        np.concatenate([np.ones(m), np.full(m, np.inf)]),
        costs=np.concatenate([np.ones(m), np.zeros(m)]),
        maximize=True,
    )
    solution = program.solve()
    if solution.values is None or not solution.is_optimal:
        return Measure("conserved_metabolites_share", np.nan, flagged=True, detail=str(solution.status))
    lost = solution.values[:m] < 0.5
    share = 1.0 - float(lost.mean())
    return Measure(
        "conserved_metabolites_share", share, flagged=share < 0.99, detail=_some(_where(network.metabolites, lost))
    )


def growth_without_uptake(network: Network) -> Measure:
    """Growth with every uptake closed and no flux forced: mass from nothing where it is not 0."""
    ends = boundary(network)
    signs = np.sign(np.bincount(*_column_sums(network), minlength=len(network.reactions)))
    lower, upper = np.minimum(network.lower, 0.0), np.maximum(network.upper, 0.0)
    lower[ends & (signs < 0.0)] = 0.0
    upper[ends & (signs > 0.0)] = 0.0
    program = LinearProgram(network.stoichiometry, lower, upper, costs=network.objective, maximize=True)
    solution = program.solve()
    value = solution.objective if solution.is_optimal else np.inf if solution.status is Status.UNBOUNDED else np.nan
    return Measure("growth_without_uptake", value, "h^-1", flagged=not abs(value) <= _GENERATES)


def _column_sums(network: Network) -> tuple[np.ndarray, np.ndarray]:
    entries = network.stoichiometry.tocoo()
    return entries.coords[1], entries.data


def _energy_cycles(network: Network) -> list[Measure]:
    """Energy carriers that a model charges with all its boundaries closed: each should be 0."""
    ends = boundary(network)
    lower = np.where(ends, 0.0, np.minimum(network.lower, 0.0))
    upper = np.where(ends, 0.0, np.maximum(network.upper, 0.0))
    row_of = {metabolite: i for i, metabolite in enumerate(network.metabolites)}
    carriers = {c: parts for c, parts in DISSIPATION.items() if all(p in row_of for p in parts)}
    if not carriers:
        return [Measure("energy_generating_cycles", np.nan, detail="none of the carriers is in the model")]
    spent = np.zeros((len(row_of), len(carriers)))
    for k, parts in enumerate(carriers.values()):
        for metabolite, coefficient in parts.items():
            spent[row_of[metabolite], k] = coefficient
    program = LinearProgram(
        csc_array(hstack([network.stoichiometry, csc_array(spent)])),
        np.concatenate([lower, np.zeros(len(carriers))]),
        np.concatenate([upper, np.zeros(len(carriers))]),
        maximize=True,
    )
    charged = [c for k, c in enumerate(carriers) if _charges(program, len(lower) + k)]
    return [
        Measure("energy_generating_cycles", len(charged), flagged=bool(charged), detail=_some(charged)),
        Measure("energy_carriers_tested", len(carriers), detail=_some(carriers)),
    ]


def _charges(program: LinearProgram, column: int) -> bool:
    program.set_bounds(column, 0.0, _LARGEST)
    program.set_costs(column, 1.0)
    status = program.run()
    generated = status is Status.UNBOUNDED or (status is Status.OPTIMAL and program.objective > _GENERATES)
    program.set_costs(column, 0.0)
    program.set_bounds(column, 0.0, 0.0)
    return generated


def _count(name: str, names: Sequence[str], chosen: np.ndarray) -> Measure:
    return Measure(name, int(chosen.sum()), detail=_some(_where(names, chosen)))


def _where(names: Sequence[str], chosen: np.ndarray) -> list[str]:
    return [name for name, is_one in zip(names, chosen, strict=True) if is_one]


def _some(names: Iterable[str]) -> str:
    """The first twenty names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
