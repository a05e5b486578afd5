"""Source A: annotation that comes with the genome or in a file of its own, as claims.

EC numbers of GenBank files (the table `proteins` keeps them), of GFF3 (Prokka's `eC_number`; Bakta's and NCBI's
`Dbxref`), of eggNOG-mapper's tables (EC, KEGG orthologs, BiGG), and numbers that stand in a product's name as
`(EC 1.2.3.4)`. What a file is, its content says. A gene is found by its id, locus tag or protein id, and in a GFF3
whose names are all others by where it lies, which is how a Prokka file goes with genes that were called here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from gemforest.content import Limits, read_unpacked
from gemforest.errors import RefusedError
from gemforest.evidence.claims import Claim, GeneNames, Heard
from gemforest.evidence.ec import parse_ecs
from gemforest.ledger import Reason

VERSION = "1"
LETTER = "A"

_EC_IN_PRODUCT = re.compile(r"[(\[]\s*EC[ :]\s*([1-7](?:\.(?:n?\d+|-)){1,3})\s*[)\]]")
_KO = re.compile(r"^(?:ko:)?(K\d{5})$", re.IGNORECASE)
_EC_KEYS = ("ec_number", "eC_number", "EC_number", "ec", "EC")
_REFERENCES = ("Dbxref", "db_xref", "dbxref", "Ontology_term")
_NAMES = ("ID", "locus_tag", "protein_id", "Name", "Parent", "old_locus_tag")
_EGGNOG = {"ec": ("EC", "EC number", "ec"), "ko": ("KEGG_ko", "KEGG_KO"), "bigg": ("BiGG_Reaction", "BiGG")}


@dataclass(frozen=True)
class Dictionary:
    """What words other than EC numbers stand for.

    Attributes
    ----------
    reactions
        BiGG reaction ids that are known at all, without R_.
    database_genes
        `model.gene` to its reactions: eggNOG-mapper names BiGG's genes.
    orthologs
        KEGG ortholog to EC numbers or reactions, from a table that the user installed; empty without one.
    """

    reactions: frozenset[str]
    database_genes: Mapping[str, tuple[str, ...]]
    orthologs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Entry:
    """A gene of an annotation file: its names, where it lies, and the words that say what it does."""

    line: int
    names: tuple[str, ...]
    place: tuple[str, int, int] | None
    ecs: tuple[str, ...]
    orthologs: tuple[str, ...] = ()
    bigg: tuple[str, ...] = ()


def from_proteins(proteins: pa.Table) -> list[Heard]:
    """EC numbers that the genome's own file gives: GenBank's qualifiers, and numbers in products' names."""
    claims: list[Claim] = []
    rejected: Counter[str] = Counter()
    columns = (proteins[name].to_pylist() for name in ("ec", "description"))
    for gene, (fields, product) in enumerate(zip(*columns, strict=True)):
        claims += _ec_claims(gene, [*(fields or ()), *_EC_IN_PRODUCT.findall(product or "")], "genome", rejected)
    return [Heard(LETTER, "genome", VERSION, tuple(claims), dict(rejected))] if claims or rejected else []


def read_annotation(path: Path, proteins: pa.Table, words: Dictionary, limits: Limits) -> Heard:
    """Claims of a GFF3 file or an eggNOG-mapper table.

    Raises
    ------
    RefusedError
        `BAD_ANNOTATION`: it is neither, a line is broken, or no gene of it is among the proteins.
    """
    try:
        text = read_unpacked(path, limits).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.BAD_ANNOTATION, f"{path.name} is no text (byte {error.start})") from None
    except RefusedError as error:
        raise RefusedError(Reason.BAD_ANNOTATION, error.detail) from None
    origin, entries = _entries(path, text)
    listed = list(entries)
    numbers = _match(path, listed, proteins)
    claims: list[Claim] = []
    rejected: Counter[str] = Counter()
    seen: set[tuple[int, str]] = set()
    for entry, gene in zip(listed, numbers, strict=True):
        if gene is None:
            rejected["gene that is not among the proteins"] += bool(entry.ecs or entry.orthologs or entry.bigg)
            continue
        found = [*_ec_claims(gene, entry.ecs, origin, rejected), *_word_claims(gene, entry, words, origin, rejected)]
        for claim in found:
            if (gene, claim.target) not in seen:
                seen.add((gene, claim.target))
                claims.append(claim)
    lost = sum(bool(entry.orthologs) for entry in listed) if not words.orthologs else 0
    missing = f"{lost} genes have KEGG orthologs, for which no table is installed (gemforest resources fetch)"
    return Heard(LETTER, origin, VERSION, tuple(claims), dict(rejected), missing if lost else "")


def _entries(path: Path, text: str) -> tuple[str, Iterator[Entry]]:
    """The tool that wrote a file, and its genes."""
    lines = text.splitlines()
    head = "\n".join(lines[:200])
    if head.startswith("##gff-version") or _looks_like_gff(lines):
        tool = "bakta" if "akta" in head else "prokka" if "rokka" in head or "eC_number=" in text else "gff3"
        return tool, _gff_entries(path, lines)
    header = next((number for number, line in enumerate(lines) if line.startswith(("#query", "query\t"))), None)
    if header is not None:
        return "eggnog-mapper", _eggnog_entries(path, lines, header)
    raise RefusedError(
        Reason.BAD_ANNOTATION,
        f"{path.name} is neither GFF3 nor a table of eggNOG-mapper (a line that begins with #query names its columns); "
        f"it begins with {lines[0][:60] if lines else ''!r}; tables of your own go into evidence.tables",
    )


