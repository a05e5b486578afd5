"""Source P: whether the other subunits of the complex are there, too.

BiGG's rules say which database genes work together for a reaction. Where a gene resembles one subunit, each of the
others is looked for among the genome's hits, in another gene of its own. A monomer is neutral.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from functools import cache

import numpy as np

from gemforest.carveme_files import carveme_data
from gemforest.evidence.homologs import Candidates, Hits, Reference, bigg_reference

VERSION = "1"
LETTER = "P"
LEAST_SHARE = 0.25
"""A subunit is there where some gene scores this share of its own self-score against it."""

Partners = dict[int, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class Presence:
    """Per candidate: whether the rules know a complex; share of its other subunits that is there, by the best rule."""

    in_complex: np.ndarray
    share: np.ndarray


@cache
def bigg_partners() -> Partners:
    """Other subunits of each (gene, reaction) of BiGG that lies in a complex, by `gene · reactions + reaction`."""
    reference = bigg_reference()
    gene_of = {name: i for i, name in enumerate(reference.genes.tolist())}
    reaction_of = {name: i for i, name in enumerate(reference.reactions.tolist())}
    proteins: dict[tuple[str, str, str], list[int]] = {}
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz"), "rt", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            key = (row["model"], row["protein"], row["reaction"])
            proteins.setdefault(key, []).append(gene_of[f"{row['model']}.{row['gene'][2:]}"])
    found: dict[int, set[tuple[int, ...]]] = {}
    for (_, _, reaction), genes in proteins.items():
        for gene in genes if len(genes) > 1 else ():
            pair = gene * len(reaction_of) + reaction_of[reaction.removeprefix("R_")]
            found.setdefault(pair, set()).add(tuple(sorted(set(genes) - {gene})))
    return {key: tuple(sorted(sets)) for key, sets in found.items()}


def subunit_presence(
    hits: Hits, found: Candidates, reference: Reference, partners: Partners, hidden: np.ndarray | None = None
) -> Presence:
    """Look for the other subunits of each candidate's best target; `hidden` as in `candidates`."""
    bits = hits.bits / hits.self_bits[hits.query]
    if hidden is not None:
        bits = np.where(hidden[reference.model[hits.target]], 0.0, bits)
    order = np.lexsort((hits.query, -bits, hits.target))
    best_gene, best_share = np.full(len(reference.genes), -1), np.zeros(len(reference.genes))
    target, first = np.unique(hits.target[order], return_index=True)
    best_gene[target], best_share[target] = hits.query[order][first], bits[order][first]
    keys = hits.target[found.hit] * len(reference.reactions) + found.reaction
    in_complex, share = np.zeros(len(keys), dtype=bool), np.zeros(len(keys))
    for row, (key, gene) in enumerate(zip(keys.tolist(), found.query.tolist(), strict=True)):
        rules = partners.get(key)
        if rules:
            in_complex[row] = True
            share[row] = max(_share_there(rule, gene, best_gene, best_share) for rule in rules)
    return Presence(in_complex, share)


def _share_there(rule: tuple[int, ...], gene: int, best_gene: np.ndarray, best_share: np.ndarray) -> float:
    there = sum(bool(best_share[other] >= LEAST_SHARE and best_gene[other] != gene) for other in rule)
    return there / len(rule)
