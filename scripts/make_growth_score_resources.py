#!/usr/bin/env python
"""Write `resources/scored_compounds.tsv` and `resources/base_reactions.tsv`, on which the growth score rests.

    python scripts/make_growth_score_resources.py --labels carbon_growth_dev.tsv

Scored compounds are the carbon sources of CarveMe's Biolog tables and of the development table (names only). Base
reactions of a universe are those on at least 30 % of the routes of these compounds when every reaction has the same
price: what most sources need anyway.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from gemforest.carveme_files import carveme_data
from gemforest.evaluation.labels import compound_id, read_rows
from gemforest.simulate.growth_score import base_path, common_path, finder_of
from gemforest.universe import UNIVERSES, load_universe

NEEDED_BY = 0.3
EXCHANGE_PRICE = 0.05


def main() -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="a table with a column bigg_id")
    parser.add_argument("--cache", type=Path, default=Path("resources/cache"), help="compiled universes")
    parsed = parser.parse_args()
    compounds = tried(parsed.labels)
    common_path().write_text("compound\n" + "".join(f"{compound}\n" for compound in compounds), encoding="utf-8")
    lines = ["universe\treaction\n"]
    for name in UNIVERSES:
        reactions = base_reactions(name, parsed.cache, compounds)
        lines += [f"{name}\t{reaction}\n" for reaction in reactions]
        print(f"{name}: {len(reactions)} base reactions", file=sys.stderr)
    base_path().write_text("".join(lines), encoding="utf-8")
    return 0


def tried(labels: Path) -> list[str]:
    """Compounds of all tables, sorted."""
    found = {compound_id(row["bigg_id"]) for _, row in read_rows(labels, ["bigg_id"])}
    for path in sorted(carveme_data("benchmark/biolog").glob("*/biolog_carbon.tsv")):
        with path.open(encoding="utf-8") as handle:
            found |= {row["bigg_id"] for row in csv.DictReader(handle, delimiter="\t")}
    return sorted(found - {""})


def base_reactions(universe_name: str, cache: Path, compounds: list[str]) -> list[str]:
    """Reactions of most routes through a universe, in its order."""
    universe = load_universe(universe_name, cache)
    finder = finder_of(universe, compounds)
    finder.price(np.where(universe.network.exchanges, EXCHANGE_PRICE, 1.0))
    routes = [route for compound in compounds if (route := finder.route(compound)) is not None]
    uses = Counter(int(j) for route in routes for j in route.reactions)
    needed = [j for j in sorted(uses) if uses[j] >= NEEDED_BY * len(routes)]
    return [universe.network.reactions[j] for j in needed if not universe.network.exchanges[j]]


if __name__ == "__main__":
    sys.exit(main())
