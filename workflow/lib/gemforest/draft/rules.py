"""Gene rules with all paralogs that the evidence accepts.

CarveMe's rules name one gene of the genome per database gene, so a second copy of an enzyme is lost and the first looks
essential. Here every gene whose call for the reaction was accepted (`gene_reactions`) joins the rule: as an isozyme
where the rule knows no complex; in a complex beside the subunit that the same database gene speaks for. A gene that
fits no subunit is left out: as an isozyme it would claim to do the work of the whole complex.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from gemforest.gprs import Gate, Rule, gate, genes_of, gpr_text, parse_gpr

ACCEPTED = "accepted"
SPONTANEOUS = "spontaneous"
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
