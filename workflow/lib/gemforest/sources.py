"""The grammar of the sheet's `source` column, read into one small class per kind of source.

    GCF_000005845.2, GCA_000005845          an assembly, with or without version
    taxon:562?reference=true&level=complete a query to NCBI, expanded by `gemforest resolve` into a pinned list
    gtdb:bac120_metadata.tsv.gz?representative=true&min_completeness=95   the same out of a table of GTDB
    data/a.faa, file:///data/a.gbff.gz      a local file
    data/*.faa.gz                           a local glob, expanded by `gemforest resolve`
    https://host/a.faa.gz#sha256=<64 hex>   a file on the web with its checksum; `#md5=<32 hex>` too, or without `#...`
                                            and the checksum in the sheet's column of that name
    carveme:Ecoli_K12_MG1655                a sample that the installed carveme package carries

Nothing here touches the disk or the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from gemforest.errors import InputError

ACCESSION = re.compile(r"(?P<base>GC[AF]_(?P<digits>[0-9]{9}))(?:\.(?P<version>[1-9][0-9]*))?")
HEX_DIGITS = {"md5": 32, "sha256": 64}
LEVELS = {"complete": "complete_genome", "chromosome": "chromosome", "scaffold": "scaffold", "contig": "contig"}


@dataclass(frozen=True)
class Checksum:
    """A published digest of a file: `algorithm` is md5 or sha256, `digest` lower-case hexadecimal."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return f"{self.algorithm}={self.digest}"


@dataclass(frozen=True)
class Accession:
    """An assembly of NCBI; without `version` the newest is meant."""

    base: str
    version: int | None

    def __str__(self) -> str:
        return self.base if self.version is None else f"{self.base}.{self.version}"


@dataclass(frozen=True)
class TaxonQuery:
    """All assemblies of a taxon (NCBI taxonomy id or name) that pass `filters`, as sorted (name, value) pairs."""

    taxon: str
    filters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class GtdbQuery:
    """All genomes of a GTDB metadata table on disk that pass `filters`, as sorted (name, value) pairs."""

    table: str
    filters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine."""

    path: str


@dataclass(frozen=True)
class LocalGlob:
    """Files on this machine that match a shell pattern."""

    pattern: str


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web and the checksum that its content must have, if the URL names one."""

    url: str
    checksum: Checksum | None


@dataclass(frozen=True)
class Sample:
    """A proteome that comes inside the carveme package."""

    name: str


Source = Accession | TaxonQuery | GtdbQuery | LocalFile | LocalGlob | RemoteFile | Sample


def _one_of(*values: str) -> re.Pattern[str]:
    return re.compile("|".join(values))


BOOLEAN = _one_of("true", "false")
COUNT = re.compile("[1-9][0-9]*")
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
TAXON_FILTERS = {
    "reference": BOOLEAN,
    "level": re.compile(f"({'|'.join(LEVELS)})(,({'|'.join(LEVELS)}))*"),
    "source": _one_of("refseq", "genbank", "all"),
    "annotated": BOOLEAN,
    "atypical": _one_of("include", "exclude"),
    "metagenome": _one_of("include", "exclude", "only"),
    "type_material": BOOLEAN,
    "exact": BOOLEAN,
    "released_after": DATE,
    "released_before": DATE,
    "limit": COUNT,
}
GTDB_FILTERS = {
    "representative": BOOLEAN,
    "min_completeness": NUMBER,
    "max_contamination": NUMBER,
    "taxon": re.compile("[dpcofgs]__[^;]+"),
    "level": TAXON_FILTERS["level"],
    "isolates": BOOLEAN,
    "limit": COUNT,
}


