"""The kcat predictor: class means, fallbacks and their tiers, bad input, intervals."""

from __future__ import annotations

import numpy as np
import pytest

from gemforest.kinetics import ecmeans
from gemforest.kinetics.predictor import ec_means, load_predictor


def test_a_class_of_many_clusters_keeps_its_mean_and_a_class_of_one_is_drawn_to_the_class_above() -> None:
    ecs = ["1.1.1.1"] * 200 + ["1.1.1.2"]
    values = np.r_[np.full(200, 2.0), -4.0]
    means = ecmeans.fit(ecs, values, list(range(201)))
    assert means["1.1.1.1"].mean == pytest.approx(2.0, abs=0.05)
    assert -4.0 < means["1.1.1.2"].mean < means["1.1.1"].mean
    assert means["1.1.1.2"].mean > -1.0


def test_members_of_one_cluster_count_less_than_as_many_clusters() -> None:
    ecs = ["1.1.1.1"] * 20 + ["2.7.1.1"] * 20
    values = np.r_[np.full(20, 3.0), np.full(20, -3.0)]
    together = ecmeans.fit(ecs, values, [0] * 20 + list(range(1, 21)))
    apart = ecmeans.fit(ecs, values, list(range(40)))
    assert together["1.1.1.1"].mean < apart["1.1.1.1"].mean


@pytest.mark.parametrize(
    ("ec", "expected"),
    [
        ("1.1.1.-", ["", "1", "1.1", "1.1.1"]),
        ("EC:2.7.1.n3", ["", "2", "2.7", "2.7.1", "2.7.1.n3"]),
        ("-.-.-.-", [""]),
        ("", [""]),
    ],
)
def test_a_dash_ends_an_ec_number(ec: str, expected: list[str]) -> None:
    assert ecmeans.prefixes(ec) == expected


def test_an_unknown_number_takes_the_deepest_class_known_above_it() -> None:
    means = ecmeans.fit(["1.1.1.1", "1.1.2.3"], np.array([1.0, 2.0]), [0, 1])
    assert ecmeans.lookup(means, ["1.1.1.999"]) == (means["1.1.1"], 3)
    assert ecmeans.lookup(means, []) == (means[""], 0)


def test_without_anything_known_the_global_mean_is_used_and_said() -> None:
    found = load_predictor().predict(["X" * 50], [None], [[]])
    assert found.tier.tolist() == ["global"]
    assert found.log10_kcat[0] == pytest.approx(ec_means()[""][0], abs=1e-3)
    assert found.lower90[0] < found.log10_kcat[0] < found.upper90[0]


def test_no_pairs_give_empty_arrays() -> None:
    assert len(load_predictor().predict([], [], []).log10_kcat) == 0


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 sequences, 1 structures"):
        load_predictor().predict(["MKV", "MKL"], [None], [[], []])
