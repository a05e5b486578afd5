import gzip
import logging
from dataclasses import fields, replace
from importlib import util
from pathlib import Path

import cobra
import libsbml
import numpy as np
import pytest
import reframed
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_networks import toy_network

from gemforest.errors import RefusedError
from gemforest.fluxes import growth
from gemforest.gprs import gpr_text, parse_gpr
from gemforest.ledger import Reason
from gemforest.models import Network, from_sid, read_sbml, to_sid, write_sbml

logging.getLogger("cobra").setLevel(logging.CRITICAL)
ODD_GENES = ["1", "gene-b0001", "NP_001.1", "a b|c", "a__45__b", "a__5-b", "x<y&'z", "ünï", "(p)", "G_1", "or", '"q"']


def cobra_file(name: str) -> Path:
    return Path(util.find_spec("cobra").origin).parent / "data" / f"{name}.xml.gz"


def carveme_file(*parts: str) -> Path:
    return Path(util.find_spec("carveme").origin).parent.joinpath("data", *parts)


def assert_same(found: Network, expected: Network) -> None:
    for field in fields(Network):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "stoichiometry":
            np.testing.assert_array_equal(a.toarray(), b.toarray())
        elif isinstance(b, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, field.name


def odd_network() -> Network:
    rule = gpr_text(parse_gpr(" or ".join('"' + g.replace('"', '""') + '"' for g in ODD_GENES)))
    network = toy_network(
        {
            "EX_a_e": (" a_e -> ", -np.inf, 1000),
            "2-odd.id": ("a_e -> 0.0000001 b_c", -1e-300, np.inf),
            "bio": ("0.333333333333333333 b_c ->", 0, 1 / 3),
        },
        "bio",
        {"bio": rule, "2-odd.id": "g1 and (g2 or g3)"},
    )
    return replace(
        network,
        network_id="GCF_000005845.2",
        reaction_names=('a "n" <b>&\n\t', "", "é"),
        metabolite_names=("", "x"),
        formulas=("C6H12O6", "(C6H10O5)n"),
        charges=(None, -3),
        reaction_notes={"2-odd.id": {"score": "0.5", "why": "a: <b> & 'c'"}},
    )


@pytest.mark.parametrize("name", ["textbook", "iJO1366"])
def test_a_written_model_reads_back_as_it_was(name, tmp_path):
    network = read_sbml(cobra_file(name))
    write_sbml(network, tmp_path / "model.xml.gz")
    assert_same(read_sbml(tmp_path / "model.xml.gz"), network)


def test_odd_ids_and_texts_survive(tmp_path):
    write_sbml(odd_network(), tmp_path / "model.xml")
    assert_same(read_sbml(tmp_path / "model.xml"), odd_network())


def test_the_same_network_gives_the_same_bytes(tmp_path):
    for name in ("a.xml.gz", "b.xml.gz"):
        write_sbml(odd_network(), tmp_path / name)
    assert (tmp_path / "a.xml.gz").read_bytes() == (tmp_path / "b.xml.gz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.xml.gz", "b.xml.gz"]


def test_cobrapy_and_reframed_read_odd_gene_ids_and_show_the_original(tmp_path):
    write_sbml(odd_network(), tmp_path / "model.xml")
    model = cobra.io.read_sbml_model(str(tmp_path / "model.xml"))
    assert {gene.name for gene in model.genes} == {*ODD_GENES, "g1", "g2", "g3"}
    assert {r.id for r in model.reactions} == {"EX_a_e", "2-odd.id", "bio"}
    assert model.reactions.get_by_id("EX_a_e").bounds == (-np.inf, 1000)
    assert len(model.reactions.get_by_id("bio").genes) == len(ODD_GENES)
    other = reframed.load_cbmodel(str(tmp_path / "model.xml"))
    assert {gene.name for gene in other.genes.values()} == {*ODD_GENES, "g1", "g2", "g3"}


def test_libsbml_finds_no_error_in_what_is_written(tmp_path):
    write_sbml(odd_network(), tmp_path / "model.xml")
    document = libsbml.readSBML(str(tmp_path / "model.xml"))
    document.checkConsistency()
    errors = [document.getError(k) for k in range(document.getNumErrors())]
    assert [e.getMessage() for e in errors if e.getSeverity() >= libsbml.LIBSBML_SEV_ERROR] == []


@pytest.mark.parametrize(
    "path", [cobra_file("textbook"), cobra_file("iJO1366"), carveme_file("benchmark", "models", "mgen.xml")]
)
def test_growth_is_the_same_here_in_cobrapy_and_in_reframed(path, tmp_path):
    network = read_sbml(path)
    write_sbml(network, tmp_path / "model.xml")
    expected = cobra.io.read_sbml_model(str(path)).slim_optimize()
    other = reframed.load_cbmodel(str(tmp_path / "model.xml"), use_infinity=False)
    assert growth(network)[1] == pytest.approx(expected, abs=1e-6)
    assert cobra.io.read_sbml_model(str(tmp_path / "model.xml")).slim_optimize() == pytest.approx(expected, abs=1e-6)
    assert reframed.FBA(other).fobj == pytest.approx(expected, abs=1e-6)


def test_stoichiometry_bounds_and_rules_are_those_that_cobrapy_reads():
    network, model = read_sbml(cobra_file("textbook")), cobra.io.read_sbml_model(str(cobra_file("textbook")))
    rows = [m.id for m in model.metabolites]
    theirs = cobra.util.create_stoichiometric_matrix(model)
    ours = network.stoichiometry.toarray()[[network.metabolites.index(m) for m in rows]]
    np.testing.assert_array_equal(ours, theirs)
    assert list(zip(network.lower, network.upper, strict=True)) == [r.bounds for r in model.reactions]
    for reaction, text in zip(model.reactions, network.gprs, strict=True):
        assert cobra.core.gene.GPR.from_string(text) == reaction.gpr
    assert network.formulas == tuple(model.metabolites.get_by_id(m).formula for m in network.metabolites)


@given(st.text(min_size=1, max_size=12), st.sampled_from(["G_", "M_", "R_"]))
def test_any_printable_id_becomes_an_sid_and_back(identifier, prefix):
    sid = to_sid(identifier, prefix)
    assert libsbml.SyntaxChecker.isValidSBMLSId(sid)
    if identifier.isprintable():
        assert from_sid(sid, prefix) == identifier


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abc-._1 "), min_size=2, max_size=2, unique=True))
def test_different_ids_stay_different(pair):
    assert to_sid(pair[0], "G_") != to_sid(pair[1], "G_")


# -- what other tools and hands may give -------------------------------------------------------------------------------

OLD_STYLE = """<?xml version="1.0"?>
<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model id="old">
<listOfSpecies><species id="M_a_c" compartment="c" charge="-1"/><species id="M_a_b" compartment="b"
 boundaryCondition="true"/></listOfSpecies>
<listOfReactions>
<reaction id="R_EX_a"><listOfReactants><speciesReference species="M_a_c"/></listOfReactants>
<listOfProducts><speciesReference species="M_a_b"/></listOfProducts>
<kineticLaw><listOfParameters><parameter id="LOWER_BOUND" value="-7"/><parameter id="UPPER_BOUND" value="5"/>
<parameter id="OBJECTIVE_COEFFICIENT" value="1"/></listOfParameters></kineticLaw></reaction>
<reaction id="R_x" reversible="false"><notes><html:p xmlns:html="http://www.w3.org/1999/xhtml">GENE_ASSOCIATION: (g1
 and g2)</html:p></notes><listOfReactants><speciesReference species="M_a_c" stoichiometry="2"/></listOfReactants>
</reaction></listOfReactions></model></sbml>"""


def test_the_old_conventions_are_read(tmp_path):
    (tmp_path / "old.xml").write_text(OLD_STYLE)
    network = read_sbml(tmp_path / "old.xml")
    assert network.metabolites == ("a_c",)
    assert network.charges == (-1,)
    np.testing.assert_array_equal(network.stoichiometry.toarray(), [[-1, -2]])
    assert (network.lower.tolist(), network.upper.tolist()) == ([-7, 0], [5, np.inf])
    assert network.objective.tolist() == [1, 0]
    assert network.gprs == ("", "g1 and g2")


BOMB = """<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core"><model id="&b;"/></sbml>"""
OUTSIDE = BOMB.replace('<!ENTITY a "aaaaaaaaaa">', '<!ENTITY a SYSTEM "file:///etc/hostname">')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not well-formed"),
        ("hello", "not well-formed"),
        ("<html/>", "not an SBML file"),
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        (OLD_STYLE[:-30], "not well-formed"),
        (OLD_STYLE.replace('value="-7"', 'value="NaN"'), "NaN"),
        (OLD_STYLE.replace('value="-7"', 'value="7"'), "lower bound"),
        (OLD_STYLE.replace('value="-7"', 'value="seven"'), "expected a number"),
        (OLD_STYLE.replace('stoichiometry="2"', 'stoichiometry="INF"'), "coefficient"),
        (OLD_STYLE.replace('stoichiometry="2"', 'stoichiometry="NaN"'), "NaN"),
        (OLD_STYLE.replace('<speciesReference species="M_a_c"/>', '<speciesReference species="M_q"/>'), "M_q"),
        (OLD_STYLE.replace("(g1\n and g2)", "(g1 and"), "parenthesis"),
        (OLD_STYLE.replace('"R_x"', '"R_EX_a"'), "twice"),
        (OLD_STYLE.replace('<model id="old">', "<m>" * 300), "deep"),
        ('<sbml xmlns="x"><model id="m"/></sbml>', "without reactions"),
    ],
)
def test_a_file_that_cannot_be_a_model_is_refused_with_the_reason(content, said, tmp_path):
    (tmp_path / "bad.xml").write_text(content)
    with pytest.raises(RefusedError, match=said) as caught:
        read_sbml(tmp_path / "bad.xml")
    assert caught.value.reason is Reason.BAD_MODEL
    assert "bad.xml" in caught.value.detail


