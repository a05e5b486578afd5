"""Measures, labels and calls of the evaluation: against scikit-learn, closed forms and properties."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemforest.errors import InputError
from gemforest.evaluation import answers
from gemforest.evaluation.calls import CallModel, Said, expected_cut, load_call_model, logit
from gemforest.evaluation.growth import Organism, calls_text, judge, summarise
from gemforest.evaluation.kinship import GenomeFacts, fingerprint, load_kinship
from gemforest.evaluation.labels import compound_id, read_growth_labels
from gemforest.evaluation.metrics import auc, bootstrap_interval, brier, confusion, macro_interval
from gemforest.evaluation.project import find_file, genome_ids, needed_stages
from gemforest.sheet import GENOME_ID

HEADER = "org_id\tproteome\tbigg_id\tgrowth\n"
rows = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=16)), min_size=2, max_size=40)


@pytest.mark.filterwarnings("ignore:A single label")
@settings(deadline=None)
@given(rows)
def test_measures_are_those_of_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, scores = [t for t, _ in pairs], [s for _, s in pairs]
    called = [score >= 0.5 for score in scores]
    assert confusion(truth, called).mcc == pytest.approx(metrics.matthews_corrcoef(truth, called), abs=1e-12)
    assert brier(truth, scores) == pytest.approx(metrics.brier_score_loss(truth, scores, pos_label=True), abs=1e-12)
    if len(set(truth)) == 2:
        assert auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    else:
        assert math.isnan(auc(truth, scores))


def test_a_bootstrap_interval_holds_the_mean_and_shrinks_with_agreement() -> None:
    low, high = macro_interval({"a": 0.1, "b": 0.3, "c": 0.5})
    assert 0.1 <= low < 0.3 < high <= 0.5
    assert macro_interval({"a": 0.3, "b": 0.3}) == (pytest.approx(0.3), pytest.approx(0.3))
    assert all(math.isnan(end) for end in bootstrap_interval(["a"], lambda _: 0.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("glc__D", "glc__D"),
        ("M_glc__D_e", "glc__D"),
        ("EX_ac_e", "ac"),
        ("R_EX_ac_e", "ac"),
        ("R_3hpocta", "R_3hpocta"),
    ],
)
def test_compounds_are_read_in_any_of_biggs_spellings(text: str, expected: str) -> None:
    assert compound_id(text) == expected


def test_labels_take_further_columns_windows_ends_and_empty_compounds(tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    text = "\ufeffnote\torg_id\tproteome\tbigg_id\tgrowth\r\nx\tA\tdir/a.faa.gz\tac\t1\r\n\tA\ta.faa.gz\t\t0\r\n"
    table.write_bytes(text.encode())
    first, second = read_growth_labels(table)
    assert (first.org_id, first.proteome, first.bigg_id, first.growth, first.line) == ("A", "a.faa.gz", "ac", True, 2)
    assert (second.bigg_id, second.growth) == ("", False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("org_id,proteome,bigg_id,growth\nA,a.faa,ac,1\n", "use tabs"),
        ("org_id\tproteome\tgrowth\nA\ta.faa\t1\n", "no column bigg_id"),
        (HEADER, "no rows below the header"),
        (HEADER + "A\ta.faa\tac\tperhaps\n", "line 2: growth 'perhaps'; expected 1"),
        (HEADER + "A\ta.faa\tac\t\n", "line 2: growth ''"),
        (HEADER + "\ta.faa\tac\t1\n", "line 2: org_id is empty"),
        (HEADER + "A\t\tac\t1\n", "line 2: proteome is empty"),
        (HEADER + "A\ta.faa\tac\t1\nA\tb.faa\tac\t1\n", "line 3: 'A' has proteome 'b.faa' here and 'a.faa' above"),
    ],
)
def test_labels_that_cannot_be_used_are_named_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        read_growth_labels(table)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_growth_labels(tmp_path / "none.tsv")


def test_proteomes_are_found_by_base_name_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.faa.gz").touch()
    (tmp_path / "below" / "b.faa").touch()
    assert find_file(tmp_path, "elsewhere/a.faa") == tmp_path / "a.faa.gz"
    assert find_file(tmp_path, "b.faa.gz") == tmp_path / "below" / "b.faa"
    assert find_file(tmp_path, "c.faa") is None


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=8))
def test_genome_ids_are_valid_and_unique_ignoring_case(names: list[str]) -> None:
    import re

    ids = genome_ids(names)
    assert len({found.lower() for found in ids.values()}) == len(names)
    assert all(re.fullmatch(GENOME_ID, found) and ".." not in found for found in ids.values())


def test_the_stages_behind_a_growth_call_end_with_simulate_and_leave_out_what_it_does_not_read() -> None:
    stages = needed_stages("simulate")
    assert stages[0] == "fetch"
    assert stages[-1] == "simulate"
    assert {"genes", "homology", "evidence", "draft", "gapfill"} <= set(stages)


MODEL = CallModel(
    counts={"ac": (3.0, 4.0), "ura": (0.0, 4.0)},
    rate=0.5,
    strength=2.0,
    weights={
        "prior": {"prior": 1.0},
        "fba_and_prior": {"prior": 1.0, "one": -1.0, "fba": 2.0},
        "combination": {"prior": 1.0, "one": -1.0, "score": 0.5},
        "score": {"one": -0.5, "standing": 1.0},
    },
    cut_limits=(0.35, 0.55),
)


def test_the_prior_is_smoothed_and_falls_back_to_the_global_rate() -> None:
    assert MODEL.prior("ac") == pytest.approx(4.0 / 6.0)
    assert MODEL.prior("never_seen") == pytest.approx(0.5)


def test_a_call_rests_on_what_there_is_and_says_so() -> None:
    alone = MODEL.call("ac", Said())
    assert (alone.basis, alone.probability) == ("prior", pytest.approx(MODEL.prior("ac")))
    assert MODEL.call("ac", Said(fba_growth=True)).basis == "fba_and_prior"
    joined = MODEL.call("ac", Said(fba_growth=True, score=-1.0))
    assert joined.basis == "combination"
    assert logit(joined.probability) == pytest.approx(logit(MODEL.prior("ac")) - 1.0 - 0.5)
    assert MODEL.call("ac", Said(shift=0.1)).prior == pytest.approx(MODEL.prior("ac") + 0.1)
    assert MODEL.call("ac", Said(shift=9.0)).prior < 1.0


def test_the_shipped_calls_rise_with_evidence_and_are_probabilities() -> None:
    model = load_call_model()
    assert all(weights["prior"] > 0 for basis, weights in model.weights.items() if basis != "score")
    assert model.by_score(None) == 0.0 < model.by_score(-1.0) < model.by_score(1.0) < 1.0
    assert model.weights["combination"]["score"] > 0
    for compound in [*model.counts, "never_seen"]:
        no, yes = model.call(compound, Said(fba_growth=False)), model.call(compound, Said(fba_growth=True))
        assert 0.0 < no.probability < yes.probability < 1.0


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=60))
def test_as_many_are_called_as_the_probabilities_add_up_to_within_the_limits(probabilities: list[float]) -> None:
    cut = expected_cut(probabilities, (0.0, 1.0))
    called, ties = sum(p >= cut for p in probabilities), probabilities.count(cut)
    assert round(sum(probabilities)) <= called + (cut == 1.0)
    assert called - ties < max(1, round(sum(probabilities)))
    assert 0.35 <= expected_cut(probabilities, (0.35, 0.55)) <= 0.55


def test_kinship_shifts_a_known_compound_for_a_genome_with_something_of_its_own() -> None:
    kinship = load_kinship()
    flat = GenomeFacts(kinship.mean.copy(), 1.0)
    assert kinship.shift("glc__D", flat) == pytest.approx(0.0, abs=1e-6)
    assert kinship.shift("never_seen", flat) == 0.0
    drawn = GenomeFacts(kinship.mean + np.random.default_rng(0).normal(size=len(kinship.mean)), 1.0)
    assert np.linalg.norm(fingerprint(drawn.log_odds, kinship.mean)) == pytest.approx(1.0)
    # Slopes are shares of organisms: nobody's prior may move by more than certainty.
    assert all(abs(kinship.shift(compound, drawn)) < 1.0 for compound in kinship.slopes)


def test_a_score_counts_against_the_genomes_mean_and_as_far_as_databases_cover_it() -> None:
    scores = {"glc__D": (-1.0, ()), "ac": (-9.0, ())}
    facts = GenomeFacts(np.zeros(3), 0.5)
    # Roots -1 and -3, mean -2: one above and one below, each weighed by a half.
    assert Organism({}, scores, facts).relative_score("glc__D") == pytest.approx(0.5)
    assert Organism({}, scores, facts).relative_score("ac") == pytest.approx(-0.5)
    assert Organism({}, scores, facts).relative_score("never_seen") is None
    assert Organism({}, scores, None).relative_score("ac") is None
    assert Organism({}, scores, None).standing("ac") == pytest.approx(-1.0)


def test_an_organism_without_a_model_counts_with_its_reason(tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text(HEADER + "A\ta.faa\tac\t1\nA\ta.faa\tura\t0\nB\tb.faa\tac\t1\nB\tb.faa\tura\t0\nB\tb.faa\t\t0\n")
    screens = {"A": {"ac": {"answer": "growth", "growth_per_h": 0.4}, "ura": {"answer": "not_in_model"}}}
    reasons = {"B": ("genes: no_proteins", "the file is empty")}
    organisms = {"A": Organism(screens["A"], {}, None)}
    judged = judge(read_growth_labels(table), organisms, reasons, MODEL)
    record = summarise(judged, reasons)
    assert record["organisms_total"] == 2
    assert record["organisms_without_model"] == {"B": "genes: no_proteins: the file is empty"}
    assert record["organisms"]["B"]["fba"]["fn"] == 1
    assert record["organisms"]["B"]["fba"]["n"] == 3
    # A is called right by FBA (1), B says no growth throughout (0): the mean counts both.
    assert record["macro_mcc_fba"] == pytest.approx(0.5)
    assert record["counts"]["n"] == 5
    lines = calls_text(judged).splitlines()
    assert len(lines) == 6
    assert lines[3].split("\t")[9] == "no_model"
    assert "the file is empty" in lines[3]


def test_confusions_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 calls for 3 labels"):
        confusion([True, False, True], np.array([True, False]))


def test_a_fitted_genome_is_recognised_and_a_stranger_is_not() -> None:
    kinship = load_kinship()
    fitted = GenomeFacts(kinship.mean + 3.0 * kinship.axes[:, 0], 1.0)
    stranger = GenomeFacts(kinship.mean + np.random.default_rng(1).normal(size=len(kinship.mean)), 1.0)
    assert kinship.knows(fitted)
    assert not kinship.knows(stranger)


GENES = "org_id\tproteome\tgene_id\tessential\n"


def test_genes_that_are_not_in_the_model_are_not_counted_but_named(tmp_path: Path) -> None:
    table = tmp_path / "genes.tsv"
    table.write_text(GENES + "A\ta.faa\tg1\t1\nA\ta.faa\tg2\t0\nA\ta.faa\tg3\t1\nA\ta.faa\tg4\t1\nB\tb.faa\tg1\t1\n")
    question = answers.ESSENTIALITY
    reasons = {"B": ("genes: no_proteins", "")}
    said = {"A": {"g1": True, "g2": False, "g4": None}}
    judged = answers.judge(question, answers.read_labels(table, question), said, reasons)
    assert [row.called for row in judged] == [True, False, None, None, None]
    assert judged[2].note == "gene_id is not in the model's table"
    assert judged[3].note == "no optimal status"
    assert judged[4].note == "no model: genes: no_proteins"
    record = answers.summarise(judged, reasons)
    assert (record["pooled"]["n"], record["pooled_mcc"]) == (2, 1.0)
    # An organism without a model counts as 0.
    assert record["macro_mcc"] == pytest.approx(0.5)
    assert len(answers.calls_text(question, judged).splitlines()) == 6


def test_labels_of_genes_and_products_name_what_is_wrong(tmp_path: Path) -> None:
    table = tmp_path / "genes.tsv"
    table.write_text(GENES + "A\ta.faa\t\t1\nA\ta.faa\tg2\tmaybe\n")
    with pytest.raises(InputError, match=r"line 2: gene_id is empty\n.*line 3: essential 'maybe'; expected 1 or 0"):
        answers.read_labels(table, answers.ESSENTIALITY)
    with pytest.raises(InputError, match="no column bigg_id, produced"):
        answers.read_labels(table, answers.PRODUCTS)
