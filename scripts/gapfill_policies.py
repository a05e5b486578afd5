"""Which fill makes a model grow on what its organism grows on: the study behind the default (`bench_gapfill.py`).

Every organism's draft is filled by each policy; then growth on each carbon source of the labels is asked for on the
base medium of minerals and vitamins, and counts above what the base gives alone. Some policies then close what has no
gene and the fill's medium does not need (`closing.py`). Graded answers: the cost of a fill for the source
alone, and minus the sum of -log P along the cheapest route of the source (`simulate/growth_score.py`). The policy of an
organism is chosen on the others (leave one organism out); so are the cuts of graded answers.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gemforest.closing import shut, unneeded, without_gene
from gemforest.config import complete
from gemforest.errors import GenomeError
from gemforest.evaluation.metrics import auc, confusion, macro_interval, number
from gemforest.fluxes import flux_program, with_bounds
from gemforest.gapfill import Filling, counted_growth, fill_with_highs, without_cycles
from gemforest.gapfill.carveme_engine import fill
from gemforest.gapfill.costs import crosses_membranes
from gemforest.gapfill.filling import Infeasible
from gemforest.lp import LinearProgram, Status
from gemforest.media import exchange_bounds, read_media
from gemforest.models import Network
from gemforest.simulate.growth_score import growth_scores
from gemforest.stage import Context, Task
from gemforest.stages import stage
from gemforest.store import Store
from gemforest.universe import Universe, read_sbml, subnetwork, universe_sbml

ROOT = Path(__file__).resolve().parents[1]
BASE = "minerals_vitamins"
POOLED = "base_and_all_sources"
UPTAKE, LEAST, GROWS = 10.0, 0.05, 0.01
GRADED = "cost of a fill per source, on top of its own medium's"
ROUTE = "growth score"
SHARES = (0.3, 0.6)
"""Reactions on this share of an organism's routes are free in the growth score; the product's is 0.6."""
OWN = "its own"
OTHER_THAN_M9 = {"sone": "ShewMM", "Soneidensis_MR1": "ShewMM"}
"""Organisms that no benchmark grows on M9 with glucose."""
FILLS: dict[str, tuple[str, dict[str, Any]]] = {
    "no fill": (OWN, {"enabled": False}),
    "M9": (OWN, {"vitamins": False}),
    "M9, vitamins (default)": (OWN, {}),
    "LB": ("LB", {}),
    "base with sources pooled": (POOLED, {}),
    **{f"M9, vitamins, transporters at {price:g}": (OWN, {"transport_cost": price}) for price in (0.25, 0.5, 2.0, 4.0)},
}
"""Medium and settings; transporters cost 1 by default."""
DEFAULT = "M9, vitamins (default)"


@dataclass(frozen=True)
class Closing:
    """What is closed after a fill, and the share of the highest growth on the fill's medium that must stand.

    With `shared_by` the growth is that on every source alone, and what this share of the sources use stays.
    """

    growth_kept: float
    spare_spontaneous: bool = False
    transporters_only: bool = False
    shared_by: float | None = None


CLOSINGS = {
    "closed at 5 % of growth": Closing(0.05),
    "closed at full growth": Closing(0.99),
    "closed at full growth but for spontaneous": Closing(0.99, spare_spontaneous=True),
    "transporters closed at full growth": Closing(0.99, transporters_only=True),
    "closed what under 30 % of the sources need": Closing(0.05, shared_by=0.3),
    "closed what under 30 % of the sources need but for spontaneous": Closing(
        0.05, spare_spontaneous=True, shared_by=0.3
    ),
}
CLOSED_FILLS = ("no fill", DEFAULT, "LB", "base with sources pooled")
"""Fills that are also answered with reactions closed; other than the default's by the second closing only."""
PEERS = {"CarveMe + SCIP, no fill": "", "CarveMe + SCIP, M9": OWN}
Record = dict[str, Any]
Labels = dict[str, dict[str, bool]]
Answers = dict[str, dict[str, dict[str, float]]]


