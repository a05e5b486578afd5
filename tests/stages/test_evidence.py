"""Evidence equals CarveMe's scoring on the same hits, for a whole genome and a whole universe."""

from __future__ import annotations

import numpy as np
import pandas as pd
from projects import CACHE

from gemforest.carveme_files import carveme_data
from gemforest.evidence import rules_of
from gemforest.evidence.scores import score_reactions


def test_equal_to_carveme_on_a_genome_up_to_tied_hits() -> None:
    from carveme.reconstruction.diamond import load_diamond_results
    from carveme.reconstruction.scoring import reaction_scoring

    hits = load_diamond_results(str(carveme_data("benchmark/fasta/Bsubtilis_168.tsv")))
    gprs = pd.read_csv(carveme_data("generated/bigg_gprs.csv.gz"))
    rules = rules_of("grampos", CACHE)
    expected, _ = reaction_scoring(hits, gprs[gprs.reaction.str[2:].isin(rules.reactions)].copy())
    found = score_reactions(
        rules, hits.query_gene.to_numpy(object), hits.BiGG_gene.to_numpy(str), hits.score.to_numpy(float)
    )
    assert len(found) > 1000
    assert [(s.reaction, s.score, s.normalized_score) for s in found] == [
        (row.reaction[2:], row.score, row.normalized_score) for row in expected.itertuples(index=False)
    ]
    # CarveMe leaves it to an unstable sort which of two genes with the same score stands for a database gene.
    ties = hits.sort_values("score").duplicated(["BiGG_gene", "score"], keep=False)
    tied_genes = set(hits.sort_values("score").loc[ties, "query_gene"])
    for ours, theirs in zip(found, expected.GPR, strict=True):
        if ours.gpr != theirs:
            words = {word.strip("()") for word in f"{ours.gpr} {theirs}".split()} - {"and", "or"}
            assert words & tied_genes


def test_the_order_of_hits_does_not_matter_but_for_ties() -> None:
    rules = rules_of("grampos", CACHE)
    targets = rules.genes[::50]
    hits = (np.array([f"q{i}" for i in range(len(targets))], dtype=object), targets, np.arange(len(targets)) + 50.5)
    shuffled = np.random.default_rng(3).permutation(len(targets))
    assert score_reactions(rules, *hits) == score_reactions(rules, *(column[shuffled] for column in hits))
