"""The kcat predictor: class means, fallbacks and their tiers, bad input, intervals, the stored model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from projects import REPOSITORY

from gemforest.errors import InfrastructureError
from gemforest.kinetics import calibration, ecmeans, features, predictor, regression
from gemforest.kinetics.predictor import Prediction, Predictor, ec_means, load_predictor

FOLDER = REPOSITORY / "resources" / "kcat"
GLUCOSE = "OCC1OC(O)C(O)C(O)C1O"


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return load_predictor()


def protein(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(features.RESIDUES), length))


def same(one: Prediction, other: Prediction) -> bool:
    return np.allclose(one.log10_kcat, other.log10_kcat, atol=1e-4) and np.allclose(one.sd, other.sd, atol=1e-4)


def test_a_class_of_many_clusters_keeps_its_mean_and_a_class_of_one_is_drawn_to_the_class_above() -> None:
    ecs = ["1.1.1.1"] * 200 + ["1.1.1.2"]
    values = np.r_[np.full(200, 2.0), -4.0]
    means = ecmeans.fit(ecs, values, list(range(201)))
    assert means["1.1.1.1"].mean == pytest.approx(2.0, abs=0.05)
    assert -1.0 < means["1.1.1.2"].mean < means["1.1.1"].mean


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


@pytest.mark.parametrize(
    ("sequence", "smiles", "ecs", "tier"),
    [
        (protein(300), GLUCOSE, ["2.7.1.1"], "predicted"),
        (protein(300), GLUCOSE, [], "predicted"),
        (protein(300), None, ["2.7.1.1"], "predicted_no_structure"),
        (protein(300), "", ["2.7.1.1"], "predicted_no_structure"),
        (protein(300), "not a structure", ["2.7.1.1"], "predicted_no_structure"),
        ("X" * 300, GLUCOSE, ["2.7.1.1"], "ec_mean"),
        ("X" * 200 + protein(100), GLUCOSE, ["2.7.1.1"], "ec_mean"),
        ("MKV", GLUCOSE, ["2.7.1.1"], "ec_mean"),
        ("", None, ["2.-.-.-"], "ec_mean"),
        ("", None, ["-.-.-.-"], "global"),
        ("X" * 50, None, [], "global"),
    ],
)
def test_what_is_missing_shows_in_the_tier(
    shipped: Predictor, sequence: str, smiles: str | None, ecs: list[str], tier: str
) -> None:
    found = shipped.predict([sequence], [smiles], [ecs])
    assert found.tier.tolist() == [tier]
    assert found.lower90[0] < found.log10_kcat[0] < found.upper90[0]
    assert 0.2 < found.sd[0] < 3
    assert (found.similarity_bin[0] == "none") == (tier in {"ec_mean", "global"})
    if tier in {"ec_mean", "global"}:
        mean = ec_means()["2.7.1.1" if "2.7.1.1" in ecs else "2" if "2.-.-.-" in ecs else ""][0]
        assert found.log10_kcat[0] == pytest.approx(mean, abs=1e-3)


def test_no_pairs_give_empty_arrays(shipped: Predictor) -> None:
    assert len(shipped.predict([], [], []).log10_kcat) == 0


def test_lists_of_different_lengths_are_refused(shipped: Predictor) -> None:
    with pytest.raises(ValueError, match="2 sequences, 1 structures"):
        shipped.predict(["MKV", "MKL"], [None], [[], []])


def test_a_prediction_does_not_depend_on_its_company_or_on_order(shipped: Predictor) -> None:
    asked = [(protein(300, 1), GLUCOSE, ["2.7.1.1"]), (protein(90, 2), None, []), ("XX", "CC=O", ["1.1.1.1"])]
    forward = shipped.predict(*(list(column) for column in zip(*asked, strict=True)))
    backward = shipped.predict(*(list(column) for column in zip(*asked[::-1], strict=True)))
    assert np.allclose(forward.log10_kcat, backward.log10_kcat[::-1], atol=1e-4)
    for k, (sequence, smiles, ecs) in enumerate(asked):
        alone = shipped.predict([sequence], [smiles], [ecs])
        assert alone.log10_kcat[0] == pytest.approx(forward.log10_kcat[k], abs=1e-4)


def test_the_structures_of_one_genome_are_not_worked_out_again_for_the_next(
    shipped: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = []
    described = features._described
    monkeypatch.setattr(features, "_described", lambda *told: worked.append(told) or described(*told))
    features._substrate.cache_clear()
    asked = (["MKAILVVLLYTFATANAD" * 10] * 3, ["CCO", "CC=O", "CCO"], [[]] * 3)
    first = shipped.predict(*asked)
    assert len(worked) == 2
    np.testing.assert_array_equal(first.log10_kcat, shipped.predict(*asked).log10_kcat)
    assert len(worked) == 2


def test_a_pair_is_worked_out_once_and_is_the_same_in_any_company() -> None:
    relatives = [(protein(250, k), GLUCOSE, ["2.7.1.1"]) for k in range(40)]
    lonely, crowded = load_predictor(), load_predictor()
    alone = [lonely.predict([one], [smiles], [ecs]) for one, smiles, ecs in relatives]
    first = crowded.predict(*(list(column) for column in zip(*relatives, strict=True)))
    assert crowded.worked_out == crowded.asked == 40
    again = crowded.predict(*(list(column) for column in zip(*relatives[::-1], strict=True)))
    assert (crowded.asked, crowded.worked_out) == (80, 40)
    for k, one in enumerate(alone):
        for name in ("log10_kcat", "sd", "lower90", "similarity_bin", "tier"):
            assert getattr(one, name)[0] == getattr(first, name)[k] == getattr(again, name)[39 - k]


def test_no_more_pairs_are_kept_than_memory_is_set_aside_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "KEPT", 3)
    one = load_predictor()
    for k in range(3):
        pairs = [protein(100, k), protein(100, k + 1)], [None, None], [[], []]
        assert same(one.predict(*pairs), load_predictor().predict(*pairs))
        assert len(one._kept) <= 3
    assert one.asked == 6 and one.worked_out < 6


def test_several_ec_numbers_are_averaged_and_their_difference_widens_the_interval(shipped: Predictor) -> None:
    sequence = protein(300, 3)
    one, other, both = (
        shipped.predict([sequence], [GLUCOSE], [ecs]) for ecs in (["4.2.1.1"], ["3.5.2.6"], ["3.5.2.6", "4.2.1.1"])
    )
    assert both.log10_kcat[0] == pytest.approx((one.log10_kcat[0] + other.log10_kcat[0]) / 2, abs=1e-4)
    spread = abs(one.log10_kcat[0] - other.log10_kcat[0]) / 2
    assert both.sd[0] ** 2 == pytest.approx((one.sd[0] ** 2 + other.sd[0] ** 2) / 2 + spread**2, abs=1e-3)


def test_case_white_space_and_a_final_stop_change_nothing(shipped: Predictor) -> None:
    sequence = protein(200, 4)
    messy = sequence[:90].lower() + "\n" + sequence[90:] + "*"
    assert same(
        shipped.predict([messy], [GLUCOSE], [["2.7.1.1"]]), shipped.predict([sequence], [GLUCOSE], [["2.7.1.1"]])
    )


def test_the_stored_model_predicts_as_the_trained_one_did(shipped: Predictor) -> None:
    lines = [line.split("\t") for line in (FOLDER / "check.tsv").read_text().splitlines()[1:]]
    found = shipped.predict(
        [line[0] for line in lines],
        [line[1] or None for line in lines],
        [[line[2]] if line[2] else [] for line in lines],
    )
    told = np.array([[float(value) for value in line[3:]] for line in lines])
    assert np.allclose(np.column_stack([found.log10_kcat, found.sd, found.lower90]), told, atol=2e-3)


def test_the_model_is_small_plain_arrays_without_pickles_or_sequences(shipped: Predictor) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 10 * 2**20
    with np.load(FOLDER / "model.npz", allow_pickle=False) as stored:
        texts = [name for name in stored.files if stored[name].dtype.kind in "US"]
        assert all(stored[name].dtype.kind in "biufU" for name in stored.files)
    assert texts == ["descriptor_names", "ec_classes"]


def test_a_missing_or_damaged_model_is_told_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"train_kcat\.py"):
        load_predictor(tmp_path)
    for name in ("ec_means.tsv", "calibration.json"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    (tmp_path / "model.npz").write_bytes((FOLDER / "model.npz").read_bytes()[:5000])
    with pytest.raises(InfrastructureError, match="no whole kcat predictor"):
        load_predictor(tmp_path)


def test_sketches_of_relatives_are_nearer_than_those_of_strangers() -> None:
    one, stranger = protein(300, 5), protein(300, 6)
    mutated = one[:150] + stranger[150:200] + one[200:]
    sketch = features.sketches([one, mutated, stranger], np.ones(features.WORDS, np.float32))
    assert sketch[0] @ sketch[1] > 0.6
    assert abs(sketch[0] @ sketch[2]) < 0.3
    assert np.allclose(np.linalg.norm(sketch, axis=1), 1)


def test_ec_signs_are_equal_for_equal_classes_and_uncorrelated_for_others() -> None:
    width = 4000
    one, other = features.ec_signs("1.1.1.1", width, 0), features.ec_signs("1.1.1.2", width, 0)
    assert np.array_equal(one, features.ec_signs("1.1.1.1", width, 0))
    assert abs(float(one @ other)) / width < 4 / np.sqrt(width)
    assert not features.ec_signs("", 5, 0).any()


def test_tanimoto_of_counts_is_minimum_over_maximum() -> None:
    one, other = np.array([[2.0, 0, 1]], np.float32), np.array([[1.0, 1, 1], [2, 0, 1]], np.float32)
    assert regression.tanimoto(one, other)[0] == pytest.approx([2 / 4, 1.0])


def test_values_and_intervals_are_those_of_natural_enzymes_unless_a_row_is_a_variant() -> None:
    generator = np.random.default_rng(8)
    parts, truth, structured = made_up_parts(4000, generator)
    variant = (np.arange(4000) % 2).astype(float)
    parts = dataclasses.replace(parts, variant=variant)
    truth = truth - 0.7 * variant + variant * generator.normal(0, 1.5, 4000)
    settings = calibration.fit(parts, truth, structured, [0.4, 0.6, 0.8])
    natural, engineered = (
        calibration.apply(settings, dataclasses.replace(parts, variant=np.full(4000, mark)), structured)
        for mark in (0.0, 1.0)
    )
    assert np.allclose(natural.value - engineered.value, 0.7, atol=0.25)
    assert np.mean(engineered.sd**2 - natural.sd**2) == pytest.approx(1.5**2, abs=0.6)


def made_up_parts(n: int, generator: np.random.Generator) -> tuple[regression.Parts, np.ndarray, np.ndarray]:
    """Rows whose truth is the class mean plus 0.5 of `general`'s deviation from it, noise larger for wide classes."""
    mean, deviation, sd = generator.normal(size=n), generator.normal(size=n), generator.uniform(0.3, 2, n)
    truth = mean + 0.5 * deviation + sd * generator.standard_t(4, n) / np.sqrt(2)
    zeros = np.zeros(n)
    similarity = generator.uniform(0, 1, n)
    parts = regression.Parts(
        mean + deviation, zeros, mean + deviation, zeros, mean, sd, np.full(n, 4), similarity, zeros
    )
    return parts, truth, np.ones(n, bool)


def test_calibration_draws_toward_the_class_mean_and_its_intervals_cover_new_rows() -> None:
    generator = np.random.default_rng(7)
    settings = calibration.fit(*made_up_parts(6000, generator), [0.4, 0.6, 0.8])
    parts, truth, structured = made_up_parts(6000, generator)
    told = calibration.apply(settings, parts, structured)
    slope = np.polyfit(parts.general - parts.class_mean, told.value - parts.class_mean, 1)[0]
    assert slope == pytest.approx(0.5, abs=0.05)
    inside = np.abs(truth - told.value) <= told.half
    for name in calibration.IDENTITY_BINS:
        assert inside[told.bins == name].mean() == pytest.approx(0.9, abs=0.025)
    assert np.corrcoef(told.sd, parts.class_sd)[0, 1] > 0.9
    assert np.sqrt(np.mean((truth - told.value) ** 2)) == pytest.approx(np.sqrt(np.mean(told.sd**2)), rel=0.1)