def parse_source(text: str) -> Source:
    """Read one cell of the `source` column.

    Raises
    ------
    InputError
        The text fits none of the forms above, uses another scheme than http, https and file, or carries a password;
        the message says what to write instead.
    """
    text = text.strip()
    if not text:
        raise InputError("the source is empty; give an accession, a file, a URL, a taxon query or carveme:NAME")
    if match := ACCESSION.fullmatch(text):
        return Accession(match["base"], int(match["version"]) if match["version"] else None)
    if text.upper().startswith(("GCF_", "GCA_")) and "/" not in text and not text.endswith(FILE_SUFFIXES):
        raise InputError(f"{text!r} is not an assembly accession: expected GCF_ or GCA_, nine digits, perhaps .VERSION")
    scheme, colon, rest = text.partition(":")
    if not colon or "/" in scheme or len(scheme) < 2:
        return _local(text)
    if scheme == "carveme":
        return _sample(rest)
    if scheme == "taxon":
        name, filters = _query(rest, TAXON_FILTERS, text)
        return TaxonQuery(name, filters)
    if scheme == "gtdb":
        table, filters = _query(rest, GTDB_FILTERS, text)
        return GtdbQuery(table, filters)
    if scheme == "file":
        return _local(_path_of_file_url(text))
    if scheme in ("http", "https"):
        try:
            return _remote(text)
        except ValueError as error:
            raise InputError(f"{without_secrets(text)}: {error}; mend the URL") from None
    raise InputError(
        f"{text!r}: a source may begin with http:, https:, file:, taxon:, gtdb: or carveme:, not {scheme}:"
    )


FILE_SUFFIXES = (".faa", ".fna", ".fa", ".fasta", ".gbk", ".gbff", ".gb", ".gz")


def _local(path: str) -> LocalFile | LocalGlob:
    if "\0" in path:
        raise InputError("a path holds a NUL character")
    return LocalGlob(path) if any(letter in path for letter in "*?[") else LocalFile(path)


def _path_of_file_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InputError(f"{text!r}: {error}; mend the URL") from None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InputError(f"{text!r}: a file URL names an absolute path of this machine, file:///data/genome.faa")
    return unquote(parts.path)


def _sample(name: str) -> Sample:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise InputError(f"'carveme:{name}': expected carveme:NAME, for example carveme:Ecoli_K12_MG1655")
    return Sample(name)


def _query(rest: str, known: dict[str, re.Pattern[str]], text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    subject, _, query = rest.partition("?")
    subject = unquote(subject).strip()
    if not subject:
        raise InputError(f"{text!r}: nothing stands before the question mark")
    filters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise InputError(f"{text!r}: unknown filter {name!r}; known are {', '.join(sorted(known))}")
        if name in filters:
            raise InputError(f"{text!r}: filter {name!r} is given twice; join several levels by a comma")
        if not known[name].fullmatch(value) or (known[name] is DATE and not _is_date(value)):
            raise InputError(f"{text!r}: {name}={value} is not a value of this filter ({known[name].pattern})")
        filters[name] = value
    return subject, tuple(sorted(filters.items()))


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _remote(text: str) -> RemoteFile:
    parts = urlsplit(text)
    # Asking for the port tells whether it is one.
    if not parts.hostname or parts.port == 0:
        raise InputError(f"{text!r} names no host")
    if parts.username or parts.password:
        raise InputError(f"{without_secrets(text)}: take the user name and password out of the URL, sheets are shared")
    checksum = read_checksum(parts.fragment, without_secrets(text)) if parts.fragment else None
    return RemoteFile(parts._replace(fragment="").geturl(), checksum)


def read_checksum(text: str, owner: str) -> Checksum:
    """Read `sha256=...`, `sha256:...`, `md5=...`, `md5:...` or bare hexadecimal digits, told apart by their number.

    Raises
    ------
    InputError
        With `owner` as what the checksum belongs to.
    """
    match = re.fullmatch(r"(?:(?P<algorithm>md5|sha256)[:=])?(?P<digest>[0-9a-fA-F]+)", text.strip())
    by_length = {length: algorithm for algorithm, length in HEX_DIGITS.items()}
    if match:
        algorithm = by_length.get(len(match["digest"]))
        if algorithm and match["algorithm"] in (None, algorithm):
            return Checksum(algorithm, match["digest"].lower())
    raise InputError(f"{owner}: {text!r} is no checksum; write sha256=<64 hex digits> or md5=<32 hex digits>")


def without_secrets(url: str) -> str:
    """The URL as it may stand in a log or a ledger: no user name, no password, no query, no fragment."""
    try:
        parts: SplitResult = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{port}{parts.path}"
