"""CarveMe's own gap-filling (Machado et al. 2018): a MILP with SCIP, kept for comparison side by side.

Its big-M rows leak (M = 1000, SCIP's integrality 1e-6), and nothing guards it against energy from nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from gemforest.errors import GenomeError
from gemforest.ledger import Reason


def fill(
    universe: Path,
    reactions: tuple[str, ...],
    scores: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    min_growth: float,
    medium: str,
) -> frozenset[str]:
    """Additions by CarveMe's `gapFill` from a universe's SBML; ids without R_."""
    from carveme.reconstruction.gapfilling import gapFill
    from reframed.solvers import set_default_solver

    set_default_solver("scip")
    model, donor = _fresh_model(universe), _fresh_model(universe)
    before = {r for r in model.reactions if r.removeprefix("R_") in set(reactions)}
    model.remove_reactions([r for r in model.reactions if r not in before])
    constraints = {f"R_{reaction}": pair for reaction, pair in bounds.items()}
    try:
        gapFill(
            model,
            donor,
            constraints=constraints,
            min_growth=min_growth,
            scores={f"R_{reaction}": score for reaction, score in scores.items()},
            tag=medium,
        )
    except RuntimeError as error:
        detail = f"CarveMe's gap-fill found no way to {min_growth:g} 1/h on {medium}: {error}"
        raise GenomeError(Reason.INFEASIBLE_MEDIUM, detail) from error
    return frozenset(r.removeprefix("R_") for r in set(model.reactions) - before)


@lru_cache(maxsize=1)
def _pristine_model(universe: Path) -> bytes:
    from reframed import load_cbmodel
    from reframed.core.transformation import apply_bounds

    model = load_cbmodel(str(universe), flavor="bigg")
    apply_bounds(model)
    return pickle.dumps(model)


def _fresh_model(universe: Path) -> Any:
    """CarveMe's own model object of a universe, to be changed at will; unpickling beats parsing by far."""
    # Only what this very process has pickled is unpickled.
    return pickle.loads(_pristine_model(universe))  # noqa: S301
