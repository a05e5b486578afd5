"""Growth screens: sources of carbon, nitrogen, phosphorus and sulfur, nutrients that are needed, products that leave.

One reduced network with all tried exchanges open serves every question; each compound changes bounds only. A compound
whose exchange is not in the model is `not_in_model`: the model says nothing of it, which is not «no growth».

- A source is tried alone: the medium's own sources of the element are taken out, the compound is given at the uptake
  limit (as in CarveMe's Biolog benchmark; Machado et al., Nucleic Acids Res. 46, 7542-7553, 2018).
- A nutrient is needed where the medium with all nutrients supports growth, and without this one does not.
- A product is the most that can leave while growth is optimal (to a millionth).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gemforest.fluxes import GrowthProgram
from gemforest.lp import Method, Settings, Status
from gemforest.media import exchanges_by_compound
from gemforest.models import Network

ELEMENTS = {"carbon": "C", "nitrogen": "N", "phosphorus": "P", "sulfur": "S"}
INORGANIC_CARBON = frozenset({"co2", "hco3", "co"})
_OPTIMUM_KEPT = 1.0 - 1e-6
_LEAST_SECRETION = 1e-3


@dataclass(frozen=True)
class ScreenResult:
    """One compound in one screen; `growth` and `flux` are NaN without an optimum."""

    screen: str
    compound: str
    status: Status | None
    growth: float
    flux: float
    answer: str


def read_compounds(path: Path) -> dict[str, tuple[str, ...]]:
    """Screen to its compounds, from `resources/screen_compounds.tsv`."""
    found: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            found.setdefault(row["screen"], []).append(row["compound"])
    return {screen: tuple(compounds) for screen, compounds in found.items()}


class Screener:
    """Growth of one model on many media.

    Parameters
    ----------
    network
        The model; its exchange bounds are replaced.
    uptakes
        The base medium: compound to highest uptake, mmol gDW^-1 h^-1.
    tried
        Every compound that any screen will give.
    uptake
        Given of a tried compound, mmol gDW^-1 h^-1.
    threshold
        Growth is called from here, h^-1.
    """

    def __init__(
        self,
        network: Network,
        uptakes: Mapping[str, float],
        tried: Iterable[str],
        uptake: float = 10.0,
        threshold: float = 0.01,
    ) -> None:
        self.uptakes, self.uptake, self.threshold = dict(uptakes), uptake, threshold
        self.exchange_of, self.formula_of = exchanges_by_compound(network)
        self.lower, self.upper = network.lower.copy(), network.upper.copy()
        for j in self.exchange_of.values():
            self.lower[j], self.upper[j] = 0.0, max(self.upper[j], 0.0)
        widest = self.lower.copy()
        for compound in {*tried, *self.uptakes}:
            if compound in self.exchange_of:
                widest[self.exchange_of[compound]] = -max(uptake, self.uptakes.get(compound, 0.0))
        self.network = replace(network, lower=widest, upper=self.upper)
        self.program = GrowthProgram(self.network)

    def growth(self, uptakes: Mapping[str, float]) -> tuple[Status, float]:
        """Growth on a medium; compounds without an exchange are not taken up."""
        return self.program.growth(self._lower_bounds(uptakes), self.upper)

    def _lower_bounds(self, uptakes: Mapping[str, float]) -> np.ndarray:
        lower = self.lower.copy()
        for compound, limit in uptakes.items():
            if compound in self.exchange_of:
                lower[self.exchange_of[compound]] = -limit
        return lower

    def sources(
        self, screen: str, compounds: Iterable[str], removed: Iterable[str] | None = None
    ) -> list[ScreenResult]:
        """Each compound as the only source of the screen's element.

        Parameters
        ----------
        removed
            What is taken out of the base medium; by default all that holds the element (carbon: but for inorganic).
        """
        taken_out = set(removed) if removed is not None else self._holding(ELEMENTS[screen])
        base = {c: limit for c, limit in self.uptakes.items() if c not in taken_out}
        return [self._one(screen, c, base | {c: self.uptake}, "growth", "no_growth") for c in compounds]

    def needs(self, compounds: Iterable[str]) -> list[ScreenResult]:
        """Each compound left out of the base medium with all the others in it."""
        compounds = tuple(compounds)
        rich = self.uptakes | {c: max(self.uptake, self.uptakes.get(c, 0.0)) for c in compounds}
        status, growth = self.growth(rich)
        if status is not Status.OPTIMAL or growth < self.threshold:
            return [
                self._absent("auxotrophy", c) or ScreenResult("auxotrophy", c, status, growth, np.nan, "no_growth")
                for c in compounds
            ]
        return [
            self._one("auxotrophy", c, {k: v for k, v in rich.items() if k != c}, "not_needed", "needed")
            for c in compounds
        ]

    def products(self, compounds: Iterable[str]) -> list[ScreenResult]:
        """The most of each compound that leaves without oxygen at optimal growth."""
        compounds = tuple(compounds)
        base = {c: limit for c, limit in self.uptakes.items() if c != "o2"}
        status, growth = self.growth(base)
        if status is not Status.OPTIMAL or growth < self.threshold:
            return [
                self._absent("product", c) or ScreenResult("product", c, status, growth, np.nan, "no_growth")
                for c in compounds
            ]
        lower = self._lower_bounds(base)
        # From one product to the next only the objective changes: the basis stays primal feasible. The dual simplex
        # of `self.program` stalls for minutes here.
        program = GrowthProgram(self.network, Settings(method=Method.PRIMAL))
        return [self._secretion(program, c, lower, growth) for c in compounds]

    def _one(self, screen: str, compound: str, uptakes: Mapping[str, float], yes: str, no: str) -> ScreenResult:
        absent = self._absent(screen, compound)
        if absent is not None:
            return absent
        status, growth = self.growth(uptakes)
        grows = status is Status.OPTIMAL and growth >= self.threshold
        answer = yes if grows else no if status in (Status.OPTIMAL, Status.INFEASIBLE) else "undecided"
        return ScreenResult(screen, compound, status, growth, np.nan, answer)

    def _absent(self, screen: str, compound: str) -> ScreenResult | None:
        if compound in self.exchange_of:
            return None
        return ScreenResult(screen, compound, None, np.nan, np.nan, "not_in_model")

    def _holding(self, element: str) -> set[str]:
        """Compounds of the base medium with an element."""
        holding = {c for c in self.uptakes if element in _elements(self.formula_of.get(c, ""))}
        return holding - INORGANIC_CARBON if element == "C" else holding

    def _secretion(self, program: GrowthProgram, compound: str, lower: np.ndarray, growth: float) -> ScreenResult:
        absent = self._absent("product", compound)
        if absent is not None:
            return absent
        status, flux = program.highest(self.exchange_of[compound], lower, self.upper, growth * _OPTIMUM_KEPT)
        answer = "undecided"
        if status is Status.OPTIMAL:
            answer = "secreted" if flux >= _LEAST_SECRETION else "not_secreted"
        return ScreenResult("product", compound, status, growth, flux, answer)


def without_carbon(network: Network, uptakes: Mapping[str, float]) -> dict[str, float]:
    """A medium less its sources of carbon, but for inorganic ones."""
    _, formula_of = exchanges_by_compound(network)
    organic = {c for c in uptakes if "C" in _elements(formula_of.get(c, ""))} - INORGANIC_CARBON
    return {compound: limit for compound, limit in uptakes.items() if compound not in organic}


def _elements(formula: str) -> set[str]:
    return set(re.findall("[A-Z][a-z]*", formula))
