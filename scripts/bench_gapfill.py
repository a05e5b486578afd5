"""Gap-filling: beside CarveMe with SCIP, after reactions were taken away, and by measured growth.

    python scripts/bench_gapfill.py --project FOLDER [--quick] [--only fills|recovery] [--json FILE]
    python scripts/bench_gapfill.py --only policies --project FOLDER --labels TSV [--carveme FOLDER] [--answers JSON]

FOLDER is a project whose drafts are done (`gemforest run`): the shipped six proteomes, or for `policies` the
organisms of the labels (`gemforest evaluate growth` leaves such a project). `fills`: every draft on every medium of
CarveMe's benchmark, both engines on the same draft with the same costs (1 per reaction, less by CarveMe's score).
`recovery`: 5, 20 and 50 reactions taken at random from iJO1366 and two drafts, and looked for in the whole universe,
with and without evidence. `policies`: which fill answers growth best (`scripts/gapfill_policies.py`).
Seconds are CPU seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from gapfill_policies import policies
from scipy.sparse import coo_array, csc_array

from gemforest.energy import free_atp, universe_closed_directions
from gemforest.errors import GenomeError
from gemforest.fluxes import with_bounds
from gemforest.gapfill import Draft, counted_growth, fill_with_highs, read_draft, without_cycles
from gemforest.gapfill.carveme_engine import fill
from gemforest.gapfill.costs import CARVEME, Evidence, addition_costs
from gemforest.gapfill.filling import Infeasible, Problem, cheapest_fill
from gemforest.lp import LinearProgram
from gemforest.media import exchange_bounds, read_media
from gemforest.models import Network
from gemforest.stage import Context
from gemforest.store import Store
from gemforest.universe import read_sbml, subnetwork, universe_sbml

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "resources" / "cache"
MEDIA = ("M9", "ShewMM", "LB", "LB[-O2]", "M9[-O2]", "M9[DL-lac]", "M9[glyc]", "M9[succ]")
OWN = {
    "Ecoli_K12_MG1655": ("M9", "LB"),
    "Bsubtilis_168": ("M9", "LB"),
    "Paeruginosa_PAO1": ("M9[succ]", "LB"),
    "Rsolanacearum_GMI1000": ("M9", "M9[glyc]"),
    "Soneidensis_MR1": ("ShewMM", "M9[DL-lac]"),
}
# M. genitalium lives on rich media only; elsewhere its fill is no gap-filling but another organism.
RICH_ONLY = {"M_genitalium_G37": ("LB", "LB[-O2]")}
RECOVERED = ("Ecoli_K12_MG1655", "Bsubtilis_168")
UPTAKE, LEAST_GROWTH = 10.0, 0.05
Record = dict[str, Any]


def main() -> None:
    """Run what is asked for and print or write the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="project whose drafts are done")
    parser.add_argument("--quick", action="store_true", help="two proteomes, three media, one seed")
    parser.add_argument("--only", choices=["fills", "recovery", "policies"])
    parser.add_argument("--own", action="store_true", help="fills: two media per genome, its benchmark's first")
    parser.add_argument("--genome", help="fills: this one only")
    parser.add_argument("--no-peer", action="store_true", help="fills: ours only (SCIP may use up its ten minutes)")
    parser.add_argument("--labels", type=Path, help="policies: TSV with org_id, bigg_id, growth")
    parser.add_argument("--carveme", type=Path, help="policies: folder of CarveMe's drafts, ORG_ID.xml")
    parser.add_argument("--answers", type=Path, help="policies: JSON that keeps every answer; taken up again")
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    drafts = read_drafts(parsed.project)
    records: list[Record] = []
    if parsed.only in (None, "fills"):
        # M. genitalium last: on its rich media CarveMe's search may use up its ten minutes
        for name in sorted(drafts, key=lambda name: (name in RICH_ONLY, name))[: 2 if parsed.quick else None]:
            if parsed.genome not in (None, name):
                continue
            media = OWN.get(name, MEDIA) if parsed.own else MEDIA[: 3 if parsed.quick else None]
            for medium in RICH_ONLY.get(name, media):
                found = fills(name, drafts[name], medium, not parsed.no_peer)
                records += found
                print("\n".join(map(json.dumps, found)), flush=True)
    if parsed.only in (None, "recovery"):
        records += recovery(drafts, range(1 if parsed.quick else 5))
    if parsed.only == "policies":
        if parsed.labels is None:
            parser.error("policies needs --labels")
        records += policies(parsed.project, parsed.labels, parsed.carveme, parsed.answers, parsed.quick)
    if parsed.only != "fills":
        print("\n".join(map(json.dumps, records)))
    if parsed.json:
        text = json.dumps({"machine": platform.platform(), "records": records}, indent=1) + "\n"
        parsed.json.write_text(text, encoding="utf-8")


