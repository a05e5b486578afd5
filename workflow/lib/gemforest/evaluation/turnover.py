"""Turnover numbers against a table of measured ones: `gemforest evaluate kcat`.

The prediction is the kinetics stage's own (`kinetics.predictor`), for the same sequence, structure and EC number. Each
row comes back with what was predicted, or with the reason why it could not be judged.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gemforest import __version__
from gemforest.errors import InputError
from gemforest.evaluation.labels import read_rows
from gemforest.evaluation.metrics import bootstrap_interval, number
from gemforest.kinetics.predictor import Prediction, load_predictor
from gemforest.store import write_text

PER_SECOND = {
    "s^-1": 1.0,
    "1/s": 1.0,
    "s-1": 1.0,
    "s^(-1)": 1.0,
    "min^-1": 1 / 60,
    "1/min": 1 / 60,
    "min-1": 1 / 60,
    "min^(-1)": 1 / 60,
    "h^-1": 1 / 3600,
    "1/h": 1 / 3600,
    "h-1": 1 / 3600,
    "h^(-1)": 1 / 3600,
}
"""What one of a unit is in s^-1."""

LEAST_IN_A_BIN = 2
VARIANT = {"1": 1.0, "true": 1.0, "0": 0.0, "false": 0.0}
UNSAID = frozenset({"", "nan", "none"})


@dataclass(frozen=True)
class Measured:
    """A row of the table; `log10_kcat` is NaN and `reason` says why where it cannot be judged."""

    line: int
    sequence: str
    smiles: str
    ecs: tuple[str, ...]
    log10_kcat: float
    reason: str = ""
    variant: float | None = None


def evaluate_kcat(table: Path, out: Path, model: Path | None = None) -> dict[str, Any]:
    """Predict a table's turnover numbers and compare; writes `kcat.json` and `kcat_calls.tsv`.

    Parameters
    ----------
    table
        Tab-separated (`.csv`: commas; `.parquet`) with the columns `sequence`, `smiles`, `ec` (several joined by `;`)
        and either `log10_kcat` (of s^-1) or `kcat` and `unit`. `smiles` and `ec` may be empty. A column `variant`
        says which proteins are engineered (1) and which natural (0); where it is missing or empty nobody knows, and
        the predictor is told the share of variants in its training table.
    model
        Folder of another fitted predictor.

    Raises
    ------
    InputError
        The table cannot be read as what it should be; nothing was predicted.
    """
    rows = [_measured(line, row) for line, row in _read(table)]
    judged = [row for row in rows if not row.reason]
    predictor = load_predictor(model)
    found = predictor.predict(
        [row.sequence for row in judged],
        [row.smiles or None for row in judged],
        [row.ecs for row in judged],
        variants=[predictor.variant_share if row.variant is None else row.variant for row in judged],
    )
    truth = np.array([row.log10_kcat for row in judged], float)
    record: dict[str, Any] = summarise(truth, found) | {
        "what": "log10 of turnover numbers in s^-1",
        "version": __version__,
        "predictor": predictor.version,
        "table": table.name,
        "rows": len(rows),
        "judged": len(judged),
        "told_natural_or_variant": sum(row.variant is not None for row in judged),
        "not_judged": dict(sorted(Counter(row.reason.partition(":")[0] for row in rows if row.reason).items())),
    }
    write_text(out / "kcat_calls.tsv", _calls_text(rows, found))
    write_text(out / "kcat.json", json.dumps(record, indent=1) + "\n")
    return record


def summarise(truth: NDArray[np.float64], found: Prediction) -> dict[str, Any]:
    """R², r, RMSE with 95 % bootstrap intervals, share within the 90 % intervals; the same by tier and similarity."""
    names = [str(k) for k in range(len(truth))]

    def interval(key: str) -> list[float | None]:
        def measure(chosen: Sequence[str]) -> float:
            picked = np.array(chosen, int)
            return scores(truth[picked], found.log10_kcat[picked])[key]

        return [number(value) for value in bootstrap_interval(names, measure, 500)]

    overall = scores(truth, found.log10_kcat)
    within = (truth >= found.lower90) & (truth <= found.upper90)
    record: dict[str, Any] = {key: number(value) for key, value in overall.items()}
    record |= {f"{key}_interval": interval(key) for key in overall}
    record["coverage90"] = number(float(within.mean())) if len(truth) else None
    for kind, labels in (("tier", found.tier), ("similarity_bin", found.similarity_bin)):
        record[f"by_{kind}"] = {
            str(label): {"n": int(chosen.sum()), "coverage90": number(float(within[chosen].mean()))}
            | {key: number(value) for key, value in scores(truth[chosen], found.log10_kcat[chosen]).items()}
            for label in sorted(set(labels.tolist()))
            if (chosen := labels == label).sum() >= LEAST_IN_A_BIN
        }
    return record


def scores(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """`r2` (coefficient of determination), `r` (Pearson), `rmse`; NaN where they are not defined."""
    if len(truth) < 2:
        return {"r2": math.nan, "r": math.nan, "rmse": math.nan}
    error = float(np.mean((truth - predicted) ** 2))
    spread = float(truth.var())
    varied = spread > 0 and float(predicted.var()) > 0
    return {
        "r2": 1 - error / spread if spread > 0 else math.nan,
        "r": float(np.corrcoef(truth, predicted)[0, 1]) if varied else math.nan,
        "rmse": math.sqrt(error),
    }


def _read(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows with line numbers; the columns are checked."""
    if table.suffix == ".parquet":
        try:
            rows = pq.read_table(table).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{table}: cannot be read as a Parquet table: {error}") from None
        cells = [
            (line, {key: "" if value is None else str(value) for key, value in row.items()})
            for line, row in enumerate(rows, start=1)
        ]
        if not cells:
            raise InputError(f"{table}: no rows")
    elif table.suffix == ".csv":
        try:
            reader = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig")))
            cells = [
                (line, {str(key).strip(): str(value or "").strip() for key, value in row.items()})
                for line, row in enumerate(reader, start=2)
            ]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{table}: cannot be read as a table: {error}") from None
        if not cells:
            raise InputError(f"{table}: no rows below the header")
    else:
        cells = read_rows(table, ("sequence",))
    columns = set(cells[0][1])
    missing = [name for name in ("sequence", "smiles", "ec") if name not in columns]
    if missing:
        raise InputError(f"{table}: no column {', '.join(missing)}; found {', '.join(sorted(columns))}")
    if "log10_kcat" not in columns and not {"kcat", "unit"} <= columns:
        raise InputError(
            f"{table}: no column log10_kcat (of s^-1), nor both kcat and unit; found {', '.join(sorted(columns))}"
        )
    return cells


