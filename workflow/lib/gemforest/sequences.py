"""Proteins as gemforest knows them: read from FASTA or GenBank, normalised, keyed, weighed.

One rule makes a protein comparable over genomes and tools: upper case, trailing `*` stripped, anything but the 25
letters (20 amino acids, B, Z, X, U, O) is X. The SHA-256 of that text is its `seq_key`. What was changed is said in
`flags`. Neighbours: `content.py` unpacks and recognises files, `genecalling.py` calls genes on nucleotides.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.content import DEFAULT_LIMITS, Content, Limits, read_unpacked, recognise
from gemforest.errors import RefusedError
from gemforest.ledger import Reason

PROTEIN_LETTERS = b"ACDEFGHIKLMNPQRSTVWYBZXUO"

# Average residue masses in g/mol (Unimod / Expasy ProtParam); a protein weighs their sum and one water.
WATER = 18.01528
RESIDUE_MASS = {
    "A": 71.0788, "R": 156.1875, "N": 114.1038, "D": 115.0886, "C": 103.1388, "E": 129.1155, "Q": 128.1307,
    "G": 57.0519, "H": 137.1411, "I": 113.1594, "L": 113.1594, "K": 128.1741, "M": 131.1926, "F": 147.1766,
    "P": 97.1167, "S": 87.0782, "T": 101.1051, "W": 186.2132, "Y": 163.1760, "V": 99.1326,
    "U": 150.0388, "O": 237.3018,
}  # fmt: skip
AMBIGUOUS = {"B": "DN", "Z": "EQ", "X": "ARNDCEQGHILKMFPSTWYV"}
MOST_X_FOR_A_MASS = 0.05

SCHEMA = pa.schema(
    [
        ("gene_id", pa.string()),
        ("seq_key", pa.binary(32)),
        ("sequence", pa.string()),
        ("length", pa.int32()),
        ("mass_g_per_mol", pa.float64()),
        ("description", pa.string()),
        ("locus_tag", pa.string()),
        ("ec", pa.list_(pa.string())),
        ("contig", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("strand", pa.int8()),
        ("partial", pa.bool_()),
        ("flags", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Gene:
    """One protein-coding gene as a source gives it, not yet normalised.

    Attributes
    ----------
    source_id, description
        Id in the source and what else the source says of it.
    protein
        Residues in any case; `*` where the source has a stop.
    contig, start, end, strand, partial
        Where it lies, 1-based and inclusive; None where the source does not say.
    flags
        What is worth knowing already.
    """

    source_id: str
    description: str
    protein: bytes
    locus_tag: str | None = None
    ec: tuple[str, ...] = ()
    contig: str | None = None
    start: int | None = None
    end: int | None = None
    strand: int | None = None
    partial: bool | None = None
    flags: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Contig:
    """One record of a nucleotide source: a chromosome, plasmid or contig."""

    name: str
    bases: bytes


def _normalising_table() -> bytes:
    table = bytearray(b"X" * 256)
    for letter in PROTEIN_LETTERS:
        table[letter] = table[letter + 32] = letter
    table[ord("*")] = ord("*")
    return bytes(table)


NORMALISE = _normalising_table()
WHITESPACE = b" \t\n\r\v\f"
KNOWN_IN_SOURCE = PROTEIN_LETTERS + PROTEIN_LETTERS.lower() + b"*"


def normalise(protein: bytes) -> bytes:
    """A protein in the one form that is keyed, aligned and embedded: 25 letters, no `*`, no white space."""
    return protein.translate(NORMALISE, WHITESPACE).rstrip(b"*").replace(b"*", b"X")


def seq_key(normalised: bytes) -> bytes:
    """SHA-256 of a normalised protein, 32 bytes."""
    return sha256(normalised).digest()


def read_proteins(path: Path, limits: Limits = DEFAULT_LIMITS) -> pa.Table:
    """Proteins of a protein FASTA or of a GenBank file's translations, in the file's order.

    Parameters
    ----------
    path
        Plain, gzip, bzip2 or xz; recognised by content.
    limits
        Sizes beyond which the file is refused.

    Returns
    -------
    table
        `SCHEMA`: the columns of the `proteins` table without `genome_id`. Flags: `inner_stop` (a `*` inside became
        X), `odd_letters` (a letter outside the 25 became X), `renamed` (the id was empty, taken, or not usable).

    Raises
    ------
    RefusedError
        `looks_like_contigs` for nucleotides; `no_proteins` where no record has residues; the reasons of
        `content.read_unpacked` and `content.recognise`.
    """
    data = read_unpacked(path, limits)
    content = recognise(data)
    if content is Content.NUCLEOTIDE_FASTA:
        raise RefusedError(
            Reason.LOOKS_LIKE_CONTIGS,
            f"{path.name} holds nucleotides, expected proteins; give the translated file, or let genes be called on it",
        )
    if content is Content.GENBANK:
        return tabulate(genbank_genes(data))
    return tabulate(fasta_genes(data))


def fasta_genes(data: bytes) -> Iterator[Gene]:
    """Records of a protein FASTA file with at least one residue; a blank before the id is skipped."""
    for header, body in _fasta_records(data):
        residues = body.translate(None, WHITESPACE)
        if residues.rstrip(b"*"):
            source_id, _, description = header.partition(" ")
            yield Gene(source_id, description.strip(), residues)


def fasta_sequences(data: bytes) -> list[Contig]:
    """Records of a nucleotide FASTA file with at least one base."""
    pairs = ((header, body.translate(None, WHITESPACE)) for header, body in _fasta_records(data))
    return [Contig(header.partition(" ")[0], bases) for header, bases in pairs if bases]


def _fasta_records(data: bytes) -> Iterator[tuple[str, bytes]]:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    for record in data[1:].split(b"\n>"):
        header, _, body = record.partition(b"\n")
        yield " ".join(header.decode("utf-8", "replace").split()), body


def tabulate(genes: Iterable[Gene]) -> pa.Table:
    """Normalise, key and weigh genes; a table of `SCHEMA`.

    Raises
    ------
    RefusedError
        `no_proteins`: no gene has a residue.
    """
    listed = list(genes)
    sequences = [normalise(gene.protein) for gene in listed]
    if not all(sequences):
        listed = [gene for gene, sequence in zip(listed, sequences, strict=True) if sequence]
        sequences = [sequence for sequence in sequences if sequence]
    if not listed:
        raise RefusedError(Reason.NO_PROTEINS, "no record holds a protein; check that the file is complete")
    gene_ids = unique_gene_ids([gene.source_id for gene in listed])
    columns = {
        "gene_id": gene_ids,
        "seq_key": [sha256(sequence).digest() for sequence in sequences],
        "sequence": [sequence.decode("ascii") for sequence in sequences],
        "length": [len(sequence) for sequence in sequences],
        "mass_g_per_mol": pa.array(molecular_masses(sequences), from_pandas=True),
        "description": [gene.description for gene in listed],
        "locus_tag": [gene.locus_tag for gene in listed],
        "ec": [gene.ec for gene in listed],
        "contig": [gene.contig for gene in listed],
        "start": [gene.start for gene in listed],
        "end": [gene.end for gene in listed],
        "strand": [gene.strand for gene in listed],
        "partial": [gene.partial for gene in listed],
        "flags": [_flags(gene, gene_id) for gene, gene_id in zip(listed, gene_ids, strict=True)],
    }
    return pa.table([pa.array(columns[item.name], item.type) for item in SCHEMA], schema=SCHEMA)


def _flags(gene: Gene, gene_id: str) -> list[str]:
    flags = list(gene.flags)
    if b"*" in gene.protein.rstrip(b"*"):
        flags.append("inner_stop")
    if gene.protein.translate(None, KNOWN_IN_SOURCE):
        flags.append("odd_letters")
    if gene_id != gene.source_id:
        flags.append("renamed")
    return flags


# A gene id travels through gene rules (`a and (b or c)`), tables and SBML; what would break one of them is replaced.
UNSAFE_IN_ID = re.compile(r"[^A-Za-z0-9_.:|/+#@=~-]+")
LONGEST_ID = 150


def unique_gene_ids(source_ids: Sequence[str]) -> list[str]:
    """Usable, unique ids, in order; an id that is fine and first keeps its spelling.

    The second `x` becomes `x_2`; an empty id becomes `gene_N` with N its place in the file; characters that a gene
    rule cannot hold become `_`; so do `and` and `or`, which are its operators.
    """
    wanted = [_usable(source_id, place) for place, source_id in enumerate(source_ids, start=1)]
    taken = set(wanted)
    if len(taken) == len(wanted):
        return wanted
    seen: set[str] = set()
    last_number: dict[str, int] = {}
    unique = []
    for name in wanted:
        candidate = name
        if name in seen:
            number = last_number.get(name, 1) + 1
            while f"{name}_{number}" in taken:
                number += 1
            last_number[name] = number
            candidate = f"{name}_{number}"
            taken.add(candidate)
        seen.add(candidate)
        unique.append(candidate)
    return unique


def _usable(source_id: str, place: int) -> str:
    name = UNSAFE_IN_ID.sub("_", source_id)[:LONGEST_ID]
    if not name.strip("_"):
        return f"gene_{place}"
    return f"{name}_" if name.lower() in ("and", "or", "not") else name


def _mass_table() -> np.ndarray:
    table = np.full(256, np.nan)
    for letter, mass in RESIDUE_MASS.items():
        table[ord(letter)] = mass
    for letter, alternatives in AMBIGUOUS.items():
        table[ord(letter)] = np.mean([RESIDUE_MASS[one] for one in alternatives])
    return table


MASS_OF_BYTE = _mass_table()


def molecular_masses(sequences: Sequence[bytes]) -> np.ndarray:
    """Average masses of normalised proteins, g/mol; NaN above 5 % X. Shape (len(sequences),), float64.

    An ambiguous letter weighs the mean of what it may be; the masses are those of Expasy's ProtParam.
    """
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    if not len(lengths):
        return np.zeros(0)
    residues = np.frombuffer(b"".join(sequences), np.uint8)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    masses = np.add.reduceat(MASS_OF_BYTE[residues], starts) + WATER
    unknown = np.add.reduceat((residues == ord("X")).astype(np.int64), starts)
    return np.where(unknown > MOST_X_FOR_A_MASS * lengths, np.nan, masses)


def genbank_genes(data: bytes) -> Iterator[Gene]:
    """Coding sequences of a GenBank file: its translations, EC numbers, products and locus tags.

    A coding sequence without `/translation` is translated from the sequence with its own `/transl_table`; pseudogenes
    are left out. The gene id is the locus tag, then the protein id, then the gene name.
    """
    for record in _genbank_records(data):
        for feature in record.features:
            if feature.type == "CDS":
                yield from _genbank_gene(record, feature)


def genbank_sequences(data: bytes) -> list[Contig]:
    """Sequences of a GenBank file, those that it holds; a file of features alone gives an empty list."""
    records = ((record, _bases(record)) for record in _genbank_records(data))
    return [Contig(record.id, bases) for record, bases in records if bases]


def _genbank_records(data: bytes) -> Iterator:
    if not data.rstrip().endswith(b"//"):
        raise RefusedError(
            Reason.TRUNCATED_FILE, "the GenBank file ends before its last record does; download it again"
        )
    import warnings

    from Bio import BiopythonParserWarning, SeqIO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BiopythonParserWarning)
        try:
            yield from SeqIO.parse(io.StringIO(data.decode("utf-8", "replace")), "genbank")
        except (ValueError, AssertionError, IndexError, KeyError) as error:
            raise RefusedError(Reason.NOT_A_GENOME, f"GenBank file that cannot be read: {error}") from None


def _bases(record) -> bytes:
    from Bio.Seq import UndefinedSequenceError

    try:
        return bytes(record.seq)
    except UndefinedSequenceError:
        return b""


def _genbank_gene(record, feature) -> Iterator[Gene]:
    from Bio.SeqFeature import AfterPosition, BeforePosition

    qualifiers = feature.qualifiers
    translation = "".join(qualifiers.get("translation", [""])[0].split())
    flags: tuple[str, ...] = ()
    if not translation:
        if "pseudo" in qualifiers or "pseudogene" in qualifiers or feature.location is None:
            return
        translation = _translated(record, feature)
        flags = ("translated_here",)
    locus_tag = qualifiers.get("locus_tag", [None])[0]
    names = [locus_tag, *qualifiers.get("protein_id", []), *qualifiers.get("gene", []), ""]
    location = feature.location
    yield Gene(
        source_id=next(name for name in names if name is not None),
        description=" ".join(qualifiers.get("product", [""])[0].split()),
        protein=translation.encode("ascii", "replace"),
        locus_tag=locus_tag,
        ec=tuple(sorted({number.strip() for number in qualifiers.get("EC_number", [])})),
        contig=record.id,
        start=int(location.start) + 1,
        end=int(location.end),
        strand=location.strand,
        partial=isinstance(location.start, BeforePosition) or isinstance(location.end, AfterPosition),
        flags=flags,
    )


def _translated(record, feature) -> str:
    """Protein of a coding sequence by its genetic code; the first codon of a whole gene is read as methionine."""
    from Bio.Seq import UndefinedSequenceError

    qualifiers = feature.qualifiers
    skipped = int(qualifiers.get("codon_start", ["1"])[0]) - 1
    try:
        bases = feature.extract(record.seq)[skipped:]
    except (UndefinedSequenceError, ValueError):
        return ""
    bases = bases[: len(bases) // 3 * 3]
    protein = str(bases.translate(table=int(qualifiers.get("transl_table", ["11"])[0])))
    starts_whole = skipped == 0 and str(bases[:3]).upper() in ("ATG", "GTG", "TTG", "CTG", "ATT", "ATC", "ATA")
    return "M" + protein[1:] if starts_whole and protein else protein
