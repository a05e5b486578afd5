"""Reactions that a scored enzyme does too, for want of which a model would need oxygen.

BiGG's models name the genes of an enzyme for the reaction that they use it for: with oxygen, mostly. What the same
enzyme does without (`resources/fermentation_reactions.tsv`) then has no evidence, the carving has oxygen and leaves it
out, and the model cannot live without. Here such a reaction takes the score and the genes of the one that has them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from gemforest.config import WORKFLOW
from gemforest.gprs import Gate, Rule, genes_of, parse_gpr


def resource_path() -> Path:
    """The table of reactions that share an enzyme."""
    return WORKFLOW.parent / "resources" / "fermentation_reactions.tsv"


def shared_enzymes(gprs: Mapping[str, str], scores: Mapping[str, float]) -> dict[str, str]:
    """Reaction to the scored reaction whose enzyme does it too.

    Parameters
    ----------
    gprs, scores
        Reaction to rule and to score. A reaction that scores as well by itself is left alone.
    """
    found = {}
    for reaction, sources, subunits in _table():
        known = [s for s in sources if s in scores and _largest_complex(parse_gpr(gprs.get(s, ""))) >= subunits]
        best = max(known, key=lambda source: (scores[source], source), default=None)
        if best is not None and scores[best] > max(scores.get(reaction, 0.0), 0.0):
            found[reaction] = best
    return found


@cache
def _table() -> tuple[tuple[str, tuple[str, ...], int], ...]:
    with resource_path().open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle, delimiter="\t") if row["same_enzyme_as"]]
    return tuple((row["reaction"], tuple(row["same_enzyme_as"].split(";")), int(row["least_subunits"])) for row in rows)


def _largest_complex(rule: Rule | None) -> int:
    """Genes of the largest complex of a rule."""
    if isinstance(rule, Gate) and rule.operator == "or":
        return max(_largest_complex(child) for child in rule.children)
    return len(genes_of(rule))
