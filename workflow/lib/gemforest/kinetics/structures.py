"""Structures of metabolites: the shipped table and tables that a user adds.

`resources/compound_structures.tsv` has the columns of `COLUMNS`; a user's table needs `metabolite` and `smiles`, and
its rows come before the shipped ones. A metabolite is a BiGG id without compartment.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gemforest.config import WORKFLOW
from gemforest.errors import InputError

RESOURCE = WORKFLOW.parent / "resources" / "compound_structures.tsv"
COLUMNS = ("metabolite", "smiles", "inchikey", "source")

_CURRENCY = """
h h2o h2 o2 o2s h2o2 co2 hco3 nh4 pi ppi pppi so4 so3 no2 no3 h2s na1 k mg2 ca2 cl fe2 fe3 cu2 cu mn2 zn2
cobalt2 ni2 mobd atp adp amp gtp gdp gmp utp udp ump ctp cdp cmp itp idp imp datp dadp damp dttp dtdp dtmp nad
nadh nadp nadph fad fadh2 fmn fmnh2 coa accoa q8 q8h2 mqn8 mql8 2dmmq8 2dmmql8 fdxo_2_2 fdxrd fdxox flxso flxr
trdox trdrd grxox grxrd thf amet ahcys ACP apoACP focytc ficytc
"""
CURRENCY = frozenset(_CURRENCY.split())
"""Metabolites that so many reactions share that they say little about which: currencies, cofactors, ions, carriers."""


@dataclass(frozen=True)
class Structure:
    """One metabolite's structure; `inchikey` may be empty."""

    smiles: str
    inchikey: str
    source: str


def read_structures(tables: Iterable[Path] = (), shipped: Path | None = None) -> Mapping[str, Structure]:
    """Structures by metabolite, the user's tables first, in their order.

    Raises
    ------
    InputError
        A table cannot be read, lacks a column, or a structure is not one; every such line is named.
    """
    found = _read(shipped or RESOURCE, parse=False)
    for path in reversed(list(tables)):
        found |= _read(path, parse=True)
    return found


def _read(path: Path, parse: bool) -> dict[str, Structure]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader((line for line in handle if not line.startswith("#")), delimiter="\t")
            header, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table of structures: {error}") from None
    missing = [name for name in ("metabolite", "smiles") if name not in header]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} missing; expected tab-separated {', '.join(COLUMNS)}")
    problems: list[str] = []
    found: dict[str, Structure] = {}
    for line, row in enumerate(rows, start=2):
        metabolite = bare((row["metabolite"] or "").strip())
        smiles = (row["smiles"] or "").strip()
        problem = _problem(metabolite, smiles, found) if parse else ""
        if problem:
            problems.append(f"line {line}: {problem}")
        found[metabolite] = Structure(smiles, (row.get("inchikey") or "").strip(), (row.get("source") or "").strip())
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems[:50]))
    return found


def _problem(metabolite: str, smiles: str, found: Mapping[str, Structure]) -> str:
    from rdkit import Chem, rdBase

    if not metabolite:
        return "metabolite is empty; give a BiGG id such as glc__D"
    if metabolite in found and found[metabolite].smiles != smiles:
        return f"{metabolite} has another structure above; keep one"
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles else None
    if molecule is None or not molecule.GetNumAtoms():
        return f"smiles {smiles!r} of {metabolite} is no structure; expected SMILES such as OCC1OC(O)C(O)C(O)C1O"
    return ""


def bare(metabolite: str) -> str:
    """A BiGG id without prefix and compartment: `M_glc__D_c` and `glc__D` are the same."""
    text = metabolite.removeprefix("M_")
    base, _, last = text.rpartition("_")
    return base if base and last in {"c", "e", "p", "cx", "um", "u", "h", "m", "x", "r", "n", "g", "l", "v"} else text