def test_a_torn_archive_and_one_that_unpacks_to_too_much_are_refused(tmp_path):
    packed = gzip.compress(OLD_STYLE.encode() + b" " * 100_000)
    (tmp_path / "torn.xml.gz").write_bytes(packed[:-20])
    (tmp_path / "large.xml.gz").write_bytes(packed)
    with pytest.raises(RefusedError) as torn:
        read_sbml(tmp_path / "torn.xml.gz")
    with pytest.raises(RefusedError) as large:
        read_sbml(tmp_path / "large.xml.gz", max_bytes=50_000)
    assert torn.value.reason is Reason.TRUNCATED_ARCHIVE
    assert large.value.reason is Reason.DECOMPRESSION_LIMIT


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lower": np.array([0.0, np.nan, 0.0])}, "2-odd.id"),
        ({"lower": np.array([2000.0, 0.0, 0.0])}, "EX_a_e"),
        ({"reactions": ("x", "x", "y")}, "twice"),
        ({"objective": np.array([np.inf, 0, 0])}, "finite"),
        ({"gprs": ("", "(a", "")}, "parenthesis"),
    ],
)
def test_what_cannot_be_said_in_sbml_is_not_written(change, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        write_sbml(replace(odd_network(), **change), tmp_path / "model.xml")
    assert list(tmp_path.iterdir()) == []