def read_drafts(project: Path) -> dict[str, Draft]:
    """Genome to its draft."""
    store, found = Store(project / "results"), {}
    context = Context(ROOT, {}, store)
    for path in sorted((project / "results" / "drafts").rglob("*.parquet")):
        name, shard = path.stem, path.parent.name.partition("=")[2]
        if store.read("drafts", shard, name).num_rows:
            tables = (store.read(table, shard, name) for table in ("draft_reactions", "drafts", "reaction_scores"))
            found[name] = read_draft(*tables, context)
    return found


def fills(name: str, draft: Draft, medium: str, with_peer: bool) -> list[Record]:
    """One draft on one medium, both engines or ours alone."""
    universe, present = draft.universe, frozenset(draft.reactions)
    limits = read_media(ROOT / "config" / "media.tsv").uptakes(medium, UPTAKE)
    bounds = exchange_bounds(universe.network, limits, UPTAKE)
    costs = addition_costs(universe.network.reactions, Evidence(draft.evidence.scores, {}), {}, CARVEME)
    closed = universe_closed_directions(universe, CACHE)
    sbml = universe_sbml(draft.universe_name, CACHE)
    on = {"genome": name, "medium": medium}
    started = time.process_time()
    try:
        (way,) = fill_with_highs(universe, present, [bounds], costs, LEAST_GROWTH, closed)
        ours: frozenset[str] | None = frozenset(way.reactions)
    except Infeasible:
        ours = None
    between = time.process_time()
    peer: frozenset[str] | None = None
    try:
        if with_peer:
            peer = fill(sbml, draft.reactions, draft.evidence.scores, bounds, LEAST_GROWTH, medium)
    except GenomeError:
        pass
    ended = time.process_time()
    on_peer = on | ({"peer": "CarveMe 1.6.6, SCIP"} if with_peer else {})
    seconds = on_peer | {
        "what": "CPU",
        "value": between - started,
        "unit": "s",
        "peer_value": ended - between if with_peer else None,
    }
    if ours is None:
        return [
            on_peer
            | {"what": "infeasible", "value": 1, "unit": "", "peer_value": int(peer is None) if with_peer else None},
            seconds,
        ]
    paid = [None if added is None else sum(costs[r] for r in added - present) for added in (ours, peer)]
    size = None if peer is None else len(peer)
    filled = without_cycles(subnetwork(universe, [*draft.reactions, *sorted(ours - present)], {}, name), closed)
    rate, without = counted_growth(filled, limits, UPTAKE)
    return [
        on_peer | {"what": "cost of the fill", "value": paid[0], "unit": "", "peer_value": paid[1]},
        on_peer | {"what": "reactions added", "value": len(ours), "unit": "", "peer_value": size},
        seconds,
        on | {"what": "growth", "value": rate, "unit": "h^-1"},
        on | {"what": "growth without carbon source", "value": without, "unit": "h^-1"},
        on | {"what": "free ATP", "value": free_atp(filled)[0], "unit": "mmol/gDW/h"},
        on
        | {
            "what": "growth of CarveMe's fill within its own bounds",
            "value": _peer_rate(draft, peer, limits),
            "unit": "h^-1",
        },
    ]


def _peer_rate(draft: Draft, peer: frozenset[str] | None, limits: Mapping[str, float] | None) -> float | None:
    """Growth of what CarveMe's fill returned, without any big-M."""
    if peer is None:
        return None
    return counted_growth(subnetwork(draft.universe, [*{*draft.reactions, *peer}], {}, ""), limits, UPTAKE)[0]


# -- reactions taken away ----------------------------------------------------------------------------------------------


def recovery(drafts: Mapping[str, Draft], seeds: range) -> list[Record]:
    """Reactions taken from growing models at random, and what comes back from the whole universe.

    Exact recovery: of the fewest removed reactions that would restore growth, the share that is in the fill. Functional
    recovery: growth after the fill over growth before.
    """
    records: list[Record] = []
    limits = read_media(ROOT / "config" / "media.tsv").uptakes("M9", UPTAKE)
    coli = drafts[RECOVERED[0]]
    union = _union(_ijo1366(), coli.universe.network)
    whole = [("iJO1366", union, _ijo1366().reactions, coli.evidence.scores)]
    for name in RECOVERED:
        draft = drafts[name]
        closed = universe_closed_directions(draft.universe, CACHE)
        network = without_cycles(draft.universe.network, closed)
        bounds = [exchange_bounds(network, limits, UPTAKE)]
        costs = addition_costs(network.reactions, Evidence(draft.evidence.scores, {}), {}, CARVEME)
        (way,) = fill_with_highs(draft.universe, frozenset(draft.reactions), bounds, costs, LEAST_GROWTH, closed)
        whole.append((name, network, (*draft.reactions, *way.reactions), draft.evidence.scores))
    for name, network, reactions, scores in whole:
        on = with_bounds(network, exchange_bounds(network, limits, UPTAKE))
        for count in (5, 20, 50):
            for seed in seeds:
                records += _recover(name, on, frozenset(reactions), scores, count, seed)
    return records


