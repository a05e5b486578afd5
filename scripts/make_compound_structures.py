"""Make resources/compound_structures.tsv: structures of the universes' metabolites.

    python scripts/make_compound_structures.py --data SHARED/kinetics/kcatnet_train_valid.parquet

CarveMe's universes have InChIKeys for part of their metabolites, and no SMILES. A substrate of the training table
whose InChIKey (RDKit's) is a metabolite's gives that its structure. How the keys agree is the source of each row:
`inchikey` the whole key, `inchikey_uncharged` all but the charge, `inchikey_skeleton` the first 14 letters, where
stereochemistry or isotopes differ or are not drawn. Prints which share of metabolites and reactions is covered.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd
from rdkit import Chem, RDLogger

from gemforest.kinetics.structures import COLUMNS, CURRENCY
from gemforest.universe import UNIVERSES, load_universe, universe_path

PLACE = Path(__file__).resolve().parents[1] / "resources"
SPECIES = re.compile(r'<species [^>]*?id="M_([^"]+)"')
INCHIKEY = re.compile(r"inchikey/([A-Z]{14}-[A-Z]{10}-[A-Z])")
FITS = ("inchikey", "inchikey_uncharged", "inchikey_skeleton")


def main() -> None:
    """Write the resource and print its coverage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="training table with a column `smiles`")
    parser.add_argument("--out", type=Path, default=PLACE / "compound_structures.tsv")
    parsed = parser.parse_args()
    keys: dict[str, set[str]] = defaultdict(set)
    for name in UNIVERSES:
        for metabolite, found in universe_inchikeys(universe_path(name)).items():
            keys[metabolite] |= found
    known = substrates(parsed.data)
    rows = {metabolite: row for metabolite, found in keys.items() if (row := best(found, known))}
    with parsed.out.open("w", encoding="utf-8", newline="") as handle:
        handle.write("\t".join(COLUMNS) + "\n")
        handle.writelines(f"{metabolite}\t" + "\t".join(rows[metabolite]) + "\n" for metabolite in sorted(rows))
    print(f"{len(known)} structures; {len(rows)} metabolites, {dict(Counter(row[2] for row in rows.values()))}")
    for name in UNIVERSES:
        print(name, coverage(name, set(keys), set(rows)))


def universe_inchikeys(path: Path) -> dict[str, set[str]]:
    """Metabolite without compartment to the InChIKeys that a universe's annotation gives it."""
    found: dict[str, set[str]] = defaultdict(set)
    metabolite = ""
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            if match := SPECIES.search(line):
                metabolite = match.group(1).rsplit("_", 1)[0]
            elif "<listOfReactions" in line:
                break
            found[metabolite].update(INCHIKEY.findall(line))
    return {metabolite: keys for metabolite, keys in found.items() if metabolite and keys}


def substrates(path: Path) -> dict[str, tuple[str, str]]:
    """InChIKey of each substrate of the table to (canonical SMILES, InChIKey)."""
    RDLogger.DisableLog("rdApp.*")
    found = {}
    for smiles in sorted(set(pd.read_parquet(path, columns=["smiles"]).smiles)):
        molecule = Chem.MolFromSmiles(smiles)
        key = Chem.MolToInchiKey(molecule) if molecule is not None else ""
        if key:
            found[key] = (Chem.MolToSmiles(molecule), key)
    return found


def best(keys: set[str], known: dict[str, tuple[str, str]]) -> tuple[str, str, str] | None:
    """(SMILES, InChIKey, source) of the structure that agrees best with any of a metabolite's keys."""
    candidates = []
    for key, (smiles, own) in known.items():
        for wanted in keys:
            if key[:14] == wanted[:14]:
                rank = 0 if key == wanted else 1 if key[:25] == wanted[:25] else 2
                # Of several that agree as well, one with its stereochemistry drawn, then the first.
                candidates.append((rank, own[15:25].startswith("UHFFFAOYSA"), own, smiles))
    if not candidates:
        return None
    rank, _, own, smiles = min(candidates)
    return smiles, own, FITS[rank]


def coverage(name: str, keyed: set[str], covered: set[str]) -> str:
    """Shares of a universe's metabolites and non-exchange reactions that have a structure."""
    network = load_universe(name, PLACE / "cache").network
    bases = [metabolite.rsplit("_", 1)[0] for metabolite in network.metabolites]
    reactions = with_structure = 0
    for j in range(len(network.reactions)):
        rows = network.stoichiometry.indices[network.stoichiometry.indptr[j] : network.stoichiometry.indptr[j + 1]]
        if len(rows) < 2:
            continue
        reactions += 1
        with_structure += any(bases[i] in covered and bases[i] not in CURRENCY for i in rows)
    every = set(bases)
    return (
        f"{len(every & covered)} of {len(every)} metabolites ({len(every & keyed)} with an InChIKey), "
        f"{with_structure} of {reactions} reactions ({with_structure / reactions:.1%}) with one that is no currency"
    )


if __name__ == "__main__":
    main()
