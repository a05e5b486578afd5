"""Essential genes and fermentation products: labels against one row of a table of the simulate stage.

Essentiality reads `knockouts` (single genes on the genome's medium), products reads `screens` (what can leave without
oxygen at optimal growth). As in CarveMe's benchmark a gene that is not in the model is not counted; a product without
an exchange counts as not secreted. Every row that is not counted has its reason in the table.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemforest import __version__
from gemforest.evaluation.labels import NO, YES, compound_id, read_rows, refuse
from gemforest.evaluation.metrics import confusion, macro, macro_interval, number
from gemforest.evaluation.project import Finished, Genome, labelled_proteomes, run_project
from gemforest.store import write_text


@dataclass(frozen=True)
class Question:
    """One kind of evaluation.

    Attributes
    ----------
    name, target, label
        Of the entry and of the two columns of its table.
    simulate
        Its part of the config.
    """

    name: str
    target: str
    label: str
    simulate: Mapping[str, Any]


NOTHING = {"screens": [], "growth_scores": [], "fva": "off", "knockouts": [], "parsimonious": False}
ESSENTIALITY = Question(
    "essentiality", "gene_id", "essential", NOTHING | {"knockouts": ["gene"], "conditions": ["aerobic"]}
)
PRODUCTS = Question("products", "bigg_id", "produced", NOTHING | {"screens": ["product"]})


@dataclass(frozen=True)
class Label:
    """One labelled gene or product; `line` is the file's."""

    line: int
    org_id: str
    proteome: str
    target: str
    yes: bool


@dataclass(frozen=True)
class Judged:
    """A label and what the model answers; None where it is not counted, for the reason in `note`."""

    label: Label
    called: bool | None
    note: str


def read_labels(path: Path, question: Question) -> list[Label]:
    """Rows with the columns org_id, proteome, the question's target and its label; InputError with every problem."""
    problems: list[str] = []
    labels = []
    for line, row in read_rows(path, ("org_id", "proteome", question.target, question.label)):
        said = row[question.label].lower()
        empty = [name for name in ("org_id", "proteome", question.target) if not row[name]]
        problems += [f"line {line}: {name} is empty" for name in empty]
        if said not in YES | NO:
            problems.append(f"line {line}: {question.label} {row[question.label]!r}; expected 1 or 0")
        target = compound_id(row[question.target]) if question.target == "bigg_id" else row[question.target]
        labels.append(Label(line, row["org_id"], Path(row["proteome"]).name, target, said in YES))
    refuse(path, problems)
    return labels


def evaluate_answers(
    question: Question,
    proteomes: Path,
    labels: Path,
    out: Path,
    medium: str = "M9",
    threshold: float = 0.01,
    cores: int = 1,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run the default pipeline over the labelled organisms and compare; writes NAME.json and NAME_calls.tsv.

    Parameters
    ----------
    medium
        Medium of all organisms; it is also what gaps are filled for.
    threshold
        Growth rate below which a gene is essential, h^-1.

    Raises
    ------
    InputError
        Labels, folder or medium are wrong; nothing was run.
    """
    rows = read_labels(labels, question)
    found, missing = labelled_proteomes(proteomes, {label.org_id: label.proteome for label in rows})
    genomes = [Genome(org_id, path, medium=medium) for org_id, path in found.items()]
    settings = {"growth": {"threshold_per_h": threshold}, "simulate": dict(question.simulate)}
    finished = run_project(out / "project", genomes, settings, cores=cores, cache=cache)
    reasons = finished.reasons | missing
    judged = judge(question, rows, answers_of(question, finished), reasons)
    record = summarise(judged, reasons) | {
        "what": f"{question.name}, default pipeline",
        "version": __version__,
        "labels": labels.name,
        "medium": medium,
        "threshold_per_h": threshold,
    }
    write_text(out / f"{question.name}_calls.tsv", calls_text(question, judged))
    write_text(out / f"{question.name}.json", json.dumps(record, indent=1) + "\n")
    return record


def answers_of(question: Question, finished: Finished) -> dict[str, dict[str, bool | None]]:
    """Organism to target to answer; None where the model's program had no optimum."""
    answers: dict[str, dict[str, bool | None]] = {}
    for name, (shard, genome_id) in finished.places.items():
        store = finished.context.store
        if question is ESSENTIALITY:
            rows = store.read("knockouts", shard, genome_id).to_pylist()
            answers[name] = {row["target"]: row["essential"] for row in rows if row["kind"] == "gene"}
        else:
            rows = store.read("screens", shard, genome_id).to_pylist()
            said = {"secreted": True, "not_secreted": False, "not_in_model": False, "no_growth": False}
            answers[name] = {r["compound"]: said.get(r["answer"]) for r in rows if r["screen"] == "product"}
    return answers


def judge(
    question: Question,
    labels: Sequence[Label],
    answers: Mapping[str, Mapping[str, bool | None]],
    reasons: Mapping[str, tuple[str, str]],
) -> list[Judged]:
    """Put beside each label what the model answers, or why it does not."""
    judged = []
    for label in labels:
        if label.org_id in reasons:
            judged.append(Judged(label, None, ": ".join(filter(None, ("no model", *reasons[label.org_id])))))
        elif label.target not in answers.get(label.org_id, {}):
            judged.append(Judged(label, None, f"{question.target} is not in the model's table"))
        else:
            called = answers[label.org_id][label.target]
            judged.append(Judged(label, called, "" if called is not None else "no optimal status"))
    return judged


def summarise(judged: Sequence[Judged], reasons: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Measures over all organisms and for each; an organism without a counted row has MCC 0 and counts."""
    by_organism: dict[str, list[Judged]] = {}
    for row in judged:
        by_organism.setdefault(row.label.org_id, []).append(row)
    organisms = {}
    for org_id, own in by_organism.items():
        counted = [row for row in own if row.called is not None]
        found = confusion([row.label.yes for row in counted], [bool(row.called) for row in counted])
        reason = ": ".join(filter(None, reasons.get(org_id, ())))
        organisms[org_id] = {**found.as_record(), "labels": len(own), "not_counted": len(own) - len(counted)} | {
            "reason": reason
        }
    counted = [row for row in judged if row.called is not None]
    pooled = confusion([row.label.yes for row in counted], [bool(row.called) for row in counted])
    values = {org_id: float(found["mcc"]) for org_id, found in organisms.items()}
    return {
        "macro_mcc": number(macro(list(values.values()))),
        "macro_mcc_interval": [number(end) for end in macro_interval(values)],
        "pooled": pooled.as_record(),
        "pooled_mcc": number(pooled.mcc),
        "accuracy": number(pooled.accuracy),
        "organisms_total": len(organisms),
        "organisms_without_model": {org_id: ": ".join(filter(None, reason)) for org_id, reason in reasons.items()},
        "organisms": organisms,
    }


def calls_text(question: Question, judged: Sequence[Judged]) -> str:
    """The table of every label and call."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["line", "org_id", "proteome", question.target, question.label, "call", "note"])
    for row in judged:
        label, call = row.label, "" if row.called is None else int(row.called)
        writer.writerow([label.line, label.org_id, label.proteome, label.target, int(label.yes), call, row.note])
    return text.getvalue()
