"""Gap-filling beside CarveMe with SCIP: same drafts, same costs; and iJO1366 after reactions were taken from it.

    python scripts/bench_gapfill.py --hits FOLDER [--quick] [--only fills|removal] [--json FILE]

`fills` carves the shipped proteomes from DIAMOND hits (FOLDER/NAME.faa.tsv, DIAMOND's 12 standard columns) and fills
each on its medium with both engines. `removal` takes 5, 20 and 50 reactions from iJO1366; the removed ones are the only
candidates and cost 1 each, so it shows that the fill restores growth and how few it needs. Seconds are CPU seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from gemforest.draft.highs_engine import carve
from gemforest.draft.problem import CarvingOptions
from gemforest.energy import free_atp, universe_closed_directions
from gemforest.evidence.scores import load_rules, score_reactions
from gemforest.fluxes import growth
from gemforest.gapfill import fill, fill_with_highs
from gemforest.gapfill.filling import Problem, cheapest_fill
from gemforest.media import exchange_bounds, read_media
from gemforest.universe import load_universe, read_sbml, subnetwork, universe_sbml

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "resources" / "cache"
GENOMES = {
    "Ecoli_K12_MG1655": ("gramneg", "M9"),
    "Soneidensis_MR1": ("gramneg", "ShewMM"),
    "Bsubtilis_168": ("grampos", "M9"),
    "Paeruginosa_PAO1": ("gramneg", "M9"),
    "Rsolanacearum_GMI1000": ("gramneg", "M9"),
    "M_genitalium_G37": ("bacteria", "complete"),
}
UPTAKE, LEAST_GROWTH = 10.0, 0.05
Record = dict[str, Any]


def main() -> None:
    """Run what is asked for and print or write the records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hits", type=Path)
    parser.add_argument("--quick", action="store_true", help="two proteomes, one seed")
    parser.add_argument("--only", choices=["fills", "removal"])
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    records: list[Record] = []
    if parsed.only != "removal":
        if parsed.hits is None:
            parser.error("fills needs --hits FOLDER")
        for name in list(GENOMES)[:2] if parsed.quick else GENOMES:
            records += fills(name, parsed.hits)
    if parsed.only != "fills":
        records += removal(range(1) if parsed.quick else range(5))
    text = json.dumps({"machine": platform.platform(), "records": records}, indent=1)
    print(text)
    if parsed.json:
        parsed.json.write_text(text + "\n", encoding="utf-8")


def fills(name: str, hits: Path) -> list[Record]:
    """Both engines on one proteome's draft and medium."""
    universe_name, medium = GENOMES[name]
    universe = load_universe(universe_name, CACHE)
    rows = [line.split("\t") for line in (hits / f"{name}.faa.tsv").read_text().splitlines() if line[:1] != "#"]
    genes, targets = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    scored = score_reactions(
        load_rules(universe.network.reactions), genes, targets, np.array([float(row[-1]) for row in rows])
    )
    scores = {score.reaction: score.normalized_score for score in scored}
    draft = tuple(sorted(carve(universe, scores, CarvingOptions(default_score=-1.0)).reactions))
    limits = read_media(ROOT / "config" / "media.tsv").uptakes(medium, UPTAKE)
    bounds = exchange_bounds(universe.network, limits, UPTAKE)
    closed = universe_closed_directions(universe, CACHE)
    started = time.process_time()
    ours = fill_with_highs(universe, draft, scores, bounds, LEAST_GROWTH, medium, closed)
    between = time.process_time()
    peer = fill(universe_sbml(universe_name, CACHE), draft, scores, bounds, LEAST_GROWTH, medium)
    ended = time.process_time()
    filled = subnetwork(universe, [*draft, *sorted(ours - set(draft))], {}, name)
    rate = growth(filled, exchange_bounds(filled, limits, UPTAKE))[1]
    paid = [sum(1.0 / (1.0 + scores.get(r, 0.0)) for r in added - set(draft)) for added in (ours, peer)]
    on = {"genome": name, "medium": medium, "peer": "CarveMe 1.6.6, SCIP"}
    return [
        on | {"what": "cost of the fill", "value": paid[0], "unit": "", "peer_value": paid[1]},
        on | {"what": "reactions added", "value": len(ours), "unit": "", "peer_value": len(peer)},
        on | {"what": "CPU", "value": between - started, "unit": "s", "peer_value": ended - between},
        {"genome": name, "medium": medium, "what": "growth", "value": rate, "unit": "h^-1"},
        {"genome": name, "medium": medium, "what": "free ATP", "value": free_atp(filled)[0], "unit": "mmol/gDW/h"},
    ]


def removal(seeds: range) -> list[Record]:
    """Reactions taken from iJO1366 at random, and what comes back."""
    import tempfile

    content = resources.files("cobra.data").joinpath("iJO1366.xml.gz").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "iJO1366.xml"
        path.write_bytes(gzip.decompress(content))
        network = read_sbml(path)
    ends = network.exchanges | (network.objective != 0.0) | np.array([r == "ATPM" for r in network.reactions])
    records: list[Record] = []
    for count in (5, 20, 50):
        for seed in seeds:
            removed = np.random.default_rng(seed).choice(np.flatnonzero(~ends), count, replace=False)
            candidates = np.zeros(len(network.reactions), dtype=bool)
            candidates[removed] = True
            problem = Problem(
                network.stoichiometry,
                network.lower[None, :],
                network.upper[None, :],
                network.biomass,
                candidates,
                np.ones(len(network.reactions)),
                LEAST_GROWTH,
            )
            # iJO1366's own bounds: glucose 10, oxygen open
            started = time.process_time()
            found = cheapest_fill(problem)
            seconds = time.process_time() - started
            kept = [r for j, r in enumerate(network.reactions) if not candidates[j] or j in found.added]
            lower = [i for i, r in enumerate(network.reactions) if r in set(kept)]
            rest = subnetwork_of(network, lower)
            where = {"model": "iJO1366", "removed": count, "seed": seed}
            records += [
                where | {"what": "size of the fill", "value": len(found.added), "unit": ""},
                where | {"what": "growth after", "value": growth(rest)[1], "unit": "h^-1"},
                where | {"what": "CPU", "value": seconds, "unit": "s"},
            ]
    return records


def subnetwork_of(network: Any, columns: list[int]) -> Any:
    """The network without the other reactions; all metabolites stay."""
    from dataclasses import replace

    return replace(
        network,
        reactions=tuple(network.reactions[j] for j in columns),
        stoichiometry=network.stoichiometry[:, columns],
        lower=network.lower[columns],
        upper=network.upper[columns],
        objective=network.objective[columns],
        gprs=tuple(network.gprs[j] for j in columns),
        reaction_names=tuple(network.reaction_names[j] for j in columns),
    )


if __name__ == "__main__":
    main()
