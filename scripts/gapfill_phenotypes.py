"""Which fill makes a model grow on what its organism grows on: the study behind the default (`bench_gapfill.py`).

Every organism's draft is filled by each policy; then growth on each carbon source of the labels is asked for on the
base medium of minerals and vitamins, and counts above what the base gives alone. `strict` answers additionally close
the reactions without gene that growth on the fill's own medium does not need, so that nothing without a gene lets a
compound into metabolism. The graded answer is the cost of a fill for the source alone. The policy of an organism is
chosen on the others (leave one organism out); so are the cuts of graded answers.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.config import complete
from gemforest.errors import GenomeError
from gemforest.evaluation.metrics import auc, confusion
from gemforest.fluxes import flux_program, with_bounds
from gemforest.gapfill import Filling, without_cycles
from gemforest.gapfill.carveme_engine import fill
from gemforest.lp import LinearProgram, Status
from gemforest.media import exchange_bounds, read_media
from gemforest.models import Network
from gemforest.stage import Context, Task
from gemforest.stages import stage
from gemforest.store import Store
from gemforest.universe import Universe, read_sbml, subnetwork, universe_path

ROOT = Path(__file__).resolve().parents[1]
BASE = "minerals_vitamins"
POOLED = "base_and_all_sources"
UPTAKE, LEAST, GROWS = 10.0, 0.05, 0.01
GRADED = "cost of a fill per source"
POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "no fill": ("M9", {"enabled": False}),
    "M9": ("M9", {"vitamins": False}),
    "M9, vitamins": (f"M9;{BASE}+glc__D", {}),
    "LB": ("LB", {"vitamins": False}),
    "LB, vitamins": ("LB", {}),
    "base with sources pooled": (POOLED, {}),
}
Record = dict[str, Any]
Labels = dict[str, dict[str, bool]]
Answers = dict[str, dict[str, dict[str, float]]]


def phenotypes(project: Path, labels: Path, carveme: Path | None, kept: Path | None, quick: bool) -> list[Record]:
    """All policies on all organisms of the labels that the project has drafts of."""
    truth = _read_labels(labels)
    truth = {org_id: truth[org_id] for org_id in list(truth)[: 2 if quick else None]}
    answers: Answers = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}

    def keep(policy: str, org_id: str, found: dict[str, float]) -> None:
        answers.setdefault(policy, {})[org_id] = found
        print(f"{org_id}\t{policy}", flush=True)
        if kept is not None:
            kept.write_text(json.dumps(answers))

    def missing(policy: str) -> list[str]:
        return [org_id for org_id in truth if org_id not in answers.get(policy, {})]

    with TemporaryDirectory() as folder:
        media = _media_with_pool(Path(folder), sorted({c for own in truth.values() for c in own}))
        for policy, (medium, settings) in POLICIES.items():
            for org_id in missing(policy):
                network = _filled(_task(project, org_id, medium, media, settings))
                strict = _without_geneless(network, media, medium)
                keep(f"{policy}, strict", org_id, _rates(strict, media, truth[org_id]))
                keep(policy, org_id, _rates(network, media, truth[org_id]))
        for org_id in missing(GRADED):
            keep(GRADED, org_id, _costs(_task(project, org_id, "M9", media, {}), media, truth[org_id]))
        for policy, medium in (("CarveMe + SCIP, no fill", ""), ("CarveMe + SCIP, M9", "M9")):
            for org_id in missing(policy):
                draft = (carveme or Path()) / f"{org_id}.xml"
                if draft.is_file():
                    scores = Filling(_task(project, org_id, "M9", media, {})).draft.evidence.scores
                    keep(policy, org_id, _rates(_carveme(draft, medium, media, scores), media, truth[org_id]))
    return judge(truth, {policy: found for policy, found in answers.items() if set(found) >= set(truth)})


# -- models by policy --------------------------------------------------------------------------------------------------


def _read_labels(path: Path) -> Labels:
    found: Labels = {}
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            # A compound without a BiGG id counts: no model grows on it.
            found.setdefault(row["org_id"], {})[row["bigg_id"] or f"?{row['compound']}"] = row["growth"] == "1"
    return found


def _media_with_pool(folder: Path, compounds: Sequence[str]) -> Path:
    text = (ROOT / "config" / "media.tsv").read_text(encoding="utf-8")
    base = [line.split("\t") for line in text.splitlines() if line.split("\t")[0] == BASE]
    known = {line[1] for line in base}
    rows = [
        ["\t".join([POOLED, *line[1:]]) for line in base],
        [f"{POOLED}\t{c}\t10\t" for c in compounds if c not in known],
    ]
    rows.append(["\t".join([f"{BASE}+glc__D", *line[1:]]) for line in base] + [f"{BASE}+glc__D\tglc__D\t10\t"])
    path = folder / "media.tsv"
    path.write_text(text + "\n".join(line for part in rows for line in part) + "\n", encoding="utf-8")
    return path


def _task(project: Path, org_id: str, medium: str, media: Path, settings: Mapping[str, Any]) -> Task:
    config = complete({"media": str(media), "gapfill": dict(settings)})
    store = Store(project / "results")
    (path,) = (project / "results" / "drafts").rglob(f"{org_id}.parquet")
    row = {"genome_id": org_id, "medium": medium}
    shard = path.parent.name.partition("=")[2]
    return Task(org_id, shard, row, stage("gapfill").settings(config), Context(ROOT, config, store), "", "")


def _filled(task: Task) -> Network:
    """The model by a policy; where no fill is possible the draft stays."""
    filling = Filling(task)
    if task.parameters["gapfill.enabled"]:
        for medium in task.row["medium"].split(";"):
            filling.take_up_vitamins(medium)
            try:
                filling.fill([medium])
            except GenomeError as error:
                print(f"{task.genome_id}: {error}", flush=True)
    return filling.model()


def _without_geneless(network: Network, media: Path, medium: str) -> Network:
    """The model without reactions that have no gene and that growth on the fill's medium can do without.

    Which it needs: the least total flux through reactions without gene at the growth aimed at (a linear programme).
    """
    limits = read_media(media).uptakes(medium.split(";")[0], UPTAKE)
    on = with_bounds(network, exchange_bounds(network, limits, UPTAKE))
    spared = ("EX_", "DM_", "SK_")
    free = np.array(
        [
            not g and r != "ATPM" and not r.startswith(spared) and not c
            for g, r, c in zip(network.gprs, network.reactions, network.objective, strict=True)
        ]
    )
    n = len(free)
    lower, upper = on.lower.copy(), on.upper.copy()
    lower[network.biomass] = LEAST
    matrix = csc_array(hstack([on.stoichiometry, -on.stoichiometry]))
    low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper, 0.0)])
    high = np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower, 0.0)])
    costs = np.where(free, 1.0, 0.0)
    solution = LinearProgram(matrix, low, high, costs=np.concatenate([costs, costs])).solve()
    needed = np.zeros(n, dtype=bool)
    if solution.values is not None and solution.is_optimal:
        needed = solution.values[:n] + solution.values[n:] > 1e-9
    shut = free & ~needed
    return replace(network, lower=np.where(shut, 0.0, network.lower), upper=np.where(shut, 0.0, network.upper))


def _rates(network: Network, media: Path, own: Mapping[str, bool]) -> dict[str, float]:
    """Growth on each source above growth on the base alone; 0 where the model cannot take the source up."""
    base = read_media(media).uptakes(BASE, UPTAKE)
    assert base is not None
    on = with_bounds(network, exchange_bounds(network, base, UPTAKE))
    program = flux_program(on)
    index = {r: j for j, r in enumerate(on.reactions)}
    alone = _optimum(program)
    found = {}
    for compound in own:
        j = index.get(f"EX_{compound}_e")
        if j is None:
            found[compound] = 0.0
            continue
        program.set_bounds(j, -UPTAKE, float(on.upper[j]))
        found[compound] = max(0.0, _optimum(program) - alone)
        program.set_bounds(j, float(on.lower[j]), float(on.upper[j]))
    return found


def _optimum(program: LinearProgram) -> float:
    return program.objective if program.run() is Status.OPTIMAL else 0.0


def _costs(task: Task, media: Path, own: Mapping[str, bool]) -> dict[str, float]:
    """Minus the cost of filling the draft for each source alone; minus infinity where nothing helps.

    The cost is that of the best of three linear programmes, each re-weighted by the fluxes of the last: an upper bound
    of the cheapest fill at a tenth of its time, over one programme that all sources share.
    """
    filling = Filling(task)
    filling.take_up_vitamins(BASE)
    base = read_media(media).uptakes(BASE, UPTAKE)
    assert base is not None
    network, present = filling.universe.network, {*filling.draft.reactions, *filling.added}
    on = without_cycles(with_bounds(network, exchange_bounds(network, base, UPTAKE)), filling.closed)
    lower, upper, n = on.lower.copy(), on.upper.copy(), len(on.reactions)
    lower[on.biomass] = LEAST
    costs = np.array([0.0 if r in present else filling.costs[r] for r in on.reactions])
    matrix = csc_array(hstack([on.stoichiometry, -on.stoichiometry]))
    low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper, 0.0)])
    high = np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower, 0.0)])
    program = LinearProgram(matrix, low, high, costs=np.concatenate([costs, costs]))
    index = {r: j for j, r in enumerate(on.reactions)}
    found = {}
    for compound in own:
        j = index.get(f"EX_{compound}_e")
        best = math.inf
        if j is not None:
            program.set_bounds(n + j, 0.0, UPTAKE)
            weights = costs
            for _ in range(3):
                program.set_objective(np.concatenate([weights, weights]))
                solution = program.solve()
                if solution.values is None or not solution.is_optimal:
                    break
                flux = solution.values[:n] + solution.values[n:]
                best = min(best, float(costs[flux > 1e-9].sum()))
                weights = costs * 1e-3 / (flux + 1e-3)
            program.set_bounds(n + j, 0.0, float(high[n + j]))
        found[compound] = -best
    return found


def _carveme(path: Path, medium: str, media: Path, scores: Mapping[str, float]) -> Network:
    """CarveMe's draft, filled by its own engine where a medium is named."""
    network = read_sbml(path)
    if not medium:
        return network
    donor = universe_path("gramneg")
    whole = read_sbml(donor)
    bounds = exchange_bounds(whole, read_media(media).uptakes(medium, UPTAKE), UPTAKE)
    added = fill(donor, network.reactions, scores, bounds, LEAST, medium)
    nothing = np.zeros(0)
    universe = Universe(whole, "", nothing, nothing, nothing, nothing)
    gprs = dict(zip(network.reactions, network.gprs, strict=True))
    return without_cycles(subnetwork(universe, sorted({*network.reactions, *added}), gprs, path.stem), ())


