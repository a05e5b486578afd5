"""Gene-protein-reaction rules: text such as `(b0001 and b0002) or b0003` as a tree, and what a lost gene does to it.

A gene id is everything between two operators, so that ids such as `a b|c` or `NP_001.1` need no care; an id that holds
a parenthesis, a double quote or the words `and`/`or` is written in double quotes, a double quote in it doubled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """`and` (a complex: all subunits needed) or `or` (isozymes: one is enough) over two or more rules."""

    operator: str
    children: tuple[Rule, ...]


Rule = Gate | str
_MAX_DEPTH = 100
_TOKEN = re.compile(
    r'\s*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"]|"")*)"'
    r'|(?P<operator>(?i:and|or)(?=[\s()"]|$))'
    r'|(?P<gene>[^()"\s](?:[^()"]*?[^()"\s])??(?=\s*(?:[()"]|$)|\s+(?i:and|or)(?:[\s()"]|$))))\s*'
)


def parse_gpr(text: str) -> Rule | None:
    """Tree of a rule; None for an empty one.

    Raises
    ------
    ValueError
        Where the text is not a rule: unbalanced parentheses, a missing operator or gene, more than 100 levels.
    """
    if not text.strip():
        return None
    frames: list[list[str | Rule]] = [[]]
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise ValueError(f"not a gene rule at character {position}: {text[:200]!r}")
        position = match.end()
        if match["open"]:
            frames.append([])
            if len(frames) > _MAX_DEPTH:
                raise ValueError(f"a gene rule of more than {_MAX_DEPTH} levels")
        elif match["close"]:
            if len(frames) == 1:
                raise ValueError(f"a closing parenthesis too many: {text[:200]!r}")
            inner = _reduced(frames.pop(), text)
            frames[-1].append(inner)
        elif match["operator"]:
            frames[-1].append(_Operator(match["operator"].lower()))
        else:
            quoted = match["quoted"]
            frames[-1].append(match["gene"] if quoted is None else quoted.replace('""', '"'))
    if len(frames) != 1:
        raise ValueError(f"a parenthesis is never closed: {text[:200]!r}")
    return _reduced(frames[0], text)


class _Operator(str):
    """An operator among the tokens of one level, told from a gene that is called `and`."""


def _reduced(tokens: list[str | Rule], text: str) -> Rule:
    """One level's tokens as a rule; `and` binds more tightly than `or`."""
    operands, operators = tokens[0::2], tokens[1::2]
    if (
        len(tokens) % 2 == 0
        or any(isinstance(t, _Operator) for t in operands)
        or not all(isinstance(t, _Operator) for t in operators)
    ):
        raise ValueError(f"genes and operators do not alternate: {text[:200]!r}")
    alternatives: list[list[Rule]] = [[operands[0]]]
    for operator, operand in zip(operators, operands[1:], strict=True):
        if operator == "and":
            alternatives[-1].append(operand)
        else:
            alternatives.append([operand])
    return gate("or", [gate("and", parts) for parts in alternatives])


def gate(operator: str, children: Iterable[Rule]) -> Rule:
    """A gate with nested gates of the same operator and repeated children folded in; a single child is itself."""
    flat: dict[Rule, None] = {}
    for child in children:
        nested = isinstance(child, Gate) and child.operator == operator
        flat.update(dict.fromkeys(child.children if nested else (child,)))  # type: ignore[union-attr]
    return Gate(operator, tuple(flat)) if len(flat) > 1 else next(iter(flat))


def gpr_text(rule: Rule | None) -> str:
    """Canonical text of a rule; `parse_gpr` gives the same tree back."""
    if rule is None:
        return ""
    if isinstance(rule, str):
        return quoted_gene(rule)
    return f" {rule.operator} ".join(
        f"({gpr_text(child)})" if isinstance(child, Gate) else quoted_gene(child) for child in rule.children
    )


_NEEDS_QUOTES = re.compile(r'[()"]|(?i:\b(?:and|or)\b)|^\s|\s$|^$')


def quoted_gene(gene: str) -> str:
    """A gene id as it stands in a rule."""
    if not _NEEDS_QUOTES.search(gene):
        return gene
    return '"' + gene.replace('"', '""') + '"'


def genes_of(rule: Rule | None) -> frozenset[str]:
    """All gene ids in a rule."""
    if rule is None:
        return frozenset()
    if isinstance(rule, str):
        return frozenset((rule,))
    return frozenset().union(*(genes_of(child) for child in rule.children))


def works(rule: Rule, lost: Callable[[str], bool]) -> bool:
    """Whether a rule still holds when the genes for which `lost` is true are gone."""
    if isinstance(rule, str):
        return not lost(rule)
    combine = all if rule.operator == "and" else any
    return combine(works(child, lost) for child in rule.children)
