"""Structures of metabolites: the shipped table, tables of the user."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from gemforest.errors import InputError
from gemforest.kinetics.structures import CURRENCY, bare, read_structures


def test_every_shipped_structure_is_one_and_has_its_inchikey() -> None:
    shipped = read_structures()
    assert len(shipped) >= 516
    for structure in list(shipped.values())[::7]:
        assert Chem.MolToInchiKey(Chem.MolFromSmiles(structure.smiles)) == structure.inchikey
        assert structure.source in {"inchikey", "inchikey_uncharged", "inchikey_skeleton"}


def test_known_compounds_have_their_carbons_nitrogens_and_oxygens() -> None:
    shipped = read_structures()
    for metabolite, atoms in (("pyr", "CCCOOO"), ("glc__D", "CCCCCCOOOOOO"), ("ala__L", "CCCNOO")):
        molecule = Chem.MolFromSmiles(shipped[metabolite].smiles)
        assert "".join(sorted(atom.GetSymbol() for atom in molecule.GetAtoms())) == atoms


def test_a_user_table_comes_first_and_names_may_carry_prefix_and_compartment(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("metabolite\tsmiles\nM_pyr_c\tCC\nnew_compound\tCCO\n")
    found = read_structures([path])
    assert found["pyr"].smiles == "CC"
    assert found["new_compound"].smiles == "CCO"
    assert "glc__D" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metabolite\tsmiles\npyr\tnot one\n", r"line 2: smiles 'not one' of pyr is no structure"),
        ("metabolite\tsmiles\npyr\t\n", r"line 2: smiles '' of pyr is no structure"),
        ("metabolite\tsmiles\n\tCC\n", "line 2: metabolite is empty"),
        ("metabolite\tsmiles\npyr\tCC\npyr\tCCO\n", "line 3: pyr has another structure above"),
        ("name\tsmiles\npyr\tCC\n", "column metabolite missing"),
    ],
)
def test_a_bad_table_names_line_and_mend(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_structures([path])


@pytest.mark.parametrize(("given", "name"), [("M_glc__D_c", "glc__D"), ("glc__D", "glc__D"), ("atp_c", "atp")])
def test_bare_ids(given: str, name: str) -> None:
    assert bare(given) == name


def test_currencies_are_bigg_ids() -> None:
    assert {"atp", "h2o", "nadh", "coa"} <= CURRENCY
    assert "pyr" not in CURRENCY
