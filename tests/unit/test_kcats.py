"""Tables of kcats by other tools, and which tier an enzyme's value comes from."""

import math
from pathlib import Path

import numpy as np
import pytest
from toy_networks import toy_network

from gemforest.errors import InputError
from gemforest.kinetics.costs import Enzymes, find_enzymes
from gemforest.kinetics.predictor import Prediction
from gemforest.kinetics.readers import Entry, Measurement, read_kcats, read_measurements
from gemforest.kinetics.sources import Genome, Kcats, Knowledge, find_kcats, skeleton, structured
from gemforest.models import Network
from gemforest.sequences import normalise, seq_key

PROTEIN = "MKTAYIAKQR"


def written(folder: Path, text: str, name: str = "kcats.tsv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def network() -> Network:
    return toy_network(
        {"R1": ("glc__D_c + atp_c -> g6p_c + adp_c", -1000, 1000), "R2": ("g6p_c -> f6p_c", 0, 1000)},
        gprs={"R1": "a and b", "R2": "c or d"},
    )


def enzymes() -> Enzymes:
    return find_enzymes(network(), dict.fromkeys("abcd", 40_000.0))


PROTEINS = {"a": "MA", "b": "MC", "c": PROTEIN, "d": "MD"}
GENOME = Genome(
    "g",
    {gene: seq_key(normalise(sequence.encode())) for gene, sequence in PROTEINS.items()},
    PROTEINS,
    {("", "R1"): ["2.7.1.1"], ("c", "R2"): ["5.3.1.9"], ("", "R2"): ["5.3.1.9"]},
    "bacteria",
)


def of(kcats: Kcats, reaction: str, genes: str, forward: bool = True) -> tuple[float, str]:
    found = enzymes()
    (e,) = [
        e
        for e in range(len(found))
        if network().reactions[found.reaction[e]] == reaction
        and found.genes[e] == tuple(genes)
        and found.forward[e] == forward
    ]
    return float(kcats.log10[e]), kcats.tier[e]


# -- readers -----------------------------------------------------------------------------------------------------------


def test_plain_table_says_what_it_is_for(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "reaction\tgene\tdirection\tsubstrate\tkcat\tunit\tlog10_sd\tsource\n"
        "R_PGI\tb4025\tforward\tg6p_c\t100\ts^-1\t0.2\tmine\n"
        "PFK\t\t\t\t10\t1/s\t\t\n",
    )
    assert read_kcats(path) == (
        Entry(2.0, 0.2, "mine", reaction="PGI", gene="b4025", direction="forward", substrate="g6p"),
        Entry(1.0, 0.3, "kcats.tsv", reaction="PFK"),
    )


@pytest.mark.parametrize(
    ("text", "log10", "sd", "source"),
    [
        (
            "Substrate Name\tSubstrate SMILES\tProtein Sequence\tKcat value (1/s)\n"
            f"water\tO\t{PROTEIN}\t5.0\nwater\tC.C\t{PROTEIN}\tNone\n",
            math.log10(5.0),
            1.0,
            "DLKcat",
        ),
        (
            f"substrates,products,enzyme,kcat [s^(-1)],complete\nO,C,{PROTEIN},5.0,True\nO,C,{PROTEIN},,False\n",
            math.log10(5.0),
            1.0,
            "TurNuP",
        ),
        (f",sequences,Smiles,Pre_label\n0,{PROTEIN},O,0.7\n", 0.7, 1.0, "UniKP"),
        (
            "Substrate,SMILES,sequence,Prediction_(s^(-1)),Prediction_log10,SD_total,SD_aleatoric,SD_epistemic\n"
            f"water,O,{PROTEIN},5.01,0.7,0.8,0.7,0.4\n",
            0.7,
            0.8,
            "CatPred",
        ),
    ],
)
def test_outputs_of_predictors_are_known_by_their_columns(
    tmp_path: Path, text: str, log10: float, sd: float, source: str
) -> None:
    (entry,) = read_kcats(written(tmp_path, text))
    assert (entry.log10_kcat, entry.log10_sd, entry.source) == (pytest.approx(log10), sd, source)
    assert (entry.protein, entry.smiles) == (GENOME.keys["c"], "O")


def test_cpi_pred_as_kingems_writes_it(tmp_path: Path) -> None:
    text = (
        "Reactions,Reaction_partners,Direction,CMPD_SMILES,Single_gene,SEQ,pred_value_0,pred_value_1,kcat_mean\n"
        f"PFK,f6p_c,forward,O,b3916,{PROTEIN},10,1000,505\n"
        f"PFK,f6p_c,forward,O,b3916,{PROTEIN},,,\n"
        f"PGI_reverse,f6p_c,forward,O,b4025,{PROTEIN},1,1,1\n"
    )
    entry, backward = read_kcats(written(tmp_path, text))
    assert (backward.reaction, backward.direction) == ("PGI", "reverse")
    assert (entry.reaction, entry.gene, entry.direction, entry.substrate) == ("PFK", "b3916", "forward", "f6p")
    assert entry.log10_kcat == pytest.approx(math.log10(505))
    # folds at 1 and 3: standard deviation sqrt(2), beside 1 dex that all folds share
    assert entry.log10_sd == pytest.approx(math.sqrt(3.0))


def test_the_shared_cpi_pred_table_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "kinetics" / "ecoli" / "e_coli_core_cpipred_kcats_541.csv"
    entries = read_kcats(path)
    assert len(entries) == 475  # 541 lines, 66 without a prediction
    assert min(entry.log10_kcat for entry in entries) > -1.0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("PGI\t0\ts^-1", r"line 2: kcat '0'; expected a turnover number above 0"),
        ("PGI\t-3\ts^-1", r"line 2: kcat '-3'"),
        ("PGI\tnan\ts^-1", r"line 2: kcat 'nan'; expected a number"),
        ("PGI\tfast\ts^-1", r"kcat 'fast'; expected a number"),
        ("PGI\t10\th^-1", r"unit 'h\^-1'; expected s\^-1: per hour, divide the kcats by 3600"),
        ("PGI\t10\tmin^-1", r"per minute, divide the kcats by 60"),
        ("PGI\t10\t", r"unit ''; expected s\^-1; the column is empty here"),
        ("PGI\t1e12\ts^-1", r"check the unit"),
        ("\t10\ts^-1", r"neither reaction nor gene nor sequence"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_its_mend(tmp_path: Path, line: str, complaint: str) -> None:
    path = written(tmp_path, f"reaction\tkcat\tunit\n{line}\n")
    with pytest.raises(InputError, match=complaint):
        read_kcats(path)


def test_a_kcat_without_unit_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column `unit`; a kcat without its unit is a guess"):
        read_kcats(written(tmp_path, "reaction\tkcat\nPGI\t10\n"))


def test_an_unknown_table_is_told_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no known table of kcats; expected .*DLKcat"):
        read_kcats(written(tmp_path, "a\tb\n1\t2\n"))
    with pytest.raises(InputError, match="no such table"):
        read_kcats(tmp_path / "none.tsv")


def test_a_unikp_value_that_is_no_logarithm_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is it a kcat without logarithm"):
        read_kcats(written(tmp_path, f"sequences,Smiles,Pre_label\n{PROTEIN},O,250\n"))


def test_measured_tables_of_brenda_and_sabio_rk(tmp_path: Path) -> None:
    brenda = written(
        tmp_path,
        "EC2.7.1.1\tD-Glucose\tEscherichia coli//prokaryotes;bacteria;x//eco\t100.0\t*\n"
        "EC2.7.1.1\td-glucose\thomo sapiens//eukaryotes;animals//hsa\t-999\t*\n",
        "max_KCAT.txt",
    )
    assert read_measurements(brenda) == (
        Measurement("2.7.1.1", "d-glucose", "escherichia coli", "bacteria", 2.0, "BRENDA"),
    )
    sabio = written(
        tmp_path,
        "EntryID\tType\tECNumber\tSubstrate\tEnzymeType\tPubMedID\tOrganism\tUniprotID\tValue\tUnit\n"
        "1\tkcat\t2.7.1.1\tATP;D-Glucose\twildtype\t1\tEscherichia coli\tP1\t10\ts^(-1)\n"
        "2\tkcat\t2.7.1.1\tATP\tmutant A1B\t1\tEscherichia coli\tP1\t10\ts^(-1)\n"
        "3\tkcat\t2.7.1.1\tATP\twildtype\t1\tEscherichia coli\tP1\t10\tkatal\n",
        "sabio.tsv",
    )
    found = read_measurements(sabio)
    assert [(m.substrate, m.log10_kcat, m.domain) for m in found] == [("atp", 1.0, ""), ("d-glucose", 1.0, "")]
    with pytest.raises(InputError, match=r"expected GECKO's max_KCAT\.txt"):
        read_measurements(written(tmp_path, "a,b\n1,2\n", "x.csv"))


# -- tiers -------------------------------------------------------------------------------------------------------------


class Oracle:
    """Predicts the length of the sequence, as log10; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self.version = "1"

    def predict(self, sequences, smiles, ecs, embeddings=None):
        self.asked += list(zip(sequences, smiles, ecs, strict=True))
        found = np.array([float(len(s)) / 10 for s in sequences])
        tiers = np.array(["predicted" if s else "predicted_no_structure" for s in smiles])
        sd = np.full(len(found), 0.9)
        return Prediction(found, sd, found - sd, found + sd, np.full(len(found), "< 40"), tiers)


def named() -> Network:
    from dataclasses import replace

    names = {"glc__D_c": "D-Glucose", "atp_c": "ATP"}
    return replace(network(), metabolite_names=tuple(names.get(m, m) for m in network().metabolites))


def test_nothing_known_is_the_global_mean_and_says_so() -> None:
    kcats = find_kcats(network(), enzymes(), GENOME, Knowledge())
    assert set(kcats.tier) == {"global"} and kcats.counts() == {"global": 4}
    assert kcats.log10 == pytest.approx(np.log10(13.7), abs=1e-3)


def test_class_mean_is_that_of_the_narrowest_class_with_enough_values() -> None:
    classes = {"2.7.1.1": (3.0, 0.5, 2), "2.7.1": (2.0, 0.8, 40), "5": (1.0, 0.9, 100)}
    kcats = find_kcats(network(), enzymes(), GENOME, Knowledge(classes=classes))
    assert of(kcats, "R1", "ab") == (2.0, "ec_class")
    assert of(kcats, "R2", "c") == (1.0, "ec_class")


def test_measured_value_beats_prediction_and_own_domain_beats_others() -> None:
    measured = [
        Measurement("2.7.1.1", "d-glucose", "e", "eukaryotes", 4.0, "BRENDA"),
        Measurement("2.7.1.1", "d-glucose", "b", "bacteria", 1.0, "BRENDA"),
        Measurement("2.7.1.1", "atp", "b", "bacteria", 0.0, "BRENDA"),
    ]
    kcats = find_kcats(named(), enzymes(), GENOME, Knowledge(measurements=measured, predictor=Oracle()))
    assert of(kcats, "R1", "ab") == (1.0, "measured")  # glucose, not the currency ATP, and the bacterium's
    assert (
        of(kcats, "R1", "ab", forward=False)[1] == "predicted_no_structure"
    )  # nothing measured for glucose 6-phosphate
    assert of(kcats, "R2", "c") == (1.0, "predicted_no_structure")


def test_each_distinct_question_is_asked_once_and_the_fastest_subunit_counts() -> None:
    oracle = Oracle()
    knowledge = Knowledge(predictor=oracle, structures={"g6p": "G", "glc__D": "C", "atp": "N"})
    kcats = find_kcats(network(), enzymes(), GENOME, knowledge)
    assert len(oracle.asked) == len(set(oracle.asked)) == 6
    assert ("MA", "C", ("2.7.1.1",)) in oracle.asked and (PROTEIN, "G", ("5.3.1.9",)) in oracle.asked
    assert of(kcats, "R2", "c") == (1.0, "predicted")
    assert of(kcats, "R1", "ab") == (0.2, "predicted")


def test_structures_cover_metabolites_and_the_reactions_of_those_that_are_no_currency() -> None:
    network = toy_network(
        {"HEX": ("glc__D_c + atp_c -> g6p_c + adp_c", 0, 1), "ATPM": ("atp_c -> adp_c", 0, 1), "X": ("x_c ->", 0, 1)},
        "X",
    )
    metabolites, reactions = structured(network, {"glc__D": "OCC1OC(O)C(O)C(O)C1O", "atp": "N"})
    assert dict(zip(network.metabolites, metabolites.tolist(), strict=True)) == {
        "glc__D_c": True,
        "atp_c": True,
        "g6p_c": False,
        "adp_c": False,
        "x_c": False,
    }
    assert reactions.tolist() == [True, False, False]


def test_user_value_comes_first_and_the_more_it_says_the_more_it_counts() -> None:
    entries = [
        Entry(1.0, 0.3, "gene only", gene="c"),
        Entry(2.0, 0.3, "reaction", gene="c", reaction="R2"),
        Entry(5.0, 0.3, "other direction", gene="c", reaction="R2", direction="reverse"),
        Entry(7.0, 0.3, "other genome", gene="c", reaction="R2", direction="forward", genome_id="h"),
        Entry(0.5, 0.3, "sequence", protein=seq_key(b"MD")),
        Entry(-1.0, 0.3, "whole reaction", reaction="R1"),
    ]
    kcats = find_kcats(network(), enzymes(), GENOME, Knowledge(entries=entries, predictor=Oracle()))
    assert of(kcats, "R2", "c") == (2.0, "user")
    assert of(kcats, "R2", "d") == (0.5, "user")
    assert of(kcats, "R1", "ab") == of(kcats, "R1", "ab", forward=False) == (-1.0, "user")


def test_values_for_several_substrates_are_averaged_and_those_of_others_left_out() -> None:
    entries = [
        Entry(1.0, 0.3, "t", gene="a", substrate="glc__D"),
        Entry(9.0, 0.3, "t", gene="a", substrate="atp"),
        Entry(8.0, 0.3, "t", gene="a", substrate="xyl__D"),
    ]
    kcats = find_kcats(network(), enzymes(), GENOME, Knowledge(entries=entries))
    assert of(kcats, "R1", "ab") == (1.0, "user")
    assert of(kcats, "R1", "ab", forward=False)[1] == "global"


def test_a_structure_is_its_metabolite_whatever_its_charge_and_stereo() -> None:
    glucose = "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O"
    entries = [
        Entry(2.0, 0.3, "t", protein=GENOME.keys["a"], smiles=glucose),
        Entry(9.0, 0.3, "t", protein=GENOME.keys["a"], smiles="CC(=O)[O-]"),
        Entry(1.0, 0.3, "t", protein=seq_key(b"another genome's"), smiles=glucose),
    ]
    known = Knowledge(
        entries=entries, structures={"glc__D": "OCC1OC(O)C(O)C(O)C1O", "g6p": "OP(O)(=O)OCC1OC(O)C(O)C1O"}
    )
    kcats = find_kcats(network(), enzymes(), GENOME, known)
    assert of(kcats, "R1", "ab") == (2.0, "user")
    assert of(kcats, "R1", "ab", forward=False)[1] == "global"
    assert kcats.unused == 1  # acetate is no substrate of R1; the third line is for no protein here
    assert skeleton("CC(=O)[O-]") == skeleton("CC(=O)O") == skeleton("InChI=1S/C2H4O2/c1-2(3)4/h1H3,(H,3,4)") != ""
    assert skeleton("C00031") == ""


def test_predictions_of_others_are_drawn_toward_their_class_and_stated_values_are_not() -> None:
    entries = [Entry(3.0, 1.0, "tool", gene="c", predicted=True), Entry(3.0, 1.0, "assay", gene="d")]
    known = Knowledge(entries=entries, classes={"5.3.1.9": (1.0, 1.0, 50)})
    kcats = find_kcats(network(), enzymes(), GENOME, known)
    assert of(kcats, "R2", "c") == (2.0, "user")  # equal variances: half-way
    assert of(kcats, "R2", "d") == (3.0, "user")
    drawn = next(e for e, source in enumerate(kcats.source) if "shrunk to the mean of EC 5.3.1.9" in source)
    assert kcats.sd[drawn] == pytest.approx(math.sqrt(0.5))
