"""Make resources/reaction_energies.tsv: standard Gibbs energies of the universes' reactions, in BiGG's direction.

    python scripts/make_reaction_energies.py --source SHARED/thermo/derived_bigg_reaction_dG_EC_from_modelseed.tsv.gz

ModelSEED (CC BY 4.0; Seaver et al., Nucleic Acids Res. 49, D575, 2021) states energies by eQuilibrator (Beber et al.
2022) or, where that has none, by group contribution, each for its own writing of a reaction. Which way round BiGG
writes it is found from the compounds: ModelSEED's compounds are matched with BiGG's by the reactions that they share
(best match both ways, by the Jaccard index), then each reaction takes the sign on which its matched compounds agree. A
reaction whose compounds disagree, that moves matter across a membrane, or whose entry is obsolete or unbalanced, is
left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from gemforest.universe import UNIVERSES, load_universe

KJ_PER_KCAL = 4.184
PLACE = Path(__file__).resolve().parents[1] / "resources"
TERM = re.compile(r"\(([\d.eE+-]+)\) (cpd\d+)\[(\d)\]")
PROTON = "cpd00067"
LEAST_MATCHED = 2

Sides = dict[str, float]


def main() -> None:
    """Write the resource."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    source = parser.parse_args().source
    written = bigg_reactions()
    energies = [row for row in read_energies(source) if row[0] in written]
    match = compound_match([(written[reaction], sides) for reaction, sides, *_ in energies])
    rows = []
    for reaction, sides, energy, error, method in energies:
        sign = direction(written[reaction], sides, match)
        if sign:
            rows.append((reaction, f"{sign * energy:.2f}", f"{error:.2f}", method))
    best = {row[0]: row for row in sorted(rows, key=lambda row: (row[3] == "equilibrator", -float(row[2])))}
    with (PLACE / "reaction_energies.tsv").open("w", encoding="utf-8", newline="") as handle:
        handle.write("reaction\tdg_kj_per_mol\terror_kj_per_mol\tmethod\n")
        handle.writelines("\t".join(best[reaction]) + "\n" for reaction in sorted(best))
    print(f"{len(best)} reactions of {len(written)}; {len(energies)} entries, {len(match)} compounds matched")


def bigg_reactions() -> dict[str, Sides]:
    """Reaction of any universe to its compounds without compartment; those that cross a membrane are left out."""
    found: dict[str, Sides] = {}
    for name in UNIVERSES:
        network = load_universe(name, PLACE / "cache").network
        for j, reaction in enumerate(network.reactions):
            part = slice(network.stoichiometry.indptr[j], network.stoichiometry.indptr[j + 1])
            rows = network.stoichiometry.indices[part]
            if len(rows) < 2 or len({network.compartments[i] for i in rows}) > 1:
                continue
            values = network.stoichiometry.data[part]
            found[reaction] = {
                network.metabolites[i].rsplit("_", 1)[0]: float(v) for i, v in zip(rows, values, strict=True)
            }
    return found


def read_energies(path: Path) -> list[tuple[str, Sides, float, float, str]]:
    """(BiGG reaction, compounds, kJ/mol, error, method) of every usable entry."""
    entries = []
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            if row["is_obsolete"] != "0" or "OK" not in row["status"]:
                continue
            left, _, right = re.split(r"(<=>|=>|<=)", row["equation"])
            sides: Sides = defaultdict(float)
            places = set()
            for sign, text in ((-1.0, left), (1.0, right)):
                for count, compound, place in TERM.findall(text):
                    sides[compound] += sign * float(count)
                    places.add(place)
            energy = usable_energy(row)
            if energy is not None and len(places) == 1:
                entries.append((row["bigg_reaction"], {c: v for c, v in sides.items() if v}, *energy))
    return entries


def usable_energy(row: dict[str, str]) -> tuple[float, float, str] | None:
    """EQuilibrator's energy where there is one, else group contribution's, in kJ/mol."""
    for energy, error, method in (
        (row["dG_equilibrator_kcal"], row["dG_eq_err"], "equilibrator"),
        (row["dG_groupcontribution_kcal"], row["dG_gc_err"], "group_contribution"),
    ):
        try:
            value, uncertainty = float(energy), float(error)
        except ValueError:
            continue
        # 10,000,000 is ModelSEED's «unknown»
        if abs(value) < 1e4 and 0 <= uncertainty < 1e4 and np.isfinite(value):
            return value * KJ_PER_KCAL, uncertainty * KJ_PER_KCAL, method
    return None


def compound_match(pairs: list[tuple[Sides, Sides]]) -> dict[str, str]:
    """ModelSEED compound to BiGG compound, best match both ways over the reactions that both write."""
    together: Counter[tuple[str, str]] = Counter()
    seed: Counter[str] = Counter()
    bigg: Counter[str] = Counter()
    for bigg_sides, seed_sides in pairs:
        seed.update(seed_sides.keys())
        bigg.update(bigg_sides.keys())
        together.update(
            (c, b) for c, v in seed_sides.items() for b, w in bigg_sides.items() if abs(abs(v) - abs(w)) < 1e-9
        )
    share = {(c, b): n / (seed[c] + bigg[b] - n) for (c, b), n in together.items()}
    best_bigg: dict[str, tuple[float, str]] = {}
    best_seed: dict[str, tuple[float, str]] = {}
    for (c, b), value in share.items():
        best_bigg[c] = max(best_bigg.get(c, (0.0, "")), (value, b))
        best_seed[b] = max(best_seed.get(b, (0.0, "")), (value, c))
    return {c: b for c, (value, b) in best_bigg.items() if value > 0.5 and best_seed[b][1] == c}


def direction(bigg_sides: Sides, seed_sides: Sides, match: dict[str, str]) -> int:
    """1 or -1: how BiGG's writing relates to ModelSEED's; 0 where that is not sure."""
    signs = [
        np.sign(value * bigg_sides[match[compound]])
        for compound, value in seed_sides.items()
        if compound != PROTON and match.get(compound) in bigg_sides
    ]
    return int(signs[0]) if len(signs) >= LEAST_MATCHED and len(set(signs)) == 1 else 0


if __name__ == "__main__":
    main()
