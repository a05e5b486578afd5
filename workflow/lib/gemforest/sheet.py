"""The sheet of genomes, `config/genomes.tsv`: read, validated whole, and given a digest.

Every problem is reported at once with row, column, value and the mend, because a user who mends one line per run gives
up. All checks work on whole columns, so 100,000 rows take well under two seconds. Rows count as an editor counts lines;
lines that begin with `#` and empty lines are skipped. Whether a file exists or an archive knows an accession is not
asked here: that is one genome's outcome, not the sheet's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from gemforest.errors import InputError
from gemforest.sources import parse_source

REQUIRED = ("genome_id", "source")
DEFAULTS = {"universe": "auto", "genetic_code": "auto", "medium": "", "content": "auto", "checksum": ""}
KNOWN = (*REQUIRED, *DEFAULTS)
UNIVERSES = ("auto", "bacteria", "gramneg", "grampos", "cyanobacteria", "archaea")
GENETIC_CODES = ("auto", "11", "4")
CONTENTS = ("auto", "proteins", "nucleotides", "genbank")

GENOME_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# A universe of the user's own is an SBML file.
OWN_UNIVERSE = r"\.(?:xml|sbml)(?:\.gz|\.bz2)?$"
CHECKSUM = r"^(?:(?:md5:)?[0-9a-fA-F]{32}|(?:sha256:)?[0-9a-fA-F]{64})?$"
ACCESSION = r"^GC[AF]_[0-9]{9}(?:\.[0-9]+)?$"
# In this order; what matches none is a local path.
SOURCE_KINDS = {
    "accession": ACCESSION,
    "carveme": r"^carveme:[A-Za-z0-9_.-]+$",
    "gtdb": r"^gtdb:[^\s?]+(?:\?\S.*)?$",
    "taxon": r"^taxon:[^\s?]+(?:\?\S*)?$",
    "url": r"^https?://[^\s/]+/\S*$",
}
STANDS_FOR_MANY = ("taxon", "gtdb", "glob")
MOST_PROBLEMS_SHOWN = 100

SCHEMA = pa.schema(
    [
        ("genome_id", pa.string()),
        ("source", pa.string()),
        ("source_kind", pa.string()),
        ("universe", pa.string()),
        ("genetic_code", pa.string()),
        ("medium", pa.string()),
        ("content", pa.string()),
        ("checksum", pa.string()),
        ("tags", pa.map_(pa.string(), pa.string())),
        ("row", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the sheet. `row` is the line in the file, 1-based; 0 where the whole file is meant."""

    row: int
    column: str
    value: str
    what: str
    mend: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (f"row {self.row}" if self.row else "", self.column) if part)
        return f"{where}{': ' if where else ''}{self.value!r} {self.what}; {self.mend}"


class SheetError(InputError):
    """The sheet cannot be used; `problems` holds all of them in the file's order."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.row, problem.column)))
        count = len(self.problems)
        lines = [f"{path}: {count} problem{'s' if count != 1 else ''}"]
        lines += [f"  {problem}" for problem in self.problems[:MOST_PROBLEMS_SHOWN]]
        if count > MOST_PROBLEMS_SHOWN:
            lines.append(f"  and {count - MOST_PROBLEMS_SHOWN} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Sheet:
    """A validated sheet.

    Attributes
    ----------
    path
        Where it was read.
    genomes
        `SCHEMA`, one row per genome, in the sheet's order. `source_kind` is accession, carveme, url or file; an empty
        `medium` means the config's; several media are separated by `;`; `tags` holds the further columns' texts.
    queries
        `SCHEMA`: rows that stand for many genomes, `source_kind` taxon, gtdb or glob; their `genome_id` is empty.
    digest
        SHA-256 over the validated rows; comments, empty lines and spaces around cells do not change it.
    notes
        What is allowed but worth saying: one source under two ids.
    """

    path: Path
    genomes: pa.Table
    queries: pa.Table
    digest: str
    notes: tuple[str, ...]


def read_sheet(path: Path, universes: Collection[str] = UNIVERSES, media: Collection[str] | None = None) -> Sheet:
    """Read and validate a sheet.

    Parameters
    ----------
    path
        A tab-separated file with a header line; UTF-8.
    universes
        Allowed values of the column `universe`, beside SBML files.
    media
        Names of the known media; None leaves the column `medium` unchecked.

    Raises
    ------
    SheetError
        With every problem found. Problems of the file's shape (encoding, header, number of cells) hide those of values.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name the sheet with `sheet:` in the config") from None
    cells, rows = _cells(path, data)
    columns, problems = _complete(cells, rows)
    kinds = _source_kinds(columns["source"])
    columns["genome_id"] = _default_ids(columns, kinds)
    problems += _id_problems(columns["genome_id"], kinds, rows)
    problems += _source_problems(columns["source"], rows)
    problems += _query_problems(columns["source"], kinds, rows)
    own = pc.match_substring_regex(columns["universe"], OWN_UNIVERSE)
    named = pc.if_else(own, DEFAULTS["universe"], columns["universe"])
    problems += _choice_problems("universe", named, universes, rows)
    problems += _choice_problems("genetic_code", columns["genetic_code"], GENETIC_CODES, rows)
    problems += _choice_problems("content", columns["content"], CONTENTS, rows)
    problems += _checksum_problems(columns["checksum"], rows)
    columns["medium"], medium_problems = _media(columns["medium"], media, rows)
    problems += medium_problems
    if problems:
        raise SheetError(path, problems)
    return _sheet(path, columns, kinds, rows)