def policies(project: Path, labels: Path, carveme: Path | None, kept: Path | None, quick: bool) -> list[Record]:
    """All policies on all organisms of the labels that the project has drafts of."""
    truth = read_labels(labels)
    truth = {org_id: truth[org_id] for org_id in list(truth)[: 2 if quick else None]}
    answers: Answers = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    with TemporaryDirectory() as folder:
        media = _media_with_pool(Path(folder), sorted({c for own in truth.values() for c in own}))
        organisms = [Organism(project, org_id, media, own, carveme) for org_id, own in truth.items()]
        for part in (Organism.fills, Organism.routes, Organism.peers, Organism.costs):
            for one in organisms:
                known = frozenset(policy for policy, found in answers.items() if one.org_id in found)
                for policy, found in part(one, known).items():
                    answers.setdefault(policy, {})[one.org_id] = found
                if kept is not None:
                    kept.write_text(json.dumps(answers))
                print(f"{one.org_id}\t{part.__name__}", flush=True)
    whole = {policy: found for policy, found in answers.items() if set(found) >= set(truth)}
    return [record | {"labels": labels.name} for record in judge(truth, whole)]


# -- answers by policy -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Organism:
    """One organism's draft and what is asked of it; each method gives policy to compound to answer."""

    project: Path
    org_id: str
    media: Path
    own: Mapping[str, bool]
    carveme: Path | None

    def medium(self, name: str) -> str:
        """The medium meant by a policy."""
        return OTHER_THAN_M9.get(self.org_id, "M9") if name == OWN else name

    def fills(self, known: frozenset[str]) -> dict[str, dict[str, float]]:
        """By each fill, as it is and with reactions closed."""
        found = {}
        for policy, (medium, settings) in FILLS.items():
            closings = CLOSINGS if policy == DEFAULT else {"closed at full growth": CLOSINGS["closed at full growth"]}
            titles = {policy: None} | (
                {f"{policy}, {title}": one for title, one in closings.items()} if policy in CLOSED_FILLS else {}
            )
            if titles.keys() <= known:
                continue
            filling = self._filled(self.medium(medium), settings)
            network = filling.model()
            for title, closing in titles.items():
                model = network if closing is None else self._closed(filling, network, self.medium(medium), closing)
                found[title] = self._rates(model)
        return found

    def routes(self, known: frozenset[str]) -> dict[str, dict[str, float]]:
        """Growth scores; minus infinity where the universe has no route."""
        if {route_title(share) for share in SHARES} <= known:
            return {}
        task = self._task("M9", {})
        scored = task.read("reaction_scores")
        known_p = dict(zip(scored["reaction"].to_pylist(), scored["probability"].to_pylist(), strict=True))
        hits = task.context.store.read("hits", task.shard, self.org_id, ["target", "identity_percent"])
        probabilities = {reaction: p for reaction, p in known_p.items() if p is not None}
        name, found = scored["universe"][0].as_py(), {}
        for share in SHARES:
            scores = growth_scores(name, task.context.cache, probabilities, hits, self.own, share)
            found[route_title(share)] = {c: scores[c].score if c in scores else -math.inf for c in self.own}
        return found

    def peers(self, known: frozenset[str]) -> dict[str, dict[str, float]]:
        """CarveMe's draft, unfilled and filled by its own engine."""
        draft = (self.carveme or Path()) / f"{self.org_id}.xml"
        if PEERS.keys() <= known or self.carveme is None or not draft.is_file():
            return {}
        whole = self._task("M9", {})
        return {
            policy: self._rates(_carveme(draft, self.medium(medium) if medium else "", self.media, Filling(whole)))
            for policy, medium in PEERS.items()
        }

    def costs(self, known: frozenset[str]) -> dict[str, dict[str, float]]:
        """Minus the cost of the cheapest fill for each source alone; minus infinity where nothing helps.

        What the own medium's fill added is free: every source needs it, and it costs the search most of its time.
        """
        if GRADED in known:
            return {}
        filling = self._filled(self.medium(OWN), {})
        base = read_media(self.media).uptakes(BASE, UPTAKE)
        assert base is not None
        network, present = filling.universe.network, frozenset({*filling.draft.reactions, *filling.added})
        found = {}
        for compound in self.own:
            cost = math.inf
            if f"EX_{compound}_e" in network.reactions:
                bounds = [exchange_bounds(network, {**base, compound: UPTAKE}, UPTAKE)]
                surcharge = filling.prices.against_energy
                try:
                    (way,) = fill_with_highs(
                        filling.universe, present, bounds, filling.costs, LEAST, filling.closed, surcharge
                    )
                    cost = way.cost
                except Infeasible:
                    pass
            found[compound] = -cost
        return {GRADED: found}

    def _task(self, medium: str, settings: Mapping[str, Any]) -> Task:
        config = complete({"media": str(self.media), "gapfill": dict(settings)})
        store = Store(self.project / "results")
        (path,) = (self.project / "results" / "drafts").rglob(f"{self.org_id}.parquet")
        row = {"genome_id": self.org_id, "medium": medium}
        shard = path.parent.name.partition("=")[2]
        return Task(self.org_id, shard, row, stage("gapfill").settings(config), Context(ROOT, config, store), "", "")

    def _filled(self, medium: str, settings: Mapping[str, Any]) -> Filling:
        """The stage's own filling; where no fill is possible the draft stays."""
        filling = Filling(self._task(medium, settings))
        if filling.task.parameters["gapfill.enabled"]:
            filling.take_up_vitamins(medium)
            try:
                filling.fill([medium])
            except GenomeError as error:
                print(f"{self.org_id}: {error}", flush=True)
        return filling

    def _closed(self, filling: Filling, network: Network, medium: str, closing: Closing) -> Network:
        suspects = without_gene(
            network, filling.draft.evidence.spontaneous if closing.spare_spontaneous else frozenset()
        )
        if closing.transporters_only:
            suspects &= crosses_membranes(network)
        if closing.shared_by is None:
            bounds = exchange_bounds(network, filling.uptakes(medium), UPTAKE)
            return shut(network, unneeded(network, suspects, [bounds], closing.growth_kept))
        base = filling.uptakes(BASE) or {}
        exchanged = [c for c in self.own if f"EX_{c}_e" in network.reactions]
        media = [exchange_bounds(network, {**base, c: UPTAKE}, UPTAKE) for c in exchanged]
        return shut(network, unneeded(network, suspects, media, closing.growth_kept, closing.shared_by))

    def _rates(self, network: Network) -> dict[str, float]:
        """Growth on each source above growth on the base alone, 0 where it cannot be taken up; and on two media."""
        media = read_media(self.media)
        base = media.uptakes(BASE, UPTAKE)
        assert base is not None
        on = with_bounds(network, exchange_bounds(network, base, UPTAKE))
        program = flux_program(on)
        index = {r: j for j, r in enumerate(on.reactions)}
        alone = _optimum(program)
        found = {}
        for compound in self.own:
            j = index.get(f"EX_{compound}_e")
            if j is None:
                found[compound] = 0.0
                continue
            program.set_bounds(j, -UPTAKE, float(on.upper[j]))
            found[compound] = max(0.0, _optimum(program) - alone)
            program.set_bounds(j, float(on.lower[j]), float(on.upper[j]))
        for medium in (OWN, "LB"):
            found[f"@{medium}"] = counted_growth(network, media.uptakes(self.medium(medium), UPTAKE), UPTAKE)[0]
        return found


