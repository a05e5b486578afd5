"""Make `resources/screen_compounds.tsv`: which compounds each growth screen tries.

Sources of an element are all compounds with an exchange in one of CarveMe's universes whose formula holds the element
and nothing but C, H, N, O, P and S (for carbon: also hydrogen, and not bicarbonate). Nutrients for auxotrophy and
fermentation products are the lists below; those that no universe exchanges are left out.

    python scripts/make_screen_compounds.py
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

from gemforest.universe import UNIVERSES, load_universe

PROJECT = Path(__file__).resolve().parents[1]
ELEMENTS = {"carbon": "C", "nitrogen": "N", "phosphorus": "P", "sulfur": "S"}
ORGANIC = frozenset("CHNOPS")
AUXOTROPHY = [
    "ala__L",
    "arg__L",
    "asn__L",
    "asp__L",
    "cys__L",
    "gln__L",
    "glu__L",
    "gly",
    "his__L",
    "ile__L",
    "leu__L",
    "lys__L",
    "met__L",
    "phe__L",
    "pro__L",
    "ser__L",
    "thr__L",
    "trp__L",
    "tyr__L",
    "val__L",
    "thm",
    "ribflv",
    "nac",
    "ncam",
    "pnto__R",
    "pydxn",
    "pydx",
    "pydam",
    "btn",
    "fol",
    "4abz",
    "cbl1",
    "lipoate",
    "ptrc",
    "spmd",
    "ade",
    "gua",
    "hxan",
    "ura",
    "thymd",
    "pheme",
    "chol",
    "inost",
]
PRODUCTS = [
    "ac",
    "for",
    "lac__D",
    "lac__L",
    "etoh",
    "succ",
    "ppa",
    "but",
    "btoh",
    "acetone",
    "h2",
    "co2",
    "ch4",
    "meoh",
    "13ppd",
    "12ppd__R",
    "12ppd__S",
    "acald",
    "actn__R",
    "btd_RR",
    "diact",
    "pyr",
    "fum",
    "mal__L",
    "ala__L",
    "glyclt",
    "h2s",
    "nh4",
    "hxa",
    "isobuta",
    "ibt",
    "3mb",
    "2mba",
    "pta",
    "4abut",
    "ptrc",
    "cadav",
    "indole",
    "tma",
    "dms",
    "glyc",
    "ppoh",
    "1poh",
    "2ppoh",
    "ala__B",
    "urea",
    "hco3",
    "no2",
    "n2",
    "n2o",
]


def main() -> None:
    """Write the table."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--cache", type=Path, default=PROJECT / "resources" / "cache")
    compounds = exchanged_compounds(arguments.parse_args().cache)
    rows = [
        (screen, compound, *compounds[compound])
        for screen, element in ELEMENTS.items()
        for compound in sorted(compounds)
        if is_source(element, compound, compounds[compound][1])
    ]
    for screen, names in (("auxotrophy", AUXOTROPHY), ("product", PRODUCTS)):
        rows += [(screen, compound, *compounds[compound]) for compound in names if compound in compounds]
    with (PROJECT / "resources" / "screen_compounds.tsv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(("screen", "compound", "name", "formula"))
        writer.writerows(rows)


def exchanged_compounds(cache: Path) -> dict[str, tuple[str, str]]:
    """Compound with an exchange in any universe, to its name and formula."""
    found: dict[str, tuple[str, str]] = {}
    for universe in UNIVERSES:
        network = load_universe(universe, cache).network
        for j, reaction in enumerate(network.reactions):
            if reaction.startswith("EX_") and reaction.endswith("_e"):
                i = network.stoichiometry.indices[network.stoichiometry.indptr[j]]
                found.setdefault(reaction[3:-2], (network.metabolite_names[i], network.formulas[i]))
    return found


def is_source(element: str, compound: str, formula: str) -> bool:
    """Whether a compound is tried as a source of an element."""
    elements = set(re.findall("[A-Z][a-z]*", formula))
    if element not in elements or not elements <= ORGANIC:
        return False
    return element != "C" or ("H" in elements and compound != "hco3")


if __name__ == "__main__":
    main()