def _measured(line: int, row: dict[str, str]) -> Measured:
    ecs = tuple(part.strip() for part in row["ec"].replace(",", ";").split(";") if part.strip())
    sequence = "".join(row["sequence"].split()).upper().rstrip("*")
    smiles = "" if row["smiles"].strip().lower() in {"nan", "none"} else row["smiles"].strip()
    value, reason = _value(row)
    said = row.get("variant", "").strip().lower()
    variant = VARIANT.get(said)
    if variant is None and said not in UNSAID:
        reason = reason or f"unknown mark: variant {said!r}, expected 1 (engineered), 0 (natural) or nothing"
    if not sequence.isalpha():
        reason = reason or "no protein: " + (f"{sequence[:20]!r}" if sequence else "the sequence is empty")
    if reason:
        value = math.nan
    return Measured(line, sequence, smiles, ecs, value, reason, variant)


def _value(row: dict[str, str]) -> tuple[float, str]:
    """log10 of the row's kcat in s^-1, or why it has none."""
    given = "log10_kcat" if row.get("log10_kcat", "") else "kcat"
    text = row.get(given, "")
    try:
        value = float(text)
    except ValueError:
        return math.nan, f"no number: {given} {text!r}" if text else "no number: the cell is empty"
    if not math.isfinite(value):
        return math.nan, f"no number: {given} {text!r}"
    if given == "log10_kcat":
        return value, ""
    factor = PER_SECOND.get(row["unit"].replace(" ", "").replace("**", "^"))
    if factor is None:
        known = ", ".join(unit for unit in PER_SECOND if unit.endswith("^-1"))
        return math.nan, f"unknown unit: {row['unit']!r}, expected one of {known}"
    if value <= 0:
        return math.nan, f"not above zero: kcat {text}"
    return math.log10(value * factor), ""


def _calls_text(rows: Sequence[Measured], found: Prediction) -> str:
    lines = ["line\tec\tlog10_kcat\tpredicted\tsd\tlower90\tupper90\tsimilarity_bin\ttier\treason"]
    k = 0
    for row in rows:
        ecs = ";".join(row.ecs)
        if row.reason:
            lines.append("\t".join([str(row.line), ecs, *[""] * 7, row.reason.replace("\t", " ")]))
            continue
        numbers = (row.log10_kcat, found.log10_kcat[k], found.sd[k], found.lower90[k], found.upper90[k])
        shown = "\t".join(f"{value:.4f}" for value in numbers)
        lines.append(f"{row.line}\t{ecs}\t{shown}\t{found.similarity_bin[k]}\t{found.tier[k]}\t")
        k += 1
    return "\n".join(lines) + "\n"
