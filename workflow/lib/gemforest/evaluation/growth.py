"""Growth on carbon sources: a table of labels against the default pipeline.

Each labelled organism's proteome goes through the product's stages; the `screens` table then says for each compound
whether the filled model grows on it as the only carbon source. A compound without an exchange in the model is «no
growth» for FBA and keeps that reason. The default call is that of `calls.py`. An organism without a model counts: FBA
says no growth, the default call rests on what its hits say, or on the prior alone where there are none, and the reason
stands beside both.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gemforest import __version__
from gemforest.errors import InputError
from gemforest.evaluation.attribution import CAUSES, Fault, Sources, missed, wrongly_called
from gemforest.evaluation.calls import Call, CallModel, Said, load_call_model
from gemforest.evaluation.kinship import GenomeFacts, genome_facts, kinship_rules, load_kinship
from gemforest.evaluation.labels import GrowthLabel, read_growth_labels
from gemforest.evaluation.metrics import Confusion, auc, brier, confusion, macro, macro_interval, number
from gemforest.evaluation.project import Finished, Genome, labelled_proteomes, run_project
from gemforest.media import read_media
from gemforest.simulate.growth_score import common_compounds, growth_scores
from gemforest.simulate.screens import without_carbon
from gemforest.store import write_text

BASE_MEDIUM = "M9"
THRESHOLD = 0.01
SUMMARY, CALLS, FAULTS = "growth.json", "calls.tsv", "faults.tsv"
LOWEST_SCORE = -1e9
GENOME_SECONDS = 600


@dataclass(frozen=True)
class Row:
    """One label with everything said about it; a rate or score that there is none of is NaN."""

    label: GrowthLabel
    answer: str
    growth_per_h: float
    score: float
    score_called: bool
    weakest_links: tuple[str, ...]
    probability: float
    prior: float
    called: bool
    basis: str
    note: str

    @property
    def fba(self) -> bool:
        """FBA's answer; a compound without an exchange and an organism without a model are no growth."""
        return self.answer == "growth"

    @property
    def score_for_ranking(self) -> float:
        """A compound without a score ranks last."""
        return LOWEST_SCORE if math.isnan(self.score) else self.score


def evaluate_growth(
    proteomes: Path,
    labels: Path,
    out: Path,
    base_medium: str = BASE_MEDIUM,
    threshold: float = THRESHOLD,
    cores: int = 1,
    media: Path | None = None,
    cache: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    faults: bool = False,
) -> dict[str, Any]:
    """Run the default pipeline over the labelled organisms and compare; the record that `growth.json` holds.

    Parameters
    ----------
    proteomes
        Folder with the files that the labels name.
    labels
        Table with the columns org_id, proteome, bigg_id, growth.
    out
        Folder for `growth.json`, `calls.tsv` and the project (`project/`), which a second call takes up again.
    base_medium
        Medium that the sources are added to; what it holds of carbon is taken out first.
    threshold
        Growth rate from which FBA's answer is growth, h^-1.
    changes
        What the config says besides, for a variant of the pipeline.
    faults
        Also say where each wrong answer of FBA comes from (`attribution.py`), in `faults.tsv`.

    Raises
    ------
    InputError
        Labels, folder, medium or threshold are wrong; nothing was run.
    """
    if not threshold > 0:
        raise InputError(f"threshold {threshold:g}; expected a growth rate above 0, in 1/h")
    rows = read_growth_labels(labels)
    found, missing = labelled_proteomes(proteomes, {label.org_id: label.proteome for label in rows})
    genomes = [Genome(org_id, path) for org_id, path in found.items()]
    out.mkdir(parents=True, exist_ok=True)
    compounds = sorted({label.bigg_id for label in rows if label.bigg_id})
    wanted = merged(settings(base_medium, threshold, compounds), changes or {})
    finished = run_project(out / "project", genomes, wanted, cores=cores, media=media, cache=cache)
    reasons = finished.reasons | missing
    organisms = organisms_of(finished, compounds)
    judged = judge(rows, organisms, reasons, load_call_model())
    record = summarise(judged, reasons) | {
        "organisms_in_sample": sorted(n for n, o in organisms.items() if o.facts and load_kinship().knows(o.facts)),
        "what": "growth on carbon sources, default pipeline",
        "version": __version__,
        "labels": labels.name,
        "base_medium": base_medium,
        "threshold_per_h": threshold,
        "default_call": "growth score and the compound's prior among kin (resources/growth_calls.json)",
    }
    if faults:
        by_organism = faults_of(judged, finished, base_medium, threshold)
        write_text(out / FAULTS, faults_text(by_organism))
        record["faults"] = {
            name: dict(sorted(Counter(fault.cause for fault in own).items())) for name, own in by_organism.items()
        }
    write_text(out / CALLS, calls_text(judged))
    write_text(out / SUMMARY, json.dumps(record, indent=1) + "\n")
    return record


