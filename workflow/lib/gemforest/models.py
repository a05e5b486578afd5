"""A metabolic network as arrays, and its way into and out of SBML.

`Network` is what travels between stages in memory: CarveMe's universe, a draft, a filled model, a user's model. Ids
are BiGG ids without the `M_`, `R_`, `G_` prefixes of SBML.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csc_array


@dataclass(frozen=True)
class Network:
    """A stoichiometric network.

    Attributes
    ----------
    network_id
        Name of the model; a genome_id for a genome's model.
    metabolites, reactions
        BiGG ids, of lengths m and n.
    stoichiometry
        m x n, float64, canonical csc.
    lower, upper
        n, mmol gDW^-1 h^-1; infinite where the source states no bound.
    objective
        n; 1 at the biomass reaction.
    gprs
        n rules over gene ids with `and`, `or` and parentheses; empty where there is none.
    reaction_names, metabolite_names, formulas, charges, compartments
        As in the source; a charge that is not known is None.
    reaction_notes
        Reaction id to {key: value}, written to the SBML notes of that reaction.
    """

    network_id: str
    metabolites: tuple[str, ...]
    reactions: tuple[str, ...]
    stoichiometry: csc_array
    lower: np.ndarray
    upper: np.ndarray
    objective: np.ndarray
    gprs: tuple[str, ...]
    reaction_names: tuple[str, ...]
    metabolite_names: tuple[str, ...]
    formulas: tuple[str, ...]
    charges: tuple[int | None, ...]
    compartments: tuple[str, ...]
    reaction_notes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def biomass(self) -> int:
        """Index of the one reaction in the objective; ValueError where there is none or more than one."""
        (indices,) = np.nonzero(self.objective)
        if len(indices) != 1:
            raise ValueError(f"{self.network_id}: expected one objective reaction, found {len(indices)}")
        return int(indices[0])

    @property
    def exchanges(self) -> np.ndarray:
        """n, bool: exchange reactions by BiGG's convention (`EX_` and a single metabolite)."""
        return np.array([r.startswith("EX_") for r in self.reactions])
