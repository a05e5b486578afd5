"""`evaluate reactions`: pairs of gene and reaction against true ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemforest.errors import InputError
from gemforest.evaluation.reactions import Called, calls_text, evaluate_reactions, judge, read_labels, summarise

HEADER = "org_id\tproteome\tgene_id\treaction\n"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.tsv"
    rows = ["o\to.faa\tg1\tPGI", "o\to.faa\tg1\tR_PFK", "o\to.faa\tg2\tENO", "o\to.faa\tg9\tENO", "o\to.faa\tg2\tXX"]
    path.write_text(HEADER + "\n".join([*rows, "p\tp.faa\tg1\tPGI"]) + "\n")
    return path


CALLED = {
    "o": Called(
        genes=frozenset({"g1", "g2", "g3"}),
        reactions=frozenset({"PGI", "PFK", "ENO", "TPI"}),
        probability={("g1", "PGI"): 0.9, ("g1", "TPI"): 0.6, ("g2", "ENO"): 0.2, ("g3", "TPI"): 0.9},
        accepted=frozenset({("g1", "PGI"), ("g1", "TPI"), ("g3", "TPI")}),
    )
}


def test_micro_averages_are_over_pairs_of_labelled_genes(labels: Path) -> None:
    rows = read_labels(labels)
    unjudged = judge(rows, CALLED, {"p": ("failed", "no_proteins")})
    record = summarise(rows, unjudged, CALLED)
    # true: g1 PGI, g1 PFK, g2 ENO; accepted of these genes: g1 PGI (right), g1 TPI (wrong)
    assert (record["micro_precision"], record["micro_recall"], record["micro_f1"]) == (0.5, 0.333333, 0.4)
    assert (record["rows"], record["judged"]) == (6, 3)
    assert record["not_judged"] == {
        "no gene of this id in the proteome": 1,
        "no reaction of this id in the universe": 1,
        "no calls": 1,
    }


def test_every_label_and_every_wrong_call_is_in_the_table(labels: Path) -> None:
    rows = read_labels(labels)
    text = calls_text(rows, judge(rows, CALLED, {"p": ("failed", "no_proteins")}), CALLED)
    lines = [line.split("\t") for line in text.splitlines()]
    assert len(lines) == 1 + 6 + 1
    assert {len(line) for line in lines} == {8}
    assert lines[-1][1:6] == ["o", "g1", "TPI", "0", "1"]
    assert lines[6][-1] == "no calls: failed: no_proteins"


def test_bad_labels_are_told_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text(HEADER + "o\to.faa\tg1\tPGI\no\to.faa\t\tPGI\no\to.faa\tg1\tR_PGI\n")
    with pytest.raises(
        InputError, match=r"(?s)2 problem.*line 3: gene_id is empty.*line 4: o g1 PGI is also in line 2"
    ):
        read_labels(path)
    with pytest.raises(InputError, match="no column gene_id, reaction"):
        (tmp_path / "other.tsv").write_text("org_id\tproteome\na\tb\n")
        read_labels(tmp_path / "other.tsv")


def test_a_folder_without_the_proteomes_is_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the proteomes is there, among them o\.faa"):
        evaluate_reactions(tmp_path, labels, tmp_path / "out")
    with pytest.raises(InputError, match="is no folder"):
        evaluate_reactions(tmp_path / "none", labels, tmp_path / "out")