def settings(base_medium: str, threshold: float, compounds: Sequence[str]) -> dict[str, Any]:
    """The config of such a run: the defaults, but for parts that no growth call needs and a shorter clock."""
    return {
        # Nobody waits half an hour, and once more double, for one organism of many: it counts without a model then.
        "limits": {"seconds": GENOME_SECONDS},
        "growth": {"threshold_per_h": threshold},
        "simulate": {
            "screen_medium": base_medium,
            "screens": ["carbon"],
            "growth_scores": ["common", *(c for c in compounds if c not in common_compounds())],
            "conditions": ["aerobic"],
            "parsimonious": False,
            "fva": "off",
            "knockouts": [],
        },
    }


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes, part by part."""
    parts = dict(settings)
    for name, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(parts.get(name), Mapping)
        parts[name] = merged(parts[name], value) if inner else value
    return parts


@dataclass(frozen=True)
class Organism:
    """What the pipeline left of one organism.

    Attributes
    ----------
    screen
        Compound to its row of the carbon screen; empty without a model.
    scores
        Compound to (growth score, weakest links).
    facts
        From its hits; None where there are none.
    """

    screen: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, tuple[float, tuple[str, ...]]]
    facts: GenomeFacts | None

    def standing(self, compound: str) -> float | None:
        """Minus the root of minus the score, less the genome's mean of that; None without a score."""
        if compound not in self.scores:
            return None
        roots = {c: -math.sqrt(max(0.0, -score)) for c, (score, _) in self.scores.items()}
        mean = float(np.mean([roots[c] for c in roots if c in common_compounds()] or [0.0]))
        return roots[compound] - mean

    def relative_score(self, compound: str) -> float | None:
        """Standing as far as databases cover the genome, as `calls.py` takes it; None without a score."""
        standing = self.standing(compound)
        return None if self.facts is None or standing is None else standing * self.facts.coverage


def organisms_of(finished: Finished, compounds: Sequence[str]) -> dict[str, Organism]:
    """What there is of each organism, also of those that did not come to a model but have hits."""
    found = {}
    for name, (shard, genome_id) in finished.reached.items():
        store, cache = finished.context.store, finished.context.cache
        if not store.has("hits", shard, genome_id):
            continue
        hits = store.read("hits", shard, genome_id)
        if not hits.num_rows:
            continue
        screen: dict[str, dict[str, Any]] = {}
        if name in finished.places:
            rows = store.read("screens", shard, genome_id).to_pylist()
            screen = {row["compound"]: row for row in rows if row["screen"] == "carbon"}
            scores = {
                c: (row["growth_score"], tuple(row["weakest_links"] or ()))
                for c, row in screen.items()
                if row["growth_score"] is not None
            }
        else:
            scores = scores_without_model(finished, name, {*common_compounds(), *compounds})
        found[name] = Organism(screen, scores, genome_facts(kinship_rules(cache), hits))
    return found