def _sheet(path: Path, columns: dict[str, pa.Array], kinds: pa.Array, rows: np.ndarray) -> Sheet:
    tag_names = sorted(name for name in columns if name not in KNOWN)
    found = columns | {
        "source_kind": kinds,
        "tags": _tags(columns, tag_names, len(rows)),
        "row": pa.array(rows, pa.int32()),
    }
    table = pa.table([found[item.name].cast(item.type) for item in SCHEMA], schema=SCHEMA)
    many = pc.is_in(kinds, pa.array(STANDS_FOR_MANY))
    genomes, queries = table.filter(pc.invert(many)), table.filter(many)
    return Sheet(path, genomes, queries, _digest(columns), tuple(_notes(genomes)))


def _cells(path: Path, data: bytes) -> tuple[pa.Table, np.ndarray]:
    """The sheet's cells as texts, and the line number of each row."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SheetError(path, [Problem(0, "", path.name, "is encoded as UTF-16", "save it as UTF-8 text")])
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        broken = data[error.start : error.start + 10].decode("latin-1")
        raise SheetError(path, [Problem(line, "", broken, "is not UTF-8", "save the sheet as UTF-8 text")]) from None
    numbered = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip() and not line.startswith(b"#")]
    if not numbered:
        raise SheetError(path, [Problem(0, "", path.name, "is empty", "write a header and one row per genome")])
    header_row, header_line = numbered[0]
    header = [name.strip() for name in header_line.decode().split("\t")]
    problems = _header_problems(header, header_row)
    if not problems:
        problems = _width_problems(numbered[1:], len(header))
    if len(numbered) == 1 and not problems:
        problems = [Problem(0, "", path.name, "has a header but no genome", "write one row per genome")]
    if problems:
        raise SheetError(path, problems)
    table = csv.read_csv(
        pa.BufferReader(b"\n".join(line for _, line in numbered[1:]) + b"\n"),
        # One thread: a sheet is small, and each thread of the reader keeps memory of its own.
        read_options=csv.ReadOptions(column_names=header, use_threads=False),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False, newlines_in_values=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
    )
    return table, np.array([number for number, _ in numbered[1:]], np.int32)


def _header_problems(header: Sequence[str], row: int) -> list[Problem]:
    if len(header) == 1 and any(mark in header[0] for mark in ",;"):
        return [Problem(row, "", header[0][:60], "has no tabs", "separate the columns by tabs, not by commas")]
    problems = []
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            problems.append(Problem(row, name, name, "names two columns", "keep one"))
        if name in KNOWN:
            continue
        near = get_close_matches(name.lower().replace(" ", "_"), KNOWN, 1, 0.8)
        if near:
            problems.append(Problem(row, name, name, "is not a column", f"did you mean {near[0]!r}?"))
        elif not TAG.fullmatch(name):
            mend = "name a further column with letters, digits and _, a letter first"
            problems.append(Problem(row, name, name, "cannot be a column", mend))
    missing = [name for name in REQUIRED if name not in header]
    taken = {problem.mend.split("'")[1] for problem in problems if problem.mend.startswith("did you mean")}
    for name in missing:
        if name not in taken:
            problems.append(Problem(row, name, "\t".join(header)[:60], "lacks this column", f"add a column {name!r}"))
    return problems


def _width_problems(numbered: Iterable[tuple[int, bytes]], width: int) -> list[Problem]:
    mend = "put a tab between all cells, also empty ones"
    wrong = [(number, line, line.count(b"\t") + 1) for number, line in numbered if line.count(b"\t") != width - 1]
    return [
        Problem(number, "", line.decode()[:60], f"has {cells} cells, the header has {width}", mend)
        for number, line, cells in wrong
    ]


def _complete(cells: pa.Table, rows: np.ndarray) -> tuple[dict[str, pa.Array], list[Problem]]:
    """All columns, trimmed, empty cells of known ones replaced by their default."""
    columns, problems = {}, []
    for name in cells.column_names:
        texts = pc.utf8_trim_whitespace(pa.concat_arrays(cells[name].chunks))
        if DEFAULTS.get(name):
            texts = pc.if_else(pc.equal(texts, ""), DEFAULTS[name], texts)
        columns[name] = texts
        control = pc.match_substring_regex(texts, r"[\x00-\x08\x0b-\x1f\x7f]")
        problems += _problems(name, texts, control, rows, "holds a control character", "type the cell anew")
    for name, default in DEFAULTS.items():
        if name not in columns:
            columns[name] = pa.repeat(pa.scalar(default, pa.string()), len(rows))
    return columns, problems


def _problems(column: str, texts: pa.Array, wrong: pa.Array, rows: np.ndarray, what: str, mend: str) -> list[Problem]:
    """One problem per row where `wrong` holds."""
    (places,) = np.nonzero(wrong.to_numpy(zero_copy_only=False))
    return [Problem(int(rows[place]), column, texts[int(place)].as_py(), what, mend) for place in places]


def _default_ids(columns: dict[str, pa.Array], kinds: pa.Array) -> pa.Array:
    """An accession without a name is named by itself."""
    unnamed = pc.and_(pc.equal(columns["genome_id"], ""), pc.equal(kinds, "accession"))
    return pc.if_else(unnamed, columns["source"], columns["genome_id"])


def _id_problems(ids: pa.Array, kinds: pa.Array, rows: np.ndarray) -> list[Problem]:
    many = pc.is_in(kinds, pa.array(STANDS_FOR_MANY))
    empty = pc.equal(ids, "")
    named_query = pc.and_(many, pc.invert(empty))
    one = pc.invert(many)
    malformed = pc.or_(pc.invert(pc.match_substring_regex(ids, GENOME_ID)), pc.match_substring(ids, ".."))
    malformed = pc.and_(one, pc.and_(malformed, pc.invert(empty)))
    ends_ec = pc.and_(one, pc.ends_with(pc.utf8_lower(ids), ".ec"))
    problems = _problems(
        "genome_id", ids, pc.and_(one, empty), rows, "is empty", "name the genome; only an accession names itself"
    )
    problems += _problems(
        "genome_id", ids, named_query, rows, "names a row that stands for many genomes", "leave the cell empty"
    )
    problems += _problems(
        "genome_id", ids, ends_ec, rows, "ends in .ec, which is kept for models", "choose another end"
    )
    (places,) = np.nonzero(malformed.to_numpy(zero_copy_only=False))
    for place in places:
        value = ids[int(place)].as_py()
        what = "is not 1 to 100 letters, digits, _, . or -, a letter or digit first, no '..'"
        problems.append(Problem(int(rows[place]), "genome_id", value, what, f"write {suggested_id(value)!r}"))
    return problems + _twin_problems(ids, pc.invert(pc.or_(many, empty)), rows)


def _twin_problems(ids: pa.Array, named: pa.Array, rows: np.ndarray) -> list[Problem]:
    """Ids that are equal, or differ only in case: on some file systems they would be one file."""
    codes = pc.utf8_lower(ids).dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    first_of_code = np.full(codes.max(initial=-1) + 1, -1)
    first_of_code[codes[order][::-1]] = order[::-1]
    firsts = first_of_code[codes]
    (places,) = np.nonzero((firsts != np.arange(len(codes))) & named.to_numpy(zero_copy_only=False))
    problems = []
    for place in places:
        value, other = ids[int(place)].as_py(), ids[int(firsts[place])].as_py()
        what = f"is also the id of row {rows[firsts[place]]}"
        if value != other:
            what = f"differs only in case from {other!r} of row {rows[firsts[place]]}"
        problems.append(Problem(int(rows[place]), "genome_id", value, what, "give each genome its own id"))
    return problems


def suggested_id(text: str) -> str:
    """A valid genome_id near to a text that is not one."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text)
    name = re.sub(r"\.{2,}", ".", name).lstrip("._-").rstrip("_")[:100]
    return re.sub(r"(?i)\.ec$", "_ec", name) or "genome"


