"""Which reactions a gene catalyses, against a table of true ones: `gemforest evaluate reactions`.

The calls are those of `gene_reactions` that the evidence stage accepts, made by the product's own stages. Scores are
micro averages over pairs of gene and reaction, of labelled genes only; other genes are not counted. A gene that the
proteome lacks, or a reaction that the universe lacks, is not judged and keeps its reason. Proteins of BiGG's own models
find themselves in the database, so figures on them say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemforest import __version__
from gemforest.evaluation.labels import read_rows, refuse
from gemforest.evaluation.metrics import bootstrap_interval, macro, number
from gemforest.evaluation.project import Finished, Genome, labelled_proteomes, run_project
from gemforest.store import write_text
from gemforest.universe import load_universe

COLUMNS = ("org_id", "proteome", "gene_id", "reaction")
Pairs = set[tuple[str, str]]


@dataclass(frozen=True)
class Label:
    """One true pair; `line` is the file's."""

    line: int
    org_id: str
    proteome: str
    gene_id: str
    reaction: str


@dataclass(frozen=True)
class Called:
    """What the pipeline says of one organism.

    Attributes
    ----------
    genes, reactions
        All of the proteome, and of the universe.
    probability
        (gene, reaction) to the probability of each call, accepted or not.
    accepted
        The pairs that the evidence stage accepts.
    """

    genes: frozenset[str]
    reactions: frozenset[str]
    probability: Mapping[tuple[str, str], float]
    accepted: frozenset[tuple[str, str]]


def read_labels(path: Path) -> list[Label]:
    """Rows with the columns org_id, proteome, gene_id, reaction; InputError with every problem."""
    problems: list[str] = []
    labels = []
    seen: dict[tuple[str, str, str], int] = {}
    for line, row in read_rows(path, COLUMNS):
        problems += [f"line {line}: {name} is empty" for name in COLUMNS if not row[name]]
        reaction = row["reaction"].removeprefix("R_")
        key = (row["org_id"], row["gene_id"], reaction)
        if key in seen:
            problems.append(f"line {line}: {' '.join(key)} is also in line {seen[key]}; remove one")
        seen.setdefault(key, line)
        labels.append(Label(line, row["org_id"], Path(row["proteome"]).name, row["gene_id"], reaction))
    refuse(path, problems)
    return labels


def evaluate_reactions(
    proteomes: Path, labels: Path, out: Path, cores: int = 1, cache: Path | None = None
) -> dict[str, Any]:
    """Run the stages up to the evidence and compare; writes `reactions.json` and `reaction_calls.tsv`.

    Parameters
    ----------
    proteomes
        Folder with the files that the labels name.
    labels
        TSV with the columns org_id, proteome, gene_id, reaction (BiGG ids), a row for each pair.

    Raises
    ------
    InputError
        Labels or folder are wrong; nothing was run.
    """
    rows = read_labels(labels)
    found, missing = labelled_proteomes(proteomes, {label.org_id: label.proteome for label in rows})
    genomes = [Genome(org_id, path) for org_id, path in found.items()]
    finished = run_project(out / "project", genomes, {}, last="evidence", cores=cores, cache=cache)
    reasons = finished.reasons | missing
    called = {name: _called(finished, name) for name in finished.places}
    judged = judge(rows, called, reasons)
    record = summarise(rows, judged, called) | {
        "what": "reactions of genes, default pipeline",
        "version": __version__,
        "labels": labels.name,
        "organisms_without_calls": {name: ": ".join(filter(None, reason)) for name, reason in reasons.items()},
    }
    write_text(out / "reaction_calls.tsv", calls_text(rows, judged, called))
    write_text(out / "reactions.json", json.dumps(record, indent=1) + "\n")
    return record


def _called(finished: Finished, name: str) -> Called:
    shard, genome_id = finished.places[name]
    store = finished.context.store
    rows = store.read("gene_reactions", shard, genome_id).to_pylist()
    universe = store.read("lineages", shard, genome_id, ["universe"])["universe"][0].as_py()
    pairs = {(row["gene_id"], row["reaction"]): row for row in rows}
    return Called(
        genes=frozenset(store.read("proteins", shard, genome_id, ["gene_id"])["gene_id"].to_pylist()),
        reactions=frozenset(load_universe(universe, finished.context.cache).network.reactions),
        probability={pair: row["probability"] for pair, row in pairs.items()},
        accepted=frozenset(pair for pair, row in pairs.items() if row["decision"].startswith("accepted")),
    )


