"""Making a model grow as fast as its organism was seen to: pool and kcats, each change with its reason.

The least protein that carries the measured growth is one linear program; where it lies below the pool, the pool takes
that value (growth is concave in the pool, so this is where bisection would end). Where the pool is too small, it and
the kcats go to their posterior mode together (`joint`): with used protein u_j, prior sd s_j of ln kcat and s of ln pool

    minimise sum x_j^2 / (2 s_j^2) + d^2 / (2 s^2)  subject to  sum u_j exp(-x_j) <= P exp(d),

whose solution is x_j = W(lambda s_j^2 u_j) and d = -W(-lambda s^2 P), W Lambert's function (Corless et al., Adv.
Comput. Math. 5, 329, 1996), with the one lambda at which the pool is met. The largest plausible pool is taken to be two
standard deviations off, and d goes no further. Large users with uncertain kcats move most; exact ones do not move.
`map` fits the pool first, and raises kcats only where even the largest plausible pool is too small.

`annealing` is for comparison with tools that anneal: random steps of the largest users' kcats, accepted by Metropolis'
rule on misfit plus the same prior. It has no optimum to reach and takes a program per step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import lambertw

from gemforest.kinetics.costs import Costs, Enzymes, enzyme_costs, reaction_costs
from gemforest.kinetics.ecmodel import PoolProgram
from gemforest.kinetics.sources import Kcats
from gemforest.lp import Status

JOINT, MAP, ANNEALING, LEAST_POOL = "joint", "map", "annealing", "least_pool"
LARGEST_POOL_SDS = 2.0
"""Standard deviations between the pool and the largest plausible one (ln)."""
# What moves less than this (ln) is rounding.
SMALLEST_CHANGE = 1e-9
_ANNEALED, _STEPS, _STEP_SD, _FIRST_TEMPERATURE, _MISFIT = 30, 100, 0.5, 1.0, 0.02
_ROUNDS = 200


@dataclass(frozen=True)
class Change:
    """One change: of the pool (`enzyme` is -1; mg gDW^-1) or of an enzyme's kcat (s^-1)."""

    enzyme: int
    before: float
    after: float
    method: str
    reason: str


@dataclass(frozen=True)
class Tuned:
    """What tuning came to.

    Attributes
    ----------
    kcats, pool
        To go on with.
    growth
        With them, h^-1.
    changes
        In order; empty where nothing could be done.
    verdict
        One sentence.
    """

    kcats: Kcats
    pool: float
    growth: float
    changes: tuple[Change, ...]
    verdict: str


def tune(
    program: PoolProgram,
    enzymes: Enzymes,
    kcats: Kcats,
    pool: float,
    limits: tuple[float, float],
    target: float,
    method: str = JOINT,
    seed: int = 0,
) -> Tuned:
    """Bring growth to a measured rate.

    Parameters
    ----------
    limits
        Smallest and largest plausible pool, mg gDW^-1.
    target
        Measured growth, h^-1.
    method
        `joint`; `map` or `annealing`, for what the largest plausible pool alone cannot do.
    """
    n = len(program.network.reactions)
    costs = _costs(enzymes, kcats.log10, n)
    program.set_costs(costs, pool)
    before = program.grow().growth
    cheapest = program.least_protein(target)
    if cheapest.status is not Status.OPTIMAL:
        verdict = f"even without enzyme costs the model does not reach {target:.4g} 1/h: no kcat can mend that"
        return Tuned(kcats, pool, before, (), verdict)
    changes: list[Change] = []
    reason = f"growth {before:.4g} 1/h, measured {target:.4g} 1/h"
    expected = min(pool, limits[1]) if method == JOINT else limits[1]
    if cheapest.used > expected:
        enough = limits[1]
        if method == ANNEALING:
            moved = annealed(program, enzymes, kcats, limits[1], target, seed)
        else:
            used = used_protein(costs, cheapest.fluxes, len(enzymes))
            change = map_change(used, kcats.sd * np.log(10.0), expected, limits[1])
            moved, enough = change if change else (None, enough)
        if moved is None:
            verdict = f"{target:.4g} 1/h needs {cheapest.used:.4g} mg/gDW, and kcats stated without error hold it there"
            return Tuned(kcats, pool, before, (), verdict)
        why = f"{reason}; {cheapest.used:.4g} mg/gDW needed where {limits[1]:.4g} are plausible"
        if method == JOINT:
            why += f" and {expected:.4g} expected"
        for e in np.flatnonzero(np.abs(moved) > SMALLEST_CHANGE):
            old = 10.0 ** kcats.log10[e]
            changes.append(Change(int(e), float(old), float(old * np.exp(moved[e])), method, why))
        kcats = _moved(kcats, moved, method)
        program.set_costs(_costs(enzymes, kcats.log10, n), enough)
        cheapest = program.least_protein(target)
    found = float(np.clip(cheapest.used, *limits)) if cheapest.status is Status.OPTIMAL else limits[1]
    if abs(found - pool) > 1e-9 * pool:
        changes.insert(0, Change(-1, pool, found, LEAST_POOL, reason))
    program.set_pool(found)
    growth = program.grow().growth
    verdict = f"growth {before:.4g} → {growth:.4g} 1/h, measured {target:.4g} 1/h"
    if cheapest.used < limits[0]:
        verdict += f"; {cheapest.used:.4g} mg/gDW would do, less than is plausible: the kcats look too fast"
    return Tuned(kcats, found, growth, tuple(changes), verdict)