def _looks_like_gff(lines: Sequence[str]) -> bool:
    first = next((line for line in lines if line and not line.startswith("#")), "")
    cells = first.split("\t")
    return len(cells) == 9 and cells[3].isdigit() and cells[4].isdigit()


def _gff_entries(path: Path, lines: Sequence[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if line.startswith("##FASTA") or line.startswith(">"):
            return
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 9 or not (cells[3].isdigit() and cells[4].isdigit()):
            raise _broken(path, number, line, "nine cells with tabs between them, numbers in the fourth and fifth")
        if cells[2] != "CDS":
            continue
        attributes = _attributes(cells[8])
        names = [name for key in _NAMES for name in attributes.get(key, ())]
        names += [name.split(":", 1)[-1] for name in names] + [re.sub(r"^(cds|gene|rna)-", "", name) for name in names]
        ecs = [value for key in _EC_KEYS for value in attributes.get(key, ())]
        references = [value for key in _REFERENCES for value in attributes.get(key, ())]
        ecs += [value for value in references if value.upper().startswith("EC:")]
        ecs += _EC_IN_PRODUCT.findall(" ".join(attributes.get("product", ())))
        orthologs = [value.split(":")[-1] for value in references if _KO.match(value.split(":")[-1])]
        place = (cells[0], 1 if cells[6] == "+" else -1, int(cells[4]) if cells[6] == "+" else int(cells[3]))
        yield Entry(number, tuple(names), place, tuple(ecs), tuple(orthologs))


def _attributes(cell: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in cell.strip().strip(";").split(";"):
        key, _, values = part.strip().partition("=")
        # Commas separate values before they are unquoted; a product's own commas are quoted, but for lax writers.
        listed = [values] if key == "product" else values.split(",")
        found.setdefault(key, []).extend(unquote(value).strip() for value in listed if value)
    return found


def _eggnog_entries(path: Path, lines: Sequence[str], header: int) -> Iterator[Entry]:
    names = lines[header].lstrip("#").split("\t")
    place = {key: next((names.index(n) for n in known if n in names), None) for key, known in _EGGNOG.items()}
    if all(column is None for column in place.values()):
        known = ", ".join(known[0] for known in _EGGNOG.values())
        raise RefusedError(Reason.BAD_ANNOTATION, f"{path.name}, line {header + 1}: none of the columns {known}")
    for number, line in enumerate(lines[header + 1 :], header + 2):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != len(names):
            raise _broken(path, number, line, f"{len(names)} cells as in the header, found {len(cells)}")
        words = {
            key: tuple(w.strip() for w in cells[column].split(",") if w.strip() not in ("", "-"))
            for key, column in place.items()
            if column is not None
        }
        yield Entry(number, (cells[0],), None, words.get("ec", ()), words.get("ko", ()), words.get("bigg", ()))


def _broken(path: Path, number: int, line: str, expected: str) -> RefusedError:
    return RefusedError(
        Reason.BAD_ANNOTATION, f"{path.name}, line {number}: expected {expected}, found {line[:60]!r}; write it again"
    )


def _match(path: Path, entries: Sequence[Entry], proteins: pa.Table) -> list[int | None]:
    """Number of each entry's gene: by name, and where not one name is known by where the gene ends."""
    if not entries:
        raise RefusedError(Reason.BAD_ANNOTATION, f"{path.name} holds no coding sequence; give the file with the genes")
    columns = [proteins[name].to_pylist() for name in ("gene_id", "locus_tag", "description")]
    names = GeneNames(*columns)
    numbers = [names.find(entry.names) for entry in entries]
    if all(number is None for number in numbers):
        places = _places(proteins)
        numbers = [places.get(entry.place) if entry.place else None for entry in entries]
    if all(number is None for number in numbers):
        first = next((entry.names[0] for entry in entries if entry.names), "")
        raise names.refuse(path.name, first)
    return numbers


def _places(proteins: pa.Table) -> dict[tuple[str, int, int], int]:
    """Contig, strand and last base of the stop codon of each gene; callers differ in where genes start."""
    found = {}
    rows = zip(*(proteins[name].to_pylist() for name in ("contig", "strand", "start", "end")), strict=True)
    for number, (contig, strand, start, end) in enumerate(rows):
        if contig is not None and strand is not None:
            found[(contig, strand, end if strand == 1 else start)] = number
    return found


def _ec_claims(gene: int, fields: Iterable[str], origin: str, rejected: Counter[str]) -> list[Claim]:
    numbers: set[str] = set()
    for text in fields:
        parsed = parse_ecs(text)
        numbers.update(parsed.numbers)
        for part in parsed.rejected:
            rejected[f"not an EC number: {part[:40]!r}"] += 1
    return [Claim(gene, number, LETTER, origin, VERSION) for number in sorted(numbers)]


def _word_claims(gene: int, entry: Entry, words: Dictionary, origin: str, rejected: Counter[str]) -> Iterator[Claim]:
    targets: dict[str, float] = {}
    for word in entry.orthologs:
        meant = words.orthologs.get(_KO.sub(r"\1", word).upper(), ())
        targets |= {target: 1 / len(meant) for target in meant}
    for word in entry.bigg:
        bare = word.removeprefix("R_")
        meant = (bare,) if bare in words.reactions else words.database_genes.get(word, ())
        if not meant:
            rejected["BiGG id that is not known"] += 1
        targets |= dict.fromkeys(meant, 1.0)
    for target, weight in sorted(targets.items()):
        yield Claim(gene, target, LETTER, origin, VERSION, weight=weight)
