"""Candidates from homologs: what is hidden stays hidden, rivals and votes are what they are said to be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gemforest.evidence.homologs import FEATURES, Candidates, Hits, Reference, candidates, load_reference, self_bits


def reference() -> Reference:
    """Four models of three clades: a and b are kin; `c` has no R2 at all."""
    rows = [
        ("G_1", "R_R1", "a"),
        ("G_1", "R_R2", "a"),
        ("G_1", "R_R1", "b"),
        ("G_1", "R_R1", "c"),
        ("G_2", "R_R3", "c"),
        ("G_1", "R_R2", "d"),
        ("G_2", "R_R1", "d"),
    ]
    gene, reaction, model = zip(*rows, strict=True)
    table = pa.table({"gene": gene, "protein": [f"P{g}" for g in gene], "reaction": reaction, "model": model})
    clades = {"a": "one", "b": "one", "c": "two", "d": "three"}
    return load_reference(table, clades, {"a": "x", "b": "x", "c": "x", "d": "y"})


def hits(known: Reference, rows: list[tuple[int, str, float]], genes: int = 2) -> Hits:
    query, target, bits = zip(*rows, strict=True)
    place = {name: i for i, name in enumerate(known.genes.tolist())}
    n = len(rows)
    return Hits(
        np.array(query),
        np.array([place[name] for name in target]),
        np.array(bits, dtype=float),
        np.full(n, 0.4),
        np.full(n, 0.9),
        np.full(n, 0.8),
        np.full(genes, 1000.0),
    )


def value(found: Candidates, known: Reference, gene: int, reaction: str, feature: str) -> float:
    row = np.flatnonzero((found.query == gene) & (known.reactions[found.reaction] == reaction))
    assert len(row) == 1
    return float(found.features[row[0], FEATURES.index(feature)])


def test_every_reaction_of_every_near_target_is_a_candidate_once() -> None:
    known = reference()
    found = candidates(hits(known, [(0, "a.1", 200), (0, "b.1", 190), (0, "c.2", 99)]), known)
    assert [known.reactions[r] for r in found.reaction] == ["R1", "R2"], "c.2 is below half of the best"


def test_models_of_one_clade_count_once_and_a_clade_without_the_reaction_is_told_from_one_that_gives_it_elsewhere() -> (
    None
):
    known = reference()
    found = candidates(hits(known, [(0, "a.1", 200), (0, "b.1", 190), (0, "c.1", 180), (0, "d.1", 170)]), known)
    assert value(found, known, 0, "R1", "clades_agree") == 2, "clades one and two"
    assert value(found, known, 0, "R1", "clades_elsewhere") == 1, "d has R1 with its other gene"
    assert value(found, known, 0, "R2", "clades_agree") == 2
    assert value(found, known, 0, "R2", "clades_without") == 1, "c does not know R2"


def test_hidden_models_neither_propose_nor_count_in_the_priors() -> None:
    known = reference()
    all_hits = hits(known, [(0, "a.1", 200), (0, "d.1", 170), (0, "c.1", 160)])
    hidden = np.array([name == "d" for name in known.models])
    found = candidates(all_hits, known, hidden)
    without = candidates(hits(known, [(0, "a.1", 200), (0, "c.1", 160)]), known, hidden)
    assert np.array_equal(found.features, without.features)
    assert value(found, known, 0, "R2", "clades_with_reaction") == 1


def test_a_gene_that_fits_worse_than_another_knows_its_rival() -> None:
    known = reference()
    found = candidates(hits(known, [(0, "a.1", 200), (1, "a.1", 100)]), known)
    assert value(found, known, 1, "R1", "best_in_genome") == pytest.approx(0.5)
    assert value(found, known, 1, "R1", "log_rivals") == pytest.approx(np.log(2))
    assert value(found, known, 0, "R1", "best_for_target") == 1


def test_votes_of_a_gene_sum_to_one_where_each_target_has_one_reaction() -> None:
    known = reference()
    found = candidates(hits(known, [(0, "c.1", 200), (0, "d.1", 150)]), known)
    total = sum(value(found, known, 0, reaction, "vote") for reaction in ("R1", "R2"))
    assert total == pytest.approx(1.0)


def test_order_of_hits_does_not_matter() -> None:
    known = reference()
    rows = [(0, "a.1", 200.0), (0, "b.1", 190.0), (1, "c.1", 180.0), (1, "d.1", 170.0)]
    one, other = candidates(hits(known, rows), known), candidates(hits(known, rows[::-1]), known)
    assert np.array_equal(one.query, other.query)
    assert np.allclose(one.features, other.features)


def test_no_hits_no_candidates() -> None:
    known = reference()
    some = hits(known, [(0, "a.1", 200)])
    assert len(candidates(some.take(np.zeros(0, dtype=int)), known).query) == 0


def test_self_score_is_the_sum_of_blosum_diagonals() -> None:
    # W scores 11, C 9, A 4: (0.267 * 24 - ln 0.041) / ln 2, Karlin and Altschul's formula for the bit score.
    assert self_bits(["WCA"])[0] == pytest.approx((0.267 * 24 - np.log(0.041)) / np.log(2))