def _source_kinds(sources: pa.Array) -> pa.Array:
    glob = pc.and_(
        pc.match_substring_regex(sources, r"[*?\[]"), pc.invert(pc.match_substring_regex(sources, r"^[a-z]{2,}:"))
    )
    kinds = pc.if_else(glob, "glob", "file")
    for kind, pattern in SOURCE_KINDS.items():
        kinds = pc.if_else(pc.match_substring_regex(sources, pattern), kind, kinds)
    return kinds


def _source_problems(sources: pa.Array, rows: np.ndarray) -> list[Problem]:
    recognised = pc.match_substring_regex(sources, "|".join(f"(?:{pattern})" for pattern in SOURCE_KINDS.values()))
    rest = pc.invert(recognised)

    def where(pattern: str) -> pa.Array:
        return pc.and_(rest, pc.match_substring_regex(sources, pattern))

    schemes = "use a path, an accession, https://, carveme:NAME or taxon:NAME"
    login = pc.match_substring_regex(sources, r"^https?://[^/\s]*@")
    scheme = pc.and_(where(r"^[A-Za-z][A-Za-z0-9+.-]+:"), pc.invert(where(r"^file:")))
    return [
        *_problems("source", sources, pc.equal(sources, ""), rows, "is empty", f"name where the genome is: {schemes}"),
        *_problems(
            "source", sources, login, rows, "names a user or a password", "take it out of the URL: sheets are shared"
        ),
        *_problems("source", sources, where(r"^[A-Za-z]:"), rows, "is a Windows path", "write it with / and no drive"),
        *_problems("source", sources, scheme, rows, "is a kind of source that is not known", schemes),
        *_problems(
            "source",
            sources,
            where(r"(?i)^GC[AF][_-]?[0-9]+(\.[0-9]*)?$"),
            rows,
            "is not an accession",
            "GCF_ or GCA_, nine digits, and a version: GCF_000005845.2",
        ),
    ]


