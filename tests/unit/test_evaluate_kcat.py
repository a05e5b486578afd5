"""`gemforest evaluate kcat`: units, rows that cannot be judged, the figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gemforest.cli import main
from gemforest.errors import InputError
from gemforest.evaluation.turnover import evaluate_kcat, scores

HEADER = "sequence\tsmiles\tec\tkcat\tunit\n"
PROTEIN = "MKVLAAGIVGLPNVGKSTLFNALT"


def table(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "kcats.tsv"
    path.write_text(header + "".join(line + "\n" for line in lines))
    return path


def calls(folder: Path) -> list[dict[str, str]]:
    lines = (folder / "kcat_calls.tsv").read_text().splitlines()
    return [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]


def test_units_are_converted_to_per_second(tmp_path: Path) -> None:
    units = {"s^-1": 1.0, "1/min": 60.0, "h^-1": 3600.0}
    rows = [f"{PROTEIN}\tCCO\t1.1.1.1\t{7 * factor}\t{unit}" for unit, factor in units.items()]
    evaluate_kcat(table(tmp_path, *rows), tmp_path)
    assert [float(row["log10_kcat"]) for row in calls(tmp_path)] == pytest.approx([math.log10(7)] * 3, abs=1e-4)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{PROTEIN}\tCCO\t1.1.1.1\t0\ts^-1", "not above zero"),
        (f"{PROTEIN}\tCCO\t1.1.1.1\t-3\ts^-1", "not above zero"),
        (f"{PROTEIN}\tCCO\t1.1.1.1\tnan\ts^-1", "no number"),
        (f"{PROTEIN}\tCCO\t1.1.1.1\t\ts^-1", "no number"),
        (f"{PROTEIN}\tCCO\t1.1.1.1\t5\tmmol/min", "unknown unit"),
        (f"{PROTEIN}\tCCO\t1.1.1.1\t5\t", "unknown unit"),
        ("\tCCO\t1.1.1.1\t5\ts^-1", "no protein"),
    ],
)
def test_a_row_that_cannot_be_judged_keeps_its_place_and_says_why(tmp_path: Path, row: str, reason: str) -> None:
    record = evaluate_kcat(table(tmp_path, row, f"{PROTEIN}\t\t\t5\ts^-1"), tmp_path)
    assert record["not_judged"] == {reason: 1}
    assert record["judged"] == 1
    assert [row["reason"].partition(":")[0] for row in calls(tmp_path)] == [reason, ""]


def test_an_engineered_variant_is_slower_than_a_natural_enzyme_and_between_is_what_nobody_knows(tmp_path: Path) -> None:
    marks = ("0", "", "1", "perhaps")
    rows = [f"{PROTEIN}\tCCO\t1.1.1.1\t5\ts^-1\t{mark}" for mark in marks]
    rows += [f"{'X' * 30}\t\t1.1.1.1\t5\ts^-1\t{mark}" for mark in marks[:3]]
    header = HEADER.replace("unit", "unit\tvariant")
    record = evaluate_kcat(table(tmp_path, *rows, header=header), tmp_path)
    assert record["not_judged"] == {"unknown mark": 1} and record["told_natural_or_variant"] == 4
    told = [float(row["predicted"]) for row in calls(tmp_path) if not row["reason"]]
    assert told[0] > told[1] > told[2] and told[3] > told[4] > told[5]
    # A table without the column is one of which nobody knows.
    evaluate_kcat(table(tmp_path, f"{PROTEIN}\tCCO\t1.1.1.1\t5\ts^-1"), tmp_path)
    assert float(calls(tmp_path)[0]["predicted"]) == told[1]


def test_a_row_without_structure_or_ec_is_judged_and_its_tier_told(tmp_path: Path) -> None:
    evaluate_kcat(table(tmp_path, f"{'X' * 30}\t\t\t5\ts^-1"), tmp_path)
    assert calls(tmp_path)[0]["tier"] == "global"


@pytest.mark.parametrize("header", ["sequence\tsmiles\tec\tkcat\n", "sequence\tsmiles\tlog10_kcat\n", "a\n"])
def test_a_table_without_a_needed_column_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InputError, match="no column"):
        evaluate_kcat(table(tmp_path, "MKV\t1\t1\t1", header=header), tmp_path)


def test_figures_agree_with_their_definitions() -> None:
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    assert scores(truth, truth) == pytest.approx({"r2": 1.0, "r": 1.0, "rmse": 0.0})
    assert scores(truth, truth + 1) == pytest.approx({"r2": 1 - 4 / 5, "r": 1.0, "rmse": 1.0})
    assert scores(truth, np.full(4, 1.5))["r2"] == pytest.approx(0.0)


def test_the_command_writes_both_files_and_reads_commas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kcats.csv"
    path.write_text(f"sequence,smiles,ec,log10_kcat\n{PROTEIN},CCO,1.1.1.1,0.5\n{PROTEIN},,2.7.1.1,1.5\n")
    assert main(["evaluate", "kcat", "--table", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "judged\t2" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "kcat.json").read_text())
    assert {"r2", "r", "rmse", "coverage90", "by_tier", "by_similarity_bin"} <= set(record)
    assert len(calls(tmp_path / "out")) == 2
