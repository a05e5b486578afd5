"""Every kind of input through the whole workflow to a model: the same proteins, the same model."""

from __future__ import annotations

import io
import lzma
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cobra
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord
from projects import REPOSITORY, make_project

from gemforest.ledger import read_ledger
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES

PROTEOME = Path(str(files("carveme") / "data" / "benchmark" / "fasta" / "M_genitalium_G37.faa"))
DATA = Path(os.environ.get("GEMFOREST_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / "genomes"
QUICK = {"evidence": {"sources": ["D"]}, "simulate": {"fva": "off", "knockouts": [], "screens": []}}
pytestmark = pytest.mark.slow


def records() -> list[SeqRecord]:
    return list(SeqIO.parse(PROTEOME, "fasta"))


def fasta(named) -> bytes:
    """The proteome under other gene ids."""
    return "".join(f">{named(n, record)}\n{record.seq}\n" for n, record in enumerate(records())).encode()


def genbank() -> bytes:
    contig = SeqRecord(Seq("N" * 600_000), id="contig_1", name="contig_1", annotations={"molecule_type": "DNA"})
    for n, record in enumerate(records()):
        qualifiers = {"locus_tag": [record.id], "translation": [str(record.seq)], "transl_table": ["4"]}
        contig.features.append(SeqFeature(SimpleLocation(n * 1000, n * 1000 + 30, 1), "CDS", qualifiers=qualifiers))
    text = io.StringIO()
    SeqIO.write([contig], text, "genbank")
    return text.getvalue().encode()


@dataclass(frozen=True)
class Run:
    """One run of the workflow over everything that is there, and by stage and genome what became of it."""

    context: Context
    outcomes: dict[str, dict[str, tuple[str, str]]]

    def troubles(self, *names: str) -> dict[tuple[str, str], tuple[str, str]]:
        """By stage and genome, what became of those of the genomes that did not come through."""
        met = {(stage, name): found[name] for stage, found in self.outcomes.items() for name in names}
        return {where: outcome for where, outcome in met.items() if outcome != ("ok", "")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All genomes in one sheet: the shipped proteome in three forms and, where the data are, four real genomes."""
    contents = {"numbered": lzma.compress(fasta(lambda n, record: str(n + 1)).lower()), "annotated": genbank()}
    rows = {name: (f"{name}.dat", "bacteria", "complete") for name in contents}
    rows["sample"] = ("carveme:M_genitalium_G37", "bacteria", "complete")
    if DATA.is_dir():
        strain = sorted((DATA / "chlamydia_strains").glob("*.gbff.gz"))[0]
        rows |= {
            "mycoplasma": (str(DATA / "carveme_six_nucleotide" / "mgen.fna.gz"), "auto", "complete"),
            "chlamydia": (str(strain), "auto", "complete"),
            "syn": (str(DATA / "fitness_browser" / "SynE_genome.fna.gz"), "auto", "PHOTO"),
            "smithii": (str(DATA / "fermentation26" / "GCF_000016525.1_ASM1652v1_protein.faa.gz"), "auto", "H2CO2"),
        }
    sheet = "genome_id\tsource\tuniverse\tmedium\n" + "".join(
        "\t".join((name, *row)) + "\n" for name, row in rows.items()
    )
    context = make_project(tmp_path_factory.mktemp("inputs") / "project", sheet, **QUICK)
    for name, content in contents.items():
        (context.project / "config" / f"{name}.dat").write_bytes(content)
    command = [sys.executable, "-m", "gemforest.cli", "run", "--cores", "2"]
    ended = subprocess.run(command, cwd=context.project, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ledgers = {stage: read_ledger(context.store.ledger_path(stage, "0000")) for stage in STAGE_NAMES}
    outcomes = {s: {row.genome_id: (row.outcome, row.reason) for row in found} for s, found in ledgers.items()}
    assert all(set(found) == set(rows) for found in outcomes.values())
    return Run(context, outcomes)


def model(context: Context, genome_id: str) -> cobra.Model:
    return cobra.io.read_sbml_model(str(context.store.model_path("models", "0000", genome_id)))


def test_protein_and_genbank_files_of_the_same_proteins_give_the_same_model(ran: Run) -> None:
    names = ("sample", "numbered", "annotated")
    assert not ran.troubles(*names)
    expected = model(ran.context, "sample")
    for name in names[1:]:
        found = model(ran.context, name)
        assert {reaction.id for reaction in found.reactions} == {reaction.id for reaction in expected.reactions}
        assert found.slim_optimize() == pytest.approx(expected.slim_optimize(), abs=1e-6)
    # Ids that are numbers alone came through every tool, and still name genes.
    assert len(model(ran.context, "numbered").genes) == len(expected.genes)


@pytest.mark.needs_shared_data
@pytest.mark.usefixtures("shared_data")
def test_nucleotide_and_genbank_files_of_real_genomes_come_to_models(ran: Run) -> None:
    names = ("mycoplasma", "chlamydia")
    assert not ran.troubles(*names)
    gene_sets = {name: ran.context.store.read("gene_sets", "0000", name).to_pylist()[0] for name in names}
    assert (gene_sets["mycoplasma"]["content"], gene_sets["mycoplasma"]["genetic_code"]) == ("nucleotide_fasta", "4")
    assert gene_sets["chlamydia"]["content"] == "genbank"
    for name in names:
        assert model(ran.context, name).slim_optimize() > 0.01


@pytest.mark.needs_shared_data
@pytest.mark.usefixtures("shared_data")
def test_a_cyanobacterium_lives_on_light_and_carbon_dioxide(ran: Run) -> None:
    assert not ran.troubles("syn")
    store = ran.context.store
    assert store.read("lineages", "0000", "syn")["universe"].to_pylist() == ["cyanobacteria"]
    cyanobacterium = model(ran.context, "syn")
    assert cyanobacterium.slim_optimize() > 0.05
    for needed in ("EX_photon_e", "EX_co2_e"):
        with cyanobacterium:
            cyanobacterium.reactions.get_by_id(needed).lower_bound = 0.0
            assert cyanobacterium.slim_optimize(0.0) < 1e-6, needed
    measures = {row["measure"]: row["value"] for row in store.read("quality", "0000", "syn").to_pylist()}
    assert measures["energy_generating_cycles"] == 0


@pytest.mark.needs_shared_data
@pytest.mark.usefixtures("shared_data")
def test_a_methanogen_makes_methane_of_hydrogen_and_carbon_dioxide(ran: Run) -> None:
    # Methane takes much protein: 125 mg/gDW at kcats of other lineages may not do, and kinetics says so.
    assert ran.troubles("smithii").keys() <= {("kinetics", "smithii")}
    assert ran.context.store.read("lineages", "0000", "smithii")["universe"].to_pylist() == ["archaea"]
    methanogen = model(ran.context, "smithii")
    state = methanogen.optimize()
    assert state.objective_value > 0.01
    # CO2 + 4 H2 -> CH4 + 2 H2O; some hydrogen and carbon becomes biomass
    assert 4.0 < -state.fluxes["EX_h2_e"] / state.fluxes["EX_ch4_e"] < 5.0
    assert -state.fluxes["EX_co2_e"] > state.fluxes["EX_ch4_e"]
    # the enzyme that makes methane has its genes, mcrA, B and G
    assert len(methanogen.reactions.MCR.genes) >= 3
    for needed in ("EX_h2_e", "EX_co2_e"):
        with methanogen:
            methanogen.reactions.get_by_id(needed).lower_bound = 0.0
            assert methanogen.slim_optimize(0.0) < 1e-6, needed