def _query_problems(sources: pa.Array, kinds: pa.Array, rows: np.ndarray) -> list[Problem]:
    """Queries that their grammar does not allow: unknown filters, values that a filter cannot take."""
    places = np.flatnonzero(pc.is_in(kinds, pa.array(["taxon", "gtdb"])).to_numpy(zero_copy_only=False))
    problems = []
    for place in places:
        text = sources[int(place)].as_py()
        try:
            parse_source(text)
        except InputError as error:
            problems.append(Problem(int(rows[place]), "source", text, "is no query", str(error).partition(": ")[2]))
    return problems


def _choice_problems(column: str, texts: pa.Array, allowed: Collection[str], rows: np.ndarray) -> list[Problem]:
    wrong = pc.invert(pc.is_in(texts, pa.array(sorted(allowed), pa.string())))
    listed = " | ".join(allowed)
    problems = []
    for problem in _problems(column, texts, wrong, rows, f"is none of {listed}", ""):
        near = get_close_matches(problem.value.lower(), allowed, 1, 0.5)
        mend = f"did you mean {near[0]!r}?" if near else "choose one of them"
        problems.append(Problem(problem.row, column, problem.value, problem.what, mend))
    return problems


def _checksum_problems(texts: pa.Array, rows: np.ndarray) -> list[Problem]:
    wrong = pc.invert(pc.match_substring_regex(texts, CHECKSUM))
    return _problems("checksum", texts, wrong, rows, "is no checksum", "write md5:… (32 hex digits) or sha256:… (64)")


