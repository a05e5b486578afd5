"""Small networks for tests, written as equations."""

import re
from collections.abc import Mapping

import numpy as np
from scipy.sparse import csc_array

from gemforest.models import Network

Equation = tuple[str, float, float]


def toy_network(
    equations: Mapping[str, Equation], objective: str = "", gprs: Mapping[str, str] | None = None
) -> Network:
    """A network from `{"R1": ("2 a_c + b_c -> c_c", lower, upper)}`; the objective is one reaction's id."""
    parsed = {reaction: _parsed(text) for reaction, (text, _, _) in equations.items()}
    metabolites = sorted({m for terms in parsed.values() for m in terms})
    matrix = np.zeros((len(metabolites), len(equations)))
    for j, terms in enumerate(parsed.values()):
        for metabolite, value in terms.items():
            matrix[metabolites.index(metabolite), j] += value
    n, m = len(equations), len(metabolites)
    return Network(
        network_id="toy",
        metabolites=tuple(metabolites),
        reactions=tuple(equations),
        stoichiometry=csc_array(matrix),
        lower=np.array([low for _, low, _ in equations.values()], dtype=float),
        upper=np.array([high for _, _, high in equations.values()], dtype=float),
        objective=np.array([float(r == objective) for r in equations]),
        gprs=tuple((gprs or {}).get(r, "") for r in equations),
        reaction_names=("",) * n,
        metabolite_names=("",) * m,
        formulas=("",) * m,
        charges=(None,) * m,
        compartments=tuple(x.rpartition("_")[2] for x in metabolites),
    )


def _parsed(text: str) -> dict[str, float]:
    terms: dict[str, float] = {}
    for side, sign in zip(text.split("->"), (-1.0, 1.0), strict=True):
        for count, metabolite in re.findall(r"(?:([\d.]+)\s+)?([a-zA-Z]\w*)", side):
            terms[metabolite] = terms.get(metabolite, 0.0) + sign * float(count or 1)
    return terms