def judge(
    labels: Iterable[Label], called: Mapping[str, Called], reasons: Mapping[str, tuple[str, str]]
) -> dict[int, str]:
    """Line of each label that cannot be judged to the reason."""
    unjudged = {}
    for label in labels:
        if label.org_id in reasons:
            unjudged[label.line] = ": ".join(filter(None, ("no calls", *reasons[label.org_id])))
        elif label.gene_id not in called[label.org_id].genes:
            unjudged[label.line] = "no gene of this id in the proteome"
        elif label.reaction not in called[label.org_id].reactions:
            unjudged[label.line] = "no reaction of this id in the universe"
    return unjudged


def pairs_of(
    labels: Sequence[Label], unjudged: Mapping[int, str], called: Mapping[str, Called]
) -> dict[str, tuple[Pairs, Pairs]]:
    """Organism to (true pairs, accepted pairs) of its labelled genes."""
    found: dict[str, tuple[Pairs, Pairs]] = {}
    for label in labels:
        if label.line not in unjudged:
            found.setdefault(label.org_id, (set(), set()))[0].add((label.gene_id, label.reaction))
    for org_id, (true, accepted) in found.items():
        genes = {gene for gene, _ in true}
        accepted.update(pair for pair in called[org_id].accepted if pair[0] in genes)
    return found


def micro(pairs: Iterable[tuple[Pairs, Pairs]]) -> tuple[float, float, float]:
    """Precision, recall and F1; NaN where nothing can be counted."""
    right = said = true = 0
    for actual, accepted in pairs:
        right, said, true = right + len(actual & accepted), said + len(accepted), true + len(actual)
    nan = float("nan")
    return (right / said if said else nan, right / true if true else nan, 2 * right / (said + true) if true else nan)


def summarise(labels: Sequence[Label], unjudged: Mapping[int, str], called: Mapping[str, Called]) -> dict[str, Any]:
    """Micro and macro averages, and what was not judged."""
    pairs = pairs_of(labels, unjudged, called)
    precision, recall, f1 = micro(pairs.values())
    low, high = bootstrap_interval(sorted(pairs), lambda chosen: micro([pairs[name] for name in chosen])[2], 500)
    by_organism = {name: micro([own]) for name, own in pairs.items()}
    counted: dict[str, int] = {}
    for reason in unjudged.values():
        counted[reason.partition(":")[0]] = counted.get(reason.partition(":")[0], 0) + 1
    return {
        "micro_f1": number(f1),
        "micro_f1_interval": [number(low), number(high)],
        "micro_precision": number(precision),
        "micro_recall": number(recall),
        "macro_f1": number(macro([own[2] for own in by_organism.values()])),
        "organisms": {
            name: dict(zip(("precision", "recall", "f1"), map(number, own), strict=True))
            for name, own in by_organism.items()
        },
        "rows": len(labels),
        "judged": len(labels) - len(unjudged),
        "not_judged": counted,
    }


def calls_text(labels: Sequence[Label], unjudged: Mapping[int, str], called: Mapping[str, Called]) -> str:
    """The table of every label, and below it the accepted calls of labelled genes that no label has."""
    lines = ["line\torg_id\tgene_id\treaction\ttrue\taccepted\tprobability\treason"]
    for label in labels:
        pair = (label.gene_id, label.reaction)
        if label.line in unjudged:
            cells = ["", "", unjudged[label.line].replace("\t", " ")]
        else:
            own = called[label.org_id]
            cells = [str(int(pair in own.accepted)), _text(own.probability.get(pair)), ""]
        lines.append("\t".join([str(label.line), label.org_id, *pair, "1", *cells]))
    for org_id, (true, accepted) in pairs_of(labels, unjudged, called).items():
        for pair in sorted(accepted - true):
            lines.append("\t".join(["", org_id, *pair, "0", "1", _text(called[org_id].probability.get(pair)), ""]))
    return "\n".join(lines) + "\n"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
