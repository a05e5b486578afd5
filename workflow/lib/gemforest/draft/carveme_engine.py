"""CarveMe's own carving: its MILP with SCIP, in this process (Machado et al. 2018; carveme 1.6).

It ends at SCIP's limits of 600 s, here of CPU time, so that the machine's other work takes nothing from the search, or
a gap of 0.001; which one it was is written down. Where SCIP has no model at its limit, or calls the problem infeasible,
the genome fails with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gemforest.draft.carving import Carving
from gemforest.draft.problem import CarvingOptions
from gemforest.errors import GenomeError
from gemforest.ledger import Reason
from gemforest.universe import universe_path

CPU_CLOCK = 1
LIMITS = {"timelimit": "600 s of CPU time", "memlimit": "memory", "userinterrupt": "interrupted"}


def carve(universe: str, scores: Mapping[str, float], options: CarvingOptions) -> Carving:
    """Carve with CarveMe's `minmax_reduction`; `scores` by reaction without R_."""
    from carveme.reconstruction.carving import inactive_reactions, minmax_reduction
    from reframed.solvers import set_default_solver, solver_instance
    from reframed.solvers.solution import Status

    set_default_solver("scip")
    model = load_model(universe)
    prefixed = _known(model, scores)
    solver = solver_instance(model)
    solver.problem.setParam("timing/clocktype", CPU_CLOCK)
    try:
        solution = minmax_reduction(
            model,
            prefixed,
            default_score=options.default_score,
            uptake_score=options.uptake_score,
            soft_score=options.soft_score,
            soft_constraints=_known(model, options.soft_constraints),
            hard_constraints=_known(model, options.hard_constraints),
            ref_reactions={f"R_{r}" for r in options.reference_reactions} & set(model.reactions),
            ref_score=options.reference_score,
            solver=solver,
        )
        active = set(model.reactions) - inactive_reactions(model, solution)
    except Exception as error:
        # SCIP's interface raises bare Exceptions where it has no solution at its limit.
        raise GenomeError(Reason.SOLVER_LIMIT, f"SCIP had no model at its limit: {error}") from error
    if solution.status not in (Status.OPTIMAL, Status.SUBOPTIMAL):
        raise GenomeError(Reason.SOLVER_FAILED, f"SCIP ended with {solution.status}: {solution.message}")
    ended = str(solver.problem.getStatus())
    return Carving(frozenset(r.removeprefix("R_") for r in active), "carveme_scip", 0, math.nan, LIMITS.get(ended, ""))


def _known(model: Any, constraints: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of or constraints on reactions that the model has, with prefixed ids."""
    return {f"R_{r}": value for r, value in constraints.items() if f"R_{r}" in model.reactions}


@lru_cache(maxsize=2)
def load_model(universe: str) -> Any:
    """The universe as CarveMe's own model object, once per process."""
    from reframed import load_cbmodel
    from reframed.core.transformation import apply_bounds

    model = load_cbmodel(str(universe_path(universe)), flavor="bigg")
    apply_bounds(model)
    return model
