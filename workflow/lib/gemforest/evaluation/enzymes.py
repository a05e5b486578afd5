"""EC numbers against a table of true ones: `gemforest evaluate ec`.

The prediction is the evidence stage's own (`evidence.enzymes`: the nearest reviewed enzyme). Each row of the labels
comes back with what was predicted, by which enzyme, or with the reason why it could not be judged. Scores are micro
averages over pairs of protein and complete EC number, and the share of proteins right at each of the four levels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemforest import __version__
from gemforest.content import DEFAULT_LIMITS, Content, read_unpacked, recognise
from gemforest.errors import InputError, RefusedError
from gemforest.evaluation.labels import read_rows, refuse
from gemforest.evaluation.metrics import bootstrap_interval, number
from gemforest.evidence.ec import current_ecs, level_shared, parse_ecs
from gemforest.evidence.enzymes import EcPrediction, predict_ecs
from gemforest.homology import diamond
from gemforest.reviewed import enzymes
from gemforest.sequences import fasta_genes, normalise
from gemforest.store import write_text

LEVELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class EcRow:
    """A row of the labels: true and predicted numbers; `reason` where it could not be judged."""

    query: str
    true: tuple[str, ...]
    predicted: tuple[EcPrediction, ...] = ()
    reason: str = ""


def evaluate_ec(fasta: Path, labels: Path, out: Path, exclude_self: bool = False, threads: int = 1) -> dict[str, Any]:
    """Predict EC numbers of a FASTA file's proteins and compare; writes `ec.json` and `ec_calls.tsv`.

    Parameters
    ----------
    fasta
        Proteins, perhaps packed.
    labels
        TSV with the columns `id` and `ec`, several numbers separated by `;`.
    exclude_self
        Leave out of the reference what has the accession or the sequence of a query.

    Raises
    ------
    InputError
        The files cannot be read as what they should be; nothing was run.
    """
    truth = _read_truth(labels)
    proteins = _read_proteins(fasta)
    search = out / "search"
    search.mkdir(parents=True, exist_ok=True)
    query = search / "query.faa"
    write_text(query, "".join(f">{name}\n{sequence}\n" for name, sequence in proteins.items()))
    excluded = _own(proteins) if exclude_self else set()
    predictions: dict[str, list[EcPrediction]] = {}
    for one in predict_ecs(query, diamond(), search, excluded, threads):
        predictions.setdefault(one.query, []).append(one)
    rows = [_row(name, text, proteins, predictions) for name, text in truth]
    record = summarise(rows) | {
        "what": "EC numbers by the nearest reviewed enzyme",
        "version": __version__,
        "labels": labels.name,
        "exclude_self": exclude_self,
        "left_out_of_the_reference": sum(n in excluded or s in excluded for n, _, s in enzymes()) if excluded else 0,
    }
    write_text(out / "ec_calls.tsv", _calls_text(rows))
    write_text(out / "ec.json", json.dumps(record, indent=1) + "\n")
    return record


def _own(proteins: Mapping[str, str]) -> set[str]:
    """Accessions and sequences of the queries; `sp|P12345|NAME` names P12345, as does `P12345.2`."""
    names = {part.partition(".")[0] for name in proteins for part in (name, *name.split("|")) if part}
    return names | set(proteins) | set(proteins.values())


def _read_truth(labels: Path) -> list[tuple[str, str]]:
    rows = read_rows(labels, ("id", "ec"))
    seen: dict[str, int] = {}
    problems = []
    for line, row in rows:
        if not row["id"]:
            problems.append(f"line {line}: the id is empty")
        elif row["id"] in seen:
            problems.append(f"line {line}: id {row['id']!r} is also in line {seen[row['id']]}; join its numbers by ;")
        seen.setdefault(row["id"], line)
    refuse(labels, problems)
    return [(row["id"], row["ec"]) for _, row in rows]


def _read_proteins(fasta: Path) -> dict[str, str]:
    try:
        data = read_unpacked(fasta, DEFAULT_LIMITS)
        content = recognise(data)
    except (RefusedError, OSError) as error:
        raise InputError(f"{fasta}: cannot be read as proteins: {error}") from None
    if content is not Content.PROTEIN_FASTA:
        raise InputError(f"{fasta} holds {content.replace('_', ' ')}; expected a FASTA file of proteins")
    proteins: dict[str, str] = {}
    for gene in fasta_genes(data):
        if gene.source_id in proteins:
            raise InputError(f"{fasta}: the id {gene.source_id!r} occurs twice; give each protein its own")
        proteins[gene.source_id] = normalise(gene.protein).decode("ascii")
    return proteins


def _row(name: str, text: str, proteins: Mapping[str, str], predictions: Mapping[str, Sequence[EcPrediction]]) -> EcRow:
    parsed = parse_ecs(text)
    true = tuple(sorted({ec for given in parsed.numbers for ec in current_ecs(given)}))
    if name not in proteins:
        return EcRow(name, true, reason="no protein of this id in the FASTA file")
    if not true:
        return EcRow(name, true, reason=f"no EC number in {text!r}")
    return EcRow(name, true, tuple(predictions.get(name, ())))


def summarise(rows: Sequence[EcRow]) -> dict[str, Any]:
    """Micro precision, recall and F1 over complete numbers, shares right by level, and the rows not judged."""
    judged = {row.query: row for row in rows if not row.reason}
    low, high = bootstrap_interval(sorted(judged), lambda chosen: _micro([judged[name] for name in chosen])[2], 500)
    precision, recall, f1 = _micro(list(judged.values()))
    unmapped: dict[str, int] = {}
    for row in rows:
        if row.reason:
            kind = row.reason.partition(" in ")[0]
            unmapped[kind] = unmapped.get(kind, 0) + 1
    return {
        "micro_f1": number(f1),
        "micro_f1_interval": [number(low), number(high)],
        "micro_precision": number(precision),
        "micro_recall": number(recall),
        "right_share_by_level": {level: number(_right_share(judged.values(), level)) for level in LEVELS},
        "rows": len(rows),
        "judged": len(judged),
        "without_prediction": sum(not row.predicted for row in judged.values()),
        "not_judged": unmapped,
    }


def _micro(rows: Sequence[EcRow]) -> tuple[float, float, float]:
    """Precision, recall, F1 over pairs of protein and complete number; NaN where nothing can be counted."""
    right = called = true = 0
    for row in rows:
        actual = {ec for ec in row.true if not ec.endswith("-")}
        found = {one.ec for one in row.predicted if not one.ec.endswith("-")}
        right, called, true = right + len(actual & found), called + len(found), true + len(actual)
    nan = float("nan")
    return (
        right / called if called else nan,
        right / true if true else nan,
        2 * right / (called + true) if called + true else nan,
    )


def _right_share(rows: Any, level: int) -> float:
    """Share of proteins with a predicted number that agrees with a true one to this level, of those labelled so far."""
    asked = [row for row in rows if any(level_shared(ec, ec) >= level for ec in row.true)]
    right = sum(any(level_shared(one.ec, ec) >= level for one in row.predicted for ec in row.true) for row in asked)
    return right / len(asked) if asked else float("nan")


def _calls_text(rows: Sequence[EcRow]) -> str:
    lines = ["id\ttrue_ec\tpredicted_ec\tlevel\tenzyme\tidentity_percent\treason"]
    for row in rows:
        best = max((level_shared(one.ec, ec) for one in row.predicted for ec in row.true), default=0)
        first = row.predicted[0] if row.predicted else None
        predicted = ";".join(one.ec for one in row.predicted)
        nearest = f"{first.enzyme}\t{first.identity_percent:.1f}" if first else "\t"
        reason = row.reason or ("" if first else "no similar enzyme in the reference")
        level = "" if row.reason else str(best)
        lines.append("\t".join([row.query, ";".join(row.true), predicted, level, nearest, reason.replace("\t", " ")]))
    return "\n".join(lines) + "\n"
