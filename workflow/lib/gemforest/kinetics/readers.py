"""Tables of turnover numbers that somebody else made, read into one form.

Six kinds of file are known by their columns. Ours, the plain table, is tab- or comma-separated:

========================  =============================================================================================
column                    meaning
========================  =============================================================================================
`kcat`                    turnover number, above 0; or `log10_kcat`
`unit`                    always there, and always per second: `s^-1`, `1/s`, `s-1`, `per_s`
`reaction`                BiGG id without R_; empty: every reaction of the gene
`gene`, `sequence`        gene id of the genome, or the protein; both empty: every enzyme of the reaction
`direction`               `forward`, `reverse`; empty: both
`substrate`, `smiles`     BiGG metabolite without compartment, or its structure; empty: not said
`log10_sd`                standard deviation of log10 kcat; empty: 0.3
`genome_id`               empty: all genomes
`source`, `source_version`  empty: the file's name
========================  =============================================================================================

`kcat`, `unit` and one of `reaction`, `gene`, `sequence` are needed. The others are the outputs of DLKcat (Li et al.,
Nat. Catal. 5, 662, 2022), TurNuP (Kroll et al., Nat. Commun. 14, 4139, 2023), UniKP (Yu et al., Nat. Commun. 14, 8211,
2023; log10), CatPred (Boorla and Maranas, Nat. Commun. 16, 2072, 2025; with its own sd) and CPI-Pred as kinGEMs writes
it (mean of five folds, with their sd); each of these states kcat in s^-1 by its format.

A line that cannot be used is an error with file, line, value and mend; predictions that the tool itself gave up on
(`None`, `complete` false) are left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gemforest.errors import InputError
from gemforest.sequences import normalise, seq_key

PER_SECOND = frozenset(("s^-1", "s^(-1)", "s-1", "1/s", "/s", "per_s", "s⁻¹"))
LARGEST_KCAT, SMALLEST_KCAT = 1e9, 1e-9
USER_SD = 0.3
PREDICTED_SD = 1.0
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Entry:
    """One turnover number of a table; what is empty is not said, and so does not restrict.

    Attributes
    ----------
    reaction, direction, gene, substrate, smiles, genome_id
        Texts, `substrate` a BiGG id without compartment.
    protein
        SHA-256 of the normalised sequence; empty where none is given.
    log10_kcat, log10_sd
        log10 s^-1.
    predicted
        Of a predictor, whose error is about 1 dex: `sources.py` shrinks it toward the mean of the EC class.
    """

    log10_kcat: float
    log10_sd: float
    source: str
    source_version: str = ""
    reaction: str = ""
    direction: str = ""
    gene: str = ""
    protein: bytes = b""
    substrate: str = ""
    smiles: str = ""
    genome_id: str = ""
    predicted: bool = False


class _Skip(Exception):
    """The tool that wrote the line gave it up."""


@lru_cache(maxsize=8)
def read_kcats(path: Path) -> tuple[Entry, ...]:
    """Entries of a table of any known kind.

    Raises
    ------
    InputError
        With every problem found: no such file, unknown columns, a value that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such table of kcats; see kinetics.kcat_tables") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table of kcats: {error}") from None
    header = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter="\t" if "\t" in header else ",")
    columns = tuple(name.strip() for name in reader.fieldnames or ())
    reader.fieldnames = list(columns)
    kind = _kind(path, columns)
    entries, problems = [], []
    for row in reader:
        try:
            entries.append(_READERS[kind](row, path))
        except _Skip:
            continue
        except ValueError as error:
            problems.append(f"{path}, line {reader.line_num}: {error}")
    if problems:
        more = [f"... and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise InputError("\n".join([*problems[:_MOST_PROBLEMS], *more]))
    return tuple(entries)


def _kind(path: Path, columns: tuple[str, ...]) -> str:
    for kind, needed in _COLUMNS.items():
        if needed <= set(columns):
            return kind
    if "kcat" in columns or "log10_kcat" in columns:
        if "unit" not in columns:
            raise InputError(
                f"{path}: no column `unit`; a kcat without its unit is a guess: add the column, with s^-1 in each line"
            )
        if not {"reaction", "gene", "sequence"} & set(columns):
            raise InputError(f"{path}: expected a column reaction, gene or sequence; found {', '.join(columns)}")
        return "plain"
    known = "; ".join(f"{kind}: {', '.join(sorted(needed))}" for kind, needed in _COLUMNS.items())
    raise InputError(f"{path}: no known table of kcats; expected `kcat`, `unit`, ... or one of ({known})")


# -- one line ----------------------------------------------------------------------------------------------------------


def _plain(row: Mapping[str, str], path: Path) -> Entry:
    unit = _text(row, "unit")
    if unit not in PER_SECOND:
        raise ValueError(f"unit {unit!r}; expected s^-1{_mend_of_unit(unit)}")
    direction = _text(row, "direction").lower()
    if direction not in ("", "forward", "reverse"):
        raise ValueError(f"direction {direction!r}; expected forward, reverse or nothing")
    if not any(_text(row, name) for name in ("reaction", "gene", "sequence")):
        raise ValueError("neither reaction nor gene nor sequence; say what the kcat is of")
    in_log = _text(row, "log10_kcat")
    return Entry(
        log10_kcat=_log10_of(in_log, "log10_kcat") if in_log else _log10(_text(row, "kcat"), "kcat"),
        log10_sd=_deviation(_text(row, "log10_sd"), USER_SD),
        source=_text(row, "source") or path.name,
        source_version=_text(row, "source_version"),
        reaction=_text(row, "reaction").removeprefix("R_"),
        direction=direction,
        gene=_text(row, "gene"),
        protein=_protein(_text(row, "sequence")),
        substrate=_bare(_text(row, "substrate")),
        smiles=_text(row, "smiles"),
        genome_id=_text(row, "genome_id"),
    )


def _dlkcat(row: Mapping[str, str], _path: Path) -> Entry:
    value = _text(row, "Kcat value (1/s)")
    if value in ("None", "", "nan"):
        raise _Skip
    return Entry(
        log10_kcat=_log10(value, "Kcat value (1/s)"),
        log10_sd=PREDICTED_SD,
        source="DLKcat",
        predicted=True,
        protein=_protein(_text(row, "Protein Sequence")),
        smiles=_text(row, "Substrate SMILES"),
    )


def _turnup(row: Mapping[str, str], _path: Path) -> Entry:
    if _text(row, "complete").lower() == "false" or _text(row, "kcat [s^(-1)]") in ("", "nan", "None"):
        raise _Skip
    return Entry(
        log10_kcat=_log10(_text(row, "kcat [s^(-1)]"), "kcat [s^(-1)]"),
        log10_sd=PREDICTED_SD,
        source="TurNuP",
        predicted=True,
        protein=_protein(_text(row, "enzyme")),
        smiles=_text(row, "substrates"),
    )


def _unikp(row: Mapping[str, str], _path: Path) -> Entry:
    return Entry(
        log10_kcat=_log10_of(_text(row, "Pre_label"), "Pre_label"),
        log10_sd=PREDICTED_SD,
        source="UniKP",
        predicted=True,
        protein=_protein(_text(row, "sequences")),
        smiles=_text(row, "Smiles"),
    )


def _catpred(row: Mapping[str, str], _path: Path) -> Entry:
    return Entry(
        log10_kcat=_log10_of(_text(row, "Prediction_log10"), "Prediction_log10"),
        log10_sd=_deviation(_text(row, "SD_total"), PREDICTED_SD),
        source="CatPred",
        predicted=True,
        protein=_protein(_text(row, "sequence")),
        smiles=_text(row, "SMILES"),
    )


def _cpi_pred(row: Mapping[str, str], _path: Path) -> Entry:
    if not _text(row, "kcat_mean"):
        raise _Skip
    reaction, backward = _text(row, "Reactions").removeprefix("R_"), _text(row, "Reactions").endswith("_reverse")
    folds = [row[name] for name in row if name.startswith("pred_value_") and row[name]]
    logs = [math.log10(float(value)) for value in folds if float(value) > 0.0]
    spread = math.sqrt(sum((x - sum(logs) / len(logs)) ** 2 for x in logs) / (len(logs) - 1)) if len(logs) > 1 else 0.0
    return Entry(
        log10_kcat=_log10(_text(row, "kcat_mean"), "kcat_mean"),
        # the folds differ by far less than their common error, which is about 1 dex
        log10_sd=math.hypot(spread, PREDICTED_SD),
        source="CPI-Pred",
        predicted=True,
        # kinGEMs splits reactions and calls every half forward
        reaction=reaction.removesuffix("_reverse"),
        direction="reverse" if backward else _text(row, "Direction").lower(),
        gene=_text(row, "Single_gene"),
        protein=_protein(_text(row, "SEQ")),
        substrate=_bare(_text(row, "Reaction_partners")),
        smiles=_text(row, "CMPD_SMILES"),
    )


_COLUMNS: dict[str, frozenset[str]] = {
    "DLKcat": frozenset(("Substrate SMILES", "Protein Sequence", "Kcat value (1/s)")),
    "TurNuP": frozenset(("substrates", "products", "enzyme", "kcat [s^(-1)]")),
    "UniKP": frozenset(("sequences", "Smiles", "Pre_label")),
    "CatPred": frozenset(("SMILES", "sequence", "Prediction_(s^(-1))", "Prediction_log10")),
    "CPI-Pred": frozenset(("Reactions", "Reaction_partners", "Direction", "Single_gene", "kcat_mean")),
}
_READERS: dict[str, Callable[[Mapping[str, str], Path], Entry]] = {
    "plain": _plain,
    "DLKcat": _dlkcat,
    "TurNuP": _turnup,
    "UniKP": _unikp,
    "CatPred": _catpred,
    "CPI-Pred": _cpi_pred,
}


# -- one value ---------------------------------------------------------------------------------------------------------


def _text(row: Mapping[str, str], name: str) -> str:
    return (row.get(name) or "").strip()


def _bare(metabolite: str) -> str:
    """A BiGG metabolite without M_ and compartment."""
    bare = metabolite.removeprefix("M_")
    return bare[:-2] if bare[-2:] in ("_c", "_p", "_e") else bare


def _protein(sequence: str) -> bytes:
    return seq_key(normalise(sequence.encode())) if sequence else b""


def _log10(text: str, column: str) -> float:
    value = _finite(text, column)
    if value <= 0.0:
        raise ValueError(
            f"{column} {text!r}; expected a turnover number above 0 in s^-1: mend the value or drop the line"
        )
    if not SMALLEST_KCAT <= value <= LARGEST_KCAT:
        raise ValueError(
            f"{column} {text!r}; expected s^-1 between {SMALLEST_KCAT:g} and {LARGEST_KCAT:g}: check the unit"
        )
    return math.log10(value)


def _log10_of(text: str, column: str) -> float:
    value = _finite(text, column)
    if not math.log10(SMALLEST_KCAT) <= value <= math.log10(LARGEST_KCAT):
        raise ValueError(f"{column} {text!r}; expected log10 of s^-1 between -9 and 9: is it a kcat without logarithm?")
    return value


def _deviation(text: str, default: float) -> float:
    if not text:
        return default
    value = _finite(text, "the standard deviation")
    if not 0.0 <= value <= 5.0:
        raise ValueError(f"a standard deviation of log10 kcat of {text!r}; expected 0 to 5")
    return value


def _finite(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{column} {text!r}; expected a number: mend the value or drop the line")
    return value


def _mend_of_unit(unit: str) -> str:
    lower = unit.lower()
    if lower.startswith(("h", "1/h")):
        return ": per hour, divide the kcats by 3600"
    if lower.startswith(("min", "1/min", "m^-1")):
        return ": per minute, divide the kcats by 60"
    return "; convert the kcats and say so in the column" if unit else "; the column is empty here"


# -- measured values ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """A measured turnover number: EC number, substrate's name in lower case, organism's lineage, log10 s^-1."""

    ec: str
    substrate: str
    organism: str
    domain: str
    log10_kcat: float
    source: str


@lru_cache(maxsize=4)
def read_measurements(path: Path) -> tuple[Measurement, ...]:
    """Measured kcats of a table that the user installed.

    Two kinds are known: BRENDA's turnover numbers as GECKO keeps them (`max_KCAT.txt`, five tab-separated columns
    without header: EC, substrate, organism//lineage//code, kcat in s^-1, `*`), and a SABIO-RK export with the columns
    ECNumber, Substrate, EnzymeType, Organism, Value, Unit, of which wild types in s^-1 above 0 are taken.

    Raises
    ------
    InputError
        The file is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table of measured kcats: {error}") from None
    first = text.partition("\n")[0].split("\t")
    if {"ECNumber", "Substrate", "EnzymeType", "Organism", "Value", "Unit"} <= set(first):
        return tuple(_sabio_rk(text))
    if len(first) >= 4 and first[0].startswith("EC") and "//" in first[2]:
        return tuple(_brenda(text))
    raise InputError(
        f"{path}: expected GECKO's max_KCAT.txt of BRENDA, or a SABIO-RK export with ECNumber, Substrate, EnzymeType, "
        f"Organism, Value, Unit; found {', '.join(first[:6])!r}"
    )


def _brenda(text: str) -> Iterator[Measurement]:
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) < 4 or not (value := _positive(parts[3])):
            continue
        organism, lineage, *_ = (*parts[2].split("//"), "*")
        domain = next((d for d in ("bacteria", "archaea", "eukaryotes") if d in lineage), "")
        yield Measurement(parts[0].removeprefix("EC"), parts[1].lower(), organism.lower(), domain, value, "BRENDA")


def _sabio_rk(text: str) -> Iterator[Measurement]:
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        value = _positive(row["Value"] or "")
        if not value or row["Unit"] not in PER_SECOND or not (row["EnzymeType"] or "").startswith("wildtype"):
            continue
        for substrate in (row["Substrate"] or "").lower().split(";"):
            yield Measurement(row["ECNumber"], substrate, (row["Organism"] or "").lower(), "", value, "SABIO-RK")


def _positive(text: str) -> float | None:
    """log10 of a number above 0; None for anything else, of which databases hold a few."""
    try:
        value = float(text)
    except ValueError:
        return None
    return math.log10(value) if SMALLEST_KCAT <= value <= LARGEST_KCAT else None