def route_title(share: float) -> str:
    """The graded answer by the cheapest route."""
    return f"{ROUTE}, free what {share:.0%} of the routes share"


def read_labels(path: Path) -> Labels:
    """Organism to compound to whether it grows; columns org_id, bigg_id, growth."""
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
    rows = ["\t".join([POOLED, *line[1:]]) for line in base]
    rows += [f"{POOLED}\t{c}\t10\t" for c in compounds if c not in known]
    path = folder / "media.tsv"
    path.write_text(text + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def _optimum(program: LinearProgram) -> float:
    return program.objective if program.run() is Status.OPTIMAL else 0.0


def _carveme(path: Path, medium: str, media: Path, ours: Filling) -> Network:
    """CarveMe's draft, filled by its own engine where a medium is named, from the universe and scores of our draft."""
    network = read_sbml(path)
    if not medium:
        return network
    donor = universe_sbml(ours.draft.universe_name, ROOT / "resources" / "cache")
    whole = read_sbml(donor)
    bounds = exchange_bounds(whole, read_media(media).uptakes(medium, UPTAKE), UPTAKE)
    added = fill(donor, network.reactions, ours.draft.evidence.scores, bounds, LEAST, medium)
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
    growth: tuple[float | None, float | None] = (None, None)

    @property
    def mcc(self) -> float:
        """Of the calls."""
        return float(confusion(self.truth, self.calls).mcc)


def judge(truth: Labels, answers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Record]:
    """Records per policy and organism, macro averages, and the policy chosen by leaving one organism out."""
    judged: dict[str, dict[str, Judged]] = {}
    for policy, found in answers.items():
        graded = policy.startswith((GRADED, ROUTE))
        judged[policy] = {o: _graded(o, truth, found) if graded else _called(truth[o], found[o]) for o in truth}
    judged["always no growth"] = {
        o: Judged(list(t.values()), [False] * len(t), [0.0] * len(t)) for o, t in truth.items()
    }
    judged["compound majority of the other organisms"] = {o: _majority(o, truth) for o in truth}
    records = [record for policy, found in judged.items() for record in _measures(policy, found)]
    plain = [policy for policy in FILLS if policy in judged and policy != "no fill"]
    closed = [policy for policy in judged if policy.startswith(tuple(plain)) and policy not in plain]
    graded_ones = [policy for policy in judged if policy.startswith((GRADED, ROUTE))]
    for title, names in (
        ("fills", plain),
        ("fills and closings", plain + closed),
        ("all", plain + closed + graded_ones),
    ):
        records += _chosen(title, names, judged, truth)
    return records + [_difference(policy, judged) for policy in judged if DEFAULT in judged and policy != DEFAULT]


def _chosen(
    title: str, names: Sequence[str], judged: Mapping[str, Mapping[str, Judged]], truth: Labels
) -> list[Record]:
    """What the policy that is best on the other organisms says of each; the first of equals."""
    if len(truth) < 2 or not names:
        return []
    chosen = {}
    for org_id in truth:
        rest = [o for o in truth if o != org_id]
        chosen[org_id] = max(names, key=lambda name: round(float(np.mean([judged[name][o].mcc for o in rest])), 9))
    found = {org_id: judged[policy][org_id] for org_id, policy in chosen.items()}
    return [r | {"chosen": chosen} for r in _measures(f"chosen on the others: {title}", found)[-1:]]


def _difference(policy: str, judged: Mapping[str, Mapping[str, Judged]]) -> Record:
    """Macro MCC above the default's, with 95 % of organisms drawn with replacement."""
    ahead = {o: one.mcc - judged[DEFAULT][o].mcc for o, one in judged[policy].items()}
    low, high = macro_interval(ahead)
    macro = {"what": "growth phenotypes, above the default", "policy": policy, "organism": "macro", "unit": "MCC"}
    return macro | {"value": float(np.mean(list(ahead.values()))), "interval": [low, high]}


def _called(truth: Mapping[str, bool], found: Mapping[str, float]) -> Judged:
    rates = [found[c] for c in truth]
    growth = found.get(f"@{OWN}"), found.get("@LB")
    return Judged(list(truth.values()), [rate >= GROWS for rate in rates], rates, growth)


def _graded(org_id: str, truth: Labels, by_organism: Mapping[str, Mapping[str, float]]) -> Judged:
    """A cut on the grades that is best for the other organisms."""
    rest = [o for o in truth if o != org_id]
    cuts = sorted({by_organism[o][c] for o in rest for c in truth[o] if math.isfinite(by_organism[o][c])})
    cuts = cuts[:: max(1, len(cuts) // 200)] or [0.0]

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


def _measures(policy: str, found: Mapping[str, Judged]) -> list[Record]:
    records: list[Record] = []
    for org_id, one in found.items():
        counts = confusion(one.truth, one.calls)
        record = {"what": "growth phenotypes", "policy": policy, "organism": org_id, "value": counts.mcc, "unit": "MCC"}
        shares = {key: number(getattr(counts, key)) for key in ("sensitivity", "specificity", "accuracy")}
        shares |= {"auc": number(auc(one.truth, one.grades))}
        growth = dict(zip(("growth_own_medium", "growth_LB"), one.growth, strict=True))
        records.append(record | shares | {key: number(rate) for key, rate in growth.items() if rate is not None})
    keys = [key for key in records[0] if key not in ("what", "policy", "organism", "unit")]
    means = {key: float(np.mean([r[key] for r in records if r[key] is not None])) for key in keys}
    return [*records, {"what": "growth phenotypes", "policy": policy, "organism": "macro", "unit": "MCC"} | means]