def _media(texts: pa.Array, media: Collection[str] | None, rows: np.ndarray) -> tuple[pa.Array, list[Problem]]:
    """Media normalised to `a;b`, and the names that are not known; each distinct cell is looked at once."""
    encoded = texts.dictionary_encode()
    cells = [
        ";".join(name.strip() for name in cell.split(";") if name.strip()) for cell in encoded.dictionary.to_pylist()
    ]
    normalised = pa.array(cells, pa.string()).take(encoded.indices)
    problems: list[Problem] = []
    if media is None:
        return normalised, problems
    for code, cell in enumerate(cells):
        unknown = [name for name in cell.split(";") if name and name not in media]
        if not unknown:
            continue
        near = {name: get_close_matches(name, media, 1, 0.4) for name in unknown}
        what = f"names no known medium: {', '.join(unknown)}"
        mend = "; ".join(f"did you mean {found[0]!r}?" for found in near.values() if found)
        wrong = pc.equal(encoded.indices, code)
        problems += _problems("medium", texts, wrong, rows, what, mend or "add it to config/media.tsv")
    return normalised, problems


def _tags(columns: dict[str, pa.Array], names: Sequence[str], count: int) -> pa.Array:
    """The further columns as one map per row; empty cells are left out."""
    if not names:
        return pa.MapArray.from_arrays(
            np.zeros(count + 1, np.int32), pa.array([], pa.string()), pa.array([], pa.string())
        )
    texts = np.column_stack([columns[name].to_numpy(zero_copy_only=False) for name in names])
    filled = texts != ""
    offsets = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32)
    keys = np.broadcast_to(np.array(names, dtype=object), texts.shape)[filled]
    return pa.MapArray.from_arrays(offsets, pa.array(keys, pa.string()), pa.array(texts[filled], pa.string()))


def _digest(columns: dict[str, pa.Array]) -> str:
    digest = sha256()
    for name in sorted(columns):
        digest.update(f"{name}\0".encode())
        for text in columns[name].to_pylist():
            digest.update(f"{text}\n".encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _notes(genomes: pa.Table) -> list[str]:
    """Sources that stand in more than one row."""
    counts = pc.value_counts(genomes["source"])
    counts = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    notes = []
    for source in pc.struct_field(counts, "values").to_pylist()[:MOST_PROBLEMS_SHOWN]:
        ids = genomes.filter(pc.equal(genomes["source"], source))["genome_id"].to_pylist()
        notes.append(f"{source} is used under {len(ids)} ids: {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}")
    return notes


def carveme_sample(source: str) -> Path:
    """The proteome of the installed carveme package that `carveme:NAME` means; it need not exist."""
    return Path(str(files("carveme") / "data" / "benchmark" / "fasta" / f"{source.removeprefix('carveme:')}.faa"))


def shared_texts(column: pa.ChunkedArray) -> list[str]:
    """The texts of a column as a list in which equal texts are one object: columns of a large sheet repeat a lot."""
    encoded = pa.concat_arrays(column.chunks or [pa.array([], pa.string())]).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    return [texts[code] for code in encoded.indices.to_numpy().tolist()]


def local_paths(
    sources: Sequence[str], kinds: Sequence[str], sheet_folder: Path, project: Path
) -> Iterator[tuple[str, ...]]:
    """Where each source may lie on this machine, first choice first; empty for sources that are fetched.

    The many-genomes form of `local_source` and `carveme_sample`, in plain strings for speed.
    """
    beside, within = f"{sheet_folder}/", f"{project}/"
    shipped = str(carveme_sample("carveme:"))
    for source, kind in zip(sources, kinds, strict=True):
        if kind == "carveme":
            yield (shipped.replace(".faa", f"{source.removeprefix('carveme:')}.faa"),)
        elif kind != "file":
            yield ()
        else:
            path = source.removeprefix("file://")
            path = str(Path(path).expanduser()) if path.startswith("~") else path
            yield (path,) if path.startswith("/") else (beside + path, within + path)


def local_source(source: str, sheet_folder: Path, project: Path | None = None) -> Path | None:
    """Where a local source lies: relative to the sheet's folder, else to the project; None for sources of other kinds.

    The file need not exist; the path is then the one beside the sheet.
    """
    if any(re.match(pattern, source) for pattern in SOURCE_KINDS.values()):
        return None
    path = Path(source.removeprefix("file://")).expanduser()
    beside_sheet = sheet_folder / path
    if project is None or path.is_absolute() or beside_sheet.exists() or not (project / path).exists():
        return beside_sheet
    return project / path
