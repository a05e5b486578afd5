"""Reactions that a scored enzyme does too, for want of which a model would need oxygen.

BiGG's models name the genes of an enzyme for the reaction that they use it for: with oxygen, mostly. What the same
enzyme does without (`resources/fermentation_reactions.tsv`) then has no evidence, the carving has oxygen and leaves it
out, and the model cannot live without. Here such a reaction takes the score and the genes of the one that has them.

So with the ATP synthase: CarveMe's universes have it with the protons of a periplasm (`ATPS4rpp`), BiGG's models of
Gram-positives, mycobacteria, clostridia and archaea with those outside (`ATPS4r`), and in the universes the two are
one. The genes of the latter would speak for nothing, and those cells could not respire.
"""

from __future__ import annotations

from collections.abc import Mapping

from gemforest.gprs import Gate, Rule, genes_of, parse_gpr
from gemforest.universe import shared_enzyme_table


def shared_enzymes(gprs: Mapping[str, str], scores: Mapping[str, float]) -> dict[str, str]:
    """Reaction to the scored reaction whose enzyme does it too.

    Parameters
    ----------
    gprs, scores
        Reaction to rule and to score. A reaction that scores as well by itself is left alone.
    """
    found = {}
    for row in shared_enzyme_table():
        known = [s for s in row.sources if s in scores and _subunits(gprs.get(s, "")) >= row.least_subunits]
        best = max(known, key=lambda source: (scores[source], source), default=None)
        if best is not None and scores[best] > max(scores.get(row.reaction, 0.0), 0.0):
            found[row.reaction] = best
    return found


def _subunits(gpr: str) -> int:
    return _largest_complex(parse_gpr(gpr))


def _largest_complex(rule: Rule | None) -> int:
    """Genes of the largest complex of a rule."""
    if isinstance(rule, Gate) and rule.operator == "or":
        return max(_largest_complex(child) for child in rule.children)
    return len(genes_of(rule))