def _recover(
    name: str, network: Network, reactions: frozenset[str], scores: Mapping[str, float], count: int, seed: int
) -> list[Record]:
    inside = np.array([r in reactions for r in network.reactions])
    kept = network.exchanges | (network.objective != 0.0) | np.array([r == "ATPM" for r in network.reactions])
    removed = np.random.default_rng(seed).choice(np.flatnonzero(inside & ~kept), count, replace=False)
    gone = np.isin(np.arange(len(inside)), removed)
    flat = np.ones(len(inside))
    by_score = np.array([1.0 / (1.0 + max(0.0, scores.get(r, 0.0))) for r in network.reactions])
    needed = _cheapest(network, inside & ~gone, gone, flat)
    before = _rate(network, inside)
    records = []
    for evidence, costs in (("without", flat), ("with", by_score)):
        started = time.process_time()
        found = _cheapest(network, inside & ~gone, ~inside | gone, costs)
        seconds = time.process_time() - started
        after = _rate(network, (inside & ~gone) | np.isin(np.arange(len(inside)), list(found)))
        share = len(found & needed) / len(needed) if needed else None
        records.append(
            {
                "what": "recovery",
                "model": name,
                "removed": count,
                "seed": seed,
                "evidence": evidence,
                "needed": len(needed),
                "value": share,
                "unit": "share of the needed that came back",
                "from_removed": len(found & set(removed.tolist())),
                "size": len(found),
                "growth_over_before": after / before,
                "cpu_s": seconds,
            }
        )
    return records


def _cheapest(network: Network, present: np.ndarray, candidates: np.ndarray, costs: np.ndarray) -> frozenset[int]:
    able = present | candidates
    lower, upper = np.where(able, network.lower, 0.0), np.where(able, network.upper, 0.0)
    problem = Problem(
        network.stoichiometry, lower[None, :], upper[None, :], network.biomass, candidates, costs, LEAST_GROWTH
    )
    return frozenset(cheapest_fill(problem).added)


def _rate(network: Network, present: np.ndarray) -> float:
    lower, upper = np.where(present, network.lower, 0.0), np.where(present, network.upper, 0.0)
    program = LinearProgram(network.stoichiometry, lower, upper, costs=network.objective, maximize=True)
    return program.solve().objective


def _ijo1366() -> Network:
    content = resources.files("cobra.data").joinpath("iJO1366.xml.gz").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "iJO1366.xml"
        path.write_bytes(gzip.decompress(content))
        return read_sbml(path)


def _union(first: Network, second: Network) -> Network:
    """Both networks by BiGG ids; where both have a reaction the first one's holds, as do its objective and bounds."""
    names = list(dict.fromkeys([*first.metabolites, *second.metabolites]))
    row_of = {m: i for i, m in enumerate(names)}
    # The other's biomass is no reaction of a cell.
    taken = [
        j
        for j, r in enumerate(second.reactions)
        if r not in set(first.reactions) and second.objective[j] == 0.0 and not r.startswith("Growth")
    ]
    parts = []
    for network, columns, offset in ((first, None, 0), (second, taken, len(first.reactions))):
        matrix = (network.stoichiometry if columns is None else network.stoichiometry[:, columns]).tocoo()
        rows = np.array([row_of[m] for m in network.metabolites])[matrix.coords[0]]
        parts.append((matrix.data, rows, matrix.coords[1] + offset))
    data, rows, columns_of = (np.concatenate(part) for part in zip(*parts, strict=True))
    n = len(first.reactions) + len(taken)
    more = len(names) - len(first.metabolites)
    nothing = ("",) * len(taken)
    return replace(
        first,
        metabolites=tuple(names),
        reactions=(*first.reactions, *(second.reactions[j] for j in taken)),
        stoichiometry=csc_array(coo_array((data, (rows, columns_of)), shape=(len(names), n))),
        lower=np.concatenate([first.lower, second.lower[taken]]),
        upper=np.concatenate([first.upper, second.upper[taken]]),
        objective=np.concatenate([first.objective, np.zeros(len(taken))]),
        gprs=(*first.gprs, *nothing),
        reaction_names=(*first.reaction_names, *nothing),
        metabolite_names=(*first.metabolite_names, *("",) * more),
        formulas=(*first.formulas, *("",) * more),
        charges=(*first.charges, *(None,) * more),
        compartments=tuple(m.rpartition("_")[2] for m in names),
    )


if __name__ == "__main__":
    main()