def scores_without_model(
    finished: Finished, name: str, compounds: Iterable[str]
) -> dict[str, tuple[float, tuple[str, ...]]]:
    """Growth scores of an organism from its evidence; none where it has none."""
    shard, genome_id = finished.reached[name]
    store, cache = finished.context.store, finished.context.cache
    if not store.table_path("reaction_scores", shard, genome_id).exists():
        return {}
    evidence = store.read("reaction_scores", shard, genome_id, ["reaction", "probability", "universe"])
    if not evidence.num_rows:
        return {}
    known = zip(evidence["reaction"].to_pylist(), evidence["probability"].to_pylist(), strict=True)
    probabilities = {reaction: p for reaction, p in known if p is not None}
    hits = store.read("hits", shard, genome_id, ["target", "identity_percent"])
    scored = growth_scores(evidence["universe"][0].as_py(), cache, probabilities, hits, compounds)
    return {c: (score.score, score.weakest_links) for c, score in scored.items()}


def judge(
    labels: Sequence[GrowthLabel],
    organisms: Mapping[str, Organism],
    reasons: Mapping[str, tuple[str, str]],
    model: CallModel,
) -> list[Row]:
    """Put beside each label what the pipeline says."""
    nothing = Organism({}, {}, None)
    calls: dict[tuple[str, str], Call] = {}
    for label in labels:
        organism = organisms.get(label.org_id, nothing)
        answer = organism.screen.get(label.bigg_id, {}).get("answer")
        said = Said(
            shift=load_kinship().shift(label.bigg_id, organism.facts) if organism.facts else 0.0,
            fba_growth=None if label.org_id in reasons else answer == "growth",
            score=organism.relative_score(label.bigg_id),
        )
        calls[label.org_id, label.bigg_id] = model.call(label.bigg_id, said)
    by_score = {
        (org_id, compound): model.by_score(organisms.get(org_id, nothing).standing(compound))
        for org_id, compound in calls
    }
    cuts = _cuts(model, {place: call.probability for place, call in calls.items()})
    score_cuts = _cuts(model, by_score)
    return [
        _row(
            label,
            organisms.get(label.org_id, nothing),
            reasons.get(label.org_id),
            calls[label.org_id, label.bigg_id],
            cuts[label.org_id],
            by_score[label.org_id, label.bigg_id] >= score_cuts[label.org_id],
        )
        for label in labels
    ]