# -- judging -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Truth, calls and graded answers of one organism by one policy, in the order of its compounds."""

    truth: list[bool]
    calls: list[bool]
    grades: list[float]


def judge(truth: Labels, answers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Record]:
    """Records per policy and organism, macro averages, and the policy chosen by leaving one organism out."""
    judged: dict[str, dict[str, Judged]] = {}
    for policy, by_organism in answers.items():
        judged[policy] = {
            org_id: _graded(org_id, truth, by_organism)
            if policy == GRADED
            else Judged(
                list(truth[org_id].values()),
                [by_organism[org_id][c] >= GROWS for c in truth[org_id]],
                [by_organism[org_id][c] for c in truth[org_id]],
            )
            for org_id in truth
        }
    judged["always no growth"] = {
        o: Judged(list(t.values()), [False] * len(t), [0.0] * len(t)) for o, t in truth.items()
    }
    judged["compound majority of the other organisms"] = {o: _majority(o, truth) for o in truth}
    records = [record for policy, found in judged.items() for record in _measures(policy, found)]
    fill_policies = [policy for policy in POLICIES if policy != "no fill"]
    fill_policies += [f"{policy}, strict" for policy in fill_policies]
    for title, names in (("plain answers", fill_policies[: len(fill_policies) // 2]), ("all answers", fill_policies)):
        chosen = {}
        for org_id in truth:
            rest = [o for o in truth if o != org_id]
            best = max(names, key=lambda name: np.mean([_mcc(judged[name][o]) for o in rest]))
            chosen[org_id] = best
        found = {org_id: judged[policy][org_id] for org_id, policy in chosen.items()}
        records += [r | {"chosen": chosen} for r in _measures(f"chosen on the others, {title}", found)[-1:]]
    return records


def _graded(org_id: str, truth: Labels, by_organism: Mapping[str, Mapping[str, float]]) -> Judged:
    """A cut on the grades that is best for the other organisms."""
    rest = [o for o in truth if o != org_id]
    cuts = sorted({grade for o in rest for grade in by_organism[o].values() if math.isfinite(grade)})
    cuts = cuts[:: max(1, len(cuts) // 200)]

    def value(cut: float) -> float:
        calls = {o: [by_organism[o][c] >= cut for c in truth[o]] for o in rest}
        return float(np.mean([confusion(list(truth[o].values()), calls[o]).mcc for o in rest]))

    best = max(cuts, key=value)
    grades = [by_organism[org_id][c] for c in truth[org_id]]
    return Judged(list(truth[org_id].values()), [g >= best for g in grades], [max(g, -1e9) for g in grades])


def _majority(org_id: str, truth: Labels) -> Judged:
    grades = []
    for compound in truth[org_id]:
        others = [truth[o][compound] for o in truth if o != org_id and compound in truth[o]]
        grades.append(float(np.mean(others)) if others else 0.0)
    return Judged(list(truth[org_id].values()), [grade > 0.5 for grade in grades], grades)


def _mcc(found: Judged) -> float:
    return float(confusion(found.truth, found.calls).mcc)


def _measures(policy: str, found: Mapping[str, Judged]) -> list[Record]:
    records: list[Record] = []
    for org_id, one in found.items():
        counts = confusion(one.truth, one.calls)
        positives, negatives = counts.tp + counts.fn, counts.tn + counts.fp
        records.append(
            {
                "what": "growth phenotypes",
                "policy": policy,
                "organism": org_id,
                "value": float(counts.mcc),
                "unit": "MCC",
                "sensitivity": counts.tp / positives if positives else None,
                "specificity": counts.tn / negatives if negatives else None,
                "accuracy": float(counts.accuracy),
                "auc": auc(one.truth, one.grades),
            }
        )
    keys = ("value", "sensitivity", "specificity", "accuracy", "auc")
    means = {key: float(np.mean([r[key] for r in records if r[key] is not None])) for key in keys}
    return [*records, {"what": "growth phenotypes", "policy": policy, "organism": "macro", "unit": "MCC"} | means]
