"""CarveMe's scores: closed forms, and equality with CarveMe's own function on made-up hits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gemforest.evidence.scores import group_rules, load_rules, score_reactions

RULES = [
    # gene, protein, reaction, model
    ("G_a", "P_a", "R_ONE", "iX"),
    ("G_b", "P_b+c", "R_COMPLEX", "iX"),
    ("G_c", "P_b+c", "R_COMPLEX", "iX"),
    ("G_d", "P_d", "R_ISO", "iX"),
    ("G_e", "P_e", "R_ISO", "iX"),
    ("G_s0001", "P_s0001", "R_SPONT", "iX"),
    ("G_z", "P_z", "R_NOHIT", "iX"),
    ("G_a", "P_a", "R_OTHER", "iX"),
]


def rules_table() -> pa.Table:
    return pa.table(dict(zip(("gene", "protein", "reaction", "model"), zip(*RULES, strict=True), strict=True)))


def score(hits: list[tuple[str, str, float]]) -> dict[str, tuple[float, float, str]]:
    rules = group_rules(rules_table(), ["ONE", "COMPLEX", "ISO", "SPONT", "NOHIT"])
    genes, targets, bits = (list(column) for column in zip(*hits, strict=True)) if hits else ([], [], [])
    scored = score_reactions(
        rules, np.array(genes, dtype=object), np.array(targets, dtype=str), np.array(bits, dtype=float)
    )
    return {s.reaction: (s.score, s.normalized_score, s.gpr) for s in scored}


def test_a_complex_scores_the_mean_over_its_subunits_an_absent_one_counting_nothing() -> None:
    found = score([("q1", "iX.a", 100.0), ("q2", "iX.b", 300.0)])
    assert found["COMPLEX"][0] == 150.0
    assert found["COMPLEX"][2] == "q2"


def test_isozymes_score_with_the_best_and_both_are_in_the_rule() -> None:
    found = score([("q1", "iX.d", 80.0), ("q2", "iX.e", 200.0)])
    assert found["ISO"] == (200.0, 1.0, "(q1 or q2)")


def test_a_reaction_outside_the_universe_or_without_hit_has_no_score() -> None:
    assert set(score([("q1", "iX.a", 100.0)])) == {"ONE", "SPONT"}


def test_a_spontaneous_reaction_scores_zero_without_any_gene() -> None:
    assert score([("q1", "iX.a", 100.0)])["SPONT"] == (0.0, 0.0, "spontaneous")


def test_scores_are_divided_by_the_median_of_the_positive_ones() -> None:
    found = score([("q1", "iX.a", 100.0), ("q2", "iX.b", 300.0), ("q3", "iX.c", 300.0), ("q4", "iX.d", 900.0)])
    assert {r: s[1] for r, s in found.items()} == {"ONE": 0.3, "COMPLEX": 1.0, "ISO": 3.0, "SPONT": 0.0}


def test_no_hit_at_all_gives_nothing_but_the_spontaneous() -> None:
    assert set(score([])) == {"SPONT"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_to_carvemes_own_function_on_random_hits_over_all_of_bigg(seed: int) -> None:
    from carveme.reconstruction.scoring import reaction_scoring

    from gemforest.carveme_files import carveme_data

    gprs = pd.read_csv(carveme_data("generated/bigg_gprs.csv.gz"))
    chosen = sorted(gprs.reaction.unique())[::60]
    gprs = gprs[gprs.reaction.isin(chosen)].copy()
    random = np.random.default_rng(seed)
    targets = (gprs.model + "." + gprs.gene.str[2:]).drop_duplicates().sample(frac=0.3, random_state=seed)
    hits = pd.DataFrame(
        {
            "query_gene": [f"q{i}" for i in range(len(targets))],
            "BiGG_gene": targets.to_numpy(),
            "score": random.permutation(np.arange(len(targets)) * 0.7 + 30.1).round(1),
        }
    )
    expected, _ = reaction_scoring(hits, gprs)
    rules = load_rules([reaction[2:] for reaction in chosen])
    found = score_reactions(
        rules, hits.query_gene.to_numpy(object), hits.BiGG_gene.to_numpy(str), hits.score.to_numpy()
    )
    wanted = [(row.reaction[2:], row.score, row.normalized_score, row.GPR) for row in expected.itertuples(index=False)]
    assert [(s.reaction, s.score, s.normalized_score, s.gpr) for s in found] == wanted