def to_measured(
    program: PoolProgram,
    enzymes: Enzymes,
    kcats: Kcats,
    pool: float,
    limits: tuple[float, float],
    target: float,
    method: str = JOINT,
) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """From a draw of log10 kcats (e) to the most probable ones beside it, and the pool, that grow as measured."""

    def conditioned(draw: np.ndarray) -> tuple[np.ndarray, float]:
        found = tune(program, enzymes, replace(kcats, log10=draw), pool, limits, target, method)
        return found.kcats.log10, found.pool

    return conditioned


def used_protein(costs: Costs, fluxes: np.ndarray, e: int) -> np.ndarray:
    """Protein that each enzyme's net fluxes bind (e), mg gDW^-1; the cheapest enzyme of a reaction carries all."""
    used = np.zeros(e)
    for cheapest, cost, flux in (
        (costs.cheapest_forward, costs.forward, np.maximum(fluxes, 0.0)),
        (costs.cheapest_reverse, costs.reverse, np.maximum(-fluxes, 0.0)),
    ):
        charged = cheapest >= 0
        np.add.at(used, cheapest[charged], cost[charged] * flux[charged])
    return used


def map_change(used: np.ndarray, sd: np.ndarray, pool: float, largest: float) -> tuple[np.ndarray, float] | None:
    """Most probable change of ln kcat (e), and the pool, with which the used protein fits; None where none does.

    Parameters
    ----------
    used
        e, protein bound at the wanted fluxes, mg gDW^-1; its sum is above the pool.
    sd
        e, prior standard deviation of ln kcat.
    pool, largest
        Expected and largest plausible pool, mg gDW^-1; where they are equal the pool stays.
    """
    weight = sd**2 * used
    if used[weight <= 0.0].sum() >= largest:
        return None
    pool_weight = (np.log(largest / pool) / LARGEST_POOL_SDS) ** 2 * pool

    def change(scale: float) -> np.ndarray:
        return np.asarray(lambertw(scale * weight).real)

    def pool_at(scale: float) -> float:
        # Beyond 1/e a larger pool is always more probable than still faster enzymes.
        if scale * pool_weight >= 1.0 / np.e:
            return largest
        return min(largest, pool * float(np.exp(-lambertw(-scale * pool_weight).real)))

    def fits(scale: float) -> bool:
        return float(used @ np.exp(-change(scale))) <= pool_at(scale)

    high = 1.0
    while not fits(high):
        high *= 4.0
        if high > 1e30:
            return None
    low = 0.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if fits(middle) else (middle, high)
        if high - low <= 1e-14 * high:
            break
    return change(high), pool_at(high)


def annealed(
    program: PoolProgram, enzymes: Enzymes, kcats: Kcats, pool: float, target: float, seed: int
) -> np.ndarray | None:
    """Change of ln kcat (e) found by simulated annealing over the largest users of protein."""
    random = np.random.default_rng(seed)
    n, sd = len(program.network.reactions), kcats.sd * np.log(10.0)
    program.set_costs(_costs(enzymes, kcats.log10, n), pool)
    used = used_protein(_costs(enzymes, kcats.log10, n), program.least_protein(target).fluxes, len(enzymes))
    movable = [e for e in np.argsort(-used)[:_ANNEALED] if used[e] > 0.0 and sd[e] > 0.0]
    if not movable:
        return None

    def energy(change: np.ndarray) -> float:
        program.set_costs(_costs(enzymes, kcats.log10 + change / np.log(10.0), n), pool)
        growth = program.grow().growth
        misfit = min(0.0, growth / target - 1.0) if growth == growth else -1.0
        known = sd > 0.0
        return float((misfit / _MISFIT) ** 2 / 2.0 + (change[known] ** 2 / (2.0 * sd[known] ** 2)).sum())

    now = best = np.zeros(len(enzymes))
    level = lowest = energy(now)
    for step in range(_STEPS):
        tried = now.copy()
        tried[random.choice(movable)] += abs(random.normal(0.0, _STEP_SD)) * (1.0 if random.random() < 0.8 else -1.0)
        found = energy(tried)
        temperature = _FIRST_TEMPERATURE * (1.0 - step / _STEPS) + 1e-9
        if found < level or random.random() < np.exp((level - found) / temperature):
            now, level = tried, found
            if level < lowest:
                best, lowest = now, level
    return best


def _costs(enzymes: Enzymes, log10_kcat: np.ndarray, n: int) -> Costs:
    return reaction_costs(enzymes, enzyme_costs(enzymes.mass, log10_kcat), n)


def _moved(kcats: Kcats, change: np.ndarray, method: str) -> Kcats:
    moved = np.abs(change) > SMALLEST_CHANGE
    source = tuple(f"{name}; tuned by {method}" if m else name for name, m in zip(kcats.source, moved, strict=True))
    return replace(kcats, log10=kcats.log10 + np.where(moved, change, 0.0) / np.log(10.0), source=source)