def _cuts(model: CallModel, probabilities: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Organism to the probability from which its compounds are called growth."""
    by_organism: dict[str, list[float]] = {}
    for (org_id, _), probability in probabilities.items():
        by_organism.setdefault(org_id, []).append(probability)
    return {org_id: model.cut(own) for org_id, own in by_organism.items()}


def _row(
    label: GrowthLabel,
    organism: Organism,
    reason: tuple[str, str] | None,
    call: Call,
    cut: float,
    score_called: bool,
) -> Row:
    said: Mapping[str, Any] = organism.screen.get(label.bigg_id, {})
    if reason is not None:
        answer, note = "no_model", ": ".join(filter(None, reason))
    elif not label.bigg_id:
        answer, note = "no_bigg_id", "the label names no BiGG compound"
    elif not said:
        answer, note = "not_in_universe", "no universe can exchange the compound"
    else:
        answer, note = said["answer"], ""
    score, links = organism.scores.get(label.bigg_id, (math.nan, ()))
    return Row(
        label=label,
        answer=answer,
        growth_per_h=_float(said.get("growth_per_h")),
        score=score,
        score_called=score_called,
        weakest_links=links,
        probability=call.probability,
        prior=call.prior,
        called=call.probability >= cut,
        basis=call.basis,
        note=note,
    )


def faults_of(rows: Sequence[Row], finished: Finished, base_medium: str, threshold: float) -> dict[str, list[Fault]]:
    """Organism to where each wrong answer of FBA comes from; organisms with a model only."""
    context = finished.context
    uptake = context.config["growth"]["uptake"]
    medium = read_media(context.project / context.config["media"]).uptakes(base_medium, uptake) or {}
    found = {}
    for name in finished.places:
        own = [row for row in rows if row.label.org_id == name and row.label.bigg_id]
        network, universe = finished.network(name), finished.universe(name)
        base = without_carbon(universe, medium)
        growing = {row.label.bigg_id for row in own if row.fba}
        model = Sources(network, base, uptake, threshold)
        whole = Sources(universe, base, uptake, threshold)
        wrong = [row for row in own if row.fba != row.label.growth]
        absent = [row.label.bigg_id for row in wrong if row.label.growth]
        extra = [row.label.bigg_id for row in wrong if not row.label.growth]
        found[name] = missed(whole, network.reactions, absent, bool(growing)) + wrongly_called(model, extra, growing)
    return found


def faults_text(found: Mapping[str, Sequence[Fault]]) -> str:
    """The table of every wrong answer of FBA and its cause."""
    lines = ["org_id\tbigg_id\tfault\tcause\tmeaning\treactions"]
    for org_id, faults in found.items():
        for fault in faults:
            cells = [org_id, fault.compound, fault.kind, fault.cause, CAUSES[fault.cause], ";".join(fault.reactions)]
            lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def summarise(rows: Sequence[Row], reasons: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Measures over all organisms and for each."""
    by_organism: dict[str, list[Row]] = {}
    for row in rows:
        by_organism.setdefault(row.label.org_id, []).append(row)
    organisms = {}
    for org_id, own in by_organism.items():
        truth = [row.label.growth for row in own]
        scores = [row.score_for_ranking for row in own]
        default, fba = confusion(truth, [row.called for row in own]), confusion(truth, [row.fba for row in own])
        organisms[org_id] = {
            "growth_labels": sum(truth),
            **default.as_record(),
            "fba": fba.as_record(),
            "score": confusion(truth, [row.score_called for row in own]).as_record(),
            "auc_score": number(auc(truth, scores)),
            "auc": number(auc(truth, [row.probability for row in own])),
            "brier": number(brier(truth, [row.probability for row in own])),
            "has_model": org_id not in reasons,
            "reason": ": ".join(filter(None, reasons.get(org_id, ()))),
            "not_in_model": sum(row.answer in ("not_in_model", "not_in_universe", "no_bigg_id") for row in own),
        }
    truth = [row.label.growth for row in rows]
    pooled, pooled_fba = confusion(truth, [row.called for row in rows]), confusion(truth, [row.fba for row in rows])
    default_mcc = {org_id: found["mcc"] for org_id, found in organisms.items()}
    return {
        "macro_mcc": number(macro(list(default_mcc.values()))),
        "macro_mcc_interval": [number(end) for end in macro_interval(default_mcc)],
        "macro_mcc_fba": number(macro([found["fba"]["mcc"] for found in organisms.values()])),
        "macro_mcc_score": number(macro([found["score"]["mcc"] for found in organisms.values()])),
        "auc_score": number(macro(_defined(found["auc_score"] for found in organisms.values()))),
        "auc": number(macro(_defined(found["auc"] for found in organisms.values()))),
        "brier": number(brier(truth, [row.probability for row in rows])),
        "pooled_mcc": number(pooled.mcc),
        "pooled_mcc_fba": number(pooled_fba.mcc),
        "accuracy": number(pooled.accuracy),
        "accuracy_fba": number(pooled_fba.accuracy),
        "counts": _counts(pooled),
        "counts_fba": _counts(pooled_fba),
        "organisms_total": len(organisms),
        "organisms_without_model": {org_id: ": ".join(filter(None, reason)) for org_id, reason in reasons.items()},
        "organisms": organisms,
    }


def _counts(found: Confusion) -> dict[str, int]:
    return {"n": found.total, "tp": found.tp, "fp": found.fp, "fn": found.fn, "tn": found.tn}


def _defined(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def calls_text(rows: Sequence[Row]) -> str:
    """The table of every call, in the order of the labels."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    names = "line org_id proteome bigg_id growth call probability basis fba answer growth_per_h growth_score prior"
    writer.writerow([*names.split(), "weakest_links", "note"])
    for row in rows:
        label = row.label
        writer.writerow(
            [
                label.line,
                label.org_id,
                label.proteome,
                label.bigg_id,
                int(label.growth),
                int(row.called),
                f"{row.probability:.4f}",
                row.basis,
                int(row.fba),
                row.answer,
                _text(row.growth_per_h),
                _text(row.score),
                f"{row.prior:.4f}",
                "; ".join(row.weakest_links),
                row.note,
            ]
        )
    return text.getvalue()


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
