"""`gemforest evaluate ec` on proteins of the shipped set: what is known comes back, what cannot be judged says why."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from gemforest.cli import main
from gemforest.errors import InputError
from gemforest.evaluation.enzymes import EcRow, evaluate_ec, summarise
from gemforest.evidence.enzymes import EcPrediction
from gemforest.reviewed import enzymes

# Accession, EC number, sequence.
Known = tuple[str, str, str]


@pytest.fixture(scope="module")
def known() -> list[Known]:
    """Twenty enzymes of one complete number each."""
    chosen = [(name, ecs[0], sequence) for name, ecs, sequence in enzymes() if len(ecs) == 1 and ecs[0][-1].isdigit()]
    return chosen[:: len(chosen) // 20][:20]


def files(folder: Path, rows: list[Known]) -> tuple[Path, Path]:
    fasta, labels = folder / "proteins.faa.gz", folder / "labels.tsv"
    fasta.write_bytes(gzip.compress("".join(f">{name} a protein\n{sequence}\n" for name, _, sequence in rows).encode()))
    labels.write_text("id\tec\n" + "".join(f"{name}\t{ec}\n" for name, ec, _ in rows))
    return fasta, labels


def calls(out: Path) -> dict[str, dict[str, str]]:
    with (out / "ec_calls.tsv").open() as handle:
        return {row["id"]: row for row in csv.DictReader(handle, delimiter="\t")}


def test_proteins_of_the_reference_get_their_own_numbers_back(tmp_path: Path, known: list[Known]) -> None:
    fasta, labels = files(tmp_path, known)
    assert main(["evaluate", "ec", "--fasta", str(fasta), "--labels", str(labels), "--out", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "ec.json").read_text())
    # A number that was superseded comes back as today's on both sides.
    assert record["micro_f1"] == 1.0
    assert record["right_share_by_level"]["4"] == 1.0
    assert (record["rows"], record["judged"], record["left_out_of_the_reference"]) == (20, 20, 0)


def test_with_exclude_self_no_protein_answers_for_itself(tmp_path: Path, known: list[Known]) -> None:
    renamed = [
        (f"sp|{name}|X_Y" if n % 2 else f"other{n}", ec, sequence) for n, (name, ec, sequence) in enumerate(known)
    ]
    fasta, labels = files(tmp_path, renamed)
    record = evaluate_ec(fasta, labels, tmp_path / "out", exclude_self=True)
    assert record["left_out_of_the_reference"] == 20
    own = {name for name, _, _ in known}
    assert not own & {row["enzyme"] for row in calls(tmp_path / "out").values()}


def test_every_row_comes_back_and_those_not_judged_say_why(tmp_path: Path, known: list[Known]) -> None:
    fasta, labels = files(tmp_path, [*known[:2], ("strange", "1.1.1.1", "MKVWWWWWWWWHHHHHHHHHMKV" * 3)])
    labels.write_text(labels.read_text() + "absent\t1.1.1.1\n" + f"{known[2][0]}\tsome kinase\n")
    fasta.write_bytes(gzip.compress(gzip.decompress(fasta.read_bytes()) + f">{known[2][0]}\n{known[2][2]}\n".encode()))
    record = evaluate_ec(fasta, labels, tmp_path / "out")
    found = calls(tmp_path / "out")
    assert len(found) == record["rows"] == 5
    assert (record["judged"], record["without_prediction"]) == (3, 1)
    assert found["absent"]["reason"] == "no protein of this id in the FASTA file"
    assert found[known[2][0]]["reason"] == "no EC number in 'some kinase'"
    assert found["strange"]["reason"] == "no similar enzyme in the reference"


def test_micro_scores_are_those_of_the_pairs() -> None:
    def predicted(*numbers: str) -> tuple[EcPrediction, ...]:
        return tuple(EcPrediction("q", ec, 1.0, "e", 50.0, 1.0, 1.0, 100.0) for ec in numbers)

    rows = [
        EcRow("a", ("1.1.1.1",), predicted("1.1.1.1", "2.7.1.1")),
        EcRow("b", ("3.1.1.1", "3.1.1.2"), predicted("3.1.1.2")),
        EcRow("c", ("4.1.1.1",)),
        EcRow("d", (), reason="no EC number in 'x'"),
    ]
    record = summarise(rows)
    # Two of three called pairs are right, and two of four true ones are found.
    assert record["micro_precision"] == pytest.approx(2 / 3, abs=1e-6)
    assert record["micro_recall"] == 0.5
    assert record["micro_f1"] == pytest.approx(4 / 7, abs=1e-6)
    assert record["right_share_by_level"][4] == pytest.approx(2 / 3, abs=1e-6)
    assert record["not_judged"] == {"no EC number": 1}


@pytest.mark.parametrize(
    ("fasta", "labels", "word"),
    [
        (">a\nMKVLA\n", "id,ec\na,1.1.1.1\n", "no column id, ec"),
        (">a\nMKVLA\n", "id\tec\na\t1.1.1.1\na\t1.1.1.2\n", "also in line 2"),
        (">a\n" + "ACGT" * 50 + "\n", "id\tec\na\t1.1.1.1\n", "nucleotide fasta"),
        (">a\nMKVLAEDTRWQF\n>a\nMKVLAEDTRWQF\n", "id\tec\na\t1.1.1.1\n", "occurs twice"),
        ("", "id\tec\na\t1.1.1.1\n", "cannot be read as proteins"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_told_before_anything_runs(
    tmp_path: Path, fasta: str, labels: str, word: str
) -> None:
    (tmp_path / "a.faa").write_text(fasta)
    (tmp_path / "a.tsv").write_text(labels)
    with pytest.raises(InputError, match=word):
        evaluate_ec(tmp_path / "a.faa", tmp_path / "a.tsv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
