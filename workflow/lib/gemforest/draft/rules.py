"""Gene rules by what the evidence says of each gene.

CarveMe's rules name one gene of the genome per database gene. So distant relatives, which often do something else,
stand as isozymes beside the enzyme, and it looks dispensable: `without_weak_isozymes` leaves out the alternatives whose
log-odds (`gene_reactions`) fall short of the best one's. Where one model names a complex and another a part of it, the
other subunits look dispensable: the whole stays. And a second copy of an enzyme is lost, and the first looks
essential: with `with_paralogs` every gene whose call for the reaction was accepted joins the rule, as an isozyme where
the rule knows no complex, in a complex beside the subunit that the same database gene speaks for. A gene that fits no
subunit is left out: as an isozyme it would claim to do the work of the whole complex.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

from gemforest.gprs import Gate, Rule, gate, genes_of, gpr_text, parse_gpr

ACCEPTED = "accepted"
SPONTANEOUS = "spontaneous"
LEAST_LOG_ODDS = math.log(0.001 / 0.999)
"""Of a gene that `gene_reactions` does not call for the reaction: the lowest that any call has."""
Calls = Mapping[str, Mapping[str, Set[str]]]


def accepted_calls(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, set[str]]]:
    """Reaction to gene to the database genes that spoke for it, from rows of `gene_reactions`."""
    calls: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        if row["decision"] == ACCEPTED:
            targets = {item["target"] for item in row["evidence"] or () if item["target"]}
            calls.setdefault(row["reaction"], {}).setdefault(row["gene_id"], set()).update(targets)
    return calls


def with_paralogs(gpr: str, calls: Mapping[str, Set[str]]) -> str:
    """A rule with the accepted genes of its reaction; `calls` is gene to database genes."""
    rule = parse_gpr(gpr)
    if rule is None or SPONTANEOUS in genes_of(rule):
        return gpr
    further = sorted(set(calls) - genes_of(rule))
    if not further:
        return gpr
    if not _has_complex(rule):
        return gpr_text(gate("or", [rule, *further]))
    return gpr_text(_expanded(rule, {gene: calls[gene] for gene in further}, calls))


def _has_complex(rule: Rule) -> bool:
    return isinstance(rule, Gate) and (rule.operator == "and" or any(_has_complex(child) for child in rule.children))


def _expanded(rule: Rule, further: Mapping[str, Set[str]], calls: Mapping[str, Set[str]]) -> Rule:
    """Each subunit with the genes that the same database gene speaks for."""
    if isinstance(rule, Gate):
        return gate(rule.operator, [_expanded(child, further, calls) for child in rule.children])
    alike = [gene for gene, targets in further.items() if targets & calls.get(rule, set())]
    return gate("or", [rule, *alike])


def call_log_odds(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Reaction to gene to the log-odds that the gene does it, from rows of `gene_reactions`."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["reaction"], {})[row["gene_id"]] = row["log_odds"]
    return found


def without_weak_isozymes(gpr: str, log_odds: Mapping[str, float], within: float) -> str:
    """A rule without alternatives that are less likely than the best one by more than `within`, or part of another one.

    Parameters
    ----------
    log_odds
        Gene to its log-odds of doing the reaction; a complex has the mean of its subunits'.
    within
        Natural log-odds, 0 or more; the best alternative stays, or the complex that it is part of.
    """
    rule = parse_gpr(gpr)
    if rule is None or SPONTANEOUS in genes_of(rule):
        return gpr
    kept = _whole(_likely(rule, log_odds, within))
    return gpr if kept == rule else gpr_text(kept)


def _likely(rule: Rule, log_odds: Mapping[str, float], within: float) -> Rule:
    if not isinstance(rule, Gate):
        return rule
    children = [_likely(child, log_odds, within) for child in rule.children]
    if rule.operator == "or":
        strengths = [_strength(child, log_odds) for child in children]
        least = max(strengths) - within
        children = [child for child, strength in zip(children, strengths, strict=True) if strength >= least]
    return gate(rule.operator, children)


def _whole(rule: Rule) -> Rule:
    """A rule without alternatives whose subunits are some of another alternative's."""
    if not isinstance(rule, Gate):
        return rule
    children = [_whole(child) for child in rule.children]
    if rule.operator == "or":
        complexes = [_subunits(child) for child in children]
        children = [
            child
            for child, own in zip(children, complexes, strict=True)
            if own is None or not any(other is not None and own < other for other in complexes)
        ]
    return gate(rule.operator, children)


def _subunits(rule: Rule) -> frozenset[str] | None:
    """Genes of a complex or a single enzyme; None where a subunit has alternatives."""
    if not isinstance(rule, Gate):
        return frozenset({rule})
    genes = frozenset(child for child in rule.children if not isinstance(child, Gate))
    return genes if rule.operator == "and" and len(genes) == len(rule.children) else None


def _strength(rule: Rule, log_odds: Mapping[str, float]) -> float:
    """Log-odds of a gene, of the best isozyme, of the average subunit."""
    if not isinstance(rule, Gate):
        return log_odds.get(rule, LEAST_LOG_ODDS)
    strengths = [_strength(child, log_odds) for child in rule.children]
    return max(strengths) if rule.operator == "or" else sum(strengths) / len(strengths)
