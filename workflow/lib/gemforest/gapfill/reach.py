"""What a whole universe can do on a medium: the same for every genome, so worked out once and kept in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gemforest.energy import close
from gemforest.fluxes import growth, with_bounds
from gemforest.gapfill.diagnosis import mending, unmakeable
from gemforest.lp import Status
from gemforest.media import exchange_bounds
from gemforest.models import Network
from gemforest.store import atomic, digest
from gemforest.universe import Universe

FORMAT = 1
"""Raised whenever the content changes: part of the cached file's name."""


@dataclass(frozen=True)
class Reach:
    """Growth of a whole universe on a medium.

    Attributes
    ----------
    growth_per_h
        Highest; 0 where there is no steady state at all.
    missing
        Biomass precursors that it cannot make; empty where it grows.
    mending
        Compounds beyond the medium with which it would grow; empty where it grows, or where nothing helps.
    """

    growth_per_h: float
    missing: tuple[str, ...]
    mending: tuple[str, ...]


def universe_reach(
    universe: Universe,
    closed: tuple[tuple[str, int], ...],
    uptakes: Mapping[str, float] | None,
    default: float,
    min_growth: float,
    cache: Path,
) -> Reach:
    """Read from the cache, worked out where it is not there.

    Parameters
    ----------
    closed
        Directions closed in the universe.
    uptakes, default
        The medium, as `media.exchange_bounds` takes it.
    """
    asked = {
        "closed": [list(pair) for pair in closed],
        "medium": None if uptakes is None else dict(uptakes),
        "default": default,
        "min_growth": min_growth,
    }
    path = cache / f"reach-{FORMAT}-{universe.digest[:16]}-{digest(asked)[:16]}.json"
    if not path.exists():
        found = _reach(_on_medium(universe.network, closed, uptakes, default), min_growth)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Reach(stored["growth_per_h"], tuple(stored["missing"]), tuple(stored["mending"]))


def _on_medium(
    network: Network, closed: tuple[tuple[str, int], ...], uptakes: Mapping[str, float] | None, default: float
) -> Network:
    on = with_bounds(network, exchange_bounds(network, uptakes, default))
    lower, upper = on.lower.copy(), on.upper.copy()
    close(lower, upper, {r: j for j, r in enumerate(on.reactions)}, closed)
    return replace(on, lower=lower, upper=upper)


def _reach(network: Network, min_growth: float) -> Reach:
    status, rate = growth(network)
    rate = rate if status is Status.OPTIMAL else 0.0
    if rate >= min_growth:
        return Reach(rate, (), ())
    return Reach(rate, tuple(unmakeable(network)), tuple(mending(network, min_growth)))
